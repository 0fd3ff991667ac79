//! The tables within one change, and the bounds that they are kept in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};
use tracing::{info, warn};

use super::{ACCOUNT, LAST, META, PROFILE, RUNNING, START, WORKLOAD, WorkloadRow, Wrong, parsed, text};
use crate::evidence::{self, Start};
use crate::store::{Batch, Saved, StoreError};

/// Starts of a workload that are kept with all that they did: the newest.
const STARTS: usize = 128;
/// And with summaries of older ones. Only those that alone made some call are kept beyond.
const STARTS_AND_SUMMARIES: usize = 4_096;
/// And these, whatever they have that no other has.
const STARTS_AT_MOST: usize = 8_192;
/// Workloads at most.
const WORKLOADS: u64 = 1_000;
/// Profiles, before those are looked for that nobody needs any more.
const PROFILES: u64 = 1_000;
/// Bytes of all starts together at most.
const BYTES: u64 = 128 << 20;

/// What putting a start did.
pub(super) enum Put {
    New,
    Changed,
    Same,
}

/// The tables within one change.
pub(super) struct Tables<'a> {
    path: &'a Path,
    wrong: &'a Wrong<'a>,
    meta: Table<'a, &'static str, u64>,
    pub(super) workloads: Table<'a, &'static str, &'static [u8]>,
    starts: Table<'a, (&'static str, &'static str), &'static [u8]>,
    profiles: Table<'a, &'static str, &'static str>,
    running: Table<'a, &'static str, &'static str>,
    accounts: Table<'a, &'static str, &'static str>,
    /// Workloads that got a start they did not have.
    grown: BTreeSet<String>,
}

impl<'a> Tables<'a> {
    pub(super) fn open(txn: &'a WriteTransaction, wrong: &'a Wrong<'a>, path: &'a Path) -> Result<Self, StoreError> {
        Ok(Self {
            path,
            wrong,
            meta: txn.open_table(META).map_err(|error| wrong.any(error))?,
            workloads: txn.open_table(WORKLOAD).map_err(|error| wrong.any(error))?,
            starts: txn.open_table(START).map_err(|error| wrong.any(error))?,
            profiles: txn.open_table(PROFILE).map_err(|error| wrong.any(error))?,
            running: txn.open_table(RUNNING).map_err(|error| wrong.any(error))?,
            accounts: txn.open_table(ACCOUNT).map_err(|error| wrong.any(error))?,
            grown: BTreeSet::new(),
        })
    }

    pub(super) fn start(&self, workload: &str, id: &str) -> Result<Option<Start>, StoreError> {
        let found = self.starts.get((workload, id)).map_err(|error| self.wrong.storage(error))?;
        found.map(|start| parsed(self.path, start.value())).transpose()
    }

    pub(super) fn starts(&self, workload: &str) -> Result<Vec<Start>, StoreError> {
        let range = self.starts.range((workload, "")..=(workload, LAST)).map_err(|error| self.wrong.storage(error))?;
        range
            .map(|row| {
                let (_, start) = row.map_err(|error| self.wrong.storage(error))?;
                parsed(self.path, start.value())
            })
            .collect()
    }

    fn row(&self, workload: &str) -> Result<Option<WorkloadRow>, StoreError> {
        let row = self.workloads.get(workload).map_err(|error| self.wrong.storage(error))?;
        row.map(|row| parsed(self.path, row.value())).transpose()
    }

    fn put_row(&mut self, id: &str, row: &WorkloadRow) -> Result<(), StoreError> {
        let bytes = text(self.path, row)?;
        self.workloads.insert(id, bytes.as_slice()).map_err(|error| self.wrong.storage(error))?;
        Ok(())
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        let bytes = self.meta.get("bytes").map_err(|error| self.wrong.storage(error))?;
        Ok(bytes.map_or(0, |bytes| bytes.value()))
    }

    fn count_bytes(&mut self, more: usize, less: usize) -> Result<(), StoreError> {
        let bytes = (self.bytes()? + more as u64).saturating_sub(less as u64);
        self.meta.insert("bytes", bytes).map_err(|error| self.wrong.storage(error))?;
        Ok(())
    }

    pub(super) fn insert(&mut self, workload: &str, start: &Start) -> Result<(), StoreError> {
        let bytes = text(self.path, start)?;
        let before = {
            let key = (workload, start.id.as_str());
            let known = self.starts.insert(key, bytes.as_slice()).map_err(|error| self.wrong.storage(error))?;
            known.map_or(0, |known| known.value().len())
        };
        self.count_bytes(bytes.len(), before)
    }

    pub(super) fn remove(&mut self, workload: &str, id: &str) -> Result<(), StoreError> {
        let before = {
            let known = self.starts.remove((workload, id)).map_err(|error| self.wrong.storage(error))?;
            known.map_or(0, |known| known.value().len())
        };
        self.running.remove(id).map_err(|error| self.wrong.storage(error))?;
        self.count_bytes(0, before)
    }

    pub(super) fn put(&mut self, saved: &Saved, both: impl FnOnce(Start, Start) -> Start) -> Result<Put, StoreError> {
        let workload = saved.workload.id();
        let known = self.start(&workload, &saved.start.id)?;
        let (put, start) = match known {
            None => (Put::New, saved.start.clone()),
            Some(known) => {
                let start = both(known.clone(), saved.start.clone());
                (if start == known { Put::Same } else { Put::Changed }, start)
            }
        };
        if !matches!(put, Put::Same) {
            self.insert(&workload, &start)?;
        }
        if matches!(put, Put::New) {
            self.grown.insert(workload.clone());
        }
        let known = self.row(&workload)?;
        let mut row = known.clone().unwrap_or_else(|| WorkloadRow {
            image: saved.workload.image.clone(),
            command: saved.workload.command.clone(),
            image_names: Vec::new(),
            last_seen: start.until,
            left_out: 0,
        });
        let names_before = row.image_names.len();
        row.image_names.extend(saved.image_names.iter().cloned());
        row.image_names.sort();
        row.image_names.dedup();
        if known.is_none() || row.image_names.len() != names_before || start.until > row.last_seen {
            row.last_seen = row.last_seen.max(start.until);
            self.put_row(&workload, &row)?;
        }
        Ok(put)
    }

    pub(super) fn put_profiles(&mut self, profiles: &BTreeMap<String, String>) -> Result<(), StoreError> {
        for (sha256, text) in profiles {
            let known = self.profiles.get(sha256.as_str()).map_err(|error| self.wrong.storage(error))?.is_some();
            if !known {
                self.profiles.insert(sha256.as_str(), text.as_str()).map_err(|error| self.wrong.storage(error))?;
            }
        }
        Ok(())
    }

    /// Each container has one account, the latest.
    pub(super) fn put_accounts(&mut self, accounts: &BTreeMap<String, Option<String>>) -> Result<(), StoreError> {
        for (id, account) in accounts {
            let done = match account {
                Some(text) => self.accounts.insert(id.as_str(), text.as_str()).map(drop),
                None => self.accounts.remove(id.as_str()).map(drop),
            };
            done.map_err(|error| self.wrong.storage(error))?;
        }
        Ok(())
    }

    /// Which starts go on: of those the batch has, and of those that were known to.
    pub(super) fn running(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut going_on: BTreeMap<String, String> = BTreeMap::new();
        for row in self.running.iter().map_err(|error| self.wrong.storage(error))? {
            let (id, workload) = row.map_err(|error| self.wrong.storage(error))?;
            going_on.insert(id.value().to_owned(), workload.value().to_owned());
        }
        let before: Vec<String> = going_on.keys().cloned().collect();
        going_on.extend(batch.starts.iter().map(|saved| (saved.start.id.clone(), saved.workload.id())));
        going_on.retain(|id, _| batch.running.contains(id));
        for id in before.iter().filter(|id| !going_on.contains_key(*id)) {
            self.running.remove(id.as_str()).map_err(|error| self.wrong.storage(error))?;
        }
        for (id, workload) in &going_on {
            self.running.insert(id.as_str(), workload.as_str()).map_err(|error| self.wrong.storage(error))?;
        }
        Ok(())
    }

    /// Keeps the store within its bounds, and says what is left out for it.
    pub(super) fn bound(&mut self) -> Result<(), StoreError> {
        for workload in std::mem::take(&mut self.grown) {
            self.bound_workload(&workload)?;
        }
        while self.workloads.len().map_err(|error| self.wrong.storage(error))? > WORKLOADS || self.bytes()? > BYTES {
            let Some((id, row)) = self.oldest()? else { break };
            warn!(image = %row.image_names.first().unwrap_or(&row.image), workload = id, last_seen = %row.last_seen,
                "the evidence store is full: its oldest workload is forgotten");
            for start in self.starts(&id)? {
                self.remove(&id, &start.id)?;
            }
            self.workloads.remove(id.as_str()).map_err(|error| self.wrong.storage(error))?;
        }
        if self.profiles.len().map_err(|error| self.wrong.storage(error))? > PROFILES {
            self.forget_profiles()?;
        }
        Ok(())
    }

    fn bound_workload(&mut self, workload: &str) -> Result<(), StoreError> {
        let starts = self.starts(workload)?;
        let mut kept = starts.clone();
        evidence::keep(&mut kept, STARTS, STARTS_AND_SUMMARIES);
        // Each may have something that no other has, as where every start has a profile of its own: the oldest go all the
        // same.
        kept.drain(..kept.len().saturating_sub(STARTS_AT_MOST));
        let kept: BTreeMap<&str, &Start> = kept.iter().map(|start| (start.id.as_str(), start)).collect();
        let mut left_out = 0;
        for start in &starts {
            match kept.get(start.id.as_str()) {
                Some(known) if *known == start => {}
                Some(known) => self.insert(workload, known)?,
                None => {
                    self.remove(workload, &start.id)?;
                    left_out += 1;
                }
            }
        }
        if left_out > 0
            && let Some(mut row) = self.row(workload)?
        {
            if row.left_out == 0 {
                info!(
                    workload,
                    "more than {STARTS_AND_SUMMARIES} starts: the oldest that brought nothing are left out"
                );
            }
            row.left_out += left_out;
            self.put_row(workload, &row)?;
        }
        Ok(())
    }

    fn oldest(&self) -> Result<Option<(String, WorkloadRow)>, StoreError> {
        let mut oldest: Option<(String, WorkloadRow)> = None;
        for row in self.workloads.iter().map_err(|error| self.wrong.storage(error))? {
            let (id, row) = row.map_err(|error| self.wrong.storage(error))?;
            let row: WorkloadRow = parsed(self.path, row.value())?;
            if oldest.as_ref().is_none_or(|(_, known)| row.last_seen < known.last_seen) {
                oldest = Some((id.value().to_owned(), row));
            }
        }
        Ok(oldest)
    }

    /// Profiles that no start ran under are of no use.
    pub(super) fn forget_profiles(&mut self) -> Result<(), StoreError> {
        let mut used = BTreeSet::new();
        for row in self.starts.iter().map_err(|error| self.wrong.storage(error))? {
            let (_, start) = row.map_err(|error| self.wrong.storage(error))?;
            used.extend(parsed::<Start>(self.path, start.value())?.profile);
        }
        self.profiles.retain(|sha256, _| used.contains(sha256)).map_err(|error| self.wrong.storage(error))
    }
}
