//! The file: its tables, its bounds, and how each is read and written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, StorageError,
    Table, TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{Batch, Saved, StoreError};
use crate::evidence::{self, Command, Evidence, Start, Workload};

/// What is in the tables, and how. A file with a higher number is a newer version's.
const SCHEMA: u64 = 1;
/// Starts of a workload that are kept with all that they did: the newest.
const STARTS: usize = 128;
/// And with summaries of older ones. Only those that alone made some call are kept beyond.
const STARTS_AND_SUMMARIES: usize = 4_096;
/// Workloads at most.
const WORKLOADS: u64 = 1_000;
/// Profiles, before those are looked for that nobody needs any more.
const PROFILES: u64 = 1_000;
/// Bytes of all starts together at most.
const BYTES: u64 = 128 << 20;
/// Memory for pages that were read.
const CACHE: usize = 8 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// By workload.
const WORKLOAD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("workloads");
/// By workload and start.
const START: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("starts");
/// By SHA-256.
const PROFILE: TableDefinition<'_, &str, &str> = TableDefinition::new("profiles");
/// Starts that go on, and of which workload they are.
const RUNNING: TableDefinition<'_, &str, &str> = TableDefinition::new("running");

/// What is kept of a workload beside its starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkloadRow {
    /// What is run.
    pub image: String,
    /// And with what.
    pub command: Command,
    /// The image as users name it, sorted.
    pub image_names: Vec<String>,
    /// When a start of it was counted last.
    pub last_seen: Timestamp,
    /// Starts that were left out to keep the store small.
    #[serde(default)]
    pub left_out: u64,
}

/// The open file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    database: Database,
}

/// What went wrong in words that the caller understands.
struct Wrong<'a>(&'static str, &'a Path);

impl Wrong<'_> {
    fn storage(&self, error: StorageError) -> StoreError {
        let path = self.1.to_owned();
        match error {
            // Not a database, or cut short.
            StorageError::Io(source)
                if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                StoreError::Damaged { path, reason: source.to_string() }
            }
            StorageError::Io(source) => StoreError::Io { doing: self.0, path, source },
            StorageError::Corrupted(reason) => StoreError::Damaged { path, reason },
            other => StoreError::Io { doing: self.0, path, source: io::Error::other(other.to_string()) },
        }
    }

    fn any(&self, error: impl Into<redb::Error>) -> StoreError {
        match error.into() {
            redb::Error::Io(source) => self.storage(StorageError::Io(source)),
            redb::Error::Corrupted(reason) => self.storage(StorageError::Corrupted(reason)),
            redb::Error::PreviousIo => self.storage(StorageError::PreviousIo),
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse(self.1.to_owned()),
            redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableDoesNotExist(_) => damaged(self.1, "it holds something else than evidence"),
            other => {
                StoreError::Io { doing: self.0, path: self.1.to_owned(), source: io::Error::other(other.to_string()) }
            }
        }
    }
}

fn damaged(path: &Path, reason: impl Display) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

impl File {
    /// Opens the file; the first time all of it is looked at. Where its tables are there nothing is written, so that it
    /// can be read also when the disk is full.
    ///
    /// # Errors
    /// When it is damaged, newer, or the disk does not answer.
    pub fn open(path: &Path, first: bool) -> Result<Self, StoreError> {
        let wrong = Wrong("opening", path);
        let mut builder = Database::builder();
        builder.set_check_integrity_on_open(first).set_cache_size(CACHE);
        let database = builder.create(path).map_err(|error| wrong.any(error))?;
        let file = Self { path: path.to_owned(), database };
        if !file.has_tables()? {
            file.make_tables()?;
        }
        Ok(file)
    }

    /// Whether this is a store of the present schema.
    fn has_tables(&self) -> Result<bool, StoreError> {
        self.read(|txn, wrong| {
            let meta = match txn.open_table(META) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(false),
                meta => meta.map_err(|error| wrong.any(error))?,
            };
            let schema = meta.get("schema").map_err(|error| wrong.storage(error))?.map(|schema| schema.value());
            match schema {
                Some(SCHEMA) => {}
                Some(schema) if schema > SCHEMA => return Err(StoreError::Newer { path: self.path.clone(), schema }),
                Some(schema) => return Err(damaged(&self.path, format!("there is no schema {schema}"))),
                None => return Ok(false),
            }
            // Made together with it, so whoever reads finds them.
            txn.open_table(WORKLOAD).map_err(|error| wrong.any(error))?;
            txn.open_table(START).map_err(|error| wrong.any(error))?;
            txn.open_table(PROFILE).map_err(|error| wrong.any(error))?;
            txn.open_table(RUNNING).map_err(|error| wrong.any(error))?;
            Ok(true)
        })
    }

    fn make_tables(&self) -> Result<(), StoreError> {
        self.change(|txn, wrong| {
            let mut meta = txn.open_table(META).map_err(|error| wrong.any(error))?;
            meta.insert("schema", SCHEMA).map_err(|error| wrong.storage(error))?;
            txn.open_table(WORKLOAD).map_err(|error| wrong.any(error))?;
            txn.open_table(START).map_err(|error| wrong.any(error))?;
            txn.open_table(PROFILE).map_err(|error| wrong.any(error))?;
            txn.open_table(RUNNING).map_err(|error| wrong.any(error))?;
            Ok(())
        })
    }

    fn read<T>(
        &self,
        what: impl FnOnce(&ReadTransaction, &Wrong<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let wrong = Wrong("reading", &self.path);
        let txn = self.database.begin_read().map_err(|error| wrong.any(error))?;
        what(&txn, &wrong)
    }

    /// All of it, or nothing.
    fn change<T>(
        &self,
        what: impl FnOnce(&WriteTransaction, &Wrong<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let wrong = Wrong("writing", &self.path);
        let txn = self.database.begin_write().map_err(|error| wrong.any(error))?;
        let done = what(&txn, &wrong)?;
        txn.commit().map_err(|error| wrong.any(error))?;
        Ok(done)
    }

    /// The starts that went on when an earlier daemon wrote last. Nobody knows what they did since, whether they still go
    /// on or not: from here on they are not complete.
    ///
    /// # Errors
    /// When it cannot be read, or written; then nothing is.
    pub fn interrupted(&self) -> Result<Vec<Start>, StoreError> {
        let unfinished = self.unfinished()?;
        if unfinished.iter().any(|(_, start)| start.from_first_call) {
            self.change(|txn, wrong| {
                let mut tables = Tables::open(txn, wrong, &self.path)?;
                for (workload, start) in unfinished.iter().filter(|(_, start)| start.from_first_call) {
                    tables.insert(workload, &Start { from_first_call: false, ..start.clone() })?;
                }
                Ok(())
            })?;
        }
        Ok(unfinished.into_iter().map(|(_, start)| Start { from_first_call: false, ..start }).collect())
    }

    /// The starts that went on when the file was last written, and of which workload they are.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn unfinished(&self) -> Result<Vec<(String, Start)>, StoreError> {
        self.read(|txn, wrong| {
            let running = txn.open_table(RUNNING).map_err(|error| wrong.any(error))?;
            let starts = txn.open_table(START).map_err(|error| wrong.any(error))?;
            let mut unfinished = Vec::new();
            for row in running.iter().map_err(|error| wrong.storage(error))? {
                let (id, workload) = row.map_err(|error| wrong.storage(error))?;
                let start = starts.get((workload.value(), id.value())).map_err(|error| wrong.storage(error))?;
                if let Some(start) = start {
                    unfinished.push((workload.value().to_owned(), parsed(&self.path, start.value())?));
                }
            }
            Ok(unfinished)
        })
    }

    /// Takes over what the daemon has counted. What is known of a start already is not lost for it: another daemon may
    /// have seen what this one did not. Under what it runs this one knows best.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it is.
    pub fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.change(|txn, wrong| {
            let mut tables = Tables::open(txn, wrong, &self.path)?;
            for saved in &batch.starts {
                tables.put(saved, Start::updated_by)?;
            }
            tables.put_profiles(&batch.profiles)?;
            tables.running(batch)?;
            tables.bound()
        })
    }

    /// Takes in what others have counted. Returns how many starts were new, and how many were known but not all of it.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it is.
    pub fn merge(&self, batch: &Batch) -> Result<(u64, u64), StoreError> {
        self.change(|txn, wrong| {
            let mut tables = Tables::open(txn, wrong, &self.path)?;
            let (mut new, mut more) = (0, 0);
            for saved in &batch.starts {
                match tables.put(saved, Start::join)? {
                    Put::New => new += 1,
                    Put::Changed => more += 1,
                    Put::Same => {}
                }
            }
            tables.put_profiles(&batch.profiles)?;
            tables.bound()?;
            Ok((new, more))
        })
    }

    /// All workloads, by id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn workloads(&self) -> Result<BTreeMap<String, WorkloadRow>, StoreError> {
        self.read(|txn, wrong| {
            let table = txn.open_table(WORKLOAD).map_err(|error| wrong.any(error))?;
            let mut workloads = BTreeMap::new();
            for row in table.iter().map_err(|error| wrong.storage(error))? {
                let (id, row) = row.map_err(|error| wrong.storage(error))?;
                workloads.insert(id.value().to_owned(), parsed(&self.path, row.value())?);
            }
            Ok(workloads)
        })
    }

    /// All that is known of one workload.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn evidence(&self, id: &str) -> Result<Option<Evidence>, StoreError> {
        self.read(|txn, wrong| {
            let table = txn.open_table(WORKLOAD).map_err(|error| wrong.any(error))?;
            let row = table.get(id).map_err(|error| wrong.storage(error))?;
            let Some(row) = row else { return Ok(None) };
            let row: WorkloadRow = parsed(&self.path, row.value())?;
            let table = txn.open_table(START).map_err(|error| wrong.any(error))?;
            let mut starts = Vec::new();
            for start in table.range((id, "")..=(id, LAST)).map_err(|error| wrong.storage(error))? {
                let (_, start) = start.map_err(|error| wrong.storage(error))?;
                starts.push(parsed::<Start>(&self.path, start.value())?);
            }
            starts.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
            let workload = Workload { image: row.image, command: row.command };
            Ok(Some(Evidence { workload, image_names: row.image_names, starts }))
        })
    }

    /// A profile, as the OCI runtime specification has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn profile(&self, sha256: &str) -> Result<Option<String>, StoreError> {
        self.read(|txn, wrong| {
            let table = txn.open_table(PROFILE).map_err(|error| wrong.any(error))?;
            let text = table.get(sha256).map_err(|error| wrong.storage(error))?;
            Ok(text.map(|text| text.value().to_owned()))
        })
    }

    /// The starts whose ids begin so: of which workload, and which.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn find(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|txn, wrong| {
            let table = txn.open_table(START).map_err(|error| wrong.any(error))?;
            let mut found = Vec::new();
            for row in table.iter().map_err(|error| wrong.storage(error))? {
                let (key, _) = row.map_err(|error| wrong.storage(error))?;
                let (workload, start) = key.value();
                if start.starts_with(prefix) {
                    found.push((workload.to_owned(), start.to_owned()));
                }
            }
            Ok(found)
        })
    }

    /// Leaves a start out, or takes it in again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn exclude(&self, workload: &str, id: &str, excluded: bool) -> Result<(), StoreError> {
        self.change(|txn, wrong| {
            let mut tables = Tables::open(txn, wrong, &self.path)?;
            let Some(mut start) = tables.start(workload, id)? else { return Ok(()) };
            start.exclude(excluded);
            tables.insert(workload, &start)
        })
    }

    /// Forgets starts of workloads, and workloads of which none is left. Returns how many of each.
    ///
    /// # Errors
    /// When it cannot be written; then nothing is forgotten.
    pub fn forget(&self, workloads: &[String], before: Option<Timestamp>) -> Result<(u64, u64), StoreError> {
        self.change(|txn, wrong| {
            let mut tables = Tables::open(txn, wrong, &self.path)?;
            let (mut gone, mut starts_gone) = (0, 0);
            for workload in workloads {
                let starts = tables.starts(workload)?;
                let old = |start: &&Start| before.is_none_or(|before| start.until < before);
                let going: Vec<&Start> = starts.iter().filter(old).collect();
                for start in &going {
                    tables.remove(workload, &start.id)?;
                    starts_gone += 1;
                }
                if going.len() == starts.len() {
                    let known = tables.workloads.remove(workload.as_str()).map_err(|error| wrong.storage(error))?;
                    gone += u64::from(known.is_some());
                }
            }
            tables.forget_profiles()?;
            Ok((gone, starts_gone))
        })
    }
}

/// Behind every id.
const LAST: &str = "\u{10ffff}";

fn parsed<'a, T: Deserialize<'a>>(path: &Path, bytes: &'a [u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(path, error))
}

fn text<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| damaged(path, error))
}

enum Put {
    New,
    Changed,
    Same,
}

/// The tables within one change.
struct Tables<'a> {
    path: &'a Path,
    wrong: &'a Wrong<'a>,
    meta: Table<'a, &'static str, u64>,
    workloads: Table<'a, &'static str, &'static [u8]>,
    starts: Table<'a, (&'static str, &'static str), &'static [u8]>,
    profiles: Table<'a, &'static str, &'static str>,
    running: Table<'a, &'static str, &'static str>,
    /// Workloads that got a start they did not have.
    grown: BTreeSet<String>,
}

impl<'a> Tables<'a> {
    fn open(txn: &'a WriteTransaction, wrong: &'a Wrong<'a>, path: &'a Path) -> Result<Self, StoreError> {
        Ok(Self {
            path,
            wrong,
            meta: txn.open_table(META).map_err(|error| wrong.any(error))?,
            workloads: txn.open_table(WORKLOAD).map_err(|error| wrong.any(error))?,
            starts: txn.open_table(START).map_err(|error| wrong.any(error))?,
            profiles: txn.open_table(PROFILE).map_err(|error| wrong.any(error))?,
            running: txn.open_table(RUNNING).map_err(|error| wrong.any(error))?,
            grown: BTreeSet::new(),
        })
    }

    fn start(&self, workload: &str, id: &str) -> Result<Option<Start>, StoreError> {
        let found = self.starts.get((workload, id)).map_err(|error| self.wrong.storage(error))?;
        found.map(|start| parsed(self.path, start.value())).transpose()
    }

    fn starts(&self, workload: &str) -> Result<Vec<Start>, StoreError> {
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

    fn insert(&mut self, workload: &str, start: &Start) -> Result<(), StoreError> {
        let bytes = text(self.path, start)?;
        let before = {
            let key = (workload, start.id.as_str());
            let known = self.starts.insert(key, bytes.as_slice()).map_err(|error| self.wrong.storage(error))?;
            known.map_or(0, |known| known.value().len())
        };
        self.count_bytes(bytes.len(), before)
    }

    fn remove(&mut self, workload: &str, id: &str) -> Result<(), StoreError> {
        let before = {
            let known = self.starts.remove((workload, id)).map_err(|error| self.wrong.storage(error))?;
            known.map_or(0, |known| known.value().len())
        };
        self.running.remove(id).map_err(|error| self.wrong.storage(error))?;
        self.count_bytes(0, before)
    }

    fn put(&mut self, saved: &Saved, both: impl FnOnce(Start, Start) -> Start) -> Result<Put, StoreError> {
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

    fn put_profiles(&mut self, profiles: &BTreeMap<String, String>) -> Result<(), StoreError> {
        for (sha256, text) in profiles {
            let known = self.profiles.get(sha256.as_str()).map_err(|error| self.wrong.storage(error))?.is_some();
            if !known {
                self.profiles.insert(sha256.as_str(), text.as_str()).map_err(|error| self.wrong.storage(error))?;
            }
        }
        Ok(())
    }

    /// Which starts go on: of those the batch has, and of those that were known to.
    fn running(&mut self, batch: &Batch) -> Result<(), StoreError> {
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
    fn bound(&mut self) -> Result<(), StoreError> {
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
    fn forget_profiles(&mut self) -> Result<(), StoreError> {
        let mut used = BTreeSet::new();
        for row in self.starts.iter().map_err(|error| self.wrong.storage(error))? {
            let (_, start) = row.map_err(|error| self.wrong.storage(error))?;
            used.extend(parsed::<Start>(self.path, start.value())?.profile);
        }
        self.profiles.retain(|sha256, _| used.contains(sha256)).map_err(|error| self.wrong.storage(error))
    }
}
