//! What can keep the programs from counting.

use std::path::PathBuf;

use super::PinsError;
use super::offset::VMLINUX_BTF;

/// Why the kernel half does not work on this host.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No type information, so no offsets.
    #[error(
        "cannot read the kernel's types from {VMLINUX_BTF}: {0}; a kernel built with CONFIG_DEBUG_INFO_BTF is needed"
    )]
    NoBtf(String),
    /// A field that the programs need is not there.
    #[error("this kernel has no {structure}.{path}; Linux 5.15 or newer with seccomp filters is needed")]
    NoField {
        /// The C structure.
        structure: &'static str,
        /// The member, with dots.
        path: &'static str,
    },
    /// The kernel refused to take the programs or maps for lack of privilege.
    #[error(
        "the kernel does not let this process load eBPF programs: {0}; run as root or with CAP_BPF and CAP_PERFMON"
    )]
    NotPermitted(String),
    /// The kernel refused to take the programs or maps.
    #[error("cannot load the eBPF programs: {0}")]
    Load(String),
    /// There is no room for them.
    #[error(
        "the kernel has no memory for the programs and maps: {0}; lower max_containers, or raise the service's MemoryMax"
    )]
    NoMemory(String),
    /// A program could not be attached.
    #[error("cannot attach the eBPF program {program}: {reason}")]
    Attach {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// A map could not be read or written.
    #[error("cannot use the eBPF map {map}: {reason}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// The directory of pins.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// What is pinned cannot be used, or something not be pinned.
    #[error("use the pins in {}: {reason}; `auditor doctor --clean` removes them", .directory.display())]
    Pin {
        /// Where.
        directory: PathBuf,
        /// What the kernel said.
        reason: String,
    },
    /// All slots are in use.
    #[error("no free slot for cgroup {0}; start the daemon with a larger --max-containers")]
    NoSlot(u64),
    /// Another one's slot has it.
    #[error("cgroup {0} is counted together with the one that it lies in; name that one")]
    CountedWithin(u64),
}

impl KernelError {
    /// Sorts a loader's error by whether privilege is what is missing.
    pub(super) fn from_load(error: &(dyn std::error::Error + 'static)) -> Self {
        let text = chain(error);
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                Some(std::io::ErrorKind::PermissionDenied) => return Self::NotPermitted(text),
                Some(std::io::ErrorKind::OutOfMemory) => return Self::NoMemory(text),
                _ => {}
            }
            cause = error.source();
        }
        Self::Load(text)
    }

    /// Whether the host as it is cannot be audited, however often it is tried.
    #[must_use]
    pub const fn is_of_the_host(&self) -> bool {
        matches!(
            self,
            Self::NoBtf(_) | Self::NoField { .. } | Self::NotPermitted(_) | Self::Load(_) | Self::Attach { .. }
        )
    }

    pub(super) fn map(map: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Map { map, reason: chain(error) }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
