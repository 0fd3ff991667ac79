//! Listening, and the limits that hold before a request is understood.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::pages;
use crate::control::Source;
use crate::metrics;

/// Connections at once, over all addresses; one more waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// Time for a request's head, the wait for the next request on a kept connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection: a client that reads one byte a minute holds nothing for longer.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);
/// Largest request head; hyper's minimum is 8 KiB.
const MAX_HEAD: usize = 16 << 10;

/// What the web server is told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How metrics are rendered.
    pub metrics: metrics::Options,
}

/// Why an address could not be listened on.
#[derive(Debug, Error)]
#[error("listening on {address}: {}; give another --web.listen-address", .source.kind())]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Listens on every address, or on none. Must run within a tokio runtime.
///
/// # Errors
/// When an address is taken, or not ours.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let listen = |address: SocketAddr| {
        let socket = StdTcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    };
    addresses.iter().map(|&address| listen(address).map_err(|source| BindError { address, source })).collect()
}

/// Answers requests until dropped.
pub async fn serve(listeners: Vec<TcpListener>, source: Source, options: Options) {
    let router = pages::router(source, options.metrics);
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = listeners.into_iter().map(|listener| accept(listener, router.clone(), Arc::clone(&connections)));
    futures_util::future::join_all(accepting).await;
}

async fn accept(listener: TcpListener, router: Router, connections: Arc<Semaphore>) {
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    if let Ok(Err(error)) = timeout(CONNECTION_LIFE, connection(stream, router)).await {
                        tracing::debug!(%error, "a web client went away");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors: accepting again at once would spin.
                tracing::warn!(%error, "accepting a web connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
