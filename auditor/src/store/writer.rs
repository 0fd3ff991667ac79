//! The thread that writes, and what it shares with those who hand over and those who ask.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::file::File;
use super::place::Place;
use super::{Batch, Saved, StoreError};
use crate::evidence::Start;

/// Before what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long somebody who forgets waits for what is being written.
const WRITE: Duration = Duration::from_secs(5);
/// Starts that wait to be written at most: beyond it the oldest are given up.
const WAITING: usize = 10_000;

/// What the thread, the main loop and those who ask share.
#[derive(Debug)]
pub struct Shared {
    place: Place,
    /// The file, while it can be used. Whoever reads it holds it open for that long.
    file: RwLock<Option<File>>,
    state: Mutex<State>,
    changed: Condvar,
    /// The same for the main loop.
    written: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<String, Saved>,
    profiles: BTreeMap<String, String>,
    running: Option<BTreeSet<String>>,
    accounts: BTreeMap<String, Option<String>>,
    /// Of the latest batch that waits, and of the latest that was written.
    number: u64,
    committed: u64,
    /// Something is being written.
    writing: bool,
    closing: bool,
    trouble: Option<String>,
    given_up: u64,
    /// The starts that were counted while no daemon ran; nothing, until somebody knows.
    counted: Option<BTreeSet<String>>,
    /// Whether the file was taken over from an earlier daemon.
    taken_over: bool,
    /// The starts that went on when that one ended, until somebody takes them.
    interrupted: Vec<Start>,
}

impl State {
    fn is_settled(&self) -> bool {
        !self.writing
            && self.waiting.is_empty()
            && self.profiles.is_empty()
            && self.accounts.is_empty()
            && self.running.is_none()
    }

    fn take(&mut self, batch: Batch, newer: bool) {
        for saved in batch.starts {
            if newer || !self.waiting.contains_key(&saved.start.id) {
                self.waiting.insert(saved.start.id.clone(), saved);
            }
        }
        self.profiles.extend(batch.profiles);
        for (container, account) in batch.accounts {
            if newer || !self.accounts.contains_key(&container) {
                self.accounts.insert(container, account);
            }
        }
        self.number = self.number.max(batch.number);
        if newer || self.running.is_none() {
            self.running = Some(batch.running);
        }
        while self.waiting.len() > WAITING {
            let oldest =
                self.waiting.values().min_by_key(|saved| saved.start.until).map(|saved| saved.start.id.clone());
            oldest.map(|id| self.waiting.remove(&id));
            if self.given_up == 0 {
                warn!("more than {WAITING} starts wait to be stored; the oldest are given up");
            }
            self.given_up += 1;
        }
    }
}

impl Shared {
    pub fn new(place: Place) -> Self {
        Self {
            place,
            file: RwLock::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            written: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file for the first time. A disk that is full is no error.
    ///
    /// # Errors
    /// What does not pass by itself.
    pub fn open(&self) -> Result<(), StoreError> {
        self.or_later(self.reopen(true))
    }

    /// Takes the file over, now that it is known which starts were counted all the time.
    ///
    /// # Errors
    /// What does not pass by itself.
    pub fn begin(&self, counted: BTreeSet<String>) -> Result<(), StoreError> {
        self.state().counted = Some(counted);
        let closed = self.file.read().unwrap_or_else(PoisonError::into_inner).is_none();
        // One that could not be opened for now is tried again with what is written first.
        if closed { Ok(()) } else { self.or_later(self.take_over()) }
    }

    fn or_later(&self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        match done {
            Err(error) if error.may_pass() => {
                self.in_trouble(&error);
                Ok(())
            }
            other => other,
        }
    }

    /// Number of the latest batch that was written.
    pub fn committed(&self) -> u64 {
        self.state().committed
    }

    /// Ends when something was written, or could not be.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// The starts that went on when an earlier daemon ended, once they are known; each is told of once.
    pub fn take_interrupted(&self) -> Vec<Start> {
        std::mem::take(&mut self.state().interrupted)
    }

    /// Takes the file over from an earlier daemon, before anything is written to it: once.
    fn take_over(&self) -> Result<(), StoreError> {
        if self.state().taken_over {
            return Ok(());
        }
        let Some(counted) = self.state().counted.clone() else { return Ok(()) };
        let interrupted = self.with(|file| file.interrupted(&counted))?;
        let mut state = self.state();
        state.taken_over = true;
        state.interrupted.extend(interrupted);
        Ok(())
    }

    fn reopen(&self, first: bool) -> Result<(), StoreError> {
        let mut held = self.file.write().unwrap_or_else(PoisonError::into_inner);
        // What is open is closed first: the file has one user.
        *held = None;
        let file = match self.attempt(first) {
            Err(error) if error.is_lasting() => {
                let kind = if matches!(error, StoreError::Newer { .. }) { "newer" } else { "corrupt" };
                let aside = self.place.move_aside(kind)?;
                warn!("{error}; it was moved to {}, and the store begins anew", aside.display());
                self.attempt(first)?
            }
            other => other?,
        };
        *held = Some(file);
        Ok(())
    }

    fn attempt(&self, first: bool) -> Result<File, StoreError> {
        self.place.touch()?;
        let path = self.place.file();
        let open = || {
            let file = File::open(&path, first)?;
            // Whatever cannot be read shows here, and not when it is too late to move the file aside.
            file.unfinished()?;
            Ok(file)
        };
        guarded(&path, open)
    }

    /// Uses the file as it is.
    ///
    /// # Errors
    /// What was said, and [`StoreError::Unavailable`] where there is none now.
    pub fn with<T>(&self, what: impl FnOnce(&File) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let held = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = held.as_ref() else {
            return Err(StoreError::Unavailable(self.trouble().unwrap_or_else(|| "it is not open".to_owned())));
        };
        guarded(&self.place.file(), || what(file))
    }

    pub fn save(&self, batch: Batch) {
        self.state().take(batch, true);
        self.changed.notify_all();
    }

    pub fn settle(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while !state.is_settled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// Starts that were given up, for too many waited to be written.
    pub fn given_up(&self) -> u64 {
        self.state().given_up
    }

    /// Drops starts that wait to be written and are to be forgotten. What is being written comes into the file before they
    /// are looked for there, or waits again.
    pub fn forget(&self, workloads: &[String], before: Option<Timestamp>) {
        let is_old = |saved: &Saved| before.is_none_or(|before| saved.start.until < before);
        let written = self.changed.wait_timeout_while(self.state(), WRITE, |state| state.writing);
        let mut state = written.unwrap_or_else(PoisonError::into_inner).0;
        state.waiting.retain(|_, saved| !is_old(saved) || !workloads.contains(&saved.workload.id()));
    }

    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    fn in_trouble(&self, error: &StoreError) {
        let before = self.state().trouble.replace(error.to_string());
        // One line for a cause, however often it is tried.
        if before.is_none() {
            warn!("evidence cannot be stored: {error}; counting goes on, and it is tried again");
        }
    }

    /// Writes what is handed over until told to stop.
    pub fn run(&self) {
        while let Some(batch) = self.next_batch() {
            match self.write(&batch) {
                Ok(()) => {
                    let mut state = self.state();
                    state.writing = false;
                    state.committed = state.committed.max(batch.number);
                    if state.trouble.take().is_some() {
                        info!("evidence is stored again");
                    }
                }
                Err(error) => {
                    self.in_trouble(&error);
                    let mut state = self.state();
                    state.writing = false;
                    state.take(batch, false);
                    self.changed.notify_all();
                    self.written.notify_one();
                    if !state.closing {
                        drop(self.changed.wait_timeout_while(state, RETRY, |state| !state.closing));
                    }
                }
            }
            self.changed.notify_all();
            self.written.notify_one();
        }
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn next_batch(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            if state.closing {
                return None;
            }
            if !state.is_settled() {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        Some(Batch {
            starts: std::mem::take(&mut state.waiting).into_values().collect(),
            profiles: std::mem::take(&mut state.profiles),
            running: state.running.take().unwrap_or_default(),
            accounts: std::mem::take(&mut state.accounts),
            number: state.number,
        })
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let first = !self.state().taken_over;
        let closed = self.file.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if closed {
            self.reopen(first)?;
        }
        let written = self.take_over().and_then(|()| self.with(|file| file.write(batch)));
        if written.is_err() {
            // After an error the file is not to be used before it was opened again: it is then as it was after the last
            // commit, and those who ask can go on reading it. Where that fails too it is tried again with the next write.
            drop(self.reopen(first));
        }
        written
    }
}

/// What is done with a damaged file may end in a panic somewhere below.
fn guarded<T>(path: &std::path::Path, what: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|_| {
        Err(StoreError::Damaged { path: path.to_owned(), reason: "reading it makes no sense".to_owned() })
    })
}

/// Reads all that is in a file, as a daemon does that finds it. Returns how many workloads there are.
///
/// # Errors
/// When the file cannot be used.
pub fn read_file(file: std::fs::File) -> Result<usize, StoreError> {
    let path = std::path::Path::new("evidence.redb");
    guarded(path, || {
        let file = File::of_nameless(path, file)?;
        file.unfinished()?;
        file.accounts()?;
        let workloads = file.workloads()?;
        for workload in workloads.keys() {
            file.evidence(workload)?;
        }
        Ok(workloads.len())
    })
}
