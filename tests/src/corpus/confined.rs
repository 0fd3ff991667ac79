//! Starts under a suggestion, held against the recorded ones that it was made from.
//!
//! A suggestion promises two things. What a recorded start called is never refused: one refusal of it is a fault, and
//! so is a start that fails although nothing was refused. And a start needs what no recorded one called with no more
//! than a stated chance: that may happen, is counted, and is what more recorded starts are for.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::{Call, Recorded};

/// One start under the suggestion.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    /// The container.
    pub name: String,
    /// The runtime started its program.
    pub started: bool,
    /// Whose work was done to its end.
    pub worked: bool,
    /// How it ended, for people.
    pub end: String,
    /// What its program called and the kernel took.
    pub made: BTreeSet<Call>,
    /// What was refused, how often.
    pub refused: BTreeMap<Call, u64>,
}

/// All starts of one half under a suggestion.
#[derive(Debug, Clone, Default)]
pub struct Confined {
    /// All of them.
    pub starts: u32,
    /// Those whose program was started.
    pub started: u32,
    /// Those whose work was done to its end.
    pub worked: u32,
    /// Those that were refused a call which no recorded start had made.
    pub refused: u32,
    /// Which calls that were, and how often they were refused.
    pub calls: BTreeMap<Call, u64>,
    /// Calls that no recorded start's program had made either, and that the suggestion has all the same: the runtime
    /// needs them.
    pub let_through: BTreeSet<Call>,
    /// What recorded starts had made and was refused, and starts that failed although nothing was: one line each.
    pub broken: Vec<String>,
}

impl Confined {
    /// What the engine's own profile refuses too, `either_way`, is not the suggestion's doing.
    #[must_use]
    pub fn of(tried: &[Tried], recorded: &Recorded, either_way: &BTreeSet<Call>) -> Self {
        let mut this = Self::default();
        for start in tried {
            this.starts += 1;
            this.started += u32::from(start.started);
            this.worked += u32::from(start.worked);
            let refused = start.refused.iter().filter(|(call, _)| !either_way.contains(*call));
            let (known, new): (Vec<_>, Vec<_>) = refused.partition(|(call, _)| recorded.passed.contains(*call));
            this.refused += u32::from(!new.is_empty());
            if !known.is_empty() {
                let names = super::calls::names(known.into_iter().map(|(call, _)| call));
                this.broken.push(format!("{}: refused what a recorded start had called: {names}", start.name));
            }
            if !start.worked && new.is_empty() {
                this.broken.push(format!("{}: nothing new was refused, and yet it failed: {}", start.name, start.end));
            }
            if !start.started && !new.is_empty() {
                this.broken.push(format!("{}: its program was not started: {}", start.name, start.end));
            }
            new.iter().for_each(|(call, count)| *this.calls.entry(**call).or_default() += **count);
            this.let_through.extend(start.made.difference(&recorded.made));
        }
        this
    }

    /// Every start did its work, and nothing was refused that the engine's own profile does not refuse.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.broken.is_empty() && self.refused == 0 && self.worked == self.starts
    }

    /// How often anything new was refused.
    #[must_use]
    pub fn denials(&self) -> u64 {
        self.calls.values().sum()
    }
}
