//! The directory of the store: one daemon's at a time, with what could not be read moved aside.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::StoreError;

const FILE: &str = "evidence.redb";
const LOCK: &str = "evidence.lock";

/// Held for as long as the store is used.
pub type Lock = Flock<File>;

/// Where the file is.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// Makes the directory where there is none, and locks it.
    ///
    /// # Errors
    /// When another daemon has it, or it cannot be used.
    pub fn take(directory: &Path) -> Result<(Self, Lock), StoreError> {
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { doing, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("creating the state directory", directory))?;
        let path = directory.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening the lock file", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok((Self { directory: directory.to_owned() }, lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(StoreError::InUse(directory.to_owned())),
            Err((_, errno)) => Err(failed("locking", &path)(errno.into())),
        }
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Makes the file, empty and its owner's alone, where there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn touch(&self) -> Result<(), StoreError> {
        let path = self.file();
        match File::options().create_new(true).write(true).mode(0o600).open(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(StoreError::Io { doing: "creating", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Gives the file another name: `evidence.redb.KIND-TIME`. Returns that.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn move_aside(&self, kind: &str) -> Result<PathBuf, StoreError> {
        let (file, time) = (self.file(), Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string());
        let aside = self.directory.join(format!("{FILE}.{kind}-{time}"));
        fs::rename(&file, &aside)
            .map_err(|source| StoreError::Io { doing: "moving aside", path: file, source })
            .map(|()| aside)
    }
}
