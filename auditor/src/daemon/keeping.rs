//! Handing what was seen to the store: now and then, and at once when a start is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::ledger::Ledger;
use crate::config::{Config, StateDir};
use crate::evidence::Start;
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
    /// Opens the store where the configuration wants one. The second value is what an earlier daemon saw of starts that
    /// went on when it ended.
    ///
    /// # Errors
    /// When a directory that was asked for cannot be used, or another daemon uses it.
    pub fn open(wanted: &StateDir) -> Result<(Self, Vec<Start>), StoreError> {
        let opened = match wanted {
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
        let (store, unfinished) = opened.map_or((None, Vec::new()), |(store, unfinished)| (Some(store), unfinished));
        Ok((Self { store, begun: Instant::now(), last: None, running: BTreeSet::new() }, unfinished))
    }

    /// The store for those who ask.
    pub fn library(&self) -> Option<Library> {
        self.store.as_ref().map(Store::library)
    }

    /// Why evidence cannot be written now.
    pub fn trouble(&self) -> Option<String> {
        self.store.as_ref().and_then(Store::trouble)
    }

    /// Hands over what is due. Never waits.
    pub fn now_and_then(&mut self, ledger: &mut Ledger) {
        if self.begun.elapsed() > SEARCH {
            ledger.give_up_unfinished();
        }
        let due = self.last.is_none_or(|last| last.elapsed() >= PERIOD) || ledger.has_ended_starts_to_keep();
        if due {
            self.now(ledger);
        }
    }

    fn now(&mut self, ledger: &mut Ledger) {
        let Some(store) = &self.store else { return };
        let batch = ledger.take_unkept();
        self.last = Some(Instant::now());
        if !batch.starts.is_empty() || batch.running != self.running {
            self.running.clone_from(&batch.running);
            store.save(batch);
        }
    }

    /// Hands over all that is left, and waits for it to be written, but not for long.
    pub fn close(mut self, ledger: &mut Ledger) {
        self.now(ledger);
        if let Some(store) = self.store
            && !store.close(LAST_WRITE)
        {
            info!("the last seconds of evidence could not be written in time");
        }
    }
}
