//! The daemon's side of a client that follows: a stream of lines that ends when either side goes away.
//!
//! The main loop never waits for a follower: what it has to tell goes into a bounded queue, and what finds no room there
//! is told as a number. A follower that takes nothing for a minute is let go.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::control::server::line;
use crate::control::{DenialsAnswer, Failure, FailureKind, FollowItem, FollowQuery, Response, Source};
use crate::report::resolve;

/// Followers at once.
const MAX_FOLLOWERS: usize = 32;
/// Lines that wait for one of them.
const WAITING: usize = 256;
/// Lines that are written in one go.
const BATCH: usize = 64;
/// Time that a follower may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a follower hears of the daemon though nothing happens.
const ALIVE: Duration = Duration::from_secs(10);

/// Room for followers, and which daemon this is.
#[derive(Debug, Clone)]
pub(super) struct Followers {
    room: Arc<Semaphore>,
    daemon: Arc<str>,
}

impl Followers {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { room: Arc::new(Semaphore::new(MAX_FOLLOWERS)), daemon: format!("{}-{now}", std::process::id()).into() }
    }

    /// Which daemon this is: no other has the same name.
    pub(super) fn daemon(&self) -> &str {
        &self.daemon
    }

    /// Finds room, the container, and what there is to tell already.
    pub(super) async fn begin(
        &self,
        source: &Source,
        container: Option<&str>,
        after: Option<&str>,
    ) -> Result<Following, Failure> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Failure::new(FailureKind::Busy, "the daemon has too many followers; try again, or without --follow")
        })?;
        let snapshot = source.snapshot().await?;
        let id = match container {
            Some(container) => Some(resolve::container(&snapshot.containers, container)?.id.clone()),
            None => None,
        };
        drop(snapshot);
        let (queue, items) = mpsc::channel(WAITING);
        let backlog = after != Some(&*self.daemon);
        let denials = source.follow(FollowQuery { container: id.clone(), backlog, queue }).await?;
        let answer = DenialsAnswer { daemon: self.daemon.to_string(), id, denials };
        Ok(Following { answer, items, _room: room })
    }
}

/// One follower.
pub(super) struct Following {
    answer: DenialsAnswer,
    items: mpsc::Receiver<FollowItem>,
    _room: OwnedSemaphorePermit,
}

impl Following {
    /// Tells until the daemon ends or the client goes away.
    pub(super) async fn run(self, mut reader: BufReader<OwnedReadHalf>, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let Self { answer, mut items, _room } = self;
        timeout(PATIENCE, writer.write_all(&line(&Response::Denials(answer)))).await??;
        let mut ignored = [0; 512];
        loop {
            let text = tokio::select! {
                item = items.recv() => {
                    let Some(item) = item else { return Ok(()) };
                    let mut text = line(&item);
                    for _ in 1..BATCH {
                        let Ok(item) = items.try_recv() else { break };
                        text.extend(line(&item));
                    }
                    text
                }
                read = reader.read(&mut ignored) => match read? {
                    0 => return Ok(()),
                    _ => continue,
                },
                () = sleep(ALIVE) => line(&FollowItem::Alive),
            };
            timeout(PATIENCE, writer.write_all(&text)).await??;
        }
    }
}
