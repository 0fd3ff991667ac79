//! The arguments that decide how dangerous a call is.

pub mod table;

use std::collections::BTreeMap;

use crate::counters::add;
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

/// The arguments of one container, by whether its calls were made under a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByFilter {
    /// By tasks under a filter: the container's, or one of their own.
    pub filtered: Arguments,
    /// By tasks without one: a runtime's set-up, or all of an unconfined container.
    pub unfiltered: Arguments,
}

impl ByFilter {
    /// What was seen of the workload itself. Calls without a filter are the set-up and left out, but for a container that
    /// is known to have none (`confined` is `Some(false)`).
    #[must_use]
    pub fn of_workload(&self, confined: Option<bool>) -> Arguments {
        let mut arguments = self.filtered.clone();
        if confined == Some(false) {
            arguments.merge(&self.unfiltered);
        }
        arguments
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.filtered.merge(&other.filtered);
        self.unfiltered.merge(&other.unfiltered);
    }
}

impl Arguments {
    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (key, values) in &other.calls {
            let mine = self.calls.entry(*key).or_default();
            for (value, count) in &values.seen {
                add(mine.seen.entry(*value).or_default(), *count);
            }
            add(&mut mine.overflowed, values.overflowed);
        }
    }

    /// The same calls as somebody else knew them: counts only grow, so the larger one is the later one.
    pub fn join(&mut self, other: Self) {
        for (key, values) in other.calls {
            let mine = self.calls.entry(key).or_default();
            for (value, count) in values.seen {
                let known = mine.seen.entry(value).or_default();
                *known = count.max(*known);
            }
            mine.overflowed = mine.overflowed.max(values.overflowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(value: u64, count: u64) -> Arguments {
        let values = Values { seen: BTreeMap::from([([value, 0], count)]), overflowed: 1 };
        Arguments { calls: BTreeMap::from([((Abi::X86_64, SyscallNr(56)), values)]) }
    }

    #[test]
    fn a_set_up_without_a_filter_is_the_workload_s_only_where_there_is_none() {
        let by_filter = ByFilter { filtered: seen(1, 2), unfiltered: seen(1, 3) };
        assert_eq!(by_filter.of_workload(Some(true)), seen(1, 2));
        assert_eq!(by_filter.of_workload(None), seen(1, 2));
        let values = &by_filter.of_workload(Some(false)).calls[&(Abi::X86_64, SyscallNr(56))];
        assert_eq!((values.seen[&[1, 0]], values.overflowed), (5, 2));
    }
}
