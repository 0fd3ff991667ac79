//! A container's declared profile, from its bundle: parsed, evaluated, and held against what the kernel enforces.

use std::sync::LazyLock;

use crate::bundle::Bundle;
use crate::denial::decision;
use crate::docker::{Bundled, Container, Engine, profile_kind};
use crate::kernel::AlwaysAllowed;
use crate::profile::{Action, HostArch, Policy, Profile, Runtime, oci};
use crate::report::view::{ProfileKind, ProfileSource, ProfileView};
use crate::syscall::{self, Abi};

/// What was declared to the runtime.
#[derive(Debug, Clone, Default)]
pub enum Declared {
    /// Nothing was read (yet).
    #[default]
    Unread,
    /// The bundle was read and has no profile.
    NoProfile,
    /// The bundle has a profile.
    Profile(Box<Active>),
    /// The bundle has a profile that cannot be read.
    Unreadable,
}

/// A profile and what it means here.
#[derive(Debug, Clone)]
pub struct Active {
    /// As declared.
    pub profile: Profile,
    /// Evaluated for this host.
    pub policy: Policy,
    /// Of its canonical OCI JSON, in hex.
    pub sha256: String,
    /// What its processes can ever be allowed (the bounding set), sorted: the engine resolves its default by them.
    pub capabilities: Vec<String>,
}

/// Calls that newer kernels let through whatever the filter says: they are made by code that the kernel itself put into
/// the program (`seccomp_uprobe_exception` in `kernel/seccomp.c`).
const NEVER_FILTERED: [&str; 2] = ["uretprobe", "uprobe"];

impl Declared {
    /// Takes what a bundle says. The second value is what is wrong with its profile.
    pub fn of_bundle(bundle: &Bundle, runtime: Runtime) -> (Self, Option<String>) {
        let Some(json) = &bundle.seccomp else { return (Self::NoProfile, None) };
        match oci::parse_seccomp(json) {
            Ok(profile) => {
                let policy = profile.evaluate(HostArch::NATIVE.with(runtime));
                let sha256 = profile.sha256();
                let mut capabilities = bundle.capabilities.bounding.clone();
                capabilities.sort_unstable();
                (Self::Profile(Box::new(Active { profile, policy, sha256, capabilities })), None)
            }
            Err(error) => (Self::Unreadable, Some(error.to_string())),
        }
    }

    /// The profile, where there is one and it was read.
    pub fn active(&self) -> Option<&Active> {
        match self {
            Self::Profile(active) => Some(active),
            _ => None,
        }
    }

    /// As refused calls are explained by it: where no profile was declared, nothing is refused by one.
    pub fn as_declared(&self) -> Option<decision::Declared<'_>> {
        static NONE: LazyLock<(Profile, Policy)> = LazyLock::new(|| {
            let profile = Profile {
                default_action: Action::Allow,
                default_errno: None,
                architectures: Vec::new(),
                flags: None,
                listener_path: None,
                listener_metadata: None,
                rules: Vec::new(),
            };
            (profile, Policy::unconfined(Abi::NATIVE))
        });
        match self {
            Self::Profile(active) => Some(decision::Declared { profile: &active.profile, policy: &active.policy }),
            Self::NoProfile => Some(decision::Declared { profile: &NONE.0, policy: &NONE.1 }),
            Self::Unread | Self::Unreadable => None,
        }
    }

    /// What people are told about it.
    pub fn view(&self, container: Option<&Container>, engine: Option<&Engine>) -> ProfileView {
        let bundled = match self {
            Self::Unread => Bundled::Unread,
            Self::NoProfile => Bundled::NoProfile,
            Self::Profile(_) | Self::Unreadable => Bundled::Profile,
        };
        let active = self.active();
        let default = active.map(|active| active.policy.default_decision());
        let kind = match self {
            Self::Unreadable => ProfileKind::Unknown,
            _ => profile_kind(container, engine, bundled),
        };
        ProfileView {
            kind,
            source: match self {
                Self::Unread if kind == ProfileKind::Unknown => ProfileSource::None,
                Self::Unread => ProfileSource::Inspect,
                _ => ProfileSource::Bundle,
            },
            sha256: active.map(|active| active.sha256.clone()),
            default_action: default.map(|default| default.action.as_str().to_owned()),
            default_errno: default.and_then(|default| default.errno),
        }
    }
}

impl Active {
    /// Whether the kernel lets the same calls through unasked as the profile says it should, on the native ABI and for
    /// all calls that have a name.
    pub fn matches(&self, kernel: &AlwaysAllowed) -> bool {
        let abi = self.policy.native();
        syscall::all(abi).filter(|(_, name)| !NEVER_FILTERED.contains(name)).all(|(nr, _)| {
            kernel.native.allows(nr).is_none_or(|allowed| allowed == self.policy.is_constant_allow(abi, nr))
        })
    }
}
