//! Reading what a command line names as FILE, within bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::profile::MAX_BYTES;

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Not there, or not for us.
    #[error("reading {name}: {}", plain(.source))]
    Unreadable {
        /// As it was typed.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It would be empty the second time.
    #[error(
        "reading stdin: - is named more than once, and stdin can be read only once; put one of the profiles in a file"
    )]
    StdinTwice,
    /// More than is read.
    #[error("reading {name}: more than the {} MiB that are read of a profile; is this the right file?", MAX_BYTES >> 20)]
    TooLarge {
        /// As it was typed.
        name: String,
    },
}

/// The words of an error without the `(os error N)` that the standard library adds.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        kind => kind.to_string(),
    }
}

/// A file's name as it is shown, and what is in it.
#[derive(Debug)]
pub(in crate::cli) struct Source {
    pub(in crate::cli) name: String,
    pub(in crate::cli) bytes: Vec<u8>,
}

/// Reads files as [`read`] does.
pub(in crate::cli) fn read_all(paths: &[PathBuf]) -> Result<Vec<Source>, SourceError> {
    refuse_stdin_twice(paths)?;
    paths.iter().map(|path| read(path)).collect()
}

/// Stdin has been read to its end the second time.
pub(in crate::cli) fn refuse_stdin_twice<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), SourceError> {
    let stdin = paths.into_iter().filter(|path| path.as_path() == Path::new("-"));
    if stdin.count() > 1 { Err(SourceError::StdinTwice) } else { Ok(()) }
}

/// Reads a file, or stdin where it is called `-`. At most [`MAX_BYTES`] of it: a device or a pipe may have no end.
pub(in crate::cli) fn read(path: &Path) -> Result<Source, SourceError> {
    if path == Path::new("-") {
        read_from(io::stdin().lock(), "stdin".to_owned())
    } else {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => read_from(file, name),
            Err(source) => Err(SourceError::Unreadable { name, source }),
        }
    }
}

fn read_from(reader: impl Read, name: String) -> Result<Source, SourceError> {
    let mut bytes = Vec::new();
    match reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Err(source) => Err(SourceError::Unreadable { name, source }),
        Ok(length) if length > MAX_BYTES => Err(SourceError::TooLarge { name }),
        Ok(_) => Ok(Source { name, bytes }),
    }
}
