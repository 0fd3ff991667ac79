//! The file: its tables, and how it is opened, read and changed.

mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable as _, StorageError,
    TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use self::tables::{Put, Tables};
use super::{Batch, StoreError};
use crate::evidence::{Command, Evidence, Start, Workload};

/// What is in the tables, and how. A file with a higher number is a newer version's.
const SCHEMA: u64 = 1;
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
/// What else is known of containers, by their ids.
const ACCOUNT: TableDefinition<'_, &str, &str> = TableDefinition::new("accounts");

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

fn builder(first: bool) -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(first).set_cache_size(CACHE);
    builder
}

impl File {
    /// Opens the file; the first time all of it is looked at. Where its tables are there nothing is written, so that it
    /// can be read also when the disk is full.
    ///
    /// # Errors
    /// When it is damaged, newer, or the disk does not answer.
    pub fn open(path: &Path, first: bool) -> Result<Self, StoreError> {
        Self::over(path, builder(first).create(path))
    }

    /// The same for a file that is open and need have no name, as the daemon sees it first.
    ///
    /// # Errors
    /// As for [`File::open`].
    pub fn of_nameless(path: &Path, file: std::fs::File) -> Result<Self, StoreError> {
        Self::over(path, FileBackend::new(file).and_then(|file| builder(true).create_with_backend(file)))
    }

    fn over(path: &Path, opened: Result<Database, DatabaseError>) -> Result<Self, StoreError> {
        let database = opened.map_err(|error| Wrong("opening", path).any(error))?;
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
            // An older version's file has all but this one.
            match txn.open_table(ACCOUNT) {
                Err(TableError::TableDoesNotExist(_)) => Ok(false),
                accounts => accounts.map(|_| true).map_err(|error| wrong.any(error)),
            }
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
            txn.open_table(ACCOUNT).map_err(|error| wrong.any(error))?;
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

    /// The starts that went on when an earlier daemon wrote last. Of those that were not counted since, nobody knows what
    /// they did, whether they still go on or not: from here on they are not complete.
    ///
    /// # Errors
    /// When it cannot be read, or written; then nothing is.
    pub fn interrupted(&self, counted: &BTreeSet<String>) -> Result<Vec<Start>, StoreError> {
        let unfinished = self.unfinished()?;
        let is_cut = |start: &Start| start.from_first_call && !counted.contains(&start.id);
        if unfinished.iter().any(|(_, start)| is_cut(start)) {
            self.change(|txn, wrong| {
                let mut tables = Tables::open(txn, wrong, &self.path)?;
                for (workload, start) in unfinished.iter().filter(|(_, start)| is_cut(start)) {
                    tables.insert(workload, &Start { from_first_call: false, ..start.clone() })?;
                }
                Ok(())
            })?;
        }
        let known = |start: Start| Start { from_first_call: start.from_first_call && !is_cut(&start), ..start };
        Ok(unfinished.into_iter().map(|(_, start)| known(start)).collect())
    }

    /// What else is known of containers, by their ids.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn accounts(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.read(|txn, wrong| {
            let table = txn.open_table(ACCOUNT).map_err(|error| wrong.any(error))?;
            let mut accounts = BTreeMap::new();
            for row in table.iter().map_err(|error| wrong.storage(error))? {
                let (id, account) = row.map_err(|error| wrong.storage(error))?;
                accounts.insert(id.value().to_owned(), account.value().to_owned());
            }
            Ok(accounts)
        })
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
            tables.put_accounts(&batch.accounts)?;
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

/// Reads what is in the rows of the file, a workload's or a start's, and writes it again. Whether it was one.
#[doc(hidden)]
#[must_use]
pub fn read_row(bytes: &[u8]) -> bool {
    let path = Path::new("evidence.redb");
    let workload = parsed::<WorkloadRow>(path, bytes).is_ok_and(|row| text(path, &row).is_ok());
    let start = parsed::<Start>(path, bytes).is_ok_and(|start| text(path, &start).is_ok());
    workload || start
}
