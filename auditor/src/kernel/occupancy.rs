//! How full the maps are whose entries come and go.

use super::{CGROUPS_PER_SLOT, Kernel, KernelError, RARE_CALLS, RARE_CALLS_PER_SLOT};

/// One map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapUse {
    /// What it is called, as `bpftool map` shows it.
    pub name: &'static str,
    /// Entries that it has.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}

impl Kernel {
    /// Counts the entries, which takes as long as there are many: some milliseconds for ten thousand.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn map_use(&self) -> Result<Vec<MapUse>, KernelError> {
        let slots = self.slot_count();
        let rare = u64::from(slots.saturating_mul(RARE_CALLS_PER_SLOT).max(RARE_CALLS));
        let of = |name, entries: usize, capacity| MapUse { name, entries: entries as u64, capacity };
        let mut arguments = 0;
        for slot in 0..slots {
            let share = self.counted.argument_shares.get(&slot, 0);
            arguments += share.map_err(|error| KernelError::map("ARGUMENT_SHARES", &error))?.0.entries;
        }
        // One that goes away while they are counted is no error.
        Ok(vec![
            of("CGROUPS", self.cgroups.keys().flatten().count(), slots.saturating_mul(CGROUPS_PER_SLOT).into()),
            of("FOREIGN", self.counted.foreign.keys().flatten().count(), rare),
            of("DENIALS", self.counted.denials.keys().flatten().count(), rare),
            MapUse {
                name: "ARGUMENTS",
                entries: arguments,
                capacity: slots.saturating_mul(auditor_ebpf::ARGUMENTS_PER_SLOT).into(),
            },
        ])
    }
}
