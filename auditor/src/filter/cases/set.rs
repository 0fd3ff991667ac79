//! A set of values of one argument, as few conditions as can be found.

use std::collections::HashMap;

use super::super::diagram::{BITS, Diagrams, FALSE, Node, TRUE, TooComplex};
use super::super::{Comparison, Test};

/// Conditions that hold together.
type Piece = Vec<Test>;

/// Some of the values that an argument can have.
pub(super) struct Set {
    argument: u16,
    /// The condition of being a member.
    pub(super) members: Node,
    /// A value is a member if and only if all tests of one of these hold.
    pub(super) pieces: Vec<Piece>,
    /// How much of all values.
    pub(super) share: f64,
}

/// Pieces of one description at most.
const MAX_PIECES: usize = 1024;
/// As many single values are still better to read than half as many masks.
const MAX_VALUES: usize = 16;
/// Steps of work that one cover by masks may take: where it is worth having, it is found sooner.
const MAX_COVER_STEPS: u32 = 1 << 14;

impl Set {
    /// The values of an argument that lead from one node to another.
    pub(super) fn new(diagrams: &mut Diagrams, from: Node, to: Node, argument: u16) -> Result<Self, TooComplex> {
        let members = diagrams.leading(from, to, argument, &mut HashMap::new())?;
        let share = diagrams.share(members, &mut HashMap::new());
        let pieces = describe(diagrams, argument, members, members)?.ok_or(TooComplex)?;
        Ok(Self { argument, members, pieces, share })
    }

    pub(super) fn tests(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// A shorter description that also holds for some values of another set.
    pub(super) fn widened(&self, diagrams: &mut Diagrams, other: Node) -> Result<Option<Vec<Piece>>, TooComplex> {
        if other == FALSE || self.pieces.len() == 1 && self.tests() == 1 {
            return Ok(None);
        }
        let both = diagrams.or(self.members, other)?;
        let wider = describe(diagrams, self.argument, self.members, both)?;
        let tests = |pieces: &Vec<Piece>| pieces.iter().map(Vec::len).sum();
        Ok(wider.filter(|wider| (wider.len(), tests(wider)) < (self.pieces.len(), self.tests())))
    }
}

impl Diagrams {
    fn leading(
        &mut self,
        from: Node,
        to: Node,
        argument: u16,
        known: &mut HashMap<Node, Node>,
    ) -> Result<Node, TooComplex> {
        let variable = self.variable(from);
        if self.value(from).is_some() || variable / BITS != argument {
            return Ok(if from == to { TRUE } else { FALSE });
        }
        if let Some(node) = known.get(&from) {
            return Ok(*node);
        }
        self.step()?;
        let (low, high) = self.below(from, variable);
        let low = self.leading(low, to, argument, known)?;
        let high = self.leading(high, to, argument, known)?;
        let node = self.node(variable, low, high)?;
        known.insert(from, node);
        Ok(node)
    }

    /// How much of all values leads to [`TRUE`].
    pub(super) fn share(&self, node: Node, known: &mut HashMap<Node, f64>) -> f64 {
        match node {
            FALSE => 0.0,
            TRUE => 1.0,
            _ => {
                if let Some(share) = known.get(&node) {
                    return *share;
                }
                let (low, high) = self.below(node, self.variable(node));
                let share = f64::midpoint(self.share(low, known), self.share(high, known));
                known.insert(node, share);
                share
            }
        }
    }
}

/// The shortest of some descriptions of a set that has all of `least` and nothing outside of `most`.
fn describe(diagrams: &mut Diagrams, argument: u16, least: Node, most: Node) -> Result<Option<Vec<Piece>>, TooComplex> {
    let mut found: Vec<Vec<Piece>> = Vec::new();
    for set in if least == most { vec![least] } else { vec![least, most] } {
        if let Some(piece) = single(diagrams, argument, set)? {
            found.push(vec![vec![piece]]);
        }
        let not = diagrams.not(set)?;
        let ranges = Ranges::of(diagrams, argument, set);
        let gaps = Ranges::of(diagrams, argument, not);
        if let Some(ranges) = ranges {
            let values =
                ranges.tests().iter().all(|piece| piece.len() == 1 && piece[0].comparison == Comparison::Equal);
            if values && ranges.0.len() <= MAX_VALUES && ranges.0.len() > 1 {
                let masks = cubes(diagrams, argument, set, set)?.map_or(usize::MAX, |masks| masks.len());
                if ranges.0.len() <= masks.saturating_mul(4) && least == most {
                    return Ok(Some(ranges.tests()));
                }
            }
            found.push(ranges.tests());
        }
        if let Some(gaps) = gaps {
            found.extend(all_but(&gaps.tests()));
        }
        if let Some(masks) = cubes(diagrams, argument, not, not)? {
            found.extend(all_but(&masks));
        }
    }
    found.extend(cubes(diagrams, argument, least, most)?);
    Ok(found.into_iter().filter(|pieces| pieces.len() <= MAX_PIECES).min_by_key(|pieces| {
        let tests: usize = pieces.iter().map(Vec::len).sum();
        (pieces.len(), tests)
    }))
}

/// What none of some single tests holds for, as one piece.
fn all_but(pieces: &[Piece]) -> Option<Vec<Piece>> {
    let negated = |piece: &Piece| match piece[..] {
        [test] => Some(Test { comparison: test.comparison.negated(), ..test }),
        _ => None,
    };
    Some(vec![pieces.iter().map(negated).collect::<Option<Piece>>()?])
}

/// The one test that a set is, if it is one.
fn single(diagrams: &mut Diagrams, argument: u16, set: Node) -> Result<Option<Test>, TooComplex> {
    let Ok(number) = u8::try_from(argument) else { return Ok(None) };
    let not = diagrams.not(set)?;
    let support = diagrams.support(set);
    let (least, greatest) = (diagrams.extreme(set, false), diagrams.extreme(set, true));
    let (least_not, greatest_not) = (diagrams.extreme(not, false), diagrams.extreme(not, true));
    let mut candidates = Vec::new();
    for mask in [u64::MAX, support, u64::from(u32::MAX), low_ones(support)] {
        if support & !mask != 0 {
            continue;
        }
        let mut add =
            |comparison, value| candidates.push(Test { argument: number, mask, comparison, value: value & mask });
        add(Comparison::Equal, least);
        add(Comparison::NotEqual, least_not);
        add(Comparison::LessOrEqual, greatest);
        add(Comparison::Greater, greatest_not);
        add(Comparison::GreaterOrEqual, least);
        add(Comparison::Less, least_not);
    }
    for test in candidates {
        if diagrams.condition(&test)? == set {
            return Ok(Some(test));
        }
    }
    Ok(None)
}

/// As many ones from the lowest bit as reach the highest bit of a mask.
const fn low_ones(mask: u64) -> u64 {
    match mask.leading_zeros() {
        64 => 0,
        zeros => u64::MAX >> zeros,
    }
}

impl Diagrams {
    /// The bits that a set of one argument's values depends on.
    fn support(&self, set: Node) -> u64 {
        let bits = self.reachable(set).into_iter().filter(|node| self.value(*node).is_none());
        bits.fold(0, |mask, node| mask | bit(self.variable(node)))
    }

    /// The least or the greatest member; zero of none.
    fn extreme(&self, set: Node, greatest: bool) -> u64 {
        let (mut node, mut value) = (set, if greatest { u64::MAX } else { 0 });
        while self.value(node).is_none() {
            let variable = self.variable(node);
            let (low, high) = self.below(node, variable);
            let up = if greatest { high != FALSE } else { low == FALSE };
            value = if up { value | bit(variable) } else { value & !bit(variable) };
            node = if up { high } else { low };
        }
        value
    }
}

const fn bit(variable: u16) -> u64 {
    1 << (BITS - 1 - variable % BITS)
}

/// Ranges of the lower bits of an argument, rising, with gaps between them.
struct Ranges(Vec<(u64, u64)>, u64, u8);

impl Ranges {
    /// The ranges of a set; `None` where there are too many.
    fn of(diagrams: &Diagrams, argument: u16, set: Node) -> Option<Self> {
        let support = diagrams.support(set);
        // A filter that looks at half an argument says so; else the whole is compared.
        let mask = if support <= u64::from(u32::MAX) { low_ones(support) } else { u64::MAX };
        let mask = if mask > u64::from(u16::MAX) && mask <= u64::from(u32::MAX) { u64::from(u32::MAX) } else { mask };
        let mut ranges = Self(Vec::new(), mask, u8::try_from(argument).ok()?);
        ranges.collect(diagrams, set, 64 - mask.leading_zeros(), 0)?;
        Some(ranges)
    }

    /// Those with these higher bits, for so many lower ones.
    fn collect(&mut self, diagrams: &Diagrams, set: Node, bits: u32, from: u64) -> Option<()> {
        match set {
            FALSE => Some(()),
            TRUE => {
                let to = from | u64::MAX.checked_shr(64 - bits).unwrap_or(0);
                match self.0.last_mut() {
                    Some(last) if last.1.checked_add(1) == Some(from) => last.1 = to,
                    _ => self.0.push((from, to)),
                }
                (self.0.len() <= MAX_PIECES).then_some(())
            }
            _ => {
                let bits = bits.checked_sub(1)?;
                let asked = bit(diagrams.variable(set)) == 1 << bits;
                let (low, high) = if asked { diagrams.below(set, diagrams.variable(set)) } else { (set, set) };
                self.collect(diagrams, low, bits, from)?;
                self.collect(diagrams, high, bits, from | 1 << bits)
            }
        }
    }

    fn tests(&self) -> Vec<Piece> {
        let Self(ranges, mask, argument) = self;
        let test = |comparison, value| Test { argument: *argument, mask: *mask, comparison, value };
        let piece = |(from, to): &(u64, u64)| {
            if from == to {
                return vec![test(Comparison::Equal, *from)];
            }
            let lower = (*from > 0).then(|| test(Comparison::GreaterOrEqual, *from));
            let upper = (to < mask).then(|| test(Comparison::LessOrEqual, *to));
            lower.into_iter().chain(upper).collect()
        };
        ranges.iter().map(piece).collect()
    }
}

/// Masked equalities that together are a set between `least` and `most`; `None` where there are too many.
///
/// The cover has nothing to spare (S. Minato, "Fast generation of irredundant sum-of-products forms", 1992).
fn cubes(diagrams: &mut Diagrams, argument: u16, least: Node, most: Node) -> Result<Option<Vec<Piece>>, TooComplex> {
    let Ok(argument) = u8::try_from(argument) else { return Ok(None) };
    let until = diagrams.steps().saturating_add(MAX_COVER_STEPS);
    let Some((cubes, _)) = diagrams.cover(least, most, until)? else { return Ok(None) };
    let test = |(mask, value)| vec![Test { argument, mask, comparison: Comparison::Equal, value }];
    Ok(Some(cubes.into_iter().map(test).collect()))
}

/// A mask and a value for each cube, and the set that they are together.
type Cover = Option<(Vec<(u64, u64)>, Node)>;

impl Diagrams {
    fn cover(&mut self, least: Node, most: Node, until: u32) -> Result<Cover, TooComplex> {
        if least == FALSE {
            return Ok(Some((Vec::new(), FALSE)));
        }
        if most == TRUE {
            return Ok(Some((vec![(0, 0)], TRUE)));
        }
        self.step()?;
        if self.steps() > until {
            return Ok(None);
        }
        let variable = self.variable(least).min(self.variable(most));
        let (l, m) = (self.below(least, variable), self.below(most, variable));
        // What only the bit not set, only the bit set, and both can cover.
        let need_low = self.choose(m.1, FALSE, l.0)?;
        let Some((low, low_set)) = self.cover(need_low, m.0, until)? else { return Ok(None) };
        let need_high = self.choose(m.0, FALSE, l.1)?;
        let Some((high, high_set)) = self.cover(need_high, m.1, until)? else { return Ok(None) };
        let left_low = self.choose(low_set, FALSE, l.0)?;
        let left_high = self.choose(high_set, FALSE, l.1)?;
        let left = self.or(left_low, left_high)?;
        let both = self.and(m.0, m.1)?;
        let Some((mut cubes, both_set)) = self.cover(left, both, until)? else { return Ok(None) };
        cubes.extend(low.into_iter().map(|(mask, value)| (mask | bit(variable), value)));
        cubes.extend(high.into_iter().map(|(mask, value)| (mask | bit(variable), value | bit(variable))));
        if cubes.len() > MAX_PIECES {
            return Ok(None);
        }
        let set = self.node(variable, low_set, high_set)?;
        let set = self.or(set, both_set)?;
        Ok(Some((cubes, set)))
    }
}
