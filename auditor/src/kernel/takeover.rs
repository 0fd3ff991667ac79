//! Programs that outlive a daemon: loading them with pins, and taking them over from one that is gone.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use auditor_ebpf::{COMERS_PROGRAMS, COMERS_RUNTIMES, SLOT_CLEARING, SLOT_FREE, SLOT_LIVE, SLOT_REMOVED};
use aya::maps::{Array, MapError};

use super::pins::{self, Pins, Replaced};
use super::set::Pinned;
use super::slot::{ANY, boot_ns};
use super::{Kernel, KernelError, SlotNr, program};

/// How long a program, or a daemon's write, may be between two halves of a change: what still is so after it stays so.
const SETTLED: Duration = Duration::from_millis(20);

impl Kernel {
    /// Takes over the programs that are pinned, with all that they have counted, where they are the ones that this daemon
    /// would load for so many containers; otherwise loads them, to be pinned when they are attached ([`Kernel::attach`]).
    /// What else is pinned there is replaced then, and can be read ([`Kernel::take_replaced`]).
    ///
    /// # Errors
    /// As for [`Kernel::load`], and when something cannot be pinned or taken over.
    pub fn load_pinned(slot_count: u32, pins: Pins) -> Result<Self, KernelError> {
        let set = Pinned::find(pins, slot_count)?;
        if set.is_held() {
            return Self::take_over(slot_count, set);
        }
        let staging = set.stage()?;
        let mut kernel = Self::load_into(slot_count, true, None, Some(&staging))?;
        // A map that is not pinned would be another one for whoever takes over.
        if let Some((map, _)) =
            kernel.ebpf.maps().find(|(name, _)| !name.starts_with('.') && !pins::MAPS.contains(name))
        {
            return Err(KernelError::Load(format!("the map {map} is not among those that are pinned")));
        }
        program::load_tracepoints(&mut kernel.ebpf)?;
        kernel.fill_free_slots()?;
        kernel.pinned = Some(set);
        Ok(kernel)
    }

    /// `CLOCK_BOOTTIME` in nanoseconds when this process took the programs over from another; `None` where it did not. What
    /// counts in a slot that was taken before then began with that other.
    #[must_use]
    pub const fn taken_over_ns(&self) -> Option<u64> {
        self.taken_over_ns
    }

    /// What older programs had counted until these ones were attached, once.
    pub fn take_replaced(&mut self) -> Vec<Replaced> {
        self.pinned.as_mut().map(Pinned::take_replaced).unwrap_or_default()
    }

    /// Pins anew what somebody has unpinned. Returns how many pins were gone.
    ///
    /// # Errors
    /// When something cannot be pinned.
    pub fn mend_pins(&self) -> Result<usize, KernelError> {
        self.pinned.as_ref().map_or(Ok(0), Pinned::mend)
    }

    /// Removes the pins: counting ends with this process.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn unpin(&mut self) -> Result<(), KernelError> {
        self.pinned.as_mut().map_or(Ok(()), Pinned::remove)
    }

    fn take_over(slot_count: u32, set: Pinned) -> Result<Self, KernelError> {
        let directory = set.directory();
        let mut kernel = Self::load_into(slot_count, true, None, Some(&directory))?;
        // The globals that count are those of the programs that do.
        let global = |name, file| -> Result<Array<_, u32>, KernelError> {
            let map = pins::pinned_map(&directory, file, name)?;
            Array::try_from(map).map_err(|error| KernelError::map(name, &error))
        };
        let [(generation, generation_file), (attached, attached_file)] = pins::GLOBALS;
        kernel.generation = global(generation, generation_file)?;
        kernel.attached = global(attached, attached_file)?;
        let reading = kernel.reading.get(&0, 0).map_err(|error| KernelError::map("READING", &error))?;
        kernel.readings = reading.0.nr;
        // Filters that somebody asked for who is gone.
        while kernel.copies.next().is_some() {}
        kernel.pinned = Some(set);
        kernel.settle_slots()?;
        kernel.taken_over_ns = Some(boot_ns());
        Ok(kernel)
    }

    /// Finishes what whoever was before us may have left half done.
    fn settle_slots(&mut self) -> Result<(), KernelError> {
        let (suspects, cleared) = (self.without_cgroup()?, self.in_state(SLOT_CLEARING)?);
        let adopted = self.half_adopted()?;
        if !adopted.is_empty() {
            // Whoever gave these slots did not come to look at the tasks that were there: they are programs.
            self.look_at_tasks()?;
            for slot in adopted {
                self.set_comers(slot, COMERS_RUNTIMES)?;
            }
        }
        if !suspects.is_empty() {
            sleep(SETTLED);
            for slot in self.without_cgroup()?.intersection(&suspects) {
                // Given, and its cgroup not entered; or its cgroup removed, and the slot not marked.
                self.set_slot(*slot, |record| record.state = SLOT_REMOVED)?;
            }
        }
        self.clear(&cleared)?;
        self.find_free_slots()
    }

    /// Live slots of which whoever gave them has not said who comes into them.
    fn half_adopted(&self) -> Result<BTreeSet<SlotNr>, KernelError> {
        let mut found = BTreeSet::new();
        for slot in self.in_state(SLOT_LIVE)? {
            let comers = self.has_runtime.get(&slot.0, 0).map_err(|error| KernelError::map("HAS_RUNTIME", &error))?;
            if comers == COMERS_PROGRAMS {
                found.insert(slot);
            }
        }
        Ok(found)
    }

    fn in_state(&self, state: u32) -> Result<BTreeSet<SlotNr>, KernelError> {
        let mut found = BTreeSet::new();
        for nr in 0..self.slot_count() {
            if self.slot_record(SlotNr(nr))?.state == state {
                found.insert(SlotNr(nr));
            }
        }
        Ok(found)
    }

    /// Live slots whose cgroup leads nowhere, or to another slot.
    fn without_cgroup(&self) -> Result<BTreeSet<SlotNr>, KernelError> {
        let mut without = BTreeSet::new();
        for slot in self.in_state(SLOT_LIVE)? {
            let record = self.slot_record(slot)?;
            match self.cgroups.get(&record.cgroup_id, 0) {
                Ok(known) if known == slot.0 => {}
                Ok(_) | Err(MapError::KeyNotFound) => _ = without.insert(slot),
                Err(error) => return Err(KernelError::map("CGROUPS", &error)),
            }
        }
        Ok(without)
    }

    /// Puts slots into the queue of free ones that are in nobody's hands. The queue is gone through once, one slot at a time
    /// out of it, so that a container that begins meanwhile finds one.
    fn find_free_slots(&mut self) -> Result<(), KernelError> {
        let free = self.in_state(SLOT_FREE)?;
        let mut queued = BTreeSet::new();
        for _ in 0..self.slot_count() {
            let Ok(slot) = self.free_slots.pop(0) else { break };
            self.free_slots.push(slot, ANY).map_err(|error| KernelError::map("FREE_SLOTS", &error))?;
            if !queued.insert(SlotNr(slot)) {
                break;
            }
        }
        if free.is_subset(&queued) {
            return Ok(());
        }
        // One that a program has just taken is not free any more, a moment later.
        sleep(SETTLED);
        for slot in self.in_state(SLOT_FREE)?.intersection(&free) {
            if !queued.contains(slot) {
                self.free_slots.push(slot.0, ANY).map_err(|error| KernelError::map("FREE_SLOTS", &error))?;
            }
        }
        Ok(())
    }
}
