//! Functions of a call's arguments, exactly: ordered, reduced decision diagrams over the bits of the arguments.
//!
//! Every function has one diagram in an arena, so two functions are equal if and only if their handles are. The bits
//! are asked in the order of the arguments, the highest bit of each first; so comparisons and masks take a node for
//! each bit. What would not fit is [`TooComplex`], never a guess.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Comparison, Outcome, Test};

/// A function from the six arguments to an [`Outcome`], in the [`Diagrams`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagram(pub(super) Node);

/// The index of a node. A leaf's value is a `SECCOMP_RET_*` value; [`FALSE`] and [`TRUE`] stand for themselves.
pub(super) type Node = u32;

/// The leaf of a condition that does not hold.
pub(super) const FALSE: Node = 0;
/// The leaf of a condition that holds.
pub(super) const TRUE: Node = 1;

/// A function that has no diagram of acceptable size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the conditions on the arguments are too intertwined to be told exactly")]
pub struct TooComplex;

/// A question for one bit, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    /// [`LEAF`], or the bit: 64 times the argument plus its distance from the highest bit.
    variable: u16,
    /// Where the bit is not set; of a leaf its value.
    low: u32,
    /// Where it is.
    high: Node,
}

const LEAF: u16 = u16::MAX;

/// Bits of one argument.
pub(super) const BITS: u16 = 64;
/// Where the variables of the instruction pointer begin, behind those of the arguments.
pub(super) const POINTER: u16 = 6 * BITS;

/// Nodes that an arena holds at most.
const MAX_NODES: usize = 1 << 20;
/// Steps of work that one operation may take: a fraction of a second.
const MAX_STEPS: u32 = 1 << 20;
/// Steps that an arena may take in all: seconds, whatever filters it is given.
const MAX_STEPS_IN_ALL: u32 = 1 << 24;

/// An arena of diagrams.
#[derive(Debug, Clone)]
pub struct Diagrams {
    entries: Vec<Entry>,
    known: HashMap<Entry, Node>,
    choices: HashMap<(Node, Node, Node), Node>,
    limit: u32,
    steps: u32,
    steps_before: u32,
}

impl Default for Diagrams {
    fn default() -> Self {
        let leaf = |low| Entry { variable: LEAF, low, high: 0 };
        let known = [(leaf(0), FALSE), (leaf(1), TRUE)].into();
        Self {
            entries: vec![leaf(0), leaf(1)],
            known,
            choices: HashMap::new(),
            limit: MAX_STEPS,
            steps: 0,
            steps_before: 0,
        }
    }
}

impl Diagrams {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty arena in which one operation takes no more than so many steps of work; what does not fit is
    /// [`TooComplex`] the sooner.
    #[must_use]
    pub fn with_limit(steps: u32) -> Self {
        Self { limit: steps.min(MAX_STEPS), ..Self::default() }
    }

    /// The same outcome for all arguments.
    ///
    /// # Errors
    ///
    /// Where the arena is full.
    pub fn constant(&mut self, outcome: Outcome) -> Result<Diagram, TooComplex> {
        self.refresh();
        self.leaf(outcome.to_ret()).map(Diagram)
    }

    /// One function where a test holds, another where it does not.
    ///
    /// # Errors
    ///
    /// Where the result would be too large.
    pub fn test(&mut self, test: impl Into<Test>, then: Diagram, otherwise: Diagram) -> Result<Diagram, TooComplex> {
        self.refresh();
        let condition = self.condition(&test.into())?;
        self.choose(condition, then.0, otherwise.0).map(Diagram)
    }

    /// A function of two functions, argument by argument.
    ///
    /// # Errors
    ///
    /// Where the result would be too large.
    pub fn combine(
        &mut self,
        a: Diagram,
        b: Diagram,
        mut f: impl FnMut(Outcome, Outcome) -> Outcome,
    ) -> Result<Diagram, TooComplex> {
        self.refresh();
        let f = |a, b| f(Outcome::from_ret(a), Outcome::from_ret(b)).to_ret();
        self.apply(a.0, b.0, f).map(Diagram)
    }

    /// A function with other outcomes.
    ///
    /// # Errors
    ///
    /// Where the arena is full.
    pub fn map(&mut self, a: Diagram, mut f: impl FnMut(Outcome) -> Outcome) -> Result<Diagram, TooComplex> {
        self.combine(a, a, |outcome, _| f(outcome))
    }

    /// What happens for these arguments.
    #[must_use]
    pub fn evaluate(&self, diagram: Diagram, args: &[u64; 6]) -> Outcome {
        let mut node = diagram.0;
        loop {
            let Entry { variable, low, high } = self.entry(node);
            if variable == LEAF {
                return Outcome::from_ret(low);
            }
            let (argument, bit) = (usize::from(variable / BITS), BITS - 1 - variable % BITS);
            let set = args.get(argument).is_some_and(|value| value >> bit & 1 == 1);
            node = if set { high } else { low };
        }
    }

    /// The outcome, where it is the same for all arguments.
    #[must_use]
    pub fn as_constant(&self, diagram: Diagram) -> Option<Outcome> {
        let Entry { variable, low, .. } = self.entry(diagram.0);
        (variable == LEAF).then(|| Outcome::from_ret(low))
    }

    /// Every outcome that some arguments have.
    #[must_use]
    pub fn outcomes(&self, diagram: Diagram) -> BTreeSet<Outcome> {
        let leaves = self.reachable(diagram.0).into_iter().map(|node| self.entry(node));
        leaves.filter(|entry| entry.variable == LEAF).map(|entry| Outcome::from_ret(entry.low)).collect()
    }

    /// The arguments, 0 to 5, that it depends on.
    #[must_use]
    pub fn arguments(&self, diagram: Diagram) -> BTreeSet<u8> {
        let variables = self.reachable(diagram.0).into_iter().map(|node| self.entry(node).variable);
        variables.filter(|variable| *variable != LEAF).filter_map(|bit| u8::try_from(bit / BITS).ok()).collect()
    }

    /// Arguments for which the outcome is as wanted: of bits that do not matter none is set.
    pub fn witness(&self, diagram: Diagram, mut wanted: impl FnMut(Outcome) -> bool) -> Option<[u64; 6]> {
        self.pair_witness(diagram, diagram, |outcome, _| wanted(outcome))
    }

    /// Arguments for which two functions have outcomes as wanted.
    pub fn pair_witness(
        &self,
        a: Diagram,
        b: Diagram,
        mut wanted: impl FnMut(Outcome, Outcome) -> bool,
    ) -> Option<[u64; 6]> {
        let mut seen = HashSet::new();
        // A way down: the pair, and the arguments that lead to it.
        let mut todo = vec![((a.0, b.0), [0; 6])];
        while let Some((pair, args)) = todo.pop() {
            if !seen.insert(pair) {
                continue;
            }
            let (left, right) = (self.entry(pair.0), self.entry(pair.1));
            let variable = left.variable.min(right.variable);
            if variable == LEAF {
                if wanted(Outcome::from_ret(left.low), Outcome::from_ret(right.low)) {
                    return Some(args);
                }
                continue;
            }
            let (a, b) = (self.below(pair.0, variable), self.below(pair.1, variable));
            let mut set = args;
            if let Some(argument) = set.get_mut(usize::from(variable / BITS)) {
                *argument |= 1 << (BITS - 1 - variable % BITS);
            }
            todo.push(((a.1, b.1), set));
            todo.push(((a.0, b.0), args));
        }
        None
    }

    /// A new allowance of work; each operation that others call begins with it.
    pub(super) fn refresh(&mut self) {
        self.steps_before += self.steps;
        self.steps = 0;
        if self.choices.len() > MAX_NODES {
            self.choices.clear();
        }
    }

    /// Takes a step of work.
    pub(super) fn step(&mut self) -> Result<(), TooComplex> {
        self.steps += 1;
        if self.steps > self.limit || self.steps_before + self.steps > MAX_STEPS_IN_ALL {
            Err(TooComplex)
        } else {
            Ok(())
        }
    }

    fn entry(&self, node: Node) -> Entry {
        self.entries[node as usize]
    }

    /// The variable that a node asks for; that of leaves is behind all others.
    pub(super) fn variable(&self, node: Node) -> u16 {
        self.entry(node).variable
    }

    /// The value of a leaf.
    pub(super) fn value(&self, node: Node) -> Option<u32> {
        let Entry { variable, low, .. } = self.entry(node);
        (variable == LEAF).then_some(low)
    }

    /// Where a node leads for a variable not set and set.
    pub(super) fn below(&self, node: Node, variable: u16) -> (Node, Node) {
        let entry = self.entry(node);
        if entry.variable == variable { (entry.low, entry.high) } else { (node, node) }
    }

    /// A node and all below it.
    pub(super) fn reachable(&self, node: Node) -> HashSet<Node> {
        let mut seen = HashSet::from([node]);
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            let Entry { variable, low, high } = self.entry(node);
            if variable != LEAF {
                todo.extend([low, high].into_iter().filter(|below| seen.insert(*below)));
            }
        }
        seen
    }

    pub(super) fn leaf(&mut self, value: u32) -> Result<Node, TooComplex> {
        self.node_of(Entry { variable: LEAF, low: value, high: 0 })
    }

    /// The node that asks for a variable; its branches ask for later ones.
    pub(super) fn node(&mut self, variable: u16, low: Node, high: Node) -> Result<Node, TooComplex> {
        if low == high { Ok(low) } else { self.node_of(Entry { variable, low, high }) }
    }

    fn node_of(&mut self, entry: Entry) -> Result<Node, TooComplex> {
        if let Some(node) = self.known.get(&entry) {
            return Ok(*node);
        }
        let node = Node::try_from(self.entries.len()).map_err(|_| TooComplex)?;
        if self.entries.len() >= MAX_NODES {
            return Err(TooComplex);
        }
        self.entries.push(entry);
        self.known.insert(entry, node);
        Ok(node)
    }

    /// A test as a diagram of [`TRUE`] and [`FALSE`].
    pub(super) fn condition(&mut self, test: &Test) -> Result<Node, TooComplex> {
        let (kind, negated) = match test.comparison {
            Comparison::Equal | Comparison::Less | Comparison::LessOrEqual => (test.comparison, false),
            other => (other.negated(), true),
        };
        // From the lowest bit up: what is known when all higher bits are equal.
        let mut so_far = if kind == Comparison::Less { FALSE } else { TRUE };
        for bit in 0..BITS {
            let (masked, expected) = (test.mask >> bit & 1 == 1, test.value >> bit & 1 == 1);
            let (low, high) = match (kind, expected) {
                (Comparison::Equal, true) => (FALSE, so_far),
                (Comparison::Equal, false) => (so_far, FALSE),
                (_, true) => (TRUE, so_far),
                (_, false) => (so_far, FALSE),
            };
            let variable = u16::from(test.argument) * BITS + BITS - 1 - bit;
            so_far = if masked { self.node(variable, low, high)? } else { low };
        }
        if negated { self.not(so_far) } else { Ok(so_far) }
    }

    pub(super) fn not(&mut self, a: Node) -> Result<Node, TooComplex> {
        self.choose(a, FALSE, TRUE)
    }

    pub(super) fn and(&mut self, a: Node, b: Node) -> Result<Node, TooComplex> {
        self.choose(a, b, FALSE)
    }

    pub(super) fn or(&mut self, a: Node, b: Node) -> Result<Node, TooComplex> {
        self.choose(a, TRUE, b)
    }

    pub(super) fn xor(&mut self, a: Node, b: Node) -> Result<Node, TooComplex> {
        let not = self.not(b)?;
        self.choose(a, not, b)
    }

    /// `then` where a condition holds, else `otherwise`.
    pub(super) fn choose(&mut self, condition: Node, then: Node, otherwise: Node) -> Result<Node, TooComplex> {
        match (condition, then, otherwise) {
            (TRUE, _, _) => return Ok(then),
            (FALSE, _, _) => return Ok(otherwise),
            (_, TRUE, FALSE) => return Ok(condition),
            _ if then == otherwise => return Ok(then),
            _ => {}
        }
        let key = (condition, then, otherwise);
        if let Some(node) = self.choices.get(&key) {
            return Ok(*node);
        }
        self.step()?;
        let variable = self.variable(condition).min(self.variable(then)).min(self.variable(otherwise));
        let (c, t, o) = (self.below(condition, variable), self.below(then, variable), self.below(otherwise, variable));
        let low = self.choose(c.0, t.0, o.0)?;
        let high = self.choose(c.1, t.1, o.1)?;
        let node = self.node(variable, low, high)?;
        self.choices.insert(key, node);
        Ok(node)
    }

    /// Leaf by leaf.
    pub(super) fn apply(&mut self, a: Node, b: Node, mut f: impl FnMut(u32, u32) -> u32) -> Result<Node, TooComplex> {
        self.apply_known(a, b, &mut f, &mut HashMap::new())
    }

    fn apply_known(
        &mut self,
        a: Node,
        b: Node,
        f: &mut impl FnMut(u32, u32) -> u32,
        known: &mut HashMap<(Node, Node), Node>,
    ) -> Result<Node, TooComplex> {
        if let Some(node) = known.get(&(a, b)) {
            return Ok(*node);
        }
        self.step()?;
        let variable = self.variable(a).min(self.variable(b));
        let node = if let (Some(a), Some(b)) = (self.value(a), self.value(b)) {
            self.leaf(f(a, b))?
        } else {
            let (left, right) = (self.below(a, variable), self.below(b, variable));
            let low = self.apply_known(left.0, right.0, f, known)?;
            let high = self.apply_known(left.1, right.1, f, known)?;
            self.node(variable, low, high)?
        };
        known.insert((a, b), node);
        Ok(node)
    }
}
