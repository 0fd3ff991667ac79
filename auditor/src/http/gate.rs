//! The web configuration in force: read at the start, and again when one of its files has changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue};
use tokio_rustls::TlsAcceptor;

use super::password::{Doorkeeper, Users};
use super::settings::{ClientAuth, Settings, SettingsError, Wrong};
use super::tls;

/// Files are looked at this often, when somebody connects.
const LOOK: Duration = Duration::from_secs(1);

/// One reading of the web configuration, ready to be used.
#[derive(Default)]
pub(super) struct Reading {
    /// `None`: without TLS.
    pub(super) tls: Option<TlsAcceptor>,
    /// Whether only those who show a certificate that the authority has signed are talked to.
    asks_for_certificates: bool,
    pub(super) users: Users,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Of one file: where it is on the disk, its size and times. `None`: it is not there.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

struct State {
    reading: Arc<Reading>,
    stamps: Vec<(PathBuf, Stamp)>,
    looked: Instant,
}

/// Who may connect, and how.
pub struct Gate {
    /// `None`: everybody may, without TLS.
    path: Option<PathBuf>,
    state: Mutex<State>,
    pub(super) doorkeeper: Arc<Doorkeeper>,
}

impl Gate {
    /// Reads the web configuration with all its files; without one everybody may connect.
    ///
    /// # Errors
    /// It or one of its files cannot be read or used; with the line.
    pub fn open(path: Option<&Path>) -> Result<Self, SettingsError> {
        let (reading, stamps) = match path {
            Some(path) => read(path)?,
            None => (Reading::default(), Vec::new()),
        };
        let no_secret = || Wrong::new(1, "the system has no random numbers for TLS").of(path.unwrap_or(Path::new("")));
        // Nobody's password is remembered where there are none.
        let secret = if path.is_some() { tls::random().ok_or_else(no_secret)? } else { [0; 32] };
        let state = State { reading: Arc::new(reading), stamps, looked: Instant::now() };
        Ok(Self { path: path.map(Path::to_owned), state: Mutex::new(state), doorkeeper: Doorkeeper::new(secret) })
    }

    /// Whether connections are encrypted.
    fn has_tls(&self) -> bool {
        self.lock().reading.tls.is_some()
    }

    /// Whether everybody who can connect is answered: nobody is asked for a password or a certificate.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let reading = &self.lock().reading;
        reading.users.is_empty() && !reading.asks_for_certificates
    }

    /// What is in force now. What cannot be used is logged, once, and what was in force before stays so.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<Reading> {
        if self.is_due() {
            let gate = Arc::clone(self);
            // Disks may be slow.
            if tokio::task::spawn_blocking(move || gate.look()).await.is_err() {
                tracing::error!("looking at the web configuration's files failed");
            }
        }
        Arc::clone(&self.lock().reading)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of those who come within the time is the one who looks.
    fn is_due(&self) -> bool {
        let mut state = self.lock();
        let due = self.path.is_some() && state.looked.elapsed() >= LOOK;
        if due {
            state.looked = Instant::now();
        }
        due
    }

    fn look(&self) {
        let Some(path) = &self.path else { return };
        let before = self.lock().stamps.clone();
        let now: Vec<_> = before.iter().map(|(file, _)| (file.clone(), stamp(file))).collect();
        if now == before {
            return;
        }
        let had_tls = self.has_tls();
        match read(path) {
            Ok((reading, _)) if reading.tls.is_some() != had_tls => {
                let what = if had_tls { "without TLS now" } else { "with TLS now" };
                tracing::error!(
                    "the web configuration {} is {what}: restart the daemon; until then the one before stays in force",
                    path.display()
                );
                self.lock().stamps = now;
            }
            Ok((reading, stamps)) => {
                tracing::info!("the web configuration {} was read again", path.display());
                let mut state = self.lock();
                (state.reading, state.stamps) = (Arc::new(reading), stamps);
            }
            Err(error) => {
                tracing::error!("{error}; the web configuration that was read before stays in force");
                // Looked at again when something changes, and not logged until then.
                self.lock().stamps = now;
            }
        }
    }
}

/// Reads everything. The stamps are older than what was read: a change in between is seen the next time.
fn read(path: &Path) -> Result<(Reading, Vec<(PathBuf, Stamp)>), SettingsError> {
    let own = (path.to_owned(), stamp(path));
    let settings = Settings::load(path)?;
    let others = settings.files().map(|file| (file.to_owned(), stamp(file)));
    let stamps = std::iter::once(own).chain(others).collect();
    let asks_for_certificates = settings.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required);
    let tls = settings.tls.as_ref().map(tls::server_config).transpose().map_err(|wrong| wrong.of(path))?;
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let (users, headers) = (Users::new(settings.users), settings.headers);
    Ok((Reading { tls, asks_for_certificates, users, headers }, stamps))
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        (found.mtime(), found.mtime_nsec()),
        (found.ctime(), found.ctime_nsec()),
    ))
}
