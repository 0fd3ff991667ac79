//! What was counted: the maps that are read, of the programs that run or of older ones.

use std::collections::{BTreeMap, BTreeSet};

use auditor_ebpf::{ArgumentShare, SLOT_LIVE, SLOT_REMOVED};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap};

use super::argument::{of_class, overflowed};
use super::record::{
    ArgumentKeyRecord, ArgumentShareRecord, DenialCountRecord, DenialKeyRecord, ForeignCountsRecord, ForeignKeyRecord,
    NativeCountsRecord, RuntimeCountsRecord, SlotRecord,
};
use super::{ArgumentsBySlot, CountersBySlot, KernelError, SlotNr, SlotOwner, SlotState, decode};
use crate::container::CgroupId;
use crate::counters::Counters;
use crate::evidence::ByFilter;

/// Who was counted, and what.
pub struct Counted {
    slot_count: u32,
    pub(super) slots: Array<MapData, SlotRecord>,
    pub(super) native: PerCpuArray<MapData, NativeCountsRecord>,
    pub(super) runtime: Array<MapData, RuntimeCountsRecord>,
    pub(super) foreign: PerCpuHashMap<MapData, ForeignKeyRecord, ForeignCountsRecord>,
    pub(super) denials: PerCpuHashMap<MapData, DenialKeyRecord, DenialCountRecord>,
    pub(super) arguments: HashMap<MapData, ArgumentKeyRecord, u64>,
    pub(super) argument_shares: Array<MapData, ArgumentShareRecord>,
    pub(super) slot_lost: PerCpuArray<MapData, u64>,
}

impl Counted {
    /// Takes the maps from whoever has them, by name.
    pub(super) fn of(
        slot_count: u32,
        mut map: impl FnMut(&'static str) -> Result<Map, KernelError>,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            slot_count,
            slots: typed(&mut map, "SLOTS")?,
            native: typed(&mut map, "NATIVE")?,
            runtime: typed(&mut map, "RUNTIME")?,
            foreign: typed(&mut map, "FOREIGN")?,
            denials: typed(&mut map, "DENIALS")?,
            arguments: typed(&mut map, "ARGUMENTS")?,
            argument_shares: typed(&mut map, "ARGUMENT_SHARES")?,
            slot_lost: typed(&mut map, "SLOT_LOST")?,
        })
    }

    /// How many containers fit.
    #[must_use]
    pub const fn slot_count(&self) -> u32 {
        self.slot_count
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
                    from_first_call: slot.from_first_call != 0,
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

    /// With which arguments calls were made in one slot.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn arguments(&self, slot: SlotNr) -> Result<ByFilter, KernelError> {
        Ok(self.arguments_of(&BTreeSet::from([slot]))?.remove(&slot).unwrap_or_default())
    }

    /// The same of several slots: all of them cost hardly more than one.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn arguments_of(&self, slots: &BTreeSet<SlotNr>) -> Result<ArgumentsBySlot, KernelError> {
        let mut all = ArgumentsBySlot::new();
        let mut entries = 0;
        for slot in slots {
            let share = self.share(*slot)?;
            entries += share.entries;
            all.insert(*slot, overflowed(&share));
        }
        // Nobody has noted anything: the usual case of a daemon that has just started.
        if entries == 0 {
            return Ok(all);
        }
        for entry in self.arguments.iter() {
            let (key, count) = entry.map_err(|error| KernelError::map("ARGUMENTS", &error))?;
            let key = key.0;
            let Some(of_slot) = all.get_mut(&SlotNr(key.slot)).filter(|_| count > 0) else { continue };
            let call = (decode::abi(u16::from(key.abi)), decode::key_number(key.nr));
            let values = of_class(of_slot, key.class).calls.entry(call).or_default();
            values.seen.insert(key.values, count);
        }
        Ok(all)
    }

    pub(super) fn share(&self, slot: SlotNr) -> Result<ArgumentShare, KernelError> {
        let share = self.argument_shares.get(&slot.0, 0);
        Ok(share.map_err(|error| KernelError::map("ARGUMENT_SHARES", &error))?.0)
    }
}

fn typed<T>(
    map: &mut impl FnMut(&'static str) -> Result<Map, KernelError>,
    name: &'static str,
) -> Result<T, KernelError>
where
    T: TryFrom<Map, Error = MapError>,
{
    T::try_from(map(name)?).map_err(|error| KernelError::map(name, &error))
}
