//! The objects people and scripts see: field names are the contract of `-o json`; unknown is `None`, never zero.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::report::arguments::ArgumentsView;
use crate::report::denial::DenialView;
use crate::syscall::{Abi, SyscallNr};

/// One container at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    /// The engine's 64-digit id.
    pub id: String,
    /// The engine's name, without the leading slash; `None` where the engine never told.
    pub name: Option<String>,
    /// The image as the user named it.
    pub image: Option<String>,
    /// Compose service, from the label `com.docker.compose.service`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// `created`, `running`, `paused`, `exited`, ... as the engine says.
    pub state: Option<String>,
    /// The declared profile.
    pub profile: ProfileView,
    /// What the kernel enforces.
    pub effective: EffectiveView,
    /// Syscalls of the native ABI that the profile always allows.
    pub allowed: Option<u32>,
    /// Syscalls of the native ABI that it allows for some arguments.
    pub conditional: Option<u32>,
    /// Syscalls of the native ABI that it always denies.
    pub denied: Option<u32>,
    /// Distinct native syscalls that reached the kernel under the filter (or without one where there is none).
    pub used: u32,
    /// Native syscalls that the profile always allows and nobody called.
    pub unused: Option<u32>,
    /// Denied calls, all ABIs.
    pub denials: u64,
    /// The time the numbers stand for.
    pub window: WindowView,
    /// Syscall by syscall: only in `show`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub syscalls: Option<Vec<SyscallView>>,
    /// With which arguments it made the calls of which they are noted: only in `show --args`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arguments: Option<Vec<ArgumentsView>>,
    /// Its last refused calls, the latest last: only in `show`, and where there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_denials: Option<Vec<DenialView>>,
}

/// The declared profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileView {
    /// What kind of profile it is.
    pub kind: ProfileKind,
    /// Where it was read.
    pub source: ProfileSource,
    /// SHA-256 of its canonical OCI JSON, in hex.
    pub sha256: Option<String>,
    /// For example `SCMP_ACT_ERRNO`.
    pub default_action: Option<String>,
    /// The errno that goes with it.
    pub default_errno: Option<u16>,
}

/// What kind of profile a container runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileKind {
    /// The engine's default.
    Default,
    /// Given by `--security-opt seccomp=FILE`, or as the engine's own replaced default.
    Custom,
    /// `--security-opt seccomp=unconfined`.
    Unconfined,
    /// `--privileged`: no filter either.
    Privileged,
    /// Could not be read.
    Unknown,
}

impl ProfileKind {
    /// The spelling used in JSON, metrics and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Custom => "custom",
            Self::Unconfined => "unconfined",
            Self::Privileged => "privileged",
            Self::Unknown => "unknown",
        }
    }
}

/// Where the declared profile was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileSource {
    /// The OCI bundle's `config.json`.
    Bundle,
    /// The kernel's own filter.
    Kernel,
    /// The engine's `inspect` answer.
    Inspect,
    /// Nowhere.
    None,
}

/// What the kernel enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveView {
    /// Whether the container's tasks have a filter.
    pub mode: EffectiveMode,
    /// How many filters are stacked on the container's first process (`Seccomp_filters:` in `/proc/PID/status`).
    pub filters: Option<u32>,
    /// Whether the kernel enforces what was declared.
    pub matches_declared: Option<bool>,
    /// Why not, or why it only looks otherwise.
    #[serde(default)]
    pub reasons: Vec<ReasonView>,
}

/// A reason why what is enforced is not what was declared, or only looks so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// For scripts: `stacked-filter`, `unfiltered-task`, ... (see [`crate::effective::Reason::as_str`]).
    pub reason: String,
    /// Whether somebody should look at it.
    pub alarming: bool,
    /// For people: one sentence.
    pub text: String,
}

/// Whether the container's tasks have a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectiveMode {
    /// `Seccomp: 2` in `/proc/PID/status`.
    Filter,
    /// `Seccomp: 0`.
    None,
    /// Not seen.
    Unknown,
}

/// The time the numbers stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowView {
    /// Start of counting.
    pub since: Option<jiff::Timestamp>,
    /// How many times the container was started in that time.
    pub starts: u32,
    /// Counted from the first call of every start, and nothing lost.
    pub complete: bool,
    /// Events and calls known to be lost.
    pub lost: u64,
}

/// One row of `show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyscallView {
    /// Calling convention.
    pub abi: Abi,
    /// Number within it; -1 for all that is outside the table.
    pub nr: SyscallNr,
    /// The kernel's name, or `unknown_NNN`.
    pub name: Cow<'static, str>,
    /// Calls that reached the kernel under a filter.
    pub calls: u64,
    /// Calls by tasks without a filter.
    pub unfiltered_calls: u64,
    /// Calls under a filter that returned an error.
    pub errors: u64,
    /// Calls by tasks without a filter that did.
    #[serde(default)]
    pub unfiltered_errors: u64,
    /// Calls that a filter refused.
    pub denied: u64,
    /// What the declared profile says about the call.
    pub verdict: VerdictKind,
    /// The action for a denied or conditional call, for example `SCMP_ACT_ERRNO`.
    pub action: Option<Cow<'static, str>>,
    /// The errno that goes with it.
    pub errno: Option<u16>,
    /// When a counter of this call first grew (to the daemon's polling interval).
    pub first_seen: Option<jiff::Timestamp>,
    /// When it last did.
    pub last_seen: Option<jiff::Timestamp>,
}

/// What a profile says about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictKind {
    /// Whatever its arguments.
    Allowed,
    /// For some arguments, or when a supervisor says so.
    Conditional,
    /// Never.
    Denied,
    /// No readable profile.
    Unknown,
}

/// A running container under the default profile, for tests to vary.
#[cfg(test)]
pub(crate) fn sample(id: &str, image: &str) -> ContainerView {
    ContainerView {
        id: id.to_owned(),
        name: Some(format!("name-{}", id.get(..4).unwrap_or(id))),
        image: Some(image.to_owned()),
        service: None,
        state: Some("running".to_owned()),
        profile: ProfileView {
            kind: ProfileKind::Default,
            source: ProfileSource::Bundle,
            sha256: Some("5e".repeat(32)),
            default_action: Some("SCMP_ACT_ERRNO".to_owned()),
            default_errno: Some(1),
        },
        effective: EffectiveView {
            mode: EffectiveMode::Filter,
            filters: Some(1),
            matches_declared: Some(true),
            reasons: Vec::new(),
        },
        allowed: Some(334),
        conditional: Some(4),
        denied: Some(46),
        used: 2,
        unused: Some(332),
        denials: 0,
        window: WindowView { since: "2026-11-23T19:00:00Z".parse().ok(), starts: 1, complete: true, lost: 0 },
        syscalls: None,
        arguments: None,
        last_denials: None,
    }
}
