//! Slots: who has which, giving them to cgroups that exist already, reading them, and taking them back.

use std::collections::{BTreeMap, BTreeSet};

use auditor_ebpf::{CGROUP_NAME_LEN, Filter, Flow, SLOT_FREE, SLOT_LIVE, SLOT_REMOVED, Slot, Watch};
use aya::maps::{MapError, PerCpuValues};
use aya::util::nr_cpus;

use super::record::{FilterRecord, FlowRecord, NativeCountsRecord, SlotRecord, WatchRecord};
use super::{CountersBySlot, Kernel, KernelError, SlotNr, decode, program};
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

/// `BPF_NOEXIST` of `bpf_map_update_elem`.
const NOEXIST: u64 = 1;
/// `BPF_ANY`.
const ANY: u64 = 0;

impl Kernel {
    /// Gives slots to container cgroups that exist already (each with its nested ones), and looks at what their tasks
    /// are doing. Those that have a slot keep it. Returns the cgroups for which there was none.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn adopt(&mut self, cgroups: &[(CgroupId, Vec<CgroupId>)]) -> Result<Vec<CgroupId>, KernelError> {
        let mut refused = Vec::new();
        let mut adopted = false;
        for (cgroup, nested) in cgroups {
            match self.adopt_one(*cgroup, nested) {
                Ok(new) => adopted |= new,
                Err(KernelError::NoSlot(_)) => refused.push(*cgroup),
                Err(error) => return Err(error),
            }
        }
        if adopted {
            self.raise_generation()?;
            program::run_seed(&mut self.ebpf)?;
        }
        Ok(refused)
    }

    fn adopt_one(&mut self, cgroup: CgroupId, nested: &[CgroupId]) -> Result<bool, KernelError> {
        let failed = |error: &MapError| KernelError::map("CGROUPS", error);
        let (slot, new) = match self.cgroups.get(&cgroup.0, 0) {
            Ok(slot) => (slot, false),
            Err(MapError::KeyNotFound) => (self.take_slot(cgroup)?, true),
            Err(error) => return Err(failed(&error)),
        };
        if new {
            match self.cgroups.insert(cgroup.0, slot, NOEXIST) {
                Ok(()) => {}
                Err(error) => {
                    self.give_back(SlotNr(slot))?;
                    // `cgroup_mkdir` may have been quicker; then nothing is wrong.
                    return if self.cgroups.get(&cgroup.0, 0).is_ok() { Ok(false) } else { Err(failed(&error)) };
                }
            }
        }
        let mut any = new;
        for id in nested {
            // A cgroup that went away in between is no loss, and one that is known already keeps what it has.
            any |= self.cgroups.insert(id.0, slot, NOEXIST).is_ok();
        }
        Ok(any)
    }

    fn take_slot(&mut self, cgroup: CgroupId) -> Result<u32, KernelError> {
        let slot = self.free_slots.pop(0).map_err(|_| KernelError::NoSlot(cgroup.0))?;
        let record = Slot {
            cgroup_id: cgroup.0,
            since_ns: boot_ns(),
            state: SLOT_LIVE,
            from_first_call: 0,
            name: [0; CGROUP_NAME_LEN],
        };
        self.slots.set(slot, SlotRecord(record), ANY).map_err(|error| KernelError::map("SLOTS", &error))?;
        Ok(slot)
    }

    /// Makes every CPU forget which cgroup it counted last.
    pub(super) fn raise_generation(&mut self) -> Result<(), KernelError> {
        let failed = |error: MapError| KernelError::map("GENERATION", &error);
        let generation = self.generation.get(&0, 0).map_err(failed)?;
        self.generation.set(0, generation.wrapping_add(1), ANY).map_err(failed)
    }

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

    /// Marks the slot of a cgroup as removed that went away while it was being adopted: nobody else will.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn abandon(&mut self, slot: SlotNr, cgroup: CgroupId) -> Result<(), KernelError> {
        // Gone already is as good.
        let _ = self.cgroups.remove(&cgroup.0);
        let failed = |error: MapError| KernelError::map("SLOTS", &error);
        let mut record = self.slots.get(&slot.0, 0).map_err(failed)?;
        if record.0.cgroup_id == cgroup.0 && record.0.state == SLOT_LIVE {
            record.0.state = SLOT_REMOVED;
            self.slots.set(slot.0, record, ANY).map_err(failed)?;
        }
        Ok(())
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
        for slot in slots {
            let zero = NativeCountsRecord(auditor_ebpf::NativeCounts::ZERO);
            let zeros = PerCpuValues::try_from(vec![zero; cpus]).map_err(|error| KernelError::map("NATIVE", &error))?;
            self.native.set(slot.0, zeros, ANY).map_err(|error| KernelError::map("NATIVE", &error))?;
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
            self.give_back(*slot)?;
        }
        Ok(())
    }

    fn give_back(&mut self, slot: SlotNr) -> Result<(), KernelError> {
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
