//! The kernel half in a test's own process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use auditor::container::CgroupId;
use auditor::counters::{Counters, Tally};
use auditor::kernel::{Kernel, SlotNr};
use auditor::syscall::{Abi, SyscallNr};

use crate::cage::Cage;
use crate::groundtruth::{self, Issued, Key};

/// A control group named as a container's takes a slot of every kernel half that runs: tests that count slots need
/// the machine for themselves, and so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test of this process has one.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A kernel half that counts.
pub fn counting() -> Result<Kernel> {
    let mut kernel = Kernel::load(64)?;
    kernel.attach(Vec::new)?;
    Ok(kernel)
}

/// The slot of a control group.
pub fn slot_of(kernel: &Kernel, cgroup: CgroupId) -> Result<SlotNr> {
    let owners = kernel.owners()?;
    let found = owners.iter().find(|(_, owner)| owner.cgroup == cgroup);
    found.map(|(slot, _)| *slot).with_context(|| format!("cgroup {} has no slot", cgroup.0))
}

/// What was counted in a control group.
pub fn counters_of(kernel: &Kernel, cgroup: CgroupId) -> Result<Counters> {
    let slot = slot_of(kernel, cgroup)?;
    Ok(kernel.counters(&BTreeSet::from([slot]))?.remove(&slot).unwrap_or_default())
}

/// What was counted of one call.
pub fn tally(counters: &Counters, key: &Key) -> Result<Tally> {
    let abi: Abi = key.0.parse().ok().with_context(|| format!("the ABI {}", key.0))?;
    Ok(counters.tallies.get(&(abi, SyscallNr(i32::try_from(key.1)?))).copied().unwrap_or_default())
}

/// Asserts that what was counted of these calls is what was issued.
pub fn assert_equal(issued: &BTreeMap<Key, Issued>, counters: &Counters, calls: &[(&str, u64)]) -> Result<()> {
    for (abi, nr) in calls {
        let key = ((*abi).to_owned(), *nr);
        let issued = issued.get(&key).copied().unwrap_or_default();
        let counted = tally(counters, &key)?;
        let as_issued = Issued {
            before: counted.unfiltered_calls,
            under: counted.calls,
            errors_before: counted.unfiltered_errors,
            errors_under: counted.errors,
            denied: counted.denials.certain(),
            elsewhere: issued.elsewhere,
        };
        assert_eq!(as_issued, issued, "{abi} {nr}, counted {counted:?}");
    }
    Ok(())
}

/// Runs a scenario in a control group of its own and asserts that these calls were counted exactly, that nothing was
/// lost, and that something was issued of each.
pub fn counted_exactly(scenario: &[&str], calls: &[(&str, u64)]) -> Result<Counters> {
    let kernel = counting()?;
    let cage = Cage::new()?;
    let issued = groundtruth::parse(&cage.run(groundtruth::program()?, scenario)?)?;
    for (abi, nr) in calls {
        ensure!(issued.contains_key(&((*abi).to_owned(), *nr)), "nothing was issued of {abi} {nr}: {issued:?}");
    }
    let counters = counters_of(&kernel, cage.id())?;
    assert_equal(&issued, &counters, calls)?;
    let losses = kernel.losses()?;
    assert_eq!((losses.of_counts(), losses.untracked_cgroup), (0, 0), "{losses:?}");
    Ok(counters)
}

/// Denials of any call, in whatever way.
#[must_use]
pub fn any_denials(counters: &Counters) -> Vec<(Abi, SyscallNr)> {
    let refused = |tally: &Tally| tally.denials.certain() + tally.denials.supervised > 0;
    counters.tallies.iter().filter(|(_, tally)| refused(tally)).map(|(key, _)| *key).collect()
}

/// Calls under a filter, or some of them, by ABI and number.
pub type Made = BTreeMap<(Abi, i32), u64>;

/// What `count` says of each call.
pub fn made(counters: &Counters, count: impl Fn(&Tally) -> u64) -> Made {
    counters.tallies.iter().map(|((abi, nr), tally)| ((*abi, nr.0), count(tally))).filter(|(_, n)| *n > 0).collect()
}

/// Calls under a filter that a runtime made.
#[must_use]
pub fn of_runtime(counters: &Counters) -> Made {
    made(counters, |tally| tally.runtime_calls)
}

/// Calls under a filter that programs made.
#[must_use]
pub fn of_program(counters: &Counters) -> Made {
    made(counters, |tally| tally.calls - tally.runtime_calls)
}
