//! `--web.config.file`: TLS, passwords and headers, in the format that Prometheus and its exporters share.
//!
//! What the format has is either done as others do it or refused with a line that says so; nothing is passed over. The
//! format is that of <https://prometheus.io/docs/prometheus/latest/configuration/https/>.

mod document;
mod read;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue};
use thiserror::Error;

use crate::report::escape::printable;

/// Bytes of a web configuration at most.
const FILE_LIMIT: u64 = 64 * 1024;

/// Why a web configuration cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("read web configuration {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It says what cannot be.
    #[error("{}:{line}: {reason}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would do.
        reason: String,
    },
}

/// What is wrong in a file whose name is known elsewhere.
#[derive(Debug)]
pub(super) struct Wrong {
    line: usize,
    reason: String,
}

impl Wrong {
    /// The reason may quote the file.
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: printable(&reason.into()) }
    }

    pub(super) fn of(self, path: &Path) -> SettingsError {
        SettingsError::Wrong { path: path.to_owned(), line: self.line, reason: self.reason }
    }
}

/// A web configuration, as its file has it. The files that it names are not read yet.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) tls: Option<Tls>,
    /// Hashes by names.
    pub(super) users: BTreeMap<String, String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// `tls_server_config`.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) cert: Named,
    pub(super) key: Named,
    pub(super) client_auth: ClientAuth,
    pub(super) client_ca: Option<Named>,
    pub(super) versions: Versions,
    /// Names, as Go has them; empty: all.
    pub(super) cipher_suites: Vec<String>,
    /// Names, as Go has them; empty: all.
    pub(super) curves: Vec<String>,
    pub(super) prefer_server_cipher_suites: bool,
}

/// A file, and the line that names it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    pub(super) line: usize,
}

/// `client_auth_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// None is asked for.
    None,
    /// One that is shown has to be signed by the authority.
    IfGiven,
    /// One signed by the authority has to be shown.
    Required,
}

/// From `min_version` to `max_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) tls12: bool,
    pub(super) tls13: bool,
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// Not readable, too large, or not a web configuration that can be had here.
    pub(super) fn load(path: &Path) -> Result<Self, SettingsError> {
        let bytes = read_bounded(path, FILE_LIMIT)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8")))
            .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &bytes)
    }

    /// Reads what is in a file of this name.
    ///
    /// # Errors
    /// As for [`Settings::load`].
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        document::parse(text).and_then(|root| read::settings(root, directory)).map_err(|wrong| wrong.of(path))
    }

    /// The files that it stands on, itself left out.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let tls = self.tls.iter();
        tls.flat_map(|tls| [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()])
            .flatten()
            .map(|named| named.path.as_path())
    }
}

/// Reads a file that is no larger than that.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
    }
    Ok(bytes)
}
