//! A daemon without a kernel, on the thread that asks it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use auditor::control::{Failure, FailureKind, Query, Source};
use auditor::report::snapshot::Snapshot;
use auditor::report::view::ContainerView;
use tokio::runtime::{Builder, Runtime};

/// One container, as a daemon has told of it.
const SHOWN: &str = include_str!("../../../auditor/tests/golden/show.json");

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    static SOURCE: OnceCell<Source> = const { OnceCell::new() };
}

/// Runs to the end on this thread.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|cell| {
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        cell.get_or_init(runtime).block_on(future)
    })
}

/// Asks a daemon that knows one container, and whose answers to rarer questions are refusals. For use within [`run`].
#[must_use]
pub fn source() -> Source {
    SOURCE.with(|cell| cell.get_or_init(start).clone())
}

fn start() -> Source {
    let mut containers: Vec<ContainerView> = serde_json::from_str(SHOWN).unwrap();
    for container in &mut containers {
        // A few rows are as good as all.
        container.syscalls.iter_mut().for_each(|rows| rows.truncate(4));
    }
    let snapshot = Arc::new(Snapshot { containers, ..Snapshot::default() });
    let (source, mut queries) = Source::new(64, Duration::from_secs(5));
    tokio::spawn(async move {
        let refusal = || Failure::new(FailureKind::NoProfile, "nobody knows");
        while let Some(query) = queries.recv().await {
            // An asker that went away does not matter.
            match query {
                Query::Snapshot { reply } => drop(reply.send(Arc::clone(&snapshot))),
                Query::Material { reply, .. } => drop(reply.send(Err(refusal()))),
                Query::Evidence { reply } => drop(reply.send(Vec::new())),
                Query::Forget { reply, .. } => drop(reply.send(())),
                Query::Denials { reply, .. } => drop(reply.send(Vec::new())),
                Query::Follow { reply, .. } => drop(reply.send(Vec::new())),
                Query::Filter { reply, .. } => drop(reply.send(Err(refusal()))),
            }
        }
    });
    source
}
