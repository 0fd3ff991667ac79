//! The arguments that decide how dangerous a call is.

pub mod table;

use std::collections::BTreeMap;

use crate::syscall::{Abi, SyscallNr};

/// The distinct arguments that were seen, for the calls of which they are noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// By call. One that was never made, or whose arguments are not noted, has no entry.
    pub calls: BTreeMap<(Abi, SyscallNr), Values>,
}

/// The distinct arguments of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// What was in the registers that are noted of this call, whole 64 bits as a filter sees them (0 where only one is
    /// noted), and how often.
    pub seen: BTreeMap<[u64; 2], u64>,
    /// Calls whose arguments found no room: there are values that nobody noted.
    pub overflowed: u64,
}

impl Arguments {
    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (key, values) in &other.calls {
            let mine = self.calls.entry(*key).or_default();
            for (value, count) in &values.seen {
                *mine.seen.entry(*value).or_default() += count;
            }
            mine.overflowed += values.overflowed;
        }
    }
}
