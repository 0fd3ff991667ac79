//! The handle by which the control socket and the web server ask the daemon's main loop.
//!
//! The queue is bounded and nobody waits in it for ever: a flood of scrapes or clients is refused, and the main loop
//! goes on counting.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::control::{Failure, FailureKind, SuggestAnswer};
use crate::report::snapshot::Snapshot;

/// A question to the daemon's main loop. An asker that went away has dropped its receiver: a failed send is no error.
#[derive(Debug)]
pub enum Query {
    /// The state now.
    Snapshot {
        /// Where the answer goes.
        reply: oneshot::Sender<Arc<Snapshot>>,
    },
    /// A smaller profile.
    Suggest {
        /// For what.
        query: SuggestQuery,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<SuggestAnswer, Failure>>,
    },
}

/// What to suggest a profile for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestQuery {
    /// Whole ids of containers in the last snapshot, at least one; several where an image was named.
    pub containers: Vec<String>,
    /// Also from a record that is known to have gaps; without it the answer then is [`FailureKind::Incomplete`].
    pub allow_incomplete: bool,
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
}

impl Source {
    /// A source whose questions come out of the receiver; `waiting` of them may queue, each for `deadline` at most.
    #[must_use]
    pub fn new(waiting: usize, deadline: Duration) -> (Self, mpsc::Receiver<Query>) {
        let (queries, receiver) = mpsc::channel(waiting);
        (Self { queries, deadline }, receiver)
    }

    /// The state now.
    ///
    /// # Errors
    /// When the main loop is overrun, late or gone.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, SourceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Snapshot { reply }, answer).await
    }

    /// A smaller profile.
    ///
    /// # Errors
    /// The daemon's own reason, or [`FailureKind::Busy`].
    pub async fn suggest(&self, query: SuggestQuery) -> Result<SuggestAnswer, Failure> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Suggest { query, reply }, answer).await?
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
