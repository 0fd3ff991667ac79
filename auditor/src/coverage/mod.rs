//! How much of what a workload needs has been seen.

use std::collections::BTreeMap;

use crate::syscall::{Abi, SyscallNr};

/// In how many starts each call was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incidence {
    /// Starts.
    pub starts: u32,
    /// By call; 1 at least.
    pub calls: BTreeMap<(Abi, SyscallNr), u32>,
}

impl Incidence {
    /// Takes one more start, with the calls that it made.
    pub fn add(&mut self, calls: impl IntoIterator<Item = (Abi, SyscallNr)>) {
        self.starts += 1;
        calls.into_iter().for_each(|key| *self.calls.entry(key).or_default() += 1);
    }
}
