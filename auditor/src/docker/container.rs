//! One container as the engine describes it, in three degrees of detail: its events, the list, the inspection.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Hint;
use crate::container::ContainerId;
pub(super) use crate::evidence::capped;
use crate::evidence::short_line;

/// The label that Docker Compose puts its service's name in.
const SERVICE_LABEL: &str = "com.docker.compose.service";
/// And the one for its project's.
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// One container as the engine describes it. `None`: the engine has not said (yet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// Its name, without the leading slash.
    pub name: Option<String>,
    /// The image as the user named it.
    pub image: Option<String>,
    /// The image's content id (`sha256:...`).
    pub image_id: Option<String>,
    /// Compose service.
    pub service: Option<String>,
    /// Compose project and service, as `project/service`.
    pub compose_service: Option<String>,
    /// What it runs: entry point and arguments.
    pub command: Option<Vec<String>>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub state: Option<String>,
    /// Its first process, in the engine's pid namespace, while it runs.
    pub pid: Option<u32>,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// `--privileged`.
    pub privileged: Option<bool>,
    /// `--security-opt`, as the engine keeps it: a profile's file is here as its text. Not kept: it may be long.
    #[serde(skip)]
    pub security_opt: Option<Vec<String>>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
    /// The runtime's name, for example `runc`.
    pub runtime: Option<String>,
    /// `--rm`.
    pub auto_remove: Option<bool>,
}

/// What `--security-opt seccomp=...` asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeccompOpt<'a> {
    /// Nothing: the engine's default, whatever that is.
    Unspecified,
    /// `unconfined`.
    Unconfined,
    /// `builtin`: the default that comes with the engine, even where the engine's own default is another (Docker 23+).
    Builtin,
    /// A profile's text, in Docker's format.
    Profile(&'a str),
}

impl Container {
    /// A container of which only the id is known.
    #[must_use]
    pub const fn unknown(id: ContainerId) -> Self {
        Self {
            id,
            name: None,
            image: None,
            image_id: None,
            service: None,
            compose_service: None,
            command: None,
            state: None,
            pid: None,
            started_at: None,
            privileged: None,
            security_opt: None,
            cgroup_parent: None,
            runtime: None,
            auto_remove: None,
        }
    }

    /// What was asked for about seccomp; `None` before the inspection. The last of several wins, as in Docker
    /// (`parseSecurityOpt` in moby's daemon/daemon_unix.go); `seccomp:` is the old spelling of `seccomp=`.
    #[must_use]
    pub fn seccomp_opt(&self) -> Option<SeccompOpt<'_>> {
        let asked = self.security_opt.as_ref()?.iter().rev().find_map(|option| {
            let rest = option.strip_prefix("seccomp")?;
            rest.strip_prefix(['=', ':'])
        });
        Some(match asked {
            None | Some("") => SeccompOpt::Unspecified,
            Some("unconfined") => SeccompOpt::Unconfined,
            Some("builtin") => SeccompOpt::Builtin,
            Some(text) => SeccompOpt::Profile(text),
        })
    }

    pub(super) fn from_summary(summary: ContainerSummary) -> Option<Self> {
        let id = ContainerId::parse(&summary.id?).ok()?;
        // A container that others link to has their names for it too, with more slashes in them.
        let names = summary.names.unwrap_or_default();
        let name = names.iter().find_map(|name| name.strip_prefix('/').filter(|rest| !rest.contains('/')));
        Some(Self {
            name: name.map(capped),
            image: summary.image.as_deref().and_then(said),
            image_id: summary.image_id.as_deref().and_then(said),
            service: summary.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)).and_then(|text| said(text)),
            state: summary.state.and_then(|state| said(state.as_ref())),
            ..Self::unknown(id)
        })
    }

    pub(super) fn from_inspect(id: ContainerId, answer: ContainerInspectResponse) -> Self {
        let state = answer.state.unwrap_or_default();
        let config = answer.config.unwrap_or_default();
        let (privileged, security_opt, host) = match answer.host_config {
            // `SecurityOpt` is null where there is none.
            Some(mut host) => (host.privileged, Some(host.security_opt.take().unwrap_or_default()), host),
            None => (None, None, Default::default()),
        };
        Self {
            id,
            compose_service: config.labels.as_ref().and_then(compose_service),
            command: answer
                .path
                .filter(|path| !path.is_empty())
                .map(|path| short_line(std::iter::once(path).chain(answer.args.unwrap_or_default()).collect())),
            name: answer.name.as_deref().and_then(|name| said(name.trim_start_matches('/'))),
            image: config.image.as_deref().and_then(said),
            image_id: answer.image.as_deref().and_then(said),
            service: config.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)).and_then(|text| said(text)),
            state: state.status.and_then(|status| said(status.as_ref())),
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            // Never started is the year 1.
            started_at: state
                .started_at
                .and_then(|text| text.parse::<Timestamp>().ok())
                .filter(|time| *time > Timestamp::UNIX_EPOCH),
            privileged,
            security_opt,
            cgroup_parent: host.cgroup_parent.as_deref().and_then(said),
            runtime: host.runtime.as_deref().and_then(said),
            auto_remove: host.auto_remove,
        }
    }

    /// Takes in what an event says. Returns whether that was new.
    pub(super) fn take_hint(&mut self, hint: Hint) -> bool {
        let before = (self.name.clone(), self.image.clone(), self.service.clone(), self.state.clone());
        self.name = hint.name.or(self.name.take());
        self.image = hint.image.or(self.image.take());
        self.service = hint.service.or(self.service.take());
        if let Some(state) = hint.state {
            self.state = Some(state.to_owned());
            if state == "exited" {
                self.pid = None;
            }
        }
        before != (self.name.clone(), self.image.clone(), self.service.clone(), self.state.clone())
    }
}

impl Hint {
    pub(super) fn from_attributes(state: Option<&'static str>, attribute: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| attribute(name).as_deref().and_then(said);
        Self { name: said("name"), image: said("image"), service: said(SERVICE_LABEL), state }
    }
}

fn compose_service(labels: &HashMap<String, String>) -> Option<String> {
    let label = |name| labels.get(name).and_then(|text| said(text));
    Some(format!("{}/{}", label(PROJECT_LABEL)?, label(SERVICE_LABEL)?))
}

/// A text with a limit; the empty one says nothing.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| capped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn inspected(json: serde_json::Value) -> Container {
        Container::from_inspect(ContainerId::parse(ID).unwrap(), serde_json::from_value(json).unwrap())
    }

    #[test]
    fn inspection_tells_all() {
        let container = inspected(serde_json::json!({
            "Id": ID, "Name": "/web", "Image": "sha256:ab", "Path": "nginx", "Args": ["-g", "daemon off;"],
            "State": {"Status": "running", "Pid": 4711, "StartedAt": "2026-11-23T10:00:00.123456789Z"},
            "HostConfig": {"Privileged": false, "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
                           "CgroupParent": "/pods", "Runtime": "crun", "AutoRemove": true},
            "Config": {"Image": "nginx:1", "Labels": {"com.docker.compose.service": "front",
                                                      "com.docker.compose.project": "shop"}},
        }));
        assert_eq!(container.name.as_deref(), Some("web"));
        assert_eq!(container.image.as_deref(), Some("nginx:1"));
        assert_eq!(container.image_id.as_deref(), Some("sha256:ab"));
        assert_eq!(container.service.as_deref(), Some("front"));
        assert_eq!(container.compose_service.as_deref(), Some("shop/front"));
        assert_eq!(container.command.as_ref().unwrap(), &["nginx", "-g", "daemon off;"]);
        assert_eq!(container.state.as_deref(), Some("running"));
        assert_eq!(container.pid, Some(4711));
        assert_eq!(container.started_at.unwrap().to_string(), "2026-11-23T10:00:00.123456789Z");
        assert_eq!(container.privileged, Some(false));
        assert_eq!(container.seccomp_opt(), Some(SeccompOpt::Unconfined));
        assert_eq!(container.cgroup_parent.as_deref(), Some("/pods"));
        assert_eq!(container.runtime.as_deref(), Some("crun"));
        assert_eq!(container.auto_remove, Some(true));
    }

    #[test]
    fn what_the_engine_leaves_out_stays_unknown() {
        let nothing = inspected(serde_json::json!({}));
        assert_eq!(nothing, Container::unknown(nothing.id));
        assert_eq!(nothing.seccomp_opt(), None);
        let created = inspected(serde_json::json!({
            "State": {"Status": "created", "Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"},
            "HostConfig": {"Privileged": true, "SecurityOpt": null, "CgroupParent": ""},
        }));
        assert_eq!((created.pid, created.started_at, created.cgroup_parent.clone()), (None, None, None));
        assert_eq!(created.seccomp_opt(), Some(SeccompOpt::Unspecified));
    }

    #[test]
    fn last_seccomp_option_wins_in_both_spellings() {
        let rows: [(&[&str], SeccompOpt<'_>); 7] = [
            (&[], SeccompOpt::Unspecified),
            (&["apparmor=seccomp=unconfined", "label=disable"], SeccompOpt::Unspecified),
            (&["seccomp:unconfined"], SeccompOpt::Unconfined),
            (&["seccomp=builtin"], SeccompOpt::Builtin),
            (&["seccomp={\"a\":1}"], SeccompOpt::Profile("{\"a\":1}")),
            (&["seccomp=unconfined", "seccomp={}"], SeccompOpt::Profile("{}")),
            (&["seccomp={}", "seccomp=unconfined", "no-new-privileges:true"], SeccompOpt::Unconfined),
        ];
        for (options, wanted) in rows {
            let mut container = Container::unknown(ContainerId::parse(ID).unwrap());
            container.security_opt = Some(options.iter().map(|&option| option.to_owned()).collect());
            assert_eq!(container.seccomp_opt(), Some(wanted), "{options:?}");
        }
    }

    #[test]
    fn listed_name_is_its_own_and_not_a_link_s() {
        let summary = serde_json::json!({
            "Id": ID, "Names": ["/other/alias", "/db"], "Image": "postgres", "State": "exited",
        });
        let container = Container::from_summary(serde_json::from_value(summary).unwrap()).unwrap();
        assert_eq!((container.name.as_deref(), container.state.as_deref()), (Some("db"), Some("exited")));
        assert_eq!(container.security_opt, None);
        let nameless = serde_json::json!({"Id": "short"});
        assert_eq!(Container::from_summary(serde_json::from_value(nameless).unwrap()), None);
    }
}
