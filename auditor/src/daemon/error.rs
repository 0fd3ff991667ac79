//! What can keep the daemon from running.

use crate::cgroupfs::CgroupError;
use crate::kernel::{KernelError, PinsError};
use crate::store::StoreError;
use crate::{control, http};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The host cannot be audited.
    #[error("{0}")]
    Kernel(#[from] KernelError),
    /// The process may not load the programs.
    #[error("the daemon lacks the capabilities to load eBPF programs; run it as root, or with CAP_BPF and CAP_PERFMON")]
    NotPermitted,
    /// The directory of pins.
    #[error("{0}")]
    Pins(#[from] PinsError),
    /// Somebody has taken the programs away.
    #[error("the eBPF programs do not run any more: somebody detached them; start the daemon again")]
    NotCounting,
    /// There is no cgroup hierarchy to tell containers apart by.
    #[error("{0}")]
    Cgroup(#[from] CgroupError),
    /// This process sees a part of the hierarchy only.
    #[error(
        "{0} is a cgroup namespace's part of the hierarchy; start the daemon outside of containers, or with --cgroupns=host"
    )]
    PartOfHierarchy(String),
    /// The control socket.
    #[error("{0}")]
    Control(#[from] control::BindError),
    /// The web server.
    #[error("{0}")]
    Http(#[from] http::BindError),
    /// The web configuration.
    #[error("{0}")]
    Web(#[from] http::SettingsError),
    /// The evidence store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The group of the control socket.
    #[error("no group {0:?} for the control socket; create it or change socket_group")]
    NoGroup(String),
    /// A part of the daemon that should never end has ended.
    #[error("the {0} has ended; this is a defect of the auditor: please report it")]
    Ended(&'static str),
    /// Something the system did not let it do.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it did not work.
        source: std::io::Error,
    },
}

impl DaemonError {
    /// Whether the host as it is cannot be audited at all (exit code 3).
    #[must_use]
    pub const fn host_cannot_be_audited(&self) -> bool {
        match self {
            Self::Kernel(error) => error.is_of_the_host(),
            _ => matches!(self, Self::NotPermitted | Self::Cgroup(_) | Self::PartOfHierarchy(_)),
        }
    }
}
