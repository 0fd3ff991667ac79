//! Slots: who has which, reading them, and taking them back.

use std::collections::{BTreeMap, BTreeSet};

use auditor_ebpf::{
    ArgumentShare, CGROUP_NAME_LEN, COMERS_PROGRAMS, Filter, Flow, RuntimeCounts, SLOT_CLEARING, SLOT_FREE, Slot, Watch,
};
use aya::maps::PerCpuValues;
use aya::util::nr_cpus;

use super::record::{
    ArgumentShareRecord, FilterRecord, FlowRecord, NativeCountsRecord, RuntimeCountsRecord, SlotRecord, WatchRecord,
};
use super::{CountersBySlot, Kernel, KernelError, SlotNr};
use crate::container::CgroupId;

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
        self.counted.owners()
    }

    /// The counters of the given slots.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn counters(&self, slots: &BTreeSet<SlotNr>) -> Result<CountersBySlot, KernelError> {
        self.counted.counters(slots)
    }

    /// Calls, exits and cgroups of a slot that could not be counted.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn lost_in(&self, slot: SlotNr) -> Result<u64, KernelError> {
        self.counted.lost_in(slot)
    }

    /// Clears slots whose container is gone, and gives them to whoever needs one next. Their counters must have been
    /// read before.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn release(&mut self, slots: &BTreeSet<SlotNr>) -> Result<(), KernelError> {
        // Whoever takes over in the middle of this finds no half of their counts.
        for slot in slots {
            self.set_slot(*slot, |record| record.state = SLOT_CLEARING)?;
        }
        self.clear(slots)
    }

    /// Clears slots that are marked as being cleared.
    pub(super) fn clear(&mut self, slots: &BTreeSet<SlotNr>) -> Result<(), KernelError> {
        let cpus = nr_cpus().map_err(|(_, error)| KernelError::map("NATIVE", &error))?;
        let foreign: Vec<_> = self
            .counted
            .foreign
            .keys()
            .filter_map(Result::ok)
            .filter(|key| slots.contains(&SlotNr(key.0.slot)))
            .collect();
        for key in foreign {
            self.counted.foreign.remove(&key).map_err(|error| KernelError::map("FOREIGN", &error))?;
        }
        let denials: Vec<_> = self
            .counted
            .denials
            .keys()
            .filter_map(Result::ok)
            .filter(|key| slots.contains(&SlotNr(key.0.slot)))
            .collect();
        for key in denials {
            self.counted.denials.remove(&key).map_err(|error| KernelError::map("DENIALS", &error))?;
        }
        self.forget_arguments(slots)?;
        for slot in slots {
            let zero = NativeCountsRecord(auditor_ebpf::NativeCounts::ZERO);
            let zeros = PerCpuValues::try_from(vec![zero; cpus]).map_err(|error| KernelError::map("NATIVE", &error))?;
            self.counted.native.set(slot.0, zeros, ANY).map_err(|error| KernelError::map("NATIVE", &error))?;
            self.counted
                .runtime
                .set(slot.0, RuntimeCountsRecord(RuntimeCounts::ZERO), ANY)
                .map_err(|error| KernelError::map("RUNTIME", &error))?;
            self.counted
                .argument_shares
                .set(slot.0, ArgumentShareRecord(ArgumentShare::ZERO), ANY)
                .map_err(|error| KernelError::map("ARGUMENT_SHARES", &error))?;
            let zeros = PerCpuValues::try_from(vec![0; cpus]).map_err(|error| KernelError::map("SLOT_LOST", &error))?;
            self.counted.slot_lost.set(slot.0, zeros, ANY).map_err(|error| KernelError::map("SLOT_LOST", &error))?;
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
            self.nested.set(slot.0, 0, ANY).map_err(|error| KernelError::map("NESTED", &error))?;
            self.give_back(*slot)?;
        }
        Ok(())
    }

    pub(super) fn give_back(&mut self, slot: SlotNr) -> Result<(), KernelError> {
        let free = Slot { cgroup_id: 0, since_ns: 0, state: SLOT_FREE, from_first_call: 0, name: [0; CGROUP_NAME_LEN] };
        self.counted.slots.set(slot.0, SlotRecord(free), ANY).map_err(|error| KernelError::map("SLOTS", &error))?;
        self.free_slots.push(slot.0, ANY).map_err(|error| KernelError::map("FREE_SLOTS", &error))
    }
}

/// `CLOCK_BOOTTIME` in nanoseconds, the clock of `bpf_ktime_get_boot_ns`.
pub fn boot_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map_or(0, |now| std::time::Duration::from(now).as_nanos().try_into().unwrap_or(u64::MAX))
}
