//! What outlives the daemon: accounts, and slots that are given back when what they held is kept.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use super::Ledger;
use crate::cgroupfs;
use crate::container::ContainerId;
use crate::daemon::account::{Account, tenure};
use crate::daemon::record::Record;
use crate::daemon::run::{Now, Run};
use crate::kernel::{Counted, Kernel, KernelError, SlotNr};

impl Ledger {
    /// Takes in what an earlier daemon kept of containers. From here on no slot is given back before what it held is kept.
    pub fn restore(&mut self, accounts: BTreeMap<String, String>) {
        self.keeps = true;
        let (mut unreadable, total) = (0, accounts.len());
        for (id, text) in accounts {
            let Ok(id) = ContainerId::parse(&id) else { continue };
            match serde_json::from_str::<Account>(&text) {
                Ok(account) if account.boot == self.boot => _ = self.records.insert(id, Record::restored(id, account)),
                // Of another boot: its slots and cgroups are gone.
                Ok(_) => _ = self.forgotten.insert(id),
                Err(_) => {
                    unreadable += 1;
                    self.forgotten.insert(id);
                }
            }
        }
        if unreadable > 0 {
            warn!(
                unreadable,
                total, "what an earlier version kept of containers cannot be read; their totals begin anew"
            );
        }
    }

    /// The programs were counting before this daemon came, and had lost then what they say they had.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn take_over(&mut self, kernel: &Kernel) -> Result<(), KernelError> {
        self.taken_over_ns = kernel.taken_over_ns();
        if self.taken_over_ns.is_some() {
            // Those that nobody can attribute may have been lost since.
            self.losses = crate::kernel::Losses { recursion: 0, ..kernel.losses()? };
        }
        Ok(())
    }

    /// Takes in what older programs have counted, which are attached no more. Whoever still runs is counted on in another
    /// slot; that what happened in between is not known makes it incomplete.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn take_replaced(&mut self, counted: &Counted, now: Now) -> Result<usize, KernelError> {
        let owners = counted.owners()?;
        let counters = counted.counters(&owners.keys().copied().collect())?;
        let mut arguments = counted.arguments_of(&owners.keys().copied().collect())?;
        let mut taken = 0;
        for (slot, counters) in counters {
            let Some(owner) = owners.get(&slot) else { continue };
            let Some(id) = cgroupfs::container_id_of(&format!("/{}", owner.name)) else { continue };
            let record = self.records.entry(id).or_insert_with(|| Record::new(id));
            if record.has_read(tenure(owner)) {
                continue;
            }
            // Not by way of the slots: those of this number are other ones now.
            let mut run = Run::new(id, owner, &self.boot, &mut self.unfinished, true);
            run.counted(counters, now);
            run.lost_in_slot(counted.lost_in(slot)?);
            run.called_with(arguments.remove(&slot).unwrap_or_default());
            record.take_in(&run, owner, now, self.engine.as_ref());
            taken += 1;
        }
        Ok(taken)
    }

    /// The ids of the starts that slots count.
    pub fn running(&self) -> BTreeSet<String> {
        self.records.values().flat_map(Record::running).map(str::to_owned).collect()
    }

    /// Whether something is to be kept before a slot can be given back, or of a container that was not known.
    pub fn has_accounts_to_keep(&self) -> bool {
        self.keeps && (!self.forgotten.is_empty() || self.records.values().any(|record| !record.is_kept()))
    }

    /// The accounts that have changed; what slots held that were read for the last time is in the batch of this number.
    pub fn take_accounts(&mut self, number: u64) -> BTreeMap<String, Option<String>> {
        let mut accounts: BTreeMap<String, Option<String>> =
            std::mem::take(&mut self.forgotten).into_iter().map(|id| (id.to_string(), None)).collect();
        for (id, record) in &mut self.records {
            if let Some(account) = record.take_account(&self.boot) {
                // Nothing in it has a form that JSON lacks.
                accounts.insert(id.to_string(), serde_json::to_string(&account).ok());
            }
        }
        self.to_keep.values_mut().for_each(|batch| _ = batch.get_or_insert(number));
        accounts
    }

    /// The batches up to this number are kept. Gives back the slots whose counts they have.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn kept(&mut self, kernel: &mut Kernel, committed: u64) -> Result<(), KernelError> {
        let ready = |batch: &Option<u64>| batch.is_some_and(|number| number <= committed);
        let slots: Vec<SlotNr> = self.to_keep.iter().filter(|(_, batch)| ready(batch)).map(|(slot, _)| *slot).collect();
        for slot in slots {
            self.to_keep.remove(&slot);
            self.to_release.insert(slot);
        }
        self.release(kernel)
    }

    /// Gives back what can be.
    pub(super) fn release(&mut self, kernel: &mut Kernel) -> Result<(), KernelError> {
        if self.to_release.is_empty() {
            return Ok(());
        }
        kernel.release(&self.to_release)?;
        self.slots_used = self.slots_used.saturating_sub(self.to_release.len());
        for slot in std::mem::take(&mut self.to_release) {
            let Some((id, tenure)) = self.tenures.remove(&slot) else { continue };
            if let Some(record) = self.records.get_mut(&id) {
                record.cleared(tenure);
            }
        }
        Ok(())
    }
}
