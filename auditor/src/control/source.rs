//! The handle by which the control socket and the web server ask the daemon's main loop.
//!
//! The queue is bounded and nobody waits in it for ever: a flood of scrapes or clients is refused, and the main loop
//! goes on counting. Those who ask for the state at one time get one answer, made after the last of them asked.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::control::{Failure, FailureKind, FollowItem};
use crate::evidence::Evidence;
use crate::profile::Profile;
use crate::report::denial::DenialView;
use crate::report::filter::FilterAnswer;
use crate::report::snapshot::Snapshot;
use crate::store::{Library, StoreError};
use crate::suggest::Material;

/// Those who may wait for the disk at one time: other work of the daemon waits for disks on the same threads.
const READERS: usize = 2;

/// A question to the daemon's main loop. An asker that went away has dropped its receiver: a failed send is no error.
#[derive(Debug)]
pub enum Query {
    /// The state now.
    Snapshot {
        /// Where the answer goes.
        reply: oneshot::Sender<Arc<Snapshot>>,
    },
    /// What a smaller profile is made from.
    Material {
        /// Whole ids of containers in the last snapshot, at least one; several where an image was named.
        containers: Vec<String>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Material, Failure>>,
    },
    /// What was seen of each container of which it is known what it runs.
    Evidence {
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<Live>>,
    },
    /// Forget starts that are over; what the store has of them is forgotten elsewhere.
    Forget {
        /// Ids of workloads; all where there are none.
        workloads: Option<BTreeSet<String>>,
        /// Starts that were counted last before then; all where there is no such time.
        before: Option<Timestamp>,
        /// Where the answer goes.
        reply: oneshot::Sender<()>,
    },
    /// Refused calls up to now.
    Denials {
        /// A whole id; all containers where there is none.
        container: Option<String>,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<DenialView>>,
    },
    /// Refused calls up to now, and those to come.
    Follow {
        /// Whose, and where they go.
        query: FollowQuery,
        /// Where the answer goes: those up to now.
        reply: oneshot::Sender<Vec<DenialView>>,
    },
    /// The filters of a container's tasks, read anew.
    Filter {
        /// The container's whole id.
        container: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<FilterAnswer, Failure>>,
    },
}

/// Whom to follow.
#[derive(Debug)]
pub struct FollowQuery {
    /// A whole id of a container in the last snapshot; all containers where there is none.
    pub container: Option<String>,
    /// Whether what is past is wanted too.
    pub backlog: bool,
    /// Where what comes goes.
    pub queue: mpsc::Sender<FollowItem>,
}

/// What was seen of one container since the daemon knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Start by start.
    pub evidence: Evidence,
    /// The profile that it runs under, and its SHA-256.
    pub profile: Option<(String, Profile)>,
    /// Whether it is counted now.
    pub runs: bool,
}

/// Why the main loop gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Too many questions wait already.
    #[error("the daemon has too many requests waiting")]
    Full,
    /// No answer in time.
    #[error("the daemon did not answer in time")]
    Late,
    /// The main loop has ended.
    #[error("the daemon is stopping")]
    Gone,
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::new(FailureKind::Busy, error.to_string())
    }
}

/// Asks the daemon's main loop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    queries: mpsc::Sender<Query>,
    deadline: Duration,
    latest: Arc<Mutex<Latest>>,
    library: Option<Library>,
    /// Those who may wait for the disk at one time.
    readers: Arc<Semaphore>,
}

/// The last snapshot, for as long as somebody uses it. Locked while one is being made.
#[derive(Debug, Default)]
struct Latest {
    asked: Option<Instant>,
    snapshot: Weak<Snapshot>,
}

impl Source {
    /// A source whose questions come out of the receiver; `waiting` of them may queue, each for `deadline` at most.
    #[must_use]
    pub fn new(waiting: usize, deadline: Duration) -> (Self, mpsc::Receiver<Query>) {
        let (queries, receiver) = mpsc::channel(waiting);
        let readers = Arc::new(Semaphore::new(READERS));
        (Self { queries, deadline, latest: Arc::default(), library: None, readers }, receiver)
    }

    /// The same with the evidence store, where there is one.
    #[must_use]
    pub fn with_library(self, library: Option<Library>) -> Self {
        Self { library, ..self }
    }

    /// Whether there is a store.
    #[must_use]
    pub const fn has_library(&self) -> bool {
        self.library.is_some()
    }

    /// Asks the store, on a thread that may wait for the disk. Without a store the answer is `None`.
    ///
    /// # Errors
    /// What the store says; [`FailureKind::Busy`] where too many wait already.
    pub async fn library<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Library) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let Some(library) = self.library.clone() else { return Ok(None) };
        let waited = timeout(self.deadline, Arc::clone(&self.readers).acquire_owned()).await;
        let Ok(Ok(permit)) = waited else { return Err(SourceError::Late.into()) };
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&library);
            drop(permit);
            answer
        });
        let internal = |text: String| Failure::new(FailureKind::Internal, text);
        match asked.await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error)) => Err(internal(error.to_string())),
            Err(error) => Err(internal(format!("reading the evidence store: {error}"))),
        }
    }

    /// What was seen of each container of which it is known what it runs.
    ///
    /// # Errors
    /// When the main loop is overrun, late or gone.
    pub async fn evidence(&self) -> Result<Vec<Live>, SourceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Evidence { reply }, answer).await
    }

    /// Has starts forgotten that are over, as [`Query::Forget`] says.
    ///
    /// # Errors
    /// When the main loop is overrun, late or gone.
    pub async fn forget(
        &self,
        workloads: Option<BTreeSet<String>>,
        before: Option<Timestamp>,
    ) -> Result<(), SourceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Forget { workloads, before, reply }, answer).await
    }

    /// The state now: never older than the question.
    ///
    /// # Errors
    /// When the main loop is overrun, late or gone.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, SourceError> {
        let began = Instant::now();
        timeout(self.deadline, self.snapshot_since(began)).await.unwrap_or(Err(SourceError::Late))
    }

    async fn snapshot_since(&self, began: Instant) -> Result<Arc<Snapshot>, SourceError> {
        let mut latest = self.latest.lock().await;
        if latest.asked.is_some_and(|asked| asked >= began)
            && let Some(snapshot) = latest.snapshot.upgrade()
        {
            return Ok(snapshot);
        }
        let asked = Instant::now();
        let (reply, answer) = oneshot::channel();
        let snapshot = self.ask(Query::Snapshot { reply }, answer).await?;
        *latest = Latest { asked: Some(asked), snapshot: Arc::downgrade(&snapshot) };
        Ok(snapshot)
    }

    /// What a smaller profile for these containers is made from.
    ///
    /// # Errors
    /// The daemon's own reason, or [`FailureKind::Busy`].
    pub async fn material(&self, containers: Vec<String>) -> Result<Material, Failure> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Material { containers, reply }, answer).await?
    }

    /// Refused calls up to now, of one container or of all.
    ///
    /// # Errors
    /// When the main loop is overrun, late or gone.
    pub async fn denials(&self, container: Option<String>) -> Result<Vec<DenialView>, SourceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Denials { container, reply }, answer).await
    }

    /// Refused calls up to now, and from now on those to come into the query's queue.
    ///
    /// # Errors
    /// As for [`Source::denials`].
    pub async fn follow(&self, query: FollowQuery) -> Result<Vec<DenialView>, SourceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Follow { query, reply }, answer).await
    }

    /// The filters of a container's tasks.
    ///
    /// # Errors
    /// The daemon's own reason, or [`FailureKind::Busy`].
    pub async fn filter(&self, container: String) -> Result<FilterAnswer, Failure> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Filter { container, reply }, answer).await?
    }

    async fn ask<T>(&self, query: Query, answer: oneshot::Receiver<T>) -> Result<T, SourceError> {
        self.queries.try_send(query).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SourceError::Full,
            mpsc::error::TrySendError::Closed(_) => SourceError::Gone,
        })?;
        match timeout(self.deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(SourceError::Gone),
            Err(_) => Err(SourceError::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_storm_of_questions_is_answered_from_few_snapshots() {
        let (source, mut queries) = Source::new(4, Duration::from_secs(5));
        let main_loop = tokio::spawn(async move {
            let mut made = 0;
            while let Some(query) = queries.recv().await {
                let Query::Snapshot { reply } = query else { continue };
                tokio::time::sleep(Duration::from_millis(20)).await;
                made += 1;
                drop(reply.send(Arc::default()));
            }
            made
        });
        let asking: Vec<_> = (0..200)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { source.snapshot().await })
            })
            .collect();
        let mut held = Vec::new();
        for answer in asking {
            held.push(answer.await.unwrap().unwrap());
        }
        drop(source);
        let made = main_loop.await.unwrap();
        assert!((1..=3).contains(&made), "{made} snapshots for 200 questions");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_snapshot_is_never_older_than_the_question() {
        let (source, mut queries) = Source::new(4, Duration::from_secs(5));
        tokio::spawn(async move {
            for round in 0_u32.. {
                let Some(Query::Snapshot { reply }) = queries.recv().await else { return };
                let mut snapshot = Snapshot::default();
                snapshot.health.slots = round;
                drop(reply.send(Arc::new(snapshot)));
            }
        });
        let first = source.snapshot().await.unwrap();
        let second = source.snapshot().await.unwrap();
        assert_eq!((first.health.slots, second.health.slots), (0, 1));
    }
}
