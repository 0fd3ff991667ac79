//! One connection to the engine: what is known during it, and the requests under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::{Change, End, Pace, Unheard, engine_time};
use crate::container::ContainerId;
use crate::docker::{Action, Container, Docker, DockerError, Event, EventError, Hint};

/// Inspections under way at once: enough to keep up, too few to burden the engine.
const INSPECTIONS: usize = 8;

/// An answer to one of the requests under way.
enum Answer {
    Ping(Result<(), DockerError>),
    List(Result<Vec<Container>, DockerError>),
    Inspection(ContainerId, Result<Box<Container>, DockerError>),
}

/// What is known during one connection.
pub(super) struct Session<'a> {
    docker: Docker,
    pace: Pace,
    changes: &'a Sender<Change>,
    resume: &'a mut Option<String>,
    /// As last told, or as the events say.
    known: BTreeMap<ContainerId, Container>,
    /// Being inspected; true: something happened meanwhile, so once more.
    inspecting: HashMap<ContainerId, bool>,
    /// Of which nothing was told yet.
    untold: BTreeSet<ContainerId>,
    answers: JoinSet<Answer>,
    permits: Arc<Semaphore>,
}

impl<'a> Session<'a> {
    pub(super) fn new(docker: Docker, pace: Pace, changes: &'a Sender<Change>, resume: &'a mut Option<String>) -> Self {
        Self {
            docker,
            pace,
            changes,
            resume,
            known: BTreeMap::new(),
            inspecting: HashMap::new(),
            untold: BTreeSet::new(),
            answers: JoinSet::new(),
            permits: Arc::new(Semaphore::new(INSPECTIONS)),
        }
    }

    pub(super) async fn tell(&self, change: Change) -> Result<(), Unheard> {
        self.changes.send(change).await.map_err(|_| Unheard)
    }

    pub(super) async fn list_and_inspect(&mut self) -> Result<Vec<Container>, End> {
        let failed = |error: DockerError| End::Failed(error.to_string());
        for container in self.docker.list().await.map_err(failed)? {
            let id = container.id;
            self.known.insert(id, container);
            self.inspect(id);
        }
        let mut lost = 0;
        while let Some(answer) = self.answers.join_next().await {
            let Ok(Answer::Inspection(id, answer)) = answer else { continue };
            self.inspecting.remove(&id);
            match answer {
                Ok(container) => drop(self.known.insert(id, *container)),
                Err(DockerError::NoContainer { .. }) => drop(self.known.remove(&id)),
                // One container that cannot be read must not hide the others: what the list said of it remains.
                Err(DockerError::Other { .. }) => lost += 1,
                // An engine may hang on one container and answer for all others.
                Err(DockerError::Deadline { .. }) => {
                    self.docker.ping(self.pace.ping_deadline).await.map_err(failed)?;
                    lost += 1;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        if lost > 0 {
            self.tell(Change::Lost(lost)).await?;
        }
        Ok(self.known.values().cloned().collect())
    }

    fn inspect(&mut self, id: ContainerId) {
        if let Some(again) = self.inspecting.get_mut(&id) {
            *again = true;
            return;
        }
        self.inspecting.insert(id, false);
        let (docker, permits) = (self.docker.clone(), Arc::clone(&self.permits));
        self.answers.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await;
            Answer::Inspection(id, docker.inspect(id).await.map(Box::new))
        });
    }

    /// Passes on what happens, until the engine or the listener is gone.
    pub(super) async fn follow(mut self, mut events: Receiver<Result<Event, EventError>>) -> Result<End, End> {
        let pace = self.pace;
        let mut ping = interval_at(Instant::now() + pace.ping_every, pace.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resync = pin!(sleep(pace.resync_every));
        let mut pinging = false;
        let mut listing = false;
        let mut suspects = BTreeSet::new();
        loop {
            tokio::select! {
                () = self.changes.closed() => return Ok(End::Unheard),
                event = events.recv() => match event {
                    Some(Ok(event)) => self.happened(event).await?,
                    Some(Err(EventError::Undecodable(_))) => {
                        // The client library gives up its stream at what it cannot read; go on after it.
                        *self.resume = Some(engine_time(Timestamp::now().as_nanosecond()));
                        self.tell(Change::Lost(1)).await?;
                        return Ok(End::Resubscribe);
                    }
                    Some(Err(EventError::Stream(error))) => return Err(End::Failed(error.to_string())),
                    None => {
                        let host = self.docker.host();
                        return Err(End::Failed(format!("docker engine at {host}: closed its event stream")));
                    }
                },
                Some(answer) = self.answers.join_next() => match answer {
                    Ok(Answer::Ping(result)) => {
                        pinging = false;
                        result.map_err(|error| End::Failed(error.to_string()))?;
                    }
                    Ok(Answer::Inspection(id, answer)) => self.inspected(id, answer).await?,
                    Ok(Answer::List(list)) => {
                        listing = false;
                        let differing = self.differing(&list.map_err(|error| End::Failed(error.to_string()))?);
                        // An event may be under way; twice the same difference is one that never came.
                        if suspects.intersection(&differing).next().is_some() {
                            return Ok(End::Resubscribe);
                        }
                        let pause = if differing.is_empty() { pace.resync_every } else { pace.ping_every };
                        suspects = differing;
                        resync.as_mut().reset(Instant::now() + pause);
                    }
                    // Cut off or panicked: nobody does either to these tasks.
                    Err(_) => return Ok(End::Resubscribe),
                },
                _ = ping.tick(), if !pinging => {
                    pinging = true;
                    let docker = self.docker.clone();
                    self.answers.spawn(async move { Answer::Ping(docker.ping(pace.ping_deadline).await) });
                }
                () = &mut resync, if !listing => {
                    listing = true;
                    let docker = self.docker.clone();
                    self.answers.spawn(async move { Answer::List(docker.list().await) });
                }
            }
        }
    }

    async fn happened(&mut self, event: Event) -> Result<(), Unheard> {
        let Event { id, action, time_nano, hint } = event;
        if let Some(time) = time_nano {
            *self.resume = Some(engine_time(i128::from(time)));
        }
        match action {
            Action::Ignored => {}
            Action::Changed => {
                self.note(id, hint);
                self.inspect(id);
            }
            Action::Removed => {
                self.note(id, hint);
                self.inspecting.remove(&id);
                // What its events told is all that anybody will know of a container that lived for 50 ms.
                self.tell_untold(id).await?;
                self.known.remove(&id);
                self.tell(Change::Removed(id)).await?;
            }
        }
        Ok(())
    }

    fn note(&mut self, id: ContainerId, hint: Hint) {
        let container = self.known.entry(id).or_insert_with(|| Container::unknown(id));
        if container.take_hint(hint) {
            self.untold.insert(id);
        }
    }

    async fn tell_untold(&mut self, id: ContainerId) -> Result<(), Unheard> {
        if self.untold.remove(&id)
            && let Some(container) = self.known.get(&id)
        {
            self.tell(Change::Updated(container.clone())).await?;
        }
        Ok(())
    }

    async fn inspected(&mut self, id: ContainerId, answer: Result<Box<Container>, DockerError>) -> Result<(), End> {
        // Removed meanwhile: the answer is older than that.
        let Some(again) = self.inspecting.remove(&id) else { return Ok(()) };
        match answer {
            Ok(container) => {
                if self.untold.remove(&id) || self.known.get(&id) != Some(&*container) {
                    self.known.insert(id, Container::clone(&container));
                    self.tell(Change::Updated(*container)).await?;
                }
            }
            // Its removal is under way; the event will say so.
            Err(DockerError::NoContainer { .. }) => self.tell_untold(id).await?,
            Err(DockerError::Other { .. } | DockerError::Deadline { .. }) => {
                self.tell_untold(id).await?;
                self.tell(Change::Lost(1)).await?;
            }
            Err(error) => return Err(End::Failed(error.to_string())),
        }
        if again {
            self.inspect(id);
        }
        Ok(())
    }

    /// Containers that the engine's list and the events do not agree about.
    fn differing(&self, list: &[Container]) -> BTreeSet<ContainerId> {
        let listed: BTreeMap<_, _> = list.iter().map(|container| (container.id, container)).collect();
        let gone = self.known.keys().filter(|id| !listed.contains_key(id));
        let other = list.iter().filter(|listed| {
            self.known.get(&listed.id).is_none_or(|known| known.name != listed.name || known.state != listed.state)
        });
        gone.copied().chain(other.map(|container| container.id)).collect()
    }
}
