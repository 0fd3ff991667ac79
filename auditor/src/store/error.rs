//! What can go wrong with a store.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another daemon has it.
    #[error(
        "the evidence in {} is another daemon's: stop that one, or give this one a --state-dir of its own", .0.display()
    )]
    InUse(PathBuf),
    /// A file operation failed.
    #[error("{doing} {}: {source}; check the directory, its permissions and its disk", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it was when it was written.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file is a later version's.
    #[error("{} was written by a newer auditor (schema {schema})", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        schema: u64,
    },
    /// It could not be opened yet, or again.
    #[error("the evidence store cannot be used now: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// Whether the file as it is will never be readable.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Newer { .. })
    }

    /// Whether it may pass by itself: no room, no answer of the disk.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::TimedOut
            ),
            _ => false,
        }
    }
}
