//! The code that libseccomp generates for the conditions of one call, as far as it bears on what the filter does
//! (`_gen_bpf_node`, `_gen_bpf_chain` and `_gen_bpf_build_bpf` in gen_bpf.c).
//!
//! A block is one comparison. It loads the word that it compares only where the accumulator does not hold it yet, and
//! that is decided when it is generated, from the block before. Whoever jumps to it from elsewhere may have left
//! another word there. Against that libseccomp puts a load before a block that needs one, but it looks only at the
//! first jump by which it comes upon the block. So a filter of libseccomp can compare the wrong word, and it does for
//! rather simple rules: with `arg0 <= 1` and `arg0 <= 7` in two rules, the lower half of the argument where the upper
//! one is meant. What the kernel then does is what is told here.

use std::collections::{BTreeMap, BTreeSet};

use super::half::{Compare, Half};
use super::tree::Trouble;
use crate::filter::{Comparison, MAX_INSTRUCTIONS, Test};

/// A part of an argument that the accumulator holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    index: u32,
    high: bool,
    mask: u32,
}

/// Where a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target<A> {
    Default,
    Action(A),
    Block(usize),
}

/// What a block does before it jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    /// What the accumulator must hold; `None` where the block loads it.
    start: Option<Word>,
    /// What it holds afterwards.
    pub(super) end: Word,
    relation: Comparison,
    value: u32,
}

impl Head {
    /// For a comparison that comes when the accumulator is known to hold something.
    pub(super) fn of(half: &Half, held: Option<Word>) -> Self {
        let usable =
            |word: &Word| (word.index, word.high) == (half.index, half.high) && word.mask & half.mask == half.mask;
        let relation = match half.compare {
            Compare::Equal | Compare::MaskedEqual => Comparison::Equal,
            Compare::Greater => Comparison::Greater,
            Compare::GreaterOrEqual => Comparison::GreaterOrEqual,
        };
        let end = Word { index: half.index, high: half.high, mask: half.mask };
        Self { start: held.filter(usable), end, relation, value: half.value }
    }

    /// What it compares where the accumulator holds something on arrival.
    fn compared(&self, held: Option<Word>, reloads: bool) -> Word {
        match (self.start, held) {
            (Some(_), Some(held)) if !reloads => Word { mask: held.mask & self.end.mask, ..held },
            _ => self.end,
        }
    }

    fn test(&self, word: Word) -> Test {
        let shift = if word.high { 32 } else { 0 };
        Test {
            argument: u8::try_from(word.index).unwrap_or(u8::MAX),
            mask: u64::from(word.mask) << shift,
            comparison: self.relation,
            value: u64::from(self.value) << shift,
        }
    }
}

/// One comparison, and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block<A> {
    pub(super) head: Head,
    pub(super) yes: Target<A>,
    pub(super) no: Target<A>,
}

/// The blocks of one call. Equal ones are one; those that a block leads to come before it.
#[derive(Debug, Clone)]
pub(super) struct Code<A> {
    blocks: Vec<Block<A>>,
    known: BTreeMap<Block<A>, usize>,
    start: Target<A>,
    /// Blocks with a load put before them.
    reloads: BTreeSet<usize>,
    /// Blocks that some jump reaches with another word than they need.
    delicate: BTreeSet<usize>,
}

impl<A: Copy + Ord> Code<A> {
    pub(super) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            known: BTreeMap::new(),
            start: Target::Default,
            reloads: BTreeSet::new(),
            delicate: BTreeSet::new(),
        }
    }

    /// The block, if it is new, and a jump to it.
    pub(super) fn block(&mut self, block: Block<A>) -> Result<Target<A>, Trouble> {
        if let Some(at) = self.known.get(&block) {
            return Ok(Target::Block(*at));
        }
        // Each takes an instruction at least.
        if self.blocks.len() >= MAX_INSTRUCTIONS {
            return Err(Trouble::Unfathomable);
        }
        self.known.insert(block, self.blocks.len());
        self.blocks.push(block);
        Ok(Target::Block(self.blocks.len() - 1))
    }

    /// Puts loads before blocks as libseccomp does when it brings them into a sequence: depth first, where a
    /// comparison holds before where it does not.
    pub(super) fn finish(&mut self, start: Target<A>) {
        self.start = start;
        let mut found = BTreeSet::new();
        let mut todo = vec![(start, None)];
        while let Some((target, held)) = todo.pop() {
            let Target::Block(at) = target else { continue };
            let Block { head, yes, no } = self.blocks[at];
            let mismatch = head.start.is_some() && head.start != held;
            if mismatch {
                self.delicate.insert(at);
            }
            if found.insert(at) {
                if mismatch {
                    self.reloads.insert(at);
                }
                todo.push((no, Some(head.end)));
                todo.push((yes, Some(head.end)));
            }
        }
    }

    /// The blocks that are right only because of the jump by which they were found first.
    pub(super) fn delicate(&self) -> bool {
        !self.delicate.is_empty()
    }

    /// Whether another call's code may have decided for this one whether a block has a load before it: libseccomp
    /// keeps equal blocks of all calls once.
    pub(super) fn is_disturbed_by(&self, other: &Self) -> bool {
        let mut theirs = Vec::new();
        let mut names: BTreeMap<Block<A>, usize> = BTreeMap::new();
        // The other's blocks in this one's numbers, those that are there.
        for block in &other.blocks {
            let translate = |target| match target {
                Target::Block(at) => theirs.get(at).copied().flatten().map(Target::Block),
                target => Some(target),
            };
            let mine = match (translate(block.yes), translate(block.no)) {
                (Some(yes), Some(no)) => self.known.get(&Block { yes, no, ..*block }).copied(),
                _ => None,
            };
            theirs.push(mine);
            names.extend(mine.map(|at| (self.blocks[at], at)));
        }
        let is_the_same = self.blocks.len() == other.blocks.len() && names.len() == self.blocks.len();
        !is_the_same && names.values().any(|at| self.delicate.contains(at))
    }

    /// What happens for these arguments; `None` for the default.
    pub(super) fn run(&self, args: &[u64; 6]) -> Option<A> {
        let (mut target, mut held) = (self.start, None);
        loop {
            let at = match target {
                Target::Default => return None,
                Target::Action(action) => return Some(action),
                Target::Block(at) => at,
            };
            let block = &self.blocks[at];
            let word = block.head.compared(held, self.reloads.contains(&at));
            target = if block.head.test(word).holds(args) { block.yes } else { block.no };
            held = Some(word);
        }
    }

    /// The whole code as one value, made from the ends: `test` makes one of a comparison and what follows where it
    /// holds and where not.
    pub(super) fn fold<D: Copy, E>(
        &self,
        mut leaf: impl FnMut(Option<A>) -> Result<D, E>,
        mut test: impl FnMut(Test, D, D) -> Result<D, E>,
    ) -> Result<Option<D>, E> {
        // Every block with every word that it can be reached with.
        let mut reached = BTreeSet::new();
        let mut todo = vec![(self.start, None)];
        while let Some((target, held)) = todo.pop() {
            let Target::Block(at) = target else { continue };
            let block = &self.blocks[at];
            let word = block.head.compared(held, self.reloads.contains(&at));
            if reached.insert((at, word)) {
                todo.extend([(block.yes, Some(word)), (block.no, Some(word))]);
            }
        }
        let mut folded: BTreeMap<(usize, Word), D> = BTreeMap::new();
        let mut value = |folded: &BTreeMap<(usize, Word), D>, target, held| match target {
            Target::Default => leaf(None).map(Some),
            Target::Action(action) => leaf(Some(action)).map(Some),
            Target::Block(at) => {
                let word = self.blocks[at].head.compared(held, self.reloads.contains(&at));
                Ok(folded.get(&(at, word)).copied())
            }
        };
        for (at, word) in reached {
            let block = &self.blocks[at];
            let yes = value(&folded, block.yes, Some(word))?;
            let no = value(&folded, block.no, Some(word))?;
            if let (Some(yes), Some(no)) = (yes, no) {
                folded.insert((at, word), test(block.head.test(word), yes, no)?);
            }
        }
        value(&folded, self.start, None)
    }
}
