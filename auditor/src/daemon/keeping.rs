//! Handing what was seen to the store: now and then, and at once when a start is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::ledger::Ledger;
use crate::config::{Config, StateDir};
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
}

impl Keeping {
    /// Opens the store where the configuration wants one.
    ///
    /// # Errors
    /// When a directory that was asked for cannot be used, or another daemon uses it.
    pub fn open(wanted: &StateDir) -> Result<Self, StoreError> {
        let store = match wanted {
            StateDir::Given(directory) => Some(Store::open(directory)?),
            StateDir::None => None,
            StateDir::Default => match Store::open(Path::new(Config::DEFAULT_STATE_DIR)) {
                Ok(opened) => Some(opened),
                Err(error @ StoreError::InUse(_)) => return Err(error),
                Err(error) => {
                    warn!("evidence is not kept over restarts of the daemon: {error}, or give --state-dir");
                    None
                }
            },
        };
        Ok(Self { store, begun: Instant::now(), last: None, running: BTreeSet::new() })
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
        if self.last.is_none_or(|last| last.elapsed() >= PERIOD) || ledger.has_ended_starts_to_keep() {
            self.now(ledger, kernel);
        }
    }

    fn now(&mut self, ledger: &mut Ledger, kernel: &Kernel) {
        let Some(store) = &self.store else { return };
        // After the counters: what is kept has the arguments of all calls that it has.
        if !ledger.has_latest_arguments()
            && let Err(error) = ledger.read_arguments(kernel)
        {
            error!(%error, "the arguments of calls cannot be read");
        }
        let batch = ledger.take_unkept();
        self.last = Some(Instant::now());
        if !batch.starts.is_empty() || batch.running != self.running {
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
