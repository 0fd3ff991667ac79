//! Giving slots to cgroups that the programs do not know for a container's: those that were there before, and those of
//! commands and services.

use auditor_ebpf::{CGROUP_NAME_LEN, SLOT_LIVE, SLOT_REMOVED, Slot};
use aya::maps::MapError;

use super::record::SlotRecord;
use super::slot::{ANY, boot_ns};
use super::{Kernel, KernelError, SlotNr, program};
use crate::container::CgroupId;

/// `BPF_NOEXIST` of `bpf_map_update_elem`.
const NOEXIST: u64 = 1;

impl Kernel {
    /// Gives slots to container cgroups that exist already (each with its nested ones), and looks at what their tasks
    /// are doing. Those that have a slot keep it. Returns the cgroups for which there was none.
    ///
    /// The tasks that are there count as having executed their program; who comes later is a runtime until it does.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn adopt(&mut self, cgroups: &[(CgroupId, Vec<CgroupId>)]) -> Result<Vec<CgroupId>, KernelError> {
        let (mut refused, mut new, mut more) = (Vec::new(), Vec::new(), false);
        for (cgroup, nested) in cgroups {
            match self.give_slot(*cgroup, false) {
                Ok(given) => {
                    more |= self.add_nested(given.slot, nested);
                    new.extend(given.is_new.then_some(given.slot));
                }
                Err(KernelError::NoSlot(_)) => refused.push(*cgroup),
                Err(error) => return Err(error),
            }
        }
        if more || !new.is_empty() {
            self.look_at_tasks()?;
        }
        for slot in new {
            self.set_has_runtime(slot, true)?;
        }
        Ok(refused)
    }

    /// Gives a slot to any cgroup, with those inside it; cgroups that are created inside it later share the slot. It is
    /// for [`Kernel::stop_following`] to take it back; where the cgroup goes before that, its slot becomes
    /// [`SlotState::Removed`](super::SlotState::Removed) as a container's does. The programs must be attached.
    ///
    /// `from_first_call` is the caller's word that no task is in the cgroup yet, or none but such as will execute the
    /// program that is to be counted. A task that is moved into the cgroup while it waits in a call (a stopped child, say)
    /// is counted from its next call on: the end of the one that it is in is nobody's. One that is made in the cgroup
    /// (`CLONE_INTO_CGROUP`) is counted from its first call. So the first calls are whatever the child does between its
    /// arrival and `execve`, then `execve`, and from there the program's: all of them, exactly.
    ///
    /// Where it is `false`, as for a service that runs, the tasks in the cgroup are looked at as [`Kernel::adopt`] does,
    /// and count as having executed their program. Who comes in later is a runtime until it does, as systemd is between
    /// a unit's filter and its `execve`. With `from_first_call` nobody is:
    /// [`Tally::runtime_calls`](crate::counters::Tally::runtime_calls) stays 0.
    ///
    /// A cgroup that has a slot of its own keeps it.
    ///
    /// # Errors
    /// [`KernelError::NoSlot`]; [`KernelError::CountedWithin`] where it lies in a cgroup that has a slot; when a map
    /// cannot be used.
    pub fn follow_cgroup(
        &mut self,
        cgroup: CgroupId,
        nested: &[CgroupId],
        from_first_call: bool,
    ) -> Result<SlotNr, KernelError> {
        let given = self.give_slot(cgroup, from_first_call)?;
        if self.slot_record(given.slot)?.cgroup_id != cgroup.0 {
            return Err(KernelError::CountedWithin(cgroup.0));
        }
        let more = self.add_nested(given.slot, nested);
        if from_first_call {
            self.raise_generation()?;
        } else if given.is_new || more {
            self.look_at_tasks()?;
        }
        if given.is_new && !from_first_call {
            self.set_has_runtime(given.slot, true)?;
        }
        Ok(given.slot)
    }

    /// Ends the counting of a cgroup that still exists, and of those inside it. Its slot is
    /// [`SlotState::Removed`](super::SlotState::Removed) then: read it a last time, and [`Kernel::release`] it. A call
    /// that is under way on another CPU at this moment may be counted or not.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn stop_following(&mut self, slot: SlotNr) -> Result<(), KernelError> {
        let outermost = self.slot_record(slot)?.cgroup_id;
        // From the outermost on: while that is known, new ones are added.
        let _ = self.cgroups.remove(&outermost);
        loop {
            let inside = |(cgroup, of): (u64, u32)| (of == slot.0).then_some(cgroup);
            let known: Vec<u64> = self.cgroups.iter().filter_map(Result::ok).filter_map(inside).collect();
            if known.is_empty() {
                break;
            }
            for cgroup in known {
                // Gone already is as good.
                let _ = self.cgroups.remove(&cgroup);
            }
        }
        self.raise_generation()?;
        self.set_slot(slot, |record| record.state = SLOT_REMOVED)
    }

    /// Marks the slot of a cgroup as removed that went away while it was being adopted: nobody else will.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn abandon(&mut self, slot: SlotNr, cgroup: CgroupId) -> Result<(), KernelError> {
        // Gone already is as good.
        let _ = self.cgroups.remove(&cgroup.0);
        self.set_slot(slot, |record| {
            if record.cgroup_id == cgroup.0 && record.state == SLOT_LIVE {
                record.state = SLOT_REMOVED;
            }
        })
    }

    /// The slot in which a cgroup is counted, and whether it is a new one. Nobody is a runtime in a new one.
    fn give_slot(&mut self, cgroup: CgroupId, from_first_call: bool) -> Result<Given, KernelError> {
        let failed = |error: &MapError| KernelError::map("CGROUPS", error);
        match self.cgroups.get(&cgroup.0, 0) {
            Ok(slot) => return Ok(Given { slot: SlotNr(slot), is_new: false }),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(failed(&error)),
        }
        let slot = self.take_slot(cgroup, from_first_call)?;
        if let Err(error) = self.cgroups.insert(cgroup.0, slot.0, NOEXIST) {
            self.give_back(slot)?;
            // `cgroup_mkdir` may have been quicker; then nothing is wrong.
            let slot = self.cgroups.get(&cgroup.0, 0).map_err(|_| failed(&error))?;
            return Ok(Given { slot: SlotNr(slot), is_new: false });
        }
        Ok(Given { slot, is_new: true })
    }

    /// Has cgroups counted in a slot. Returns whether any was new.
    fn add_nested(&mut self, slot: SlotNr, nested: &[CgroupId]) -> bool {
        let mut any = false;
        for id in nested {
            // A cgroup that went away in between is no loss, and one that is known already keeps what it has.
            any |= self.cgroups.insert(id.0, slot.0, NOEXIST).is_ok();
        }
        any
    }

    fn take_slot(&mut self, cgroup: CgroupId, from_first_call: bool) -> Result<SlotNr, KernelError> {
        let slot = self.free_slots.pop(0).map_err(|_| KernelError::NoSlot(cgroup.0))?;
        let record = Slot {
            cgroup_id: cgroup.0,
            since_ns: boot_ns(),
            state: SLOT_LIVE,
            from_first_call: u32::from(from_first_call),
            name: [0; CGROUP_NAME_LEN],
        };
        self.slots.set(slot, SlotRecord(record), ANY).map_err(|error| KernelError::map("SLOTS", &error))?;
        Ok(SlotNr(slot))
    }

    /// After cgroups with tasks in them were given slots.
    fn look_at_tasks(&mut self) -> Result<(), KernelError> {
        self.raise_generation()?;
        program::run_seed(&mut self.ebpf)
    }

    /// Whether who comes into a slot is a runtime. Apart from the slot's record, which the programs change as well.
    pub(super) fn set_has_runtime(&mut self, slot: SlotNr, has_runtime: bool) -> Result<(), KernelError> {
        self.has_runtime
            .set(slot.0, u32::from(has_runtime), ANY)
            .map_err(|error| KernelError::map("HAS_RUNTIME", &error))
    }

    fn slot_record(&self, slot: SlotNr) -> Result<Slot, KernelError> {
        Ok(self.slots.get(&slot.0, 0).map_err(|error| KernelError::map("SLOTS", &error))?.0)
    }

    /// Changes the record of a slot whose cgroups the programs do not know any more.
    fn set_slot(&mut self, slot: SlotNr, change: impl FnOnce(&mut Slot)) -> Result<(), KernelError> {
        let mut record = self.slot_record(slot)?;
        change(&mut record);
        self.slots.set(slot.0, SlotRecord(record), ANY).map_err(|error| KernelError::map("SLOTS", &error))
    }

    /// Makes every CPU forget which cgroup it counted last.
    pub(super) fn raise_generation(&mut self) -> Result<(), KernelError> {
        let failed = |error: MapError| KernelError::map("GENERATION", &error);
        let generation = self.generation.get(&0, 0).map_err(failed)?;
        self.generation.set(0, generation.wrapping_add(1), ANY).map_err(failed)
    }
}

/// What [`Kernel::give_slot`] gave.
struct Given {
    slot: SlotNr,
    is_new: bool,
}
