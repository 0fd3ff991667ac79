//! A container's declared profile, from its bundle: parsed, evaluated, and held against what the kernel enforces.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Weak};

use sha2::{Digest as _, Sha256};

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
    Profile(Arc<Active>),
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

/// The profiles that containers have, each once: a thousand containers under the engine's default share it.
#[derive(Debug, Default)]
pub struct Profiles {
    known: BTreeMap<Key, Weak<Active>>,
}

/// All that an [`Active`] is made from: the digest of the text, who makes a filter of it, and the bounding set.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    text: [u8; 32],
    runtime: Runtime,
    capabilities: Vec<String>,
}

impl Profiles {
    /// Takes what a bundle says. The second value is what is wrong with its profile.
    pub fn of_bundle(&mut self, bundle: &Bundle, runtime: Runtime) -> (Declared, Option<String>) {
        let Some(json) = &bundle.seccomp else { return (Declared::NoProfile, None) };
        let text = Sha256::digest(json).into();
        let key = Key { text, runtime, capabilities: bundle.capabilities.bounding.clone() };
        if let Some(active) = self.known.get(&key).and_then(Weak::upgrade) {
            return (Declared::Profile(active), None);
        }
        let (declared, wrong) = Declared::of_bundle(json, &bundle.capabilities.bounding, runtime);
        if let Declared::Profile(active) = &declared {
            self.known.retain(|_, known| known.strong_count() > 0);
            self.known.insert(key, Arc::downgrade(active));
        }
        (declared, wrong)
    }
}

impl Declared {
    fn of_bundle(json: &[u8], bounding: &[String], runtime: Runtime) -> (Self, Option<String>) {
        match oci::parse_seccomp(json) {
            Ok(profile) => {
                let policy = profile.evaluate(HostArch::NATIVE.with(runtime));
                let sha256 = profile.sha256();
                let mut capabilities = bounding.to_vec();
                capabilities.sort_unstable();
                (Self::Profile(Arc::new(Active { profile, policy, sha256, capabilities })), None)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::hostile;

    fn bundle(errno: u32, capability: &str) -> Bundle {
        let config = serde_json::json!({
            "ociVersion": "1.0.2",
            "process": { "capabilities": { "bounding": [capability] } },
            "linux": { "seccomp": { "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno } },
        });
        hostile::bundle(config.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_the_same_is_there_once_and_no_longer_than_somebody_has_it() {
        let mut profiles = Profiles::default();
        let mut active = |bundle: &Bundle, runtime| match profiles.of_bundle(bundle, runtime) {
            (Declared::Profile(active), None) => active,
            other => panic!("{other:?}"),
        };
        let first = active(&bundle(1, "CAP_CHOWN"), Runtime::Runc);
        assert!(Arc::ptr_eq(&first, &active(&bundle(1, "CAP_CHOWN"), Runtime::Runc)));
        for (bundle, runtime) in [
            (bundle(2, "CAP_CHOWN"), Runtime::Runc),
            (bundle(1, "CAP_KILL"), Runtime::Runc),
            (bundle(1, "CAP_CHOWN"), Runtime::Crun),
        ] {
            let other = active(&bundle, runtime);
            assert!(!Arc::ptr_eq(&first, &other));
            assert_eq!(other.capabilities, bundle.capabilities.bounding);
        }
        // Of the others nobody has one any more.
        drop(active(&bundle(3, "CAP_CHOWN"), Runtime::Runc));
        assert_eq!(profiles.known.len(), 2);
    }
}
