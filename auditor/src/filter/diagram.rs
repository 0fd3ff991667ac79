//! Functions of a call's arguments, exactly: ordered, reduced decision diagrams over the bits of the arguments.
//!
//! Every function has one diagram in an arena, so two functions are equal if and only if their handles are. The bits
//! are asked in the order of the arguments, the highest bit of each first; so comparisons and masks take a node for
//! each bit. What would not fit is [`TooComplex`], never a guess.

mod node;

use std::collections::{BTreeSet, HashSet};

pub(super) use self::node::{BITS, FALSE, Node, POINTER, TRUE};
pub use self::node::{Diagrams, TooComplex};
use super::{Outcome, Test};

/// A function from the six arguments to an [`Outcome`], in the [`Diagrams`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagram(pub(super) Node);

impl Diagrams {
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
            if let Some(value) = self.value(node) {
                return Outcome::from_ret(value);
            }
            let variable = self.variable(node);
            let (low, high) = self.below(node, variable);
            let (argument, bit) = (usize::from(variable / BITS), BITS - 1 - variable % BITS);
            let set = args.get(argument).is_some_and(|value| value >> bit & 1 == 1);
            node = if set { high } else { low };
        }
    }

    /// The outcome, where it is the same for all arguments.
    #[must_use]
    pub fn as_constant(&self, diagram: Diagram) -> Option<Outcome> {
        self.value(diagram.0).map(Outcome::from_ret)
    }

    /// Every outcome that some arguments have.
    #[must_use]
    pub fn outcomes(&self, diagram: Diagram) -> BTreeSet<Outcome> {
        let values = self.reachable(diagram.0).into_iter().filter_map(|node| self.value(node));
        values.map(Outcome::from_ret).collect()
    }

    /// The arguments, 0 to 5, that it depends on.
    #[must_use]
    pub fn arguments(&self, diagram: Diagram) -> BTreeSet<u8> {
        let questions = self.reachable(diagram.0).into_iter().filter(|node| self.value(*node).is_none());
        questions.filter_map(|node| u8::try_from(self.variable(node) / BITS).ok()).collect()
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
            if let (Some(left), Some(right)) = (self.value(pair.0), self.value(pair.1)) {
                if wanted(Outcome::from_ret(left), Outcome::from_ret(right)) {
                    return Some(args);
                }
                continue;
            }
            let variable = self.variable(pair.0).min(self.variable(pair.1));
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
}
