//! The engine's events, as a closed set: what is not in it is one lost event, never a crash.

use bollard::models::{EventMessage, EventMessageTypeEnum};

use super::DockerError;
use crate::container::ContainerId;

/// The actions asked for. Health checks and `docker exec` make events by the dozen, and tell nothing of use here.
pub(super) const ACTIONS: [&str; 8] = ["create", "start", "die", "destroy", "rename", "update", "pause", "unpause"];

/// One event about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub id: ContainerId,
    /// What happened.
    pub action: Action,
    /// When, in nanoseconds since 1970 of the engine's clock.
    pub time_nano: Option<i64>,
    /// What it tells of the container: all there will ever be of one that is gone before it can be inspected.
    pub hint: Hint,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is there, and something about it changed.
    Changed,
    /// It was removed.
    Removed,
    /// Of no interest.
    Ignored,
}

/// What an event tells of its container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hint {
    /// Its name.
    pub name: Option<String>,
    /// The image as the user named it.
    pub image: Option<String>,
    /// Compose service.
    pub service: Option<String>,
    /// The state the action leads to.
    pub state: Option<&'static str>,
}

/// Why there is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It came and could not be understood: one event is lost, the next may be fine.
    #[error("event of the docker engine not understood: {0}")]
    Undecodable(String),
    /// There will be no more on this stream.
    #[error(transparent)]
    Stream(DockerError),
}

impl Event {
    pub(super) fn from_message(message: EventMessage) -> Result<Self, EventError> {
        let undecodable = |what: &str| EventError::Undecodable(what.to_owned());
        let mut actor = message.actor.unwrap_or_default();
        let id = actor.id.take().ok_or_else(|| undecodable("no actor id"))?;
        let id = ContainerId::parse(&id).map_err(|error| undecodable(&error.to_string()))?;
        if !matches!(message.typ, Some(EventMessageTypeEnum::CONTAINER)) {
            return Err(undecodable("not about a container"));
        }
        let action = message.action.ok_or_else(|| undecodable("no action"))?;
        let (action, state) = match action.as_str() {
            "create" => (Action::Changed, Some("created")),
            "start" | "unpause" => (Action::Changed, Some("running")),
            "die" => (Action::Changed, Some("exited")),
            "pause" => (Action::Changed, Some("paused")),
            "rename" | "update" => (Action::Changed, None),
            "destroy" => (Action::Removed, None),
            _ => (Action::Ignored, None),
        };
        // These are the labels too: nothing of them but the service is wanted.
        let attributes = actor.attributes.unwrap_or_default();
        let hint = Hint::from_attributes(state, |name| attributes.get(name).cloned());
        Ok(Self { id, action, time_nano: message.time_nano, hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn event(json: serde_json::Value) -> Result<Event, EventError> {
        Event::from_message(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn every_action_asked_for_is_known() {
        for name in ACTIONS {
            let event = event(serde_json::json!({"Type": "container", "Action": name, "Actor": {"ID": ID}})).unwrap();
            let wanted = if name == "destroy" { Action::Removed } else { Action::Changed };
            assert_eq!(event.action, wanted, "{name}");
        }
        for name in ["exec_start: sh -c true", "health_status: healthy", "top", "a new one"] {
            let event = event(serde_json::json!({"Type": "container", "Action": name, "Actor": {"ID": ID}})).unwrap();
            assert_eq!(event.action, Action::Ignored, "{name}");
        }
    }

    #[test]
    fn attributes_name_a_container_that_is_gone_already() {
        let event = event(serde_json::json!({
            "Type": "container", "Action": "start", "timeNano": 1_700_000_000_000_000_001_i64,
            "Actor": {"ID": ID, "Attributes": {
                "name": "web", "image": "nginx", "com.docker.compose.service": "front", "a": "label"}},
        }));
        let event = event.unwrap();
        assert_eq!(event.time_nano, Some(1_700_000_000_000_000_001));
        assert_eq!(event.hint.name.as_deref(), Some("web"));
        assert_eq!(event.hint.image.as_deref(), Some("nginx"));
        assert_eq!(event.hint.service.as_deref(), Some("front"));
        assert_eq!(event.hint.state, Some("running"));
    }

    #[test]
    fn event_about_something_else_or_nobody_is_a_lost_one() {
        for json in [
            serde_json::json!({}),
            serde_json::json!({"Type": "container", "Action": "start"}),
            serde_json::json!({"Type": "container", "Action": "start", "Actor": {"ID": "short"}}),
            serde_json::json!({"Type": "network", "Action": "connect", "Actor": {"ID": ID}}),
            serde_json::json!({"Type": "container", "Actor": {"ID": ID}}),
        ] {
            let text = json.to_string();
            assert!(matches!(event(json), Err(EventError::Undecodable(_))), "{text}");
        }
    }
}
