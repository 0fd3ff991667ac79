//! Handing what was seen to the store: now and then, and at once when a start is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::ledger::Ledger;
use crate::config::{Config, Place};
use crate::evidence::Start;
use crate::kernel::Kernel;
use crate::store::{Library, Store, StoreError};

/// How old what the store has of a running start may be.
const PERIOD: Duration = Duration::from_secs(10);
/// Containers that ran under an earlier daemon and still do are found within this time.
const SEARCH: Duration = Duration::from_secs(600);
/// What is left to be written when the daemon is told to stop has this long.
const LAST_WRITE: Duration = Duration::from_millis(1_500);

/// The store, if there is one, and what it has.
#[derive(Debug)]
pub struct Keeping {
    store: Option<Store>,
    begun: Instant,
    last: Option<Instant>,
    running: BTreeSet<String>,
    /// Of the latest batch.
    number: u64,
}

impl Keeping {
    /// Opens the store where the configuration wants one, and gives the ledger what an earlier daemon kept in it.
    ///
    /// # Errors
    /// When a directory that was asked for cannot be used, or another daemon uses it.
    pub fn open(wanted: &Place, ledger: &mut Ledger) -> Result<Self, StoreError> {
        let store = match wanted {
            Place::Given(directory) => Some(Store::open_waiting(directory)?),
            Place::None => None,
            Place::Default => match Store::open_waiting(Path::new(Config::DEFAULT_STATE_DIR)) {
                Ok(opened) => Some(opened),
                Err(error @ StoreError::InUse(_)) => return Err(error),
                Err(error) => {
                    warn!("evidence is not kept over restarts of the daemon: {error}, or give --state-dir");
                    None
                }
            },
        };
        if let Some(store) = &store {
            ledger.restore(store.accounts());
        }
        Ok(Self { store, begun: Instant::now(), last: None, running: BTreeSet::new(), number: 0 })
    }

    /// Takes the store over from an earlier daemon: these starts were counted all the time.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn take_over(&self, ledger: &mut Ledger, counted: BTreeSet<String>) -> Result<(), StoreError> {
        if let Some(store) = &self.store {
            store.take_over(counted)?;
            ledger.take_interrupted(store.take_interrupted());
        }
        Ok(())
    }

    /// Ends when something was written, or could not be.
    pub async fn written(&self) {
        match &self.store {
            Some(store) => store.written().await,
            None => std::future::pending().await,
        }
    }

    /// Number of the latest batch that is safe to forget about: it is on the disk, or the disk is in trouble, and then it is
    /// kept in memory alone.
    pub fn committed(&self) -> u64 {
        match &self.store {
            Some(store) if store.trouble().is_none() => store.committed(),
            _ => self.number,
        }
    }

    /// Number of the latest batch.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether this batch is on the disk; without a store nothing ever is, and nobody waits for it.
    pub fn has_on_disk(&self, number: u64) -> bool {
        self.store.as_ref().is_none_or(|store| store.committed() >= number)
    }

    /// What an earlier daemon saw of starts that went on when it ended, once that is known.
    pub fn take_interrupted(&self) -> Vec<Start> {
        self.store.as_ref().map(Store::take_interrupted).unwrap_or_default()
    }

    /// Starts that were given up because too many waited to be written.
    pub fn given_up(&self) -> u64 {
        self.store.as_ref().map_or(0, Store::given_up)
    }

    /// The store for those who ask.
    pub fn library(&self) -> Option<Library> {
        self.store.as_ref().map(Store::library)
    }

    /// Why evidence cannot be written now.
    pub fn trouble(&self) -> Option<String> {
        self.store.as_ref().and_then(Store::trouble)
    }

    /// Hands over what is due. Never waits for the disk.
    pub fn now_and_then(&mut self, ledger: &mut Ledger, kernel: &Kernel) {
        ledger.take_interrupted(self.take_interrupted());
        if self.begun.elapsed() > SEARCH {
            ledger.give_up_unfinished();
        }
        let due = self.last.is_none_or(|last| last.elapsed() >= PERIOD);
        if due || ledger.has_ended_starts_to_keep() || ledger.has_accounts_to_keep() {
            self.now(ledger, kernel);
        }
    }

    /// Hands over all that has changed.
    pub fn now(&mut self, ledger: &mut Ledger, kernel: &Kernel) {
        let Some(store) = &self.store else { return };
        // After the counters: what is kept has the arguments of all calls that it has.
        if !ledger.has_latest_arguments()
            && let Err(error) = ledger.read_arguments(kernel)
        {
            error!(%error, "the arguments of calls cannot be read");
        }
        let batch = ledger.take_unkept(self.number + 1);
        self.last = Some(Instant::now());
        if !batch.starts.is_empty() || !batch.accounts.is_empty() || batch.running != self.running {
            self.number += 1;
            self.running.clone_from(&batch.running);
            store.save(batch);
        }
    }

    /// Hands over all that is left, and waits for it to be written, but not for long.
    pub fn close(mut self, ledger: &mut Ledger, kernel: &Kernel) {
        self.now(ledger, kernel);
        if let Some(store) = self.store
            && !store.close(LAST_WRITE)
        {
            info!("the last seconds of evidence could not be written in time");
        }
    }
}
