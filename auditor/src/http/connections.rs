//! The connections there are. A new one always finds room: of those that wait for something the oldest makes way.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::AbortHandle;

/// Connections at once, over all addresses.
const MAX_CONNECTIONS: usize = 256;
/// A reader that takes this long is slow, and makes way where others need what it holds.
const SLOW: Duration = Duration::from_secs(1);

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Waiting for its client: a handshake, the rest of a head, the next request.
    Waiting,
    /// Its request is being answered.
    Answering,
    /// Its answer is being sent.
    Sending,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    doing: Doing,
    task: Option<AbortHandle>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Table {
    /// Ends the one that has been at it the longest.
    fn end_oldest(&mut self, may: impl Fn(&Entry) -> bool) -> bool {
        let oldest = self.entries.iter().filter(|(_, entry)| may(entry)).min_by_key(|(_, entry)| entry.since);
        let Some(id) = oldest.map(|(id, _)| *id) else { return false };
        if let Some(task) = self.entries.remove(&id).and_then(|entry| entry.task) {
            task.abort();
        }
        true
    }
}

/// All connections of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Table>>);

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for one more; `None` if all others are being answered.
    pub(super) fn enter(&self) -> Option<Connection> {
        let mut table = self.lock();
        if table.entries.len() >= MAX_CONNECTIONS && !table.end_oldest(|entry| entry.doing != Doing::Answering) {
            return None;
        }
        let id = table.next;
        table.next += 1;
        table.entries.insert(id, Entry { since: Instant::now(), doing: Doing::Waiting, task: None });
        drop(table);
        Some(Connection { all: self.clone(), id })
    }

    /// Notes which task serves a connection, so that it can be ended.
    pub(super) fn served_by(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// Ends the connection that has been taking its answer the longest, if that is long.
    pub(super) fn end_slowest_reader(&self) {
        self.lock().end_oldest(|entry| entry.doing == Doing::Sending && entry.since.elapsed() >= SLOW);
    }
}

/// One connection's place, left when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    all: Connections,
    id: u64,
}

impl Connection {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    fn is_at(&self, doing: Doing) {
        if let Some(entry) = self.all.lock().entries.get_mut(&self.id) {
            (entry.doing, entry.since) = (doing, Instant::now());
        }
    }

    /// A request has come.
    pub(super) fn answers(&self) {
        self.is_at(Doing::Answering);
    }

    /// Its answer is made; the connection waits for the next request once that is sent.
    pub(super) fn sends(self: &Arc<Self>, body: Body) -> Sent {
        self.is_at(Doing::Sending);
        Sent { body, connection: Arc::clone(self) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().entries.remove(&self.id);
    }
}

/// A body that says when it has been taken.
#[derive(Debug)]
pub(super) struct Sent {
    body: Body,
    connection: Arc<Connection>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.connection.is_at(Doing::Waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connections: &Connections) -> usize {
        connections.lock().entries.len()
    }

    #[test]
    fn the_oldest_that_waits_makes_way_and_one_that_is_answered_does_not() {
        let connections = Connections::default();
        let held: Vec<_> = (0..MAX_CONNECTIONS).map(|_| Arc::new(connections.enter().unwrap())).collect();
        held[0].answers();
        let one_more = connections.enter().unwrap();
        assert_eq!(count(&connections), MAX_CONNECTIONS);
        let has = |id| connections.lock().entries.contains_key(&id);
        assert!(has(held[0].id()) && !has(held[1].id()) && has(held[2].id()) && has(one_more.id()));
        // Where all are being answered there is no room, and it comes back.
        held.iter().for_each(|connection| connection.answers());
        one_more.answers();
        assert!(connections.enter().is_none());
        let sent = held[5].sends(Body::empty());
        let again = connections.enter().unwrap();
        assert!(!has(held[5].id()));
        drop((sent, again, one_more, held));
        assert_eq!(count(&connections), 0);
    }

    #[test]
    fn only_a_slow_reader_is_ended_for_what_it_holds() {
        let connections = Connections::default();
        let [reader, idle] = [0, 1].map(|_| Arc::new(connections.enter().unwrap()));
        let _sent = reader.sends(Body::empty());
        connections.end_slowest_reader();
        assert_eq!(count(&connections), 2);
        if let Some(entry) = connections.lock().entries.get_mut(&reader.id()) {
            entry.since -= SLOW;
        }
        connections.end_slowest_reader();
        assert_eq!(connections.lock().entries.keys().copied().collect::<Vec<_>>(), [idle.id()]);
    }
}
