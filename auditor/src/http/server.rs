//! Listening, and the limits that hold before a request is understood.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connections::{Connection, Connections, Sent};
use super::gate::{Gate, Reading};
use super::pages;
use super::password::Verdict;
use super::patience::Patient;
use super::rendering::Renderer;
use crate::control::Source;
use crate::metrics;

/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a request's head, the wait for the next request on a kept connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a client may take nothing of its answer.
const READER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection: a client that reads one byte a minute holds nothing for longer.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);
/// Largest request head; hyper's minimum is 8 KiB.
const MAX_HEAD: usize = 16 << 10;
/// Threads for what blocks: a text is made, a password checked, a configuration read.
const BLOCKING_THREADS: usize = 4;

/// What the web server is told.
#[derive(Clone)]
pub struct Options {
    /// How metrics are rendered.
    pub metrics: metrics::Options,
    /// Who may connect, and how.
    pub gate: Arc<Gate>,
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

/// Listens on every address, or on none.
///
/// # Errors
/// When an address is taken, or not ours.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let listen = |address: SocketAddr| {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    addresses.iter().map(|&address| listen(address).map_err(|source| BindError { address, source })).collect()
}

/// Serves on a thread of its own until the answer is dropped: handshakes, floods and slow clients take no time of
/// whoever else runs on this one. The answer resolves when the thread has ended, which it does not by itself.
///
/// # Errors
/// When there is no room for one more thread.
pub fn serve_apart(
    listeners: Vec<TcpListener>,
    source: Source,
    options: Options,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
    let (mut stop, ended) = oneshot::channel::<()>();
    std::thread::Builder::new().name("web".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve(listeners, source, options) => {}
                () = stop.closed() => {}
            }
        });
        // What still blocks keeps nobody from stopping.
        runtime.shutdown_background();
    })?;
    Ok(async move { drop(ended.await) })
}

/// Answers requests until dropped.
pub async fn serve(listeners: Vec<TcpListener>, source: Source, options: Options) {
    let connections = Connections::default();
    let router = pages::router(source, Renderer::new(options.metrics, connections.clone()));
    let server = Server { router, connections, gate: options.gate };
    let accepting = listeners.into_iter().map(|listener| accept(listener, server.clone()));
    futures_util::future::join_all(accepting).await;
}

#[derive(Clone)]
struct Server {
    router: Router,
    connections: Connections,
    gate: Arc<Gate>,
}

async fn accept(listener: TcpListener, server: Server) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "listening for web clients"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Where all others are being answered, this one is closed.
                let Some(connection) = server.connections.enter() else { continue };
                let (id, own) = (connection.id(), server.clone());
                let task = tokio::spawn(async move {
                    let served = own.serve(stream, from.ip(), Arc::new(connection));
                    match timeout(CONNECTION_LIFE, served).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "a web client went away"),
                        Err(_) => tracing::debug!("a web client took too long"),
                    }
                });
                server.connections.served_by(id, task.abort_handle());
            }
            Err(error) => {
                // Out of file descriptors: accepting again at once would spin.
                tracing::warn!(%error, "accepting a web connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Answers over any stream, as over a connection without TLS: for tests that have no network.
pub(crate) async fn answer<S>(stream: S, source: Source, options: Options) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connections = Connections::default();
    let router = pages::router(source, Renderer::new(options.metrics, connections.clone()));
    let Some(connection) = connections.enter() else { return Ok(()) };
    let server = Server { router, connections, gate: options.gate };
    server.converse(stream, Ipv4Addr::LOCALHOST.into(), Arc::new(connection)).await
}

impl Server {
    async fn serve(self, stream: TcpStream, from: IpAddr, connection: Arc<Connection>) -> io::Result<()> {
        let stream = Patient::new(stream, READER_TIMEOUT);
        let reading = self.gate.current().await;
        match &reading.tls {
            Some(acceptor) => {
                let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
                self.converse(stream, from, connection).await
            }
            None => self.converse(stream, from, connection).await,
        }
    }

    async fn converse<S>(self, stream: S, from: IpAddr, connection: Arc<Connection>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let (server, connection) = (self.clone(), Arc::clone(&connection));
            async move { Ok::<_, std::convert::Infallible>(server.answer(request, from, &connection).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .await
            .map_err(io::Error::other)
    }

    async fn answer(&self, request: Request<Incoming>, from: IpAddr, connection: &Arc<Connection>) -> Response<Sent> {
        connection.answers();
        // Asked anew for each request: a connection that is kept does not outlive a password.
        let reading = self.gate.current().await;
        let mut response = match self.refusal(&reading, &request, from).await {
            Some(refusal) => refusal,
            None => match TowerToHyperService::new(self.router.clone()).call(request).await {
                Ok(response) => response,
                Err(impossible) => match impossible {},
            },
        };
        for (name, value) in &reading.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response.map(|body| connection.sends(body))
    }

    /// Every page is behind the password, as with other exporters.
    async fn refusal(
        &self,
        reading: &Reading,
        request: &Request<Incoming>,
        from: IpAddr,
    ) -> Option<axum::response::Response> {
        if reading.users.is_empty() {
            return None;
        }
        match self.gate.doorkeeper.admit(&reading.users, from, request.headers().get(AUTHORIZATION)).await {
            Verdict::In => None,
            Verdict::Refused => {
                Some((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic")], "Unauthorized\n").into_response())
            }
            Verdict::Busy => {
                let words = "too many passwords wait to be checked\n";
                Some((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], words).into_response())
            }
        }
    }
}
