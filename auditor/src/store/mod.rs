//! The evidence store: what was seen of each workload, kept in a file over restarts of the daemon and the host.
//!
//! A thread of its own writes, so that a slow disk stops no counting: the main loop hands values over and goes on, and of
//! each start the latest value wins. What cannot be written now is kept, bounded, and tried again. The file is redb's,
//! whose commits are atomic; this is the only room that knows.

mod error;
mod file;
mod library;
mod place;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::warn;

pub use self::error::StoreError;
#[doc(hidden)]
pub use self::file::read_row;
pub use self::library::{Forgotten, Library, Named, Taken};
use self::place::Place;
use self::writer::Shared;
#[doc(hidden)]
pub use self::writer::read_file;
use crate::evidence::{Start, Workload};
use crate::privilege;

/// A start of a workload, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Of what.
    pub workload: Workload,
    /// The image as it was called.
    pub image_names: Vec<String>,
    /// As it was seen up to now.
    pub start: Start,
}

/// What the main loop hands over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Starts that have changed.
    pub starts: Vec<Saved>,
    /// The profiles that they ran under, as the OCI runtime specification has them, by SHA-256.
    pub profiles: BTreeMap<String, String>,
    /// The ids of all starts that go on.
    pub running: BTreeSet<String>,
    /// What else the daemon is to know of containers when it is started again, by their ids; `None` of those that are
    /// forgotten.
    pub accounts: BTreeMap<String, Option<String>>,
    /// A number that grows from batch to batch: see [`Store::committed`]. 0 where nobody asks.
    pub number: u64,
}

/// The store, as the daemon has it.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    _lock: place::Lock,
}

impl Store {
    /// Opens the store in this directory, and makes both where they are not.
    ///
    /// What cannot be read is moved aside, and a line in the log says so. A disk that is full is no error: what is handed
    /// over is kept, and written when that is possible.
    ///
    /// # Errors
    /// When another daemon has it, or the directory cannot be used.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Self::open_waiting(directory)?;
        store.take_over(BTreeSet::new())?;
        Ok(store)
    }

    /// The same, and says nothing yet of the starts that went on when an earlier daemon ended: [`Store::take_over`] does.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_waiting(directory: &Path) -> Result<Self, StoreError> {
        let (place, lock) = Place::take(directory)?;
        let shared = Arc::new(Shared::new(place));
        shared.open()?;
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                if let Err(error) = privilege::give_up_kernel() {
                    warn!(%error, "the thread that stores evidence cannot give up privileges");
                }
                writing.run();
            })
            .map_err(|source| StoreError::Io { doing: "starting the writer of", path: directory.to_owned(), source })?;
        Ok(Self { shared, thread, _lock: lock })
    }

    /// Takes the file over from an earlier daemon. Of the starts that went on when it ended these were counted all the
    /// time; of the others nobody knows what they did since, and they are not complete any more.
    ///
    /// # Errors
    /// When the file cannot be used; not when the disk is full: then it is tried again.
    pub fn take_over(&self, counted: BTreeSet<String>) -> Result<(), StoreError> {
        self.shared.begin(counted)
    }

    /// What an earlier daemon kept of containers, by their ids. Nothing, where the file cannot be read now.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<String, String> {
        self.shared.with(file::File::accounts).unwrap_or_default()
    }

    /// Number of the latest batch that is on the disk, with all before it.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.shared.committed()
    }

    /// Ends when a batch was written, or could not be: since this was called last, or from now on.
    pub async fn written(&self) {
        self.shared.written().await;
    }

    /// The starts that went on when an earlier daemon ended, as it saw them. Each is told of
    /// once: at the first call, or where the file could not be taken over yet, when that is done.
    #[must_use]
    pub fn take_interrupted(&self) -> Vec<Start> {
        self.shared.take_interrupted()
    }

    /// Starts that were given up because too many waited to be written.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.shared.given_up()
    }

    /// Hands over what has changed. Never waits.
    pub fn save(&self, batch: Batch) {
        self.shared.save(batch);
    }

    /// Waits until all that was handed over is written, at most so long. Returns whether it is.
    #[must_use]
    pub fn settle(&self, patience: Duration) -> bool {
        self.shared.settle(patience)
    }

    /// Writes what is left, for at most so long. Returns whether all of it is written.
    #[must_use]
    pub fn close(self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let settled = self.shared.settle(patience);
        self.shared.close();
        while !self.thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        settled
    }

    /// Why nothing can be written now.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// What is kept, for those who ask.
    #[must_use]
    pub fn library(&self) -> Library {
        Library::new(Arc::clone(&self.shared))
    }
}
