//! The command's side: blocking, one question a connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::control::{DenialsAnswer, Failure, FollowItem, Request, Response};

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
    Connection::ask(path, request, patience)?.response()
}

/// Asks to be told of refused calls from now on. `request` is [`Request::Denials`] with `follow`.
///
/// # Errors
/// As for [`call`].
pub fn follow(path: &Path, request: &Request, patience: Duration) -> Result<(DenialsAnswer, Following), ClientError> {
    let mut connection = Connection::ask(path, request, patience)?;
    match connection.response()? {
        Response::Denials(answer) => Ok((answer, Following { connection })),
        _ => Err(connection.broken(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another question"))),
    }
}

/// What the daemon tells a follower.
#[derive(Debug)]
pub struct Following {
    connection: Connection,
}

impl Following {
    /// Waits for the next thing it tells. It says something every few seconds, if only that it is there.
    ///
    /// # Errors
    /// When the daemon went away or fell silent.
    pub fn next_item(&mut self) -> Result<FollowItem, ClientError> {
        let line = self.connection.line()?;
        serde_json::from_slice(&line).map_err(|source| self.connection.garbled(source))
    }
}

#[derive(Debug)]
struct Connection {
    path: PathBuf,
    reader: BufReader<UnixStream>,
}

impl Connection {
    fn ask(path: &Path, request: &Request, patience: Duration) -> Result<Self, ClientError> {
        let path = path.to_owned();
        let mut stream =
            UnixStream::connect(&path).map_err(|source| ClientError::Unreachable { path: path.clone(), source })?;
        let set = stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        let mut line =
            serde_json::to_vec(request).map_err(|source| ClientError::Garbled { path: path.clone(), source })?;
        line.push(b'\n');
        let sent = set.and_then(|()| stream.write_all(&line));
        let connection = Self { path, reader: BufReader::new(stream) };
        sent.map_err(|source| connection.broken(source))?;
        Ok(connection)
    }

    fn response(&mut self) -> Result<Response, ClientError> {
        let line = self.line()?;
        match serde_json::from_slice(&line).map_err(|source| self.garbled(source))? {
            Response::Failed(failure) => Err(failure.into()),
            response => Ok(response),
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(MAX_ANSWER).read_until(b'\n', &mut line);
        read.map_err(|source| self.broken(source))?;
        if line.pop() != Some(b'\n') {
            let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection closed before the answer");
            return Err(self.broken(ended));
        }
        Ok(line)
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Broken { path: self.path.clone(), source }
    }

    fn garbled(&self, source: serde_json::Error) -> ClientError {
        ClientError::Garbled { path: self.path.clone(), source }
    }
}
