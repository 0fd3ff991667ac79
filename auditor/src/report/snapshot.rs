//! All that the daemon knows at one moment: what every output (tables, JSON, metrics) is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::view::ContainerView;

/// The daemon's state at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every container it knows, gone ones within their grace time included, each with its `syscalls`.
    pub containers: Vec<ContainerView>,
    /// How the auditor itself is.
    pub health: Health,
}

/// How the auditor itself is: whether it sees everything, and what that costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Which auditor this is.
    pub build: Build,
    /// Whether the engine answers.
    pub docker_up: bool,
    /// Why it does not.
    pub docker_error: Option<String>,
    /// How cgroups are mounted.
    pub cgroup_mode: CgroupMode,
    /// Container slots of the kernel maps.
    pub slots: u32,
    /// Slots that a cgroup holds.
    pub slots_used: u32,
    /// Container cgroups that found no free slot, since the programs were loaded.
    pub untracked_cgroups: u64,
    /// Events known to be lost, by reason, since the programs were loaded.
    pub lost_events: BTreeMap<String, u64>,
    /// The kernel programs.
    pub programs: Vec<ProgramHealth>,
    /// The kernel maps whose entries come and go, as of some seconds ago.
    #[serde(default)]
    pub maps: Vec<MapHealth>,
    /// What keeps the daemon from being ready, one sentence each. Empty: it is ready.
    pub not_ready: Vec<String>,
    /// Why evidence cannot be written to the store now.
    #[serde(default)]
    pub store_error: Option<String>,
}

/// Which auditor this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version of the package.
    pub version: String,
    /// Hash of the source that the loaded eBPF object was built from, in hex.
    pub ebpf_source: Option<String>,
}

impl Default for Build {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), ebpf_source: None }
    }
}

/// How cgroups are mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupMode {
    /// cgroup2 alone, at `/sys/fs/cgroup`.
    Unified,
    /// cgroup2 beside version 1 hierarchies.
    Hybrid,
    /// Version 1 alone: containers cannot be told apart.
    Legacy,
    /// Not looked at yet.
    #[default]
    Unknown,
}

impl CgroupMode {
    /// The spelling used in JSON and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unified => "unified",
            Self::Hybrid => "hybrid",
            Self::Legacy => "legacy",
            Self::Unknown => "unknown",
        }
    }
}

/// One kernel program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramHealth {
    /// Its name, as `bpftool prog` shows it.
    pub name: String,
    /// Whether it is loaded and attached.
    pub attached: bool,
    /// How often it ran; `None` where the kernel keeps no statistics (`kernel.bpf_stats_enabled` is 0).
    pub runs: Option<u64>,
    /// Seconds it ran in all; `None` as above.
    pub run_seconds: Option<f64>,
}

/// One kernel map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapHealth {
    /// Its name, as `bpftool map` shows it.
    pub name: String,
    /// Entries that it has.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}
