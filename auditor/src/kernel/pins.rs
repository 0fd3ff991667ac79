//! Programs, links and maps kept in a bpffs: they count on while no daemon runs, and the next one takes them over.
//!
//! A directory on a bpffs is one daemon's at a time, by a lock that the kernel lets go of however its holder ends. In it
//! each set of programs, links and maps has a directory of its own, named after what they are: the layout of the maps, the
//! programs' source, and the number of slots. A set is made under another name and renamed when it is whole and counts; one
//! that is to go is renamed before it is taken apart. So whatever has a set's name is a set, whenever somebody was killed.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{Counted, KernelError};

/// All maps of the programs but their globals: each is pinned under its name.
pub const MAPS: [&str; 26] = [
    "ARGUMENTS",
    "ARGUMENT_SHARES",
    "AYA_LOGS",
    "CGROUPS",
    "COPIES",
    "COPY",
    "DENIALS",
    "EVENTS",
    "FILTERS",
    "FLOWS",
    "FOREIGN",
    "FREE_SLOTS",
    "HAS_RUNTIME",
    "KNOWN_FILTERS",
    "LAST_CGROUP",
    "LOST",
    "NATIVE",
    "NESTED",
    "READING",
    "REFUSALS",
    "RUNTIME",
    "SHARES",
    "SLOTS",
    "SLOT_LOST",
    "TASKS",
    "WATCHES",
];
/// The sections that hold the programs' globals which change.
pub const GENERATION: &str = ".bss";
/// See [`GENERATION`].
pub const ATTACHED: &str = ".data";
/// Under which names these are pinned: a bpffs takes no dots.
pub const GLOBALS: [(&str, &str); 2] = [(GENERATION, "bss"), (ATTACHED, "data")];

/// Before the name of a link.
pub const LINK: &str = "link_";
/// Before the name of a program.
pub const PROGRAM: &str = "prog_";
/// A set that is not whole yet.
pub const STAGING: &str = "staging";
/// Before the name of a set whose programs are attached no more, and whose counts nobody has kept yet.
pub const REPLACED: &str = "replaced-";
/// Before the name of one that is being taken apart.
const GOING: &str = "going-";

/// Why nothing can be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// Another daemon counts.
    #[error(
        "another auditor daemon{} counts with the pins in {}: stop it, or give this one a directory of its own with --bpffs",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Its process, where the kernel tells.
        pid: Option<u32>,
    },
    /// The directory cannot be on a bpffs.
    #[error("pin the programs in {}: it is not on a bpffs; mount -t bpf bpf /sys/fs/bpf, or give --bpffs none", .0.display())]
    NotBpffs(PathBuf),
    /// Somebody else could put into it what they like.
    #[error(
        "use the pins in {}: the directory belongs to user {}, or others may write to it; run the daemon as that user, or remove it with `auditor doctor --clean`",
        .0.display(), .1
    )]
    NotOurs(PathBuf, u32),
    /// The directory cannot be used.
    #[error("{doing} {}: {source}; give the daemon's user this directory, or give --bpffs none", .path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// With which directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A directory of pins, and the lock on it.
#[derive(Debug)]
pub struct Pins {
    pub(super) root: PathBuf,
    _lock: Flock<File>,
}

impl Pins {
    /// Makes the directory where there is none, and locks it. What others have left half done there is removed.
    ///
    /// # Errors
    /// When another daemon has it, or it cannot be used.
    pub fn take(root: &Path) -> Result<Self, PinsError> {
        let made = match DirBuilder::new().mode(0o700).create(root) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(source) => return Err(PinsError::io("create the directory of pins", root, source)),
        };
        if !Self::is_bpffs(root) {
            if made {
                // Empty, and ours since a moment.
                _ = fs::remove_dir(root);
            }
            return Err(PinsError::NotBpffs(root.to_owned()));
        }
        let pins = Self::lock(root)?;
        let metadata = fs::metadata(root).map_err(|source| PinsError::io("look at", root, source))?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(PinsError::NotOurs(root.to_owned(), metadata.uid()));
        }
        for name in pins.directories()? {
            if name == STAGING || name.starts_with(GOING) {
                remove_set(&root.join(name))?;
            }
        }
        Ok(pins)
    }

    fn lock(root: &Path) -> Result<Self, PinsError> {
        let directory = File::open(root).map_err(|source| PinsError::io("open", root, source))?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err((directory, Errno::EWOULDBLOCK)) => {
                Err(PinsError::InUse { directory: root.to_owned(), pid: holder(&directory) })
            }
            Err((_, errno)) => Err(PinsError::io("lock", root, errno.into())),
        }
    }

    /// Removes all sets in a directory of pins, and the directory: the programs are detached, and what they counted that
    /// nobody has read is gone. Returns how many sets there were; `None` where there is no such
    /// directory, or none on a bpffs.
    ///
    /// # Errors
    /// When a daemon has it, or it cannot be used.
    pub fn clean(root: &Path) -> Result<Option<usize>, PinsError> {
        match statfs(root) {
            Err(Errno::ENOENT) => return Ok(None),
            Ok(at) if at.filesystem_type() == BPF_FS_MAGIC => {}
            Ok(_) => return Ok(None),
            Err(errno) => return Err(PinsError::io("look at", root, errno.into())),
        }
        let pins = Self::lock(root)?;
        let sets = pins.directories()?;
        for name in &sets {
            pins.remove(name)?;
        }
        match fs::remove_dir(root) {
            // Somebody else's pins are there, or somebody's file system is mounted there.
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) => {}
            removed => removed.map_err(|source| PinsError::io("remove", root, source))?,
        }
        Ok(Some(sets.len()))
    }

    /// Whether a directory is on a bpffs.
    #[must_use]
    pub fn is_bpffs(directory: &Path) -> bool {
        statfs(directory).is_ok_and(|at| at.filesystem_type() == BPF_FS_MAGIC)
    }

    /// Whether a daemon counts with the pins in a directory, as far as the kernel tells.
    #[must_use]
    pub fn is_in_use(root: &Path) -> bool {
        File::open(root).is_ok_and(|directory| holder(&directory).is_some())
    }

    /// The sets in a directory of pins, as they are called; for whoever only looks.
    ///
    /// # Errors
    /// When it cannot be read; that it is not there is none.
    pub fn sets(root: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Others may pin here as well.
            if is_set(&name) && entry.file_type()?.is_dir() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn directories(&self) -> Result<Vec<String>, PinsError> {
        Self::sets(&self.root).map_err(|source| PinsError::io("read", &self.root, source))
    }

    /// Takes a set apart. Whoever comes meanwhile knows that it is none any more.
    pub(super) fn remove(&self, name: &str) -> Result<(), PinsError> {
        let (from, to) = (self.root.join(name), self.root.join(format!("{GOING}{name}")));
        if !name.starts_with(GOING) {
            fs::rename(&from, &to).map_err(|source| PinsError::io("rename", &from, source))?;
            return remove_set(&to);
        }
        remove_set(&from)
    }
}

impl PinsError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }
}

/// Whether a directory is called as sets are: `v1-5ff63c72ad832eff-1024`, that with a word before it, or `staging`.
fn is_set(name: &str) -> bool {
    let mut rest = name;
    while let Some(inner) = rest.strip_prefix(GOING).or_else(|| rest.strip_prefix(REPLACED)) {
        rest = inner;
    }
    let is = |word: Option<&str>, digit: fn(&u8) -> bool| {
        word.is_some_and(|word| !word.is_empty() && word.as_bytes().iter().all(digit))
    };
    let mut words = rest.strip_prefix('v').unwrap_or_default().split('-');
    let named = is(words.next(), u8::is_ascii_digit)
        && is(words.next(), u8::is_ascii_hexdigit)
        && is(words.next(), u8::is_ascii_digit)
        && words.next().is_none();
    named || rest == STAGING
}

/// Links first: nothing counts into maps that are half gone.
fn remove_set(directory: &Path) -> Result<(), PinsError> {
    let failed = |source| PinsError::io("remove", directory, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort_by_key(|path| !is_link(path));
    for file in files {
        fs::remove_file(&file).map_err(failed)?;
    }
    fs::remove_dir(directory).map_err(failed)
}

fn is_link(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(LINK))
}

/// The process that has locked a file (`/proc/locks`, whose lines are by device and inode: `lock_get_status` in
/// `fs/locks.c`).
fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let (major, minor) = (nix::sys::stat::major(metadata.dev()), nix::sys::stat::minor(metadata.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line = locks.lines().find(|line| line.split_whitespace().any(|word| word == wanted))?;
    line.split_whitespace().nth(4)?.parse().ok().filter(|pid| *pid > 0)
}

/// What an older daemon's programs have counted, and nobody has kept yet. They are attached no more.
pub struct Replaced {
    pub(super) directory: PathBuf,
    counted: Option<Counted>,
}

impl Replaced {
    pub(super) fn open(directory: PathBuf) -> Self {
        let counted = is_readable(&directory).then(|| counted_in(&directory).ok()).flatten();
        Self { directory, counted }
    }

    /// Its counters; `None` where they cannot be read: their layout is not known, or maps are missing.
    #[must_use]
    pub const fn counted(&self) -> Option<&Counted> {
        self.counted.as_ref()
    }

    /// Under which name it is pinned.
    #[must_use]
    pub fn name(&self) -> String {
        self.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Removes it: its counts are kept.
    ///
    /// # Errors
    /// When a pin cannot be removed.
    pub fn remove(self) -> Result<(), PinsError> {
        remove_set(&self.directory)
    }
}

/// Whether the layout of a set's maps is known.
fn is_readable(directory: &Path) -> bool {
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_prefix(REPLACED).unwrap_or(&name);
    name.split_once('-').is_some_and(|(layout, _)| layout == layout_word())
}

pub(super) fn layout_word() -> String {
    format!("v{}", auditor_ebpf::LAYOUT)
}

fn counted_in(directory: &Path) -> Result<Counted, KernelError> {
    let slots =
        aya::maps::MapInfo::from_pin(directory.join("SLOTS")).map_err(|error| KernelError::map("SLOTS", &error))?;
    Counted::of(slots.max_entries(), |name| pinned_map(directory, name, name))
}

pub(super) fn pinned_map(directory: &Path, file: &str, name: &'static str) -> Result<Map, KernelError> {
    let data = MapData::from_pin(directory.join(file)).map_err(|error| KernelError::map(name, &error))?;
    Map::from_map_data(data).map_err(|error| KernelError::map(name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_pin_is_no_set() {
        for name in
            ["v1-5ff63c72ad832eff-1024", "replaced-v1-0a-4", "going-replaced-v2-0a-4", "staging", "going-staging"]
        {
            assert!(is_set(name), "{name}");
        }
        for name in
            ["", "tc", "cilium", "v1", "v1--4", "v1-xy-4", "v1-0a-4-5", "vx-0a-4", "going-", "replaced-tc", "1-0a-4"]
        {
            assert!(!is_set(name), "{name}");
        }
    }
}
