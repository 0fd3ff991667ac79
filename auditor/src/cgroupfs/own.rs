//! A cgroup of one's own, to count in what is started there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::inside::inside;
use super::{CgroupError, Root, id_at, is_populated, processes_of};
use crate::procfs;

/// What the directories are called, before the process id of whoever made them. No engine calls a container's so.
const PREFIX: &str = "auditor-record-";

/// How often a directory is made anew that somebody tidied away before it could be locked.
const ATTEMPTS: usize = 5;

/// How long processes are moved out for before a cgroup is left behind: those that fork meanwhile need more than one go.
const PATIENCE: Duration = Duration::from_secs(2);

/// A cgroup that this process made. It is removed when this is dropped; what still runs in it goes to the cgroup around
/// it. One that a killed process left behind is removed by whoever makes the next one, once nothing runs in it.
#[derive(Debug)]
pub struct OwnCgroup {
    path: PathBuf,
    /// Held for as long as the maker lives; the kernel lets go of it when that is killed.
    _lock: Flock<File>,
}

impl OwnCgroup {
    /// Makes one inside the cgroup that this process is in, so that the same limits hold there, or where that is not to
    /// be had, in the root of the hierarchy.
    ///
    /// # Errors
    /// There can be none: most often for lack of privilege.
    pub fn make(root: &Root) -> Result<Self, CgroupError> {
        let own = procfs::cgroup_of(std::process::id()).ok();
        let own = own.map(|path| root.path().join(path.trim_start_matches('/')));
        if let Some(own) = own.filter(|own| own != root.path() && own.is_dir())
            && let Ok(made) = Self::make_in(&own)
        {
            return Ok(made);
        }
        Self::make_in(root.path())
    }

    fn make_in(around: &Path) -> Result<Self, CgroupError> {
        sweep(around);
        let path = around.join(format!("{PREFIX}{}", std::process::id()));
        let failed = |source| CgroupError::Make { path: path.clone(), source };
        for _ in 0..ATTEMPTS {
            match fs::create_dir(&path) {
                // Left behind by a process of the same number, and something still runs in it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_populated(&path) => {
                    return Err(failed(error));
                }
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
            if let Some(lock) = lock(&path) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(failed(io::Error::other("somebody removes it again and again")))
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that a process writes itself into to enter it.
    #[must_use]
    pub fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Whether a process is in it.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        is_populated(&self.path)
    }

    /// The processes in it and in the cgroups inside it.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        processes_of(&self.path)
    }

    /// Moves what still runs in it out, to the cgroup around it, and removes it. Nothing is stopped. Returns whether it
    /// is gone.
    fn remove(&self) -> bool {
        let started = Instant::now();
        while !remove_empty(&self.path) {
            if started.elapsed() > PATIENCE {
                return false;
            }
            if let Some(out) = self.path.parent() {
                // One that has ended meanwhile is as good as moved.
                self.processes().iter().for_each(|pid| _ = fs::write(out.join("cgroup.procs"), pid.to_string()));
            }
            // The kernel takes a moment to bury the dead.
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        if !self.remove() {
            tracing::warn!(path = %self.path.display(), "the cgroup cannot be removed now; the next record tries again");
        }
    }
}

/// Removes what processes left behind that were killed: cgroups of this name that nobody holds a lock on, as far as
/// nothing runs in them.
fn sweep(around: &Path) {
    let entries = fs::read_dir(around).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))) {
        let path = entry.path();
        if let Some(_lock) = lock(&path)
            && !is_populated(&path)
        {
            remove_empty(&path);
        }
    }
}

/// The lock on a directory that is still there, unless somebody has it.
fn lock(path: &Path) -> Option<Flock<File>> {
    let file = File::open(path).ok()?;
    let lock = loop {
        match Flock::lock(file.try_clone().ok()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => break lock,
            Err((_, Errno::EINTR)) => {}
            Err(_) => return None,
        }
    };
    let same = file.metadata().ok().zip(id_at(path).ok()).is_some_and(|(open, named)| {
        use std::os::unix::fs::MetadataExt as _;
        open.ino() == named.0
    });
    same.then_some(lock)
}

/// Removes a cgroup and those inside it, as far as nothing runs in them. Returns whether it is gone.
fn remove_empty(path: &Path) -> bool {
    // Inner ones before outer ones.
    inside(path).iter().rev().for_each(|inner| _ = fs::remove_dir(inner));
    fs::remove_dir(path).is_ok() || !path.exists()
}
