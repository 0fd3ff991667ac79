//! What can keep a recording from being made.

use std::io;
use std::path::PathBuf;

use crate::cgroupfs::CgroupError;
use crate::kernel::KernelError;

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The programs do not count here.
    #[error("{0}")]
    Kernel(#[from] KernelError),
    /// There is no cgroup to count in.
    #[error("{0}")]
    Cgroup(#[from] CgroupError),
    /// The cgroup to count in is not there.
    #[error("count in the cgroup {}: {source}", .path.display())]
    NoCgroup {
        /// Its directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something the system did not let it do.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it did not work.
        source: io::Error,
    },
}

impl RecordingError {
    /// Whether the host as it is cannot be audited at all (exit code 3).
    #[must_use]
    pub const fn host_cannot_be_audited(&self) -> bool {
        matches!(self, Self::Kernel(_) | Self::Cgroup(_))
    }
}
