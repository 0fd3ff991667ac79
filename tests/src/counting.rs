//! The kernel half in a test's own process.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use auditor::container::CgroupId;
use auditor::counters::Counters;
use auditor::kernel::{Kernel, SlotNr};

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
