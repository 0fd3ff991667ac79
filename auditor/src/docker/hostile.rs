//! Bytes in place of the engine's answers, for tests that throw bytes at what reads them.

use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage};

use super::container::Container;
use super::event::Event;
use crate::container::ContainerId;

/// What these bytes say as an event, as an item of the list, and as an inspection: the containers that come of it.
#[doc(hidden)]
#[must_use]
pub fn read_answer(bytes: &[u8]) -> Vec<Container> {
    let mut containers = Vec::new();
    let event =
        serde_json::from_slice::<EventMessage>(bytes).ok().and_then(|message| Event::from_message(message).ok());
    if let Some(event) = event {
        let mut container = Container::unknown(event.id);
        container.take_hint(event.hint);
        containers.push(container);
    }
    containers.extend(serde_json::from_slice::<ContainerSummary>(bytes).ok().and_then(Container::from_summary));
    if let (Ok(id), Ok(answer)) =
        (ContainerId::parse(&"ab".repeat(32)), serde_json::from_slice::<ContainerInspectResponse>(bytes))
    {
        containers.push(Container::from_inspect(id, answer));
    }
    containers
}
