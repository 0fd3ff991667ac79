//! Giving slots to cgroups that the programs do not know for a container's: those that were there before, and those of
//! commands and services.

use auditor_ebpf::{
    CGROUP_NAME_LEN, COMERS_PROGRAMS, COMERS_RUNTIMES, COMERS_SERVICES, FileId, SLOT_LIVE, SLOT_REMOVED, Slot,
};
use aya::maps::MapError;

use super::record::SlotRecord;
use super::slot::{ANY, boot_ns};
use super::{Kernel, KernelError, SlotNr, program};
use crate::container::CgroupId;

/// `BPF_NOEXIST` of `bpf_map_update_elem`.
const NOEXIST: u64 = 1;

/// A container's cgroup that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its outermost cgroup.
    pub cgroup: CgroupId,
    /// The directory's name: whoever takes the programs over knows the container by it.
    pub name: String,
    /// The cgroups inside it.
    pub nested: Vec<CgroupId>,
}

impl Existing {
    /// One without a name, and with nothing inside.
    #[must_use]
    pub const fn nameless(cgroup: CgroupId) -> Self {
        Self { cgroup, name: String::new(), nested: Vec::new() }
    }
}

/// Who comes into a cgroup that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comers {
    /// Programs, or such as will execute the program that is to be counted: all their calls count. Nobody is a runtime:
    /// [`Tally::runtime_calls`](crate::counters::Tally::runtime_calls) stays 0.
    Programs,
    /// The processes that systemd makes for a service. Each enters the cgroup, sets itself up, puts the service's filter
    /// on itself if it has one, and executes the program. What it calls without a filter before that is systemd's, needs
    /// no allowance, and does not count: the first call that does is the program's execution. What it calls under the
    /// filter, that execution included, is a runtime's. Whoever comes from outside and has executed a program there is
    /// none of them (`PF_FORKNOEXEC`), but for [`Executor`].
    Services,
}

/// The program that systemd executes to set services up, where it does: by its inode's number, and its device's as
/// stat(2) gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executor {
    /// `st_ino`.
    pub inode: u64,
    /// `st_dev`.
    pub device: u64,
}

impl Executor {
    /// As the kernel has it (`MKDEV` in `include/linux/kdev_t.h`).
    pub(super) fn file(self) -> FileId {
        let (major, minor) = (nix::sys::stat::major(self.device), nix::sys::stat::minor(self.device));
        // Numbers of devices have 32 bits in the kernel: one with more is nobody's.
        u32::try_from(major << 20 | minor).map_or(FileId::NONE, |device| FileId {
            inode: self.inode,
            device,
            padding: 0,
        })
    }
}

impl Kernel {
    /// Gives slots to container cgroups that exist already (each with its nested ones), and looks at what their tasks
    /// are doing. Those that have a slot keep it. Returns the cgroups for which there was none.
    ///
    /// The tasks that are there count as having executed their program; who comes later is a runtime until it does.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn adopt(&mut self, cgroups: &[Existing]) -> Result<Vec<CgroupId>, KernelError> {
        let (mut refused, mut new, mut more) = (Vec::new(), Vec::new(), false);
        for Existing { cgroup, name, nested } in cgroups {
            match self.give_slot(*cgroup, name, false, COMERS_PROGRAMS) {
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
            self.set_comers(slot, COMERS_RUNTIMES)?;
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
    /// and count as having executed their program. `comers` says who comes in later.
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
        comers: Comers,
    ) -> Result<SlotNr, KernelError> {
        let comers = match comers {
            Comers::Programs => COMERS_PROGRAMS,
            Comers::Services => COMERS_SERVICES,
        };
        // Who is there is looked at first, as programs.
        let at_first = if from_first_call { comers } else { COMERS_PROGRAMS };
        let given = self.give_slot(cgroup, "", from_first_call, at_first)?;
        if self.slot_record(given.slot)?.cgroup_id != cgroup.0 {
            return Err(KernelError::CountedWithin(cgroup.0));
        }
        let more = self.add_nested(given.slot, nested);
        if from_first_call {
            self.raise_generation()?;
        } else if given.is_new || more {
            self.look_at_tasks()?;
        }
        if given.is_new && at_first != comers {
            self.set_comers(given.slot, comers)?;
            self.raise_generation()?;
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

    /// The slot in which a cgroup is counted, and whether it is a new one; in a new one these are who comes in.
    fn give_slot(
        &mut self,
        cgroup: CgroupId,
        name: &str,
        from_first_call: bool,
        comers: u32,
    ) -> Result<Given, KernelError> {
        let failed = |error: &MapError| KernelError::map("CGROUPS", error);
        match self.cgroups.get(&cgroup.0, 0) {
            Ok(slot) => return Ok(Given { slot: SlotNr(slot), is_new: false }),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(failed(&error)),
        }
        let slot = self.take_slot(cgroup, name, from_first_call)?;
        self.set_comers(slot, comers)?;
        if let Err(error) = self.cgroups.insert(cgroup.0, slot.0, NOEXIST) {
            self.set_comers(slot, COMERS_PROGRAMS)?;
            self.give_back(slot)?;
            // `cgroup_mkdir` may have been quicker; then nothing is wrong.
            let slot = self.cgroups.get(&cgroup.0, 0).map_err(|_| failed(&error))?;
            return Ok(Given { slot: SlotNr(slot), is_new: false });
        }
        Ok(Given { slot, is_new: true })
    }

    /// Has cgroups counted in a slot. Returns whether any was new.
    fn add_nested(&mut self, slot: SlotNr, nested: &[CgroupId]) -> bool {
        let mut added = 0;
        for id in nested {
            // A cgroup that went away in between is no loss, and one that is known already keeps what it has.
            added += u32::from(self.cgroups.insert(id.0, slot.0, NOEXIST).is_ok());
        }
        // A share that is a little too small or too large is as good.
        if added > 0
            && let Ok(known) = self.nested.get(&slot.0, 0)
        {
            let _ = self.nested.set(slot.0, known.saturating_add(added), ANY);
        }
        added > 0
    }

    fn take_slot(&mut self, cgroup: CgroupId, name: &str, from_first_call: bool) -> Result<SlotNr, KernelError> {
        let slot = self.free_slots.pop(0).map_err(|_| KernelError::NoSlot(cgroup.0))?;
        let record = Slot {
            cgroup_id: cgroup.0,
            since_ns: boot_ns(),
            state: SLOT_LIVE,
            from_first_call: u32::from(from_first_call),
            name: name_of(name),
        };
        self.counted.slots.set(slot, SlotRecord(record), ANY).map_err(|error| KernelError::map("SLOTS", &error))?;
        Ok(SlotNr(slot))
    }

    /// After cgroups with tasks in them were given slots.
    pub(super) fn look_at_tasks(&mut self) -> Result<(), KernelError> {
        self.raise_generation()?;
        program::run_seed(&mut self.ebpf)
    }

    /// Says who comes into a slot, by a `COMERS_` constant. Apart from the slot's record, which the programs change as well.
    pub(super) fn set_comers(&mut self, slot: SlotNr, comers: u32) -> Result<(), KernelError> {
        self.has_runtime.set(slot.0, comers, ANY).map_err(|error| KernelError::map("HAS_RUNTIME", &error))
    }

    pub(super) fn slot_record(&self, slot: SlotNr) -> Result<Slot, KernelError> {
        Ok(self.counted.slots.get(&slot.0, 0).map_err(|error| KernelError::map("SLOTS", &error))?.0)
    }

    /// Changes the record of a slot whose cgroups the programs do not know any more.
    pub(super) fn set_slot(&mut self, slot: SlotNr, change: impl FnOnce(&mut Slot)) -> Result<(), KernelError> {
        let mut record = self.slot_record(slot)?;
        change(&mut record);
        self.counted.slots.set(slot.0, SlotRecord(record), ANY).map_err(|error| KernelError::map("SLOTS", &error))
    }

    /// Makes every CPU forget which cgroup it counted last. Returns the generation that holds from now on.
    pub(super) fn raise_generation(&mut self) -> Result<u32, KernelError> {
        let failed = |error: MapError| KernelError::map("GENERATION", &error);
        let generation = self.generation.get(&0, 0).map_err(failed)?.wrapping_add(1);
        self.generation.set(0, generation, ANY).map_err(failed)?;
        Ok(generation)
    }
}

/// NUL-terminated, and cut where it is too long: no container's is.
fn name_of(name: &str) -> [u8; CGROUP_NAME_LEN] {
    let mut bytes = [0; CGROUP_NAME_LEN];
    bytes.iter_mut().take(CGROUP_NAME_LEN - 1).zip(name.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// What [`Kernel::give_slot`] gave.
struct Given {
    slot: SlotNr,
    is_new: bool,
}
