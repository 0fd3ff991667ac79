//! Metrics as text, made once for all who ask at one time, and held by few at a time.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::connections::Connections;
use crate::metrics;
use crate::report::snapshot::Snapshot;

/// Different texts that are being sent at one time: each may be megabytes.
const MAX_TEXTS: usize = 8;
/// What of a text is given to a connection at once.
const PIECE: usize = 32 << 10;
/// How often a reader that is slow is made to make way for a new text.
const PRESSURE: Duration = Duration::from_millis(50);

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[error("rendering the metrics failed; see the log")]
pub(super) struct RenderFailed;

/// A text, and one of the places that there are for them.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

/// Makes texts.
#[derive(Debug)]
pub(super) struct Renderer {
    options: metrics::Options,
    places: Arc<Semaphore>,
    last: Mutex<(Weak<Snapshot>, Weak<Text>)>,
    connections: Connections,
}

impl Renderer {
    pub(super) fn new(options: metrics::Options, connections: Connections) -> Self {
        let places = Arc::new(Semaphore::new(MAX_TEXTS));
        Self { options, places, last: Mutex::default(), connections }
    }

    /// The metrics of a snapshot: the text that somebody is being sent already, or else a new one.
    pub(super) async fn render(&self, snapshot: Arc<Snapshot>, took: Duration) -> Result<Arc<Text>, RenderFailed> {
        // Held until the text is there: one is made at a time.
        let mut last = self.last.lock().await;
        if let (true, Some(text)) = (Weak::ptr_eq(&last.0, &Arc::downgrade(&snapshot)), last.1.upgrade()) {
            return Ok(text);
        }
        let place = self.place().await?;
        let options = self.options.clone();
        *last = (Arc::downgrade(&snapshot), Weak::new());
        // Megabytes of text for a thousand containers must not hold up other clients.
        let rendered = tokio::task::spawn_blocking(move || metrics::render(&snapshot, &options, took)).await;
        let bytes = match rendered {
            Ok(Ok(text)) => Bytes::from(text),
            Ok(Err(error)) => {
                tracing::error!(%error, "rendering the metrics");
                return Err(RenderFailed);
            }
            Err(error) => {
                tracing::error!(%error, "rendering the metrics");
                return Err(RenderFailed);
            }
        };
        let text = Arc::new(Text { bytes, _place: place });
        last.1 = Arc::downgrade(&text);
        Ok(text)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, RenderFailed> {
        let free = Arc::clone(&self.places).acquire_owned();
        tokio::pin!(free);
        loop {
            tokio::select! {
                place = &mut free => return place.map_err(|_| RenderFailed),
                () = sleep(PRESSURE) => self.connections.end_slowest_reader(),
            }
        }
    }
}

/// A text as an answer's body: by pieces, so that a connection holds no copy of all of it.
pub(super) fn body(text: Arc<Text>) -> Body {
    let rest = text.bytes.clone();
    Body::new(Pieces { rest, _text: text })
}

struct Pieces {
    rest: Bytes,
    _text: Arc<Text>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_for_one_snapshot_is_given_one_text_and_texts_are_few() {
        let renderer = Renderer::new(metrics::Options::default(), Connections::default());
        let snapshot = Arc::new(Snapshot::default());
        let [first, second] = [
            renderer.render(Arc::clone(&snapshot), Duration::ZERO).await.unwrap(),
            renderer.render(Arc::clone(&snapshot), Duration::ZERO).await.unwrap(),
        ];
        assert!(Arc::ptr_eq(&first, &second));
        let render = || renderer.render(Arc::new(Snapshot::default()), Duration::ZERO);
        let mut held = vec![first];
        while held.len() < MAX_TEXTS {
            held.push(render().await.unwrap());
        }
        // Nobody lets go of one: there is none for the next.
        assert!(tokio::time::timeout(Duration::from_millis(200), render()).await.is_err());
        held.pop();
        assert!(render().await.is_ok());
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_makes_way_for_the_next_text() {
        let connections = Connections::default();
        let renderer = Renderer::new(metrics::Options::default(), connections.clone());
        for _ in 0..MAX_TEXTS {
            let text = renderer.render(Arc::new(Snapshot::default()), Duration::ZERO).await.unwrap();
            let connection = Arc::new(connections.enter().unwrap());
            let id = connection.id();
            let task = tokio::spawn(async move {
                let _sent = connection.sends(body(text));
                std::future::pending::<()>().await;
            });
            connections.served_by(id, task.abort_handle());
        }
        let next = renderer.render(Arc::new(Snapshot::default()), Duration::ZERO);
        assert!(tokio::time::timeout(Duration::from_secs(10), next).await.unwrap().is_ok());
    }
}
