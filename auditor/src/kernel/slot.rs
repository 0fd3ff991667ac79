//! Slots: who has which, reading them, and taking them back.

use std::collections::{BTreeMap, BTreeSet};

use auditor_ebpf::{
    ArgumentShare, CGROUP_NAME_LEN, COMERS_PROGRAMS, Filter, Flow, RuntimeCounts, SLOT_FREE, SLOT_LIVE, SLOT_REMOVED,
    Slot, Watch,
};
use aya::maps::PerCpuValues;
use aya::util::nr_cpus;

use super::record::{
    ArgumentShareRecord, FilterRecord, FlowRecord, NativeCountsRecord, RuntimeCountsRecord, SlotRecord, WatchRecord,
};
use super::{CountersBySlot, Kernel, KernelError, SlotNr, decode};
use crate::container::CgroupId;
use crate::counters::Counters;

/// Whether the container of a slot is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// Its cgroup exists.
    Live,
    /// Its cgroup is gone; the counters are final.
    Removed,
}

/// Who has a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotOwner {
    /// The container's outermost cgroup.
    pub cgroup: CgroupId,
    /// The cgroup directory's name; empty where the daemon gave the slot.
    pub name: String,
    /// `CLOCK_BOOTTIME` in nanoseconds when counting began.
    pub since_ns: u64,
    /// Counted from its first call.
    pub from_first_call: bool,
    /// Whether it is still there.
    pub state: SlotState,
}

/// `BPF_ANY` of `bpf_map_update_elem`.
pub(super) const ANY: u64 = 0;

impl Kernel {
    /// All slots that somebody has.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn owners(&self) -> Result<BTreeMap<SlotNr, SlotOwner>, KernelError> {
        let mut owners = BTreeMap::new();
        for nr in 0..self.slot_count {
            let slot = self.slots.get(&nr, 0).map_err(|error| KernelError::map("SLOTS", &error))?.0;
            let state = match slot.state {
                SLOT_LIVE => SlotState::Live,
                SLOT_REMOVED => SlotState::Removed,
                _ => continue,
            };
            owners.insert(
                SlotNr(nr),
                SlotOwner {
                    cgroup: CgroupId(slot.cgroup_id),
                    name: decode::name(&slot.name),
                    since_ns: slot.since_ns,
                    from_first_call: slot.from_first_call != 0 && slot.since_ns >= self.attached_ns,
                    state,
                },
            );
        }
        Ok(owners)
    }

    /// The counters of the given slots.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn counters(&self, slots: &BTreeSet<SlotNr>) -> Result<CountersBySlot, KernelError> {
        let mut all = CountersBySlot::new();
        for slot in slots {
            let mut counters = Counters::default();
            // Before the calls that they are some of: these may only be more.
            let runtime = self.runtime.get(&slot.0, 0).map_err(|error| KernelError::map("RUNTIME", &error))?;
            decode::add_runtime(&mut counters, &runtime.0);
            let per_cpu = self.native.get(&slot.0, 0).map_err(|error| KernelError::map("NATIVE", &error))?;
            for counts in per_cpu.iter() {
                decode::add_native(&mut counters, &counts.0);
            }
            all.insert(*slot, counters);
        }
        for entry in self.foreign.iter() {
            let (key, per_cpu) = entry.map_err(|error| KernelError::map("FOREIGN", &error))?;
            if let Some(counters) = all.get_mut(&SlotNr(key.0.slot)) {
                per_cpu.iter().for_each(|counts| decode::add_foreign(counters, key.0, counts.0));
            }
        }
        for entry in self.denials.iter() {
            let (key, per_cpu) = entry.map_err(|error| KernelError::map("DENIALS", &error))?;
            if let Some(counters) = all.get_mut(&SlotNr(key.0.slot)) {
                decode::add_denials(counters, key.0, per_cpu.iter().map(|denial| denial.0));
            }
        }
        Ok(all)
    }

    /// Calls, exits and cgroups of a slot that could not be counted.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn lost_in(&self, slot: SlotNr) -> Result<u64, KernelError> {
        let per_cpu = self.slot_lost.get(&slot.0, 0).map_err(|error| KernelError::map("SLOT_LOST", &error))?;
        Ok(per_cpu.iter().sum())
    }

    /// Clears slots whose container is gone, and gives them to whoever needs one next. Their counters must have been
    /// read before.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn release(&mut self, slots: &BTreeSet<SlotNr>) -> Result<(), KernelError> {
        let cpus = nr_cpus().map_err(|(_, error)| KernelError::map("NATIVE", &error))?;
        let foreign: Vec<_> =
            self.foreign.keys().filter_map(Result::ok).filter(|key| slots.contains(&SlotNr(key.0.slot))).collect();
        for key in foreign {
            self.foreign.remove(&key).map_err(|error| KernelError::map("FOREIGN", &error))?;
        }
        let denials: Vec<_> =
            self.denials.keys().filter_map(Result::ok).filter(|key| slots.contains(&SlotNr(key.0.slot))).collect();
        for key in denials {
            self.denials.remove(&key).map_err(|error| KernelError::map("DENIALS", &error))?;
        }
        self.forget_arguments(slots)?;
        for slot in slots {
            let zero = NativeCountsRecord(auditor_ebpf::NativeCounts::ZERO);
            let zeros = PerCpuValues::try_from(vec![zero; cpus]).map_err(|error| KernelError::map("NATIVE", &error))?;
            self.native.set(slot.0, zeros, ANY).map_err(|error| KernelError::map("NATIVE", &error))?;
            self.runtime
                .set(slot.0, RuntimeCountsRecord(RuntimeCounts::ZERO), ANY)
                .map_err(|error| KernelError::map("RUNTIME", &error))?;
            self.argument_shares
                .set(slot.0, ArgumentShareRecord(ArgumentShare::ZERO), ANY)
                .map_err(|error| KernelError::map("ARGUMENT_SHARES", &error))?;
            let zeros = PerCpuValues::try_from(vec![0; cpus]).map_err(|error| KernelError::map("SLOT_LOST", &error))?;
            self.slot_lost.set(slot.0, zeros, ANY).map_err(|error| KernelError::map("SLOT_LOST", &error))?;
            self.filters
                .set(slot.0, FilterRecord(Filter::default()), ANY)
                .map_err(|error| KernelError::map("FILTERS", &error))?;
            self.flows
                .set(slot.0, FlowRecord(Flow::default()), ANY)
                .map_err(|error| KernelError::map("FLOWS", &error))?;
            self.watches
                .set(slot.0, WatchRecord(Watch::NONE), ANY)
                .map_err(|error| KernelError::map("WATCHES", &error))?;
            self.set_comers(*slot, COMERS_PROGRAMS)?;
            self.give_back(*slot)?;
        }
        Ok(())
    }

    pub(super) fn give_back(&mut self, slot: SlotNr) -> Result<(), KernelError> {
        let free = Slot { cgroup_id: 0, since_ns: 0, state: SLOT_FREE, from_first_call: 0, name: [0; CGROUP_NAME_LEN] };
        self.slots.set(slot.0, SlotRecord(free), ANY).map_err(|error| KernelError::map("SLOTS", &error))?;
        self.free_slots.push(slot.0, ANY).map_err(|error| KernelError::map("FREE_SLOTS", &error))
    }
}

/// `CLOCK_BOOTTIME` in nanoseconds, the clock of `bpf_ktime_get_boot_ns`.
pub fn boot_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map_or(0, |now| std::time::Duration::from(now).as_nanos().try_into().unwrap_or(u64::MAX))
}
