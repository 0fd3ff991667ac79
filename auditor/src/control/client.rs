//! The command's side: blocking, one question a connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::control::{Failure, Request, Response};

/// An answer larger than this is not one of ours.
const MAX_ANSWER: u64 = 256 << 20;

/// Why a question got no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens, or not for us.
    #[error("cannot reach the daemon at {}: {}; {}", .path.display(), plain(.source), advice(.source))]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What connecting said.
        source: io::Error,
    },
    /// The connection broke or stalled.
    #[error("asking the daemon at {}: {}; see its log (journalctl -u auditor)", .path.display(), plain(.source))]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The answer makes no sense: another version, or another program.
    #[error("the daemon at {} answered what this command does not understand: {source}; are both of one version?", .path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What parsing said.
        source: serde_json::Error,
    },
    /// The daemon said no.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The words of an error without the `(os error N)` that the standard library adds.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        kind => match kind.to_string() {
            words if error.raw_os_error().is_some() => words,
            _ => error.to_string(),
        },
    }
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "are you root or in the socket's group?"
    } else {
        "is it running? (systemctl start auditor)"
    }
}

/// Asks the daemon that listens at `path`, waiting at most `patience` for each read or write.
///
/// # Errors
/// When nobody answers, the answer is not understood, or the daemon says no.
pub fn call(path: &Path, request: &Request, patience: Duration) -> Result<Response, ClientError> {
    let unreachable = |source| ClientError::Unreachable { path: path.to_owned(), source };
    let broken = |source| ClientError::Broken { path: path.to_owned(), source };
    let garbled = |source| ClientError::Garbled { path: path.to_owned(), source };

    let mut stream = UnixStream::connect(path).map_err(unreachable)?;
    stream.set_read_timeout(Some(patience)).map_err(broken)?;
    stream.set_write_timeout(Some(patience)).map_err(broken)?;
    let mut line = serde_json::to_vec(request).map_err(garbled)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;

    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_ANSWER).read_until(b'\n', &mut answer).map_err(broken)?;
    if answer.pop() != Some(b'\n') {
        return Err(broken(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection closed before the answer")));
    }
    match serde_json::from_slice(&answer).map_err(garbled)? {
        Response::Failed(failure) => Err(failure.into()),
        response => Ok(response),
    }
}
