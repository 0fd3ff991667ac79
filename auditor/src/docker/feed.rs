//! The engine's containers as a stream of changes that survives the engine.
//!
//! The event stream has no time limit of its own: a stopped engine and a quiet one look the same on it. So the engine
//! is pinged beside it, and from time to time its list is compared with what the events told.

mod session;

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::session::Session;
use super::{Container, Docker, DockerError, Engine, Event, EventError, Host};
use crate::container::ContainerId;

/// Events read ahead of what is being dealt with. The engine drops events for a client that does not read them.
const EVENTS_AHEAD: usize = 8_192;

/// What happened to the engine or to one of its containers.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The engine answers; these are all its containers. Sent at every (re)connect: what is not in the list is gone.
    Connected {
        /// What the engine says about itself.
        engine: Engine,
        /// All its containers, running or not.
        containers: Vec<Container>,
    },
    /// A container is new, or something about it changed.
    Updated(Container),
    /// A container was removed. It may be one that was never told of.
    Removed(ContainerId),
    /// So many of the engine's answers or events could not be understood.
    Lost(u64),
    /// The engine does not answer, for this reason; told once for each reason.
    Disconnected(String),
}

/// How often the engine is asked, and how long an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two pings.
    pub ping_every: Duration,
    /// For the answer to a ping.
    pub ping_deadline: Duration,
    /// Between two comparisons of the engine's list with what its events told.
    pub resync_every: Duration,
    /// Before the first new attempt to connect; doubled for each next one.
    pub retry_first: Duration,
    /// At most before a new attempt.
    pub retry_limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(5),
            ping_deadline: Duration::from_secs(5),
            resync_every: Duration::from_secs(60),
            retry_first: Duration::from_millis(250),
            retry_limit: Duration::from_secs(15),
        }
    }
}

/// The task that follows one engine for as long as somebody listens.
#[derive(Debug)]
pub struct Feed {
    host: Host,
    pace: Pace,
}

/// Why one connection's work is over.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// The engine is there, its event stream is not to be trusted: subscribe again.
    Resubscribe,
    /// The engine is gone.
    Failed(String),
}

/// Nobody listens any more.
struct Unheard;

impl From<Unheard> for End {
    fn from(Unheard: Unheard) -> Self {
        Self::Unheard
    }
}

impl Feed {
    /// A feed from the engine at this address.
    #[must_use]
    pub const fn new(host: Host, pace: Pace) -> Self {
        Self { host, pace }
    }

    /// Sends changes until nobody listens. An engine that is not there yet, or not any more, is waited for.
    pub async fn run(self, changes: Sender<Change>) {
        let mut retry = self.pace.retry_first;
        let mut resume = None;
        let mut told: Option<String> = None;
        loop {
            let mut connected = false;
            let end = match self.connect(&changes, &mut resume, &mut connected).await {
                Ok(end) | Err(end) => end,
            };
            if connected {
                retry = self.pace.retry_first;
                told = None;
            }
            match end {
                End::Unheard => return,
                End::Resubscribe => {}
                End::Failed(reason) => {
                    if told.as_ref() != Some(&reason) {
                        if changes.send(Change::Disconnected(reason.clone())).await.is_err() {
                            return;
                        }
                        told = Some(reason);
                    }
                }
            }
            tokio::select! {
                () = sleep(retry) => {}
                () = changes.closed() => return,
            }
            retry = (retry * 2).min(self.pace.retry_limit);
        }
    }

    /// One connection, from the first request to its end.
    async fn connect(
        &self,
        changes: &Sender<Change>,
        resume: &mut Option<String>,
        connected: &mut bool,
    ) -> Result<End, End> {
        let failed = |error: DockerError| End::Failed(error.to_string());
        let docker = Docker::connect(&self.host).await.map_err(failed)?;
        let engine = docker.engine().await.map_err(failed)?;
        // The engine remembers its latest events: asking from before the list leaves no gap between the two.
        let since = resume.take().unwrap_or_else(|| engine_time(Timestamp::now().as_nanosecond() - 1_000_000_000));
        let mut readers = JoinSet::new();
        let (sender, events) = channel(EVENTS_AHEAD);
        readers.spawn(read_events(docker.clone(), since, sender));

        let mut session = Session::new(docker, self.pace, changes, resume);
        let containers = session.list_and_inspect().await?;
        session.tell(Change::Connected { engine, containers }).await?;
        *connected = true;
        session.follow(events).await
    }
}

/// Reads on whatever the rest is doing, and ends with the stream or with the reader of the channel.
async fn read_events(docker: Docker, since: String, events: Sender<Result<Event, EventError>>) {
    let mut stream = pin!(docker.events(&since));
    while let Some(event) = stream.next().await {
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// A time as the engine takes it: seconds, a dot, nine digits.
fn engine_time(nanoseconds: i128) -> String {
    let second = 1_000_000_000;
    format!("{}.{:09}", nanoseconds.div_euclid(second), nanoseconds.rem_euclid(second))
}

#[cfg(test)]
mod tests;
