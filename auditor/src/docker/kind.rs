//! What kind of profile a container runs under, from all that is said about it.
//!
//! The bundle knows what was declared to the runtime; the engine knows why. Neither alone can tell "default" from a
//! default that the administrator replaced for the whole engine.

use super::{Container, Engine, SeccompOpt};
use crate::report::view::ProfileKind;

/// What the container's OCI bundle says about seccomp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundled {
    /// It has a profile.
    Profile,
    /// It was read and has none.
    NoProfile,
    /// It was not read.
    Unread,
}

/// What an engine gives to containers that ask for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EngineDefault {
    Builtin,
    Replaced,
    Unconfined,
    Unknown,
}

/// Decides the kind of a container's declared profile. Follows `WithSeccomp` in moby's daemon/seccomp_linux.go, and
/// believes the bundle where the two disagree.
#[must_use]
pub fn profile_kind(container: Option<&Container>, engine: Option<&Engine>, bundled: Bundled) -> ProfileKind {
    let privileged = container.and_then(|container| container.privileged);
    let asked = container.and_then(Container::seccomp_opt);
    match (bundled, asked) {
        (Bundled::NoProfile, _) if privileged == Some(true) => ProfileKind::Privileged,
        // Also an engine on a kernel without seccomp, whatever was asked for.
        (Bundled::NoProfile, _) => ProfileKind::Unconfined,
        // Also a privileged container: Docker 23 and newer honour an explicit profile there.
        (Bundled::Profile, Some(SeccompOpt::Profile(_))) => ProfileKind::Custom,
        // Not the engine's doing: a runtime or a hook put it there.
        (Bundled::Profile, Some(SeccompOpt::Unconfined)) => ProfileKind::Custom,
        (Bundled::Profile, Some(SeccompOpt::Builtin)) => ProfileKind::Default,
        (Bundled::Profile, Some(SeccompOpt::Unspecified)) if privileged == Some(true) => ProfileKind::Custom,
        (Bundled::Profile, Some(SeccompOpt::Unspecified)) => match engine_default(engine) {
            EngineDefault::Builtin => ProfileKind::Default,
            EngineDefault::Replaced => ProfileKind::Custom,
            // With live-restore the container may come from before the engine was told so.
            EngineDefault::Unconfined | EngineDefault::Unknown => ProfileKind::Unknown,
        },
        (Bundled::Profile | Bundled::Unread, None) => ProfileKind::Unknown,
        (Bundled::Unread, Some(SeccompOpt::Unconfined)) => match privileged {
            Some(true) => ProfileKind::Privileged,
            _ => ProfileKind::Unconfined,
        },
        // Older engines ignore a profile on a privileged container, newer ones do not: only the bundle can tell.
        (Bundled::Unread, Some(SeccompOpt::Profile(_) | SeccompOpt::Builtin)) if privileged == Some(true) => {
            ProfileKind::Unknown
        }
        (Bundled::Unread, Some(SeccompOpt::Profile(_))) => ProfileKind::Custom,
        (Bundled::Unread, Some(SeccompOpt::Builtin)) => ProfileKind::Default,
        (Bundled::Unread, Some(SeccompOpt::Unspecified)) if privileged == Some(true) => ProfileKind::Privileged,
        (Bundled::Unread, Some(SeccompOpt::Unspecified)) => match engine_default(engine) {
            EngineDefault::Builtin => ProfileKind::Default,
            EngineDefault::Replaced => ProfileKind::Custom,
            EngineDefault::Unconfined => ProfileKind::Unconfined,
            EngineDefault::Unknown => ProfileKind::Unknown,
        },
    }
}

fn engine_default(engine: Option<&Engine>) -> EngineDefault {
    match engine.and_then(Engine::seccomp_default) {
        None => EngineDefault::Unknown,
        Some("unconfined") => EngineDefault::Unconfined,
        Some("builtin") => EngineDefault::Builtin,
        Some(_) => EngineDefault::Replaced,
    }
}

impl Engine {
    /// What it calls the profile of containers that ask for nothing: `builtin`, `unconfined`, or the path of its own
    /// `--seccomp-profile`. `None`: it does not say.
    ///
    /// Reads `name=seccomp,profile=...` of `docker info`. Docker 20 says `default` for its own profile, later ones
    /// `builtin`. No such line: the kernel has no seccomp.
    #[must_use]
    pub fn seccomp_default(&self) -> Option<&str> {
        if self.security_options.is_empty() {
            return None;
        }
        let line = self.security_options.iter().find_map(|option| option.strip_prefix("name=seccomp"));
        match line.map(|rest| rest.strip_prefix(",profile=").unwrap_or("")) {
            None => Some("unconfined"),
            Some("default" | "builtin") => Some("builtin"),
            // Engines before 1.13 did not name it.
            Some("") => None,
            Some(other) => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::ContainerId;

    fn container(privileged: bool, options: &[&str]) -> Container {
        let mut container = Container::unknown(ContainerId::parse(&"ab".repeat(32)).unwrap());
        container.privileged = Some(privileged);
        container.security_opt = Some(options.iter().map(|&option| option.to_owned()).collect());
        container
    }

    fn engine(profile: &str) -> Engine {
        let security_options = vec!["name=apparmor".to_owned(), format!("name=seccomp,profile={profile}")];
        Engine { security_options, ..Engine::default() }
    }

    #[test]
    fn each_way_to_start_a_container_has_its_kind() {
        use Bundled::{NoProfile, Profile, Unread};
        use ProfileKind::{Custom, Default, Privileged, Unconfined, Unknown};
        let plain: &[&str] = &[];
        // privileged, options, engine's default, bundle -> kind
        let rows = [
            (false, plain, "default", Profile, Default),
            (false, plain, "builtin", Profile, Default),
            (false, plain, "default", Unread, Default),
            (false, plain, "default", NoProfile, Unconfined),
            (false, plain, "/etc/docker/seccomp.json", Profile, Custom),
            (false, plain, "/etc/docker/seccomp.json", Unread, Custom),
            (false, plain, "unconfined", NoProfile, Unconfined),
            (false, plain, "unconfined", Unread, Unconfined),
            (false, plain, "unconfined", Profile, Unknown),
            (false, &["seccomp=builtin"], "/etc/docker/seccomp.json", Profile, Default),
            (false, &["seccomp={}"], "default", Profile, Custom),
            (false, &["seccomp={}"], "default", Unread, Custom),
            (false, &["seccomp=unconfined"], "default", NoProfile, Unconfined),
            (false, &["seccomp:unconfined"], "default", Unread, Unconfined),
            (false, &["seccomp=unconfined"], "default", Profile, Custom),
            (true, plain, "default", NoProfile, Privileged),
            (true, plain, "default", Unread, Privileged),
            (true, &["seccomp=unconfined"], "default", Unread, Privileged),
            (true, &["seccomp={}"], "default", NoProfile, Privileged),
            (true, &["seccomp={}"], "default", Profile, Custom),
            (true, &["seccomp={}"], "default", Unread, Unknown),
        ];
        for (privileged, options, default, bundled, wanted) in rows {
            let kind = profile_kind(Some(&container(privileged, options)), Some(&engine(default)), bundled);
            assert_eq!(kind, wanted, "privileged {privileged}, {options:?}, engine {default}, {bundled:?}");
        }
    }

    #[test]
    fn nothing_known_is_unknown_and_never_default() {
        assert_eq!(profile_kind(None, None, Bundled::Unread), ProfileKind::Unknown);
        assert_eq!(profile_kind(None, Some(&engine("default")), Bundled::Profile), ProfileKind::Unknown);
        assert_eq!(profile_kind(None, None, Bundled::NoProfile), ProfileKind::Unconfined);
        let plain = container(false, &[]);
        assert_eq!(profile_kind(Some(&plain), None, Bundled::Profile), ProfileKind::Unknown);
        assert_eq!(profile_kind(Some(&plain), Some(&Engine::default()), Bundled::Unread), ProfileKind::Unknown);
    }
}
