//! Doors for tests that throw bytes at everything that reads bytes, where no public function takes bytes and nothing
//! else. For nobody else: what is here follows the rooms behind it, and may change with them.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::bundle::{self, Bundle};
use crate::cgroupfs::Mounts;
use crate::config::{self, Config, ConfigError, Settings};
use crate::control::{self, Source};
use crate::procfs::{self, Capabilities, SeccompStatus};
use crate::{http as web, metrics};

pub use crate::daemon::read_account;
pub use crate::docker::read_answer;
pub use crate::http::hostile as http;
pub use crate::kernel::hostile as kernel;
pub use crate::store::{read_file, read_row};

/// `/proc/PID/cgroup`.
#[must_use]
pub fn cgroup(text: &str) -> Option<&str> {
    procfs::parse_cgroup(text)
}

/// `/proc/PID/status`: seccomp, capabilities, parent.
#[must_use]
pub fn status(text: &str) -> (Option<SeccompStatus>, Option<Capabilities>, Option<u32>) {
    (procfs::parse_seccomp(text), procfs::parse_capabilities(text), procfs::parse_parent(text))
}

/// `/proc/self/mountinfo`: where cgroup2 is mounted, and whether v1 is.
#[must_use]
pub fn mounts(text: &[u8]) -> (Vec<PathBuf>, bool) {
    let mounts = Mounts::parse(text);
    (mounts.unified, mounts.legacy)
}

/// A bundle's `config.json`.
///
/// # Errors
/// When it is none.
pub fn bundle(bytes: &[u8]) -> Result<Bundle, serde_json::Error> {
    bundle::parse(bytes)
}

/// What a shim noted of its runtime.
#[must_use]
pub fn runtime_of_shim(bytes: &[u8]) -> Option<String> {
    bundle::parse_options(bytes)
}

/// Where a shim of such a command line has the bundle of this container.
#[must_use]
pub fn places_of_shim(words: &[String], container: &str) -> Vec<PathBuf> {
    bundle::places_of_shim(words, container)
}

/// The configuration file. Nobody is asked whether there is such a group.
///
/// # Errors
/// When it is none.
pub fn configuration(text: &str) -> Result<Config, ConfigError> {
    let settings = config::parse(Path::new("auditor.toml"), text)?;
    Config::check(Settings { socket_group: None, ..settings })
}

/// The web server over any stream.
///
/// # Errors
/// What becomes of the connection.
pub async fn web<S>(stream: S, source: Source) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let gate = web::Gate::open(None).map_err(io::Error::other)?;
    let options = web::Options { metrics: metrics::Options::default(), gate: gate.into() };
    web::answer(stream, source, options).await
}

/// The control socket over any connected one.
///
/// # Errors
/// When the client went away.
pub async fn talk(stream: UnixStream, source: &Source) -> io::Result<()> {
    control::talk(stream, source).await
}
