//! Containers whose default profile is not the one that the engine gives today.
//!
//! A container keeps the filter that it was started with. With live-restore the engine may be restarted under it, with
//! another default or as another version. Docker does not tell the text of its default, so what tells is either the
//! engine's own word for it, then and now, or the profile of a container that was started later.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::record::Record;
use crate::container::ContainerId;
use crate::docker::{Engine, SeccompOpt};

/// The containers that would get another default profile if they were started again.
pub fn default_replaced<'a>(
    records: impl Iterator<Item = &'a Record>,
    engine: Option<&Engine>,
) -> BTreeSet<ContainerId> {
    let mut replaced = BTreeSet::new();
    // The engine resolves its default by capabilities: only containers with the same ones can be compared.
    let mut alike: BTreeMap<&[String], Vec<(Timestamp, &str, ContainerId)>> = BTreeMap::new();
    for record in records.filter(|record| record.is_live() && has_default(record)) {
        let said = |engine: Option<&Engine>| engine.and_then(Engine::seccomp_default).map(str::to_owned);
        let (then, now) = (said(record.engine_then.as_ref()), said(engine));
        if then.is_some() && now.is_some() && then != now {
            replaced.insert(record.id());
        }
        let started = record.container.as_ref().and_then(|container| container.started_at);
        if let (Some(active), Some(started)) = (record.declared.active(), started) {
            alike.entry(&active.capabilities).or_default().push((started, &active.sha256, record.id()));
        }
    }
    for containers in alike.values() {
        let Some((newest, today, _)) = containers.iter().max() else { continue };
        let older = containers.iter().filter(|(started, sha256, _)| started < newest && sha256 != today);
        replaced.extend(older.map(|(_, _, id)| *id));
    }
    replaced
}

/// Started with whatever the engine's default was.
fn has_default(record: &Record) -> bool {
    let Some(container) = record.container.as_ref() else { return false };
    container.privileged == Some(false) && container.seccomp_opt() == Some(SeccompOpt::Unspecified)
}
