//! A stand-in for an engine's socket, which passes everything on until it is told to hold something back. What is
//! behind it is the real engine: what it holds back is late or silent, as on a connection that is half open.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What is held back now.
#[derive(Debug, Default)]
struct Held {
    events: AtomicBool,
    inspections: AtomicBool,
    answers: AtomicBool,
    /// Answers about single containers that came from the engine.
    answered: AtomicUsize,
    ended: AtomicBool,
}

/// The stand-in. Its threads end with it.
#[derive(Debug)]
pub struct Proxy {
    held: Arc<Held>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Proxy {
    /// One before this socket.
    pub fn new(engine: &Path) -> Result<Self> {
        let directory = tempfile::tempdir().context("making a directory for a socket")?;
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).context("making a socket")?;
        let held = Arc::new(Held::default());
        let (shared, engine) = (Arc::clone(&held), engine.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(server) = UnixStream::connect(&engine) else { continue };
                let held = Arc::clone(&shared);
                std::thread::spawn(move || _ = relay(client, server, &held));
            }
        });
        Ok(Self { held, path, _directory: directory })
    }

    /// Its address, as in `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Whether what the engine tells of events is kept from the client. The connection stays open.
    pub fn hold_events(&self, hold: bool) {
        self.held.events.store(hold, Ordering::SeqCst);
    }

    /// Whether questions about single containers are kept from the engine.
    pub fn hold_inspections(&self, hold: bool) {
        self.held.inspections.store(hold, Ordering::SeqCst);
    }

    /// Whether what the engine answers about single containers is kept from the client: it grows old.
    pub fn hold_answers(&self, hold: bool) {
        self.held.answers.store(hold, Ordering::SeqCst);
    }

    /// How many answers about single containers the engine has given.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.held.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.held.ended.store(true, Ordering::SeqCst);
        _ = UnixStream::connect(&self.path);
    }
}

impl Held {
    /// Waits as long as `hold` says.
    fn wait(&self, hold: &AtomicBool) {
        while hold.load(Ordering::SeqCst) && !self.ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn relay(mut client: UnixStream, mut server: UnixStream, held: &Arc<Held>) -> Result<()> {
    let (of_events, of_one) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (mut to_client, mut from_server) = (client.try_clone()?, server.try_clone()?);
    let (back, events, one) = (Arc::clone(held), Arc::clone(&of_events), Arc::clone(&of_one));
    std::thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut bytes) {
            if events.load(Ordering::SeqCst) {
                back.wait(&back.events);
            }
            if one.load(Ordering::SeqCst) {
                back.answered.fetch_add(1, Ordering::SeqCst);
                back.wait(&back.answers);
            }
            if to_client.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    let mut bytes = [0; 16 * 1024];
    // The daemon asks without bodies: what comes at once is one request.
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..length]);
        let target = text.split(' ').nth(1).unwrap_or_default();
        if target.contains("/events") {
            of_events.store(true, Ordering::SeqCst);
        }
        let path = target.split('?').next().unwrap_or_default();
        let is_inspection =
            path.contains("/containers/") && path.ends_with("/json") && !path.ends_with("/containers/json");
        if is_inspection {
            held.wait(&held.inspections);
        }
        of_one.store(is_inspection, Ordering::SeqCst);
        server.write_all(&bytes[..length])?;
    }
    _ = server.shutdown(std::net::Shutdown::Both);
    Ok(())
}
