//! How much of what a workload needs has been seen, and what that says about its next start.

mod estimate;
mod limit;

use std::collections::{BTreeMap, BTreeSet};

pub use self::estimate::{Chance, Estimate};
pub(crate) use self::estimate::{percent_down, percent_up};
pub use self::limit::upper_limit;
use crate::syscall::{Abi, SyscallNr};

/// In how many starts each call was made, and in which of them the rare ones. What `K` names may also be finer than a
/// call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incidence<K = (Abi, SyscallNr)> {
    /// Starts.
    pub starts: u32,
    /// By call. One that no start made has no entry.
    pub calls: BTreeMap<K, Made>,
    /// Starts that were refused what they may have needed.
    pub refused: BTreeSet<u32>,
}

impl<K> Default for Incidence<K> {
    fn default() -> Self {
        Self { starts: 0, calls: BTreeMap::new(), refused: BTreeSet::new() }
    }
}

/// By which starts a call was made. The number of a start is its place among those that were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// By how many; 1 at least.
    pub starts: u32,
    /// The first of them.
    pub first: u32,
    /// The second of them.
    pub second: Option<u32>,
}

impl<K: Ord> Incidence<K> {
    /// Takes one more start, with the calls that it made. A call that is named twice counts once.
    pub fn add(&mut self, calls: impl IntoIterator<Item = K>) {
        let start = self.starts;
        self.starts += 1;
        for key in calls.into_iter().collect::<BTreeSet<_>>() {
            let made = self.calls.entry(key).or_insert(Made { starts: 0, first: start, second: None });
            made.starts += 1;
            if made.starts == 2 {
                made.second = Some(start);
            }
        }
    }

    /// The start that was taken last was refused what it may have needed: whatever it made, it brought something that was
    /// not seen.
    pub fn refuse(&mut self) {
        self.refused.extend(self.starts.checked_sub(1));
    }
}
