//! The daemon's side of the socket: bounded requests, bounded clients, and deadlines on both directions.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, chown};
use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::control::follow::Followers;
use crate::control::history;
use crate::control::{DenialsAnswer, Failure, FailureKind, Request, Response, Source};
use crate::report::resolve::{self, ResolveError};
use crate::report::view::ContainerView;

/// Longest request: some starts of somebody's evidence.
pub const MAX_REQUEST: u64 = 1 << 20;
/// Clients served at once; one more is told that the daemon is busy.
const MAX_CLIENTS: usize = 128;
/// Time a client has to send its request, and again to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Owner and group may ask, nobody else.
const SOCKET_MODE: u32 = 0o660;

/// Why the socket could not be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another daemon answers there.
    #[error("the control socket {} is taken: another auditor daemon runs; stop it or give --socket", .0.display())]
    Taken(PathBuf),
    /// Something else is in the way.
    #[error("{} is there and is not a socket; remove it or give --socket", .0.display())]
    NotASocket(PathBuf),
    /// A file operation failed.
    #[error("{doing} {}: {source}; check the directory and its permissions", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound control socket; dropping it removes the socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Already gone is as good, and there is nobody to tell the rest to.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the socket, mode 0660, for `group` where one is given. Must run within a tokio runtime.
///
/// A socket that nobody answers (its daemon was killed) is replaced. Who holds the lock file beside it is alive.
///
/// # Errors
/// When another daemon has it, or the directory does not allow it.
pub fn bind(path: &Path, group: Option<u32>) -> Result<Listener, BindError> {
    let failed = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| BindError::Io { doing, path, source }
    };
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        fs::create_dir_all(directory).map_err(failed("creating", directory))?;
    }
    let lock_path = beside(".lock");
    let lock_file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        // A lock needs no more than the right to read: nobody else shall be able to keep the daemon from starting.
        .mode(0o600)
        .open(&lock_path)
        .map_err(failed("opening the lock file", &lock_path))?;
    let lock = match Flock::lock(lock_file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(BindError::Taken(path.to_owned())),
        Err((_, errno)) => return Err(failed("locking", &lock_path)(errno.into())),
    };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(BindError::Taken(path.to_owned()));
        }
        Ok(_) | Err(_) => {}
    }
    // Bound under another name first: nobody can connect before mode and group are set, and the name is never absent.
    let fresh = beside(".new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removing", &fresh)(error)),
        _ => {}
    }
    let socket = UnixListener::bind(&fresh).map_err(failed("creating the control socket", &fresh))?;
    fs::set_permissions(&fresh, Permissions::from_mode(SOCKET_MODE)).map_err(failed("setting the mode of", &fresh))?;
    if let Some(gid) = group {
        chown(&fresh, None, Some(Gid::from_raw(gid)))
            .map_err(|errno| failed("setting the group of", &fresh)(errno.into()))?;
    }
    fs::rename(&fresh, path).map_err(failed("creating the control socket", path))?;
    Ok(Listener { socket, path: path.to_owned(), _lock: lock })
}

/// Answers clients until dropped.
pub async fn serve(listener: Listener, source: Source) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    let followers = Followers::new();
    loop {
        let stream = match listener.socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors: accepting again at once would spin.
                tracing::warn!(%error, "accepting on the control socket");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        match Arc::clone(&clients).try_acquire_owned() {
            Ok(permit) => {
                let (source, followers) = (source.clone(), followers.clone());
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &source, &followers).await {
                        tracing::debug!(%error, "a control client went away");
                    }
                    drop(permit);
                });
            }
            Err(_) => refuse(&stream),
        }
    }
}

/// Tells one client too many, without waiting for it.
fn refuse(stream: &UnixStream) {
    let failure = Failure::new(FailureKind::Busy, "the daemon has too many clients; try again");
    let _ = stream.try_write(&line(&Response::Failed(failure)));
}

pub(super) fn line<T: Serialize>(response: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(response).unwrap_or_else(|error| {
        tracing::error!(%error, "writing an answer as JSON");
        br#"{"answer":"failed","kind":"internal","message":"the answer cannot be written as JSON"}"#.to_vec()
    });
    line.push(b'\n');
    line
}

/// Talks with one client, as if it had connected: for tests that have no socket to connect to.
pub(crate) async fn talk(stream: UnixStream, source: &Source) -> io::Result<()> {
    converse(stream, source, &Followers::new()).await
}

async fn converse(stream: UnixStream, source: &Source, followers: &Followers) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut request = Vec::new();
        let bounded = &mut (&mut reader).take(MAX_REQUEST);
        if timeout(PATIENCE, bounded.read_until(b'\n', &mut request)).await?? == 0 {
            return Ok(());
        }
        let whole = request.last() == Some(&b'\n');
        let parsed = if whole {
            serde_json::from_slice(&request).map_err(|error| {
                Failure::new(FailureKind::BadRequest, format!("the daemon does not understand the request: {error}"))
            })
        } else {
            Err(Failure::new(FailureKind::BadRequest, "the request is too long or not a line"))
        };
        let response = match parsed {
            Ok(Request::Denials { container, follow: true, after }) => {
                match followers.begin(source, container.as_deref(), after.as_deref()).await {
                    Ok(following) => return following.run(reader, writer).await,
                    Err(failure) => Err(failure),
                }
            }
            Ok(request) => answer(request, source, followers).await,
            Err(failure) => Err(failure),
        };
        let response = response.unwrap_or_else(Response::Failed);
        timeout(PATIENCE, writer.write_all(&line(&response))).await??;
        if !whole {
            return Ok(());
        }
    }
}

async fn answer(request: Request, source: &Source, followers: &Followers) -> Result<Response, Failure> {
    let snapshot = source.snapshot().await?;
    Ok(match request {
        Request::Ps => {
            let containers = snapshot.containers.iter().map(without_syscalls).collect();
            Response::Containers { containers }
        }
        Request::Show { container } => {
            let found = resolve::container(&snapshot.containers, &container)?;
            let mut container = Box::new(found.clone());
            let last = source.denials(Some(container.id.clone())).await?;
            container.last_denials = Some(last).filter(|denials| !denials.is_empty());
            Response::Container { container }
        }
        Request::Suggest { container, profile } => {
            let material = history::material(source, &snapshot.containers, &container, profile.as_deref()).await?;
            Response::Material(Box::new(material))
        }
        Request::History => Response::History { workloads: history::list(source).await? },
        Request::Evidence { workload } => {
            let (evidence, profiles) = history::evidence(source, workload).await?;
            Response::Evidence { evidence: Box::new(evidence), profiles }
        }
        Request::Import { evidence, profiles } => {
            let taken = history::import(source, evidence, profiles).await?;
            Response::Imported { new: taken.new, more: taken.more }
        }
        Request::Exclude { start, excluded } => {
            Response::Excluded { start: history::exclude(source, start, excluded).await? }
        }
        Request::Forget { workloads, before } => {
            let forgotten = history::forget(source, workloads, before).await?;
            Response::Forgotten { workloads: forgotten.workloads, starts: forgotten.starts }
        }
        Request::Denials { container, .. } => {
            let id = match &container {
                Some(container) => Some(resolve::container(&snapshot.containers, container)?.id.clone()),
                None => None,
            };
            let denials = source.denials(id.clone()).await?;
            Response::Denials(DenialsAnswer { daemon: followers.daemon().to_owned(), id, denials })
        }
        Request::Filter { container } => {
            let found = resolve::container(&snapshot.containers, &container)?;
            Response::Filter(Box::new(source.filter(found.id.clone()).await?))
        }
        Request::Health => Response::Health(Box::new(snapshot.health.clone())),
    })
}

fn without_syscalls(view: &ContainerView) -> ContainerView {
    // Field by field, not `clone`: a thousand containers have half a million rows.
    ContainerView {
        id: view.id.clone(),
        name: view.name.clone(),
        image: view.image.clone(),
        service: view.service.clone(),
        state: view.state.clone(),
        profile: view.profile.clone(),
        effective: view.effective.clone(),
        allowed: view.allowed,
        conditional: view.conditional,
        denied: view.denied,
        used: view.used,
        unused: view.unused,
        denials: view.denials,
        window: view.window.clone(),
        syscalls: None,
        arguments: None,
        last_denials: None,
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        let kind = match error {
            ResolveError::NoSuch { .. } => FailureKind::NoSuchContainer,
            ResolveError::Ambiguous { .. } => FailureKind::Ambiguous,
        };
        Self::new(kind, error.to_string())
    }
}
