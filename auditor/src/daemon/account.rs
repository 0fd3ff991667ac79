//! What is kept of a container beside its evidence: with it its numbers go on when the daemon is another one.
//!
//! What live slots hold is not in it; the kernel has that. What a slot held that is given back is: a slot is not given back
//! before that is on the disk. Whoever takes over between the two finds the slot with its counters, and here that they are
//! known.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::CgroupId;
use crate::counters::{Counters, Tally};
use crate::docker::Container;
use crate::evidence::Start;
use crate::kernel::SlotOwner;
use crate::syscall::{Abi, SyscallNr};

/// The time that one cgroup had a slot: its id, and `CLOCK_BOOTTIME` in nanoseconds when it began. No two are alike in a boot.
pub type Tenure = (u64, u64);

/// The tenure of a slot's owner.
pub const fn tenure(owner: &SlotOwner) -> Tenure {
    let CgroupId(cgroup) = owner.cgroup;
    (cgroup, owner.since_ns)
}

/// One container's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The boot that it is about: slots, cgroups and their clock are of one.
    pub boot: String,
    /// What the engine said of it last.
    pub container: Option<Container>,
    /// What slots held that are given back, or are going to be.
    finished: Vec<(Abi, SyscallNr, Tally)>,
    /// When calls were seen first and last.
    seen: Vec<(Abi, SyscallNr, Timestamp, Timestamp)>,
    /// Starts that are over, and no workload's evidence yet.
    pub waiting: Vec<Start>,
    /// `CLOCK_BOOTTIME` in nanoseconds when its first slot was taken.
    pub since_ns: Option<u64>,
    /// Starts that are over.
    pub starts: u32,
    /// Whether every start was counted from its first call.
    pub from_first_call: bool,
    /// What was lost of the starts that are over.
    pub lost: u64,
    /// `CLOCK_BOOTTIME` in nanoseconds when the engine removed it.
    pub gone_since_ns: Option<u64>,
    /// Tenures that are in `finished`, and whose slots may still hold the same.
    pub read: BTreeSet<Tenure>,
    /// Starts that go on, and what was counted of them in slots of programs that were replaced.
    pub begun_elsewhere: Vec<Start>,
}

/// Reads an account and writes it again; nothing, where it is none.
#[doc(hidden)]
#[must_use]
pub fn read_account(text: &str) -> Option<String> {
    let account: Account = serde_json::from_str(text).ok()?;
    serde_json::to_string(&account).ok()
}

impl Account {
    /// One of which nothing is known but the numbers.
    pub fn new(
        boot: &str,
        finished: &Counters,
        seen: impl Iterator<Item = (Abi, SyscallNr, Timestamp, Timestamp)>,
    ) -> Self {
        Self {
            boot: boot.to_owned(),
            container: None,
            finished: finished.tallies.iter().map(|((abi, nr), tally)| (*abi, *nr, *tally)).collect(),
            seen: seen.collect(),
            waiting: Vec::new(),
            since_ns: None,
            starts: 0,
            from_first_call: true,
            lost: 0,
            gone_since_ns: None,
            read: BTreeSet::new(),
            begun_elsewhere: Vec::new(),
        }
    }

    /// What slots held that were given back.
    pub fn finished(&self) -> Counters {
        Counters { tallies: self.finished.iter().map(|(abi, nr, tally)| ((*abi, *nr), *tally)).collect() }
    }

    /// When calls were seen first and last.
    pub fn seen(&self) -> BTreeMap<(Abi, SyscallNr), (Timestamp, Timestamp)> {
        self.seen.iter().map(|(abi, nr, first, last)| ((*abi, *nr), (*first, *last))).collect()
    }
}
