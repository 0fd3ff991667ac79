//! What was counted: snapshots of one container's counters, their sums and differences.
//!
//! Counters only grow. A container's total is the sum of what its finished slots held and what its live slot holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::syscall::{Abi, SyscallNr};

/// The counters of one container, by ABI and number. A call that never happened has no entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// One tally per call that was seen at least once.
    pub tallies: BTreeMap<(Abi, SyscallNr), Tally>,
}

/// What happened to one system call of one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Calls that passed the task's seccomp filter and reached the kernel.
    pub calls: u64,
    /// How many of them the runtime made: its own processes, between their filter and the program that they execute.
    pub runtime_calls: u64,
    /// Calls made by tasks without a filter.
    pub unfiltered_calls: u64,
    /// Calls under a filter that returned an error, -4095..=-1.
    pub errors: u64,
    /// Calls by tasks without a filter that did.
    pub unfiltered_errors: u64,
    /// Calls that a filter kept from the kernel.
    pub denials: Denials,
}

/// Refused calls by what the kernel showed of the refusal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denials {
    /// Answered with an errno (`SECCOMP_RET_ERRNO`, or `SECCOMP_RET_TRACE` without a tracer). Errno 0 included.
    pub errno: u64,
    /// The errno of the latest of them.
    pub last_errno: Option<u16>,
    /// Rolled back and answered with SIGSYS: `SECCOMP_RET_TRAP` and `SECCOMP_RET_KILL_PROCESS`, and
    /// `SECCOMP_RET_KILL_THREAD` in a process of one thread.
    pub signalled: u64,
    /// A thread of many ended by `SECCOMP_RET_KILL_THREAD`.
    pub thread_killed: u64,
    /// Calls that never ran in a task one of whose filters has a supervisor (`SECCOMP_RET_USER_NOTIF`): answered by
    /// it, or denied. Only the profile can tell.
    pub supervised: u64,
    /// Calls that were made, and that a filter logs (`SECCOMP_RET_LOG`): no denials yet.
    pub logged: u64,
}

/// The sum of counts. No counter comes near the end of 64 bits, and what another host has exported may say that thousands
/// of them did: beyond it a sum stays at the largest number.
#[must_use]
pub fn total(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// Adds a count to a sum, as [`total`] does.
pub(crate) const fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

impl Tally {
    /// The same calls as two knew them: counters only grow, so the larger number is the later one.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        let (mine, others) = (self.denials, other.denials);
        // The last errno is that of whoever counted last.
        let (errno, last_errno) = (mine.errno, mine.last_errno).max((others.errno, others.last_errno));
        Self {
            calls: self.calls.max(other.calls),
            runtime_calls: self.runtime_calls.max(other.runtime_calls),
            unfiltered_calls: self.unfiltered_calls.max(other.unfiltered_calls),
            errors: self.errors.max(other.errors),
            unfiltered_errors: self.unfiltered_errors.max(other.unfiltered_errors),
            denials: Denials {
                errno,
                last_errno,
                signalled: mine.signalled.max(others.signalled),
                thread_killed: mine.thread_killed.max(others.thread_killed),
                supervised: mine.supervised.max(others.supervised),
                logged: mine.logged.max(others.logged),
            },
        }
    }
}

impl Denials {
    /// Refusals that are certain without looking at the profile.
    #[must_use]
    pub const fn certain(&self) -> u64 {
        self.errno.saturating_add(self.signalled).saturating_add(self.thread_killed)
    }
}

impl Counters {
    /// Adds another set of counters to this one.
    pub fn merge(&mut self, other: &Self) {
        for (key, tally) in &other.tallies {
            let mine = self.tallies.entry(*key).or_default();
            add(&mut mine.calls, tally.calls);
            add(&mut mine.runtime_calls, tally.runtime_calls);
            add(&mut mine.unfiltered_calls, tally.unfiltered_calls);
            add(&mut mine.errors, tally.errors);
            add(&mut mine.unfiltered_errors, tally.unfiltered_errors);
            add(&mut mine.denials.errno, tally.denials.errno);
            mine.denials.last_errno = tally.denials.last_errno.or(mine.denials.last_errno);
            add(&mut mine.denials.signalled, tally.denials.signalled);
            add(&mut mine.denials.thread_killed, tally.denials.thread_killed);
            add(&mut mine.denials.supervised, tally.denials.supervised);
            add(&mut mine.denials.logged, tally.denials.logged);
        }
    }
}
