//! The set of programs, links and maps that a daemon counts with, as it is pinned: made, taken over, mended, replaced.

use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::MapData;
use aya::programs::links::FdLink;

use super::error::chain;
use super::pinned::PinnedObject;
use super::pins::{GLOBALS, LINK, MAPS, PROGRAM, REPLACED, STAGING, layout_word};
use super::{Kernel, KernelError, Pins, PinsError, Replaced, program};

/// Digits of the source's hash in a set's name.
const HASH_DIGITS: usize = 16;

/// A link of a program that is attached.
pub type Link = (&'static str, FdLink);

/// The set, and what it replaces.
pub struct Pinned {
    pins: Pins,
    name: String,
    /// Nothing, until it is whole.
    held: Option<Held>,
    replaced: Vec<Replaced>,
}

/// What the pins lead to. A pin that somebody removes takes nothing away from us, and is made again.
struct Held {
    maps: Vec<(String, MapData)>,
    programs: Vec<(&'static str, PinnedObject)>,
    links: Vec<(&'static str, PinnedObject)>,
}

impl Pinned {
    /// The set for so many slots, if there is one already that is whole, or else room for it. All other sets are to be
    /// replaced.
    pub fn find(pins: Pins, slot_count: u32) -> Result<Self, KernelError> {
        let hash = Kernel::source_hash().unwrap_or_default();
        let digits = hash.get(..HASH_DIGITS).unwrap_or(&hash);
        let name = format!("{}-{digits}-{slot_count}", layout_word());
        let mut set = Self { pins, name, held: None, replaced: Vec::new() };
        if is_whole(&set.directory()) {
            set.held = Some(Held::open(&set.directory())?);
        }
        for other in set.pins.directories()? {
            if other != set.name || set.held.is_none() {
                set.replaced.push(Replaced::open(set.pins.root.join(other)));
            }
        }
        Ok(set)
    }

    /// Whether it counts already.
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Where it is.
    pub fn directory(&self) -> PathBuf {
        self.pins.root.join(&self.name)
    }

    /// Makes the directory in which it grows. Returns it.
    pub fn stage(&self) -> Result<PathBuf, KernelError> {
        let staging = self.pins.root.join(STAGING);
        let made = DirBuilder::new().mode(0o700).create(&staging);
        made.map_err(|source| PinsError::io("create", &staging, source))?;
        Ok(staging)
    }

    /// Detaches the programs of the sets that this one replaces. Their maps stay, until somebody has kept what they hold.
    pub fn detach_replaced(&mut self) -> Result<(), KernelError> {
        for replaced in &mut self.replaced {
            let name = replaced.name();
            if !name.starts_with(REPLACED) {
                let to = self.pins.root.join(format!("{REPLACED}{name}"));
                fs::rename(&replaced.directory, &to)
                    .map_err(|source| PinsError::io("rename", &replaced.directory, source))?;
                replaced.directory = to;
            }
            for name in program::attached() {
                for kind in [LINK, PROGRAM] {
                    let pin = replaced.directory.join(format!("{kind}{name}"));
                    match fs::remove_file(&pin) {
                        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                            return Err(PinsError::io("remove", &pin, source).into());
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// What it replaced, once.
    pub fn take_replaced(&mut self) -> Vec<Replaced> {
        std::mem::take(&mut self.replaced)
    }

    /// Pins what is not pinned yet, and gives the set its name: from here on it outlives us.
    pub fn publish(&mut self, ebpf: &mut Ebpf, links: Vec<Link>) -> Result<(), KernelError> {
        let staging = self.pins.root.join(STAGING);
        for name in program::attached() {
            let pinned = program::tracepoint(ebpf, name)?.pin(staging.join(format!("{PROGRAM}{name}")));
            pinned.map_err(|error| KernelError::pin(&staging, &error))?;
        }
        for (name, link) in links {
            link.pin(staging.join(format!("{LINK}{name}"))).map_err(|error| KernelError::pin(&staging, &error))?;
        }
        // What is opened now is what whoever comes after us opens.
        let directory = self.directory();
        fs::rename(&staging, &directory).map_err(|source| PinsError::io("rename", &staging, source))?;
        self.held = Some(Held::open(&directory)?);
        Ok(())
    }

    /// A program of the set.
    pub fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let held = self.held.as_ref()?;
        held.programs.iter().find(|(known, _)| *known == name).map(|(_, program)| program.as_fd())
    }

    /// Pins anew what somebody has unpinned. Returns how many pins were gone.
    pub fn mend(&self) -> Result<usize, KernelError> {
        let directory = self.directory();
        match &self.held {
            Some(held) => held.mend(&directory),
            None => Ok(0),
        }
    }

    /// Removes the set: the programs end with this process.
    pub fn remove(&mut self) -> Result<(), KernelError> {
        if self.held.take().is_some() {
            self.pins.remove(&self.name)?;
        }
        Ok(())
    }
}

impl Held {
    fn open(directory: &Path) -> Result<Self, KernelError> {
        let mut maps = Vec::new();
        for file in files_of_maps() {
            let map = MapData::from_pin(directory.join(file)).map_err(|error| KernelError::pin(directory, &error))?;
            maps.push((file.to_owned(), map));
        }
        let (mut programs, mut links) = (Vec::new(), Vec::new());
        for name in program::attached() {
            let program = PinnedObject::open(&directory.join(format!("{PROGRAM}{name}")));
            programs.push((name, program.map_err(|error| KernelError::pin(directory, &error))?));
            let link = PinnedObject::open(&directory.join(format!("{LINK}{name}")));
            links.push((name, link.map_err(|error| KernelError::pin(directory, &error))?));
        }
        Ok(Self { maps, programs, links })
    }

    fn mend(&self, directory: &Path) -> Result<usize, KernelError> {
        if is_whole(directory) {
            return Ok(0);
        }
        if !directory.is_dir() {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(directory);
            made.map_err(|source| PinsError::io("create", directory, source))?;
        }
        let failed = |error: &(dyn std::error::Error + 'static)| KernelError::pin(directory, error);
        let mut gone = 0;
        for (file, map) in &self.maps {
            let pin = directory.join(file);
            if !pin.exists() {
                map.pin(&pin).map_err(|error| failed(&error))?;
                gone += 1;
            }
        }
        for (name, program) in &self.programs {
            let pin = directory.join(format!("{PROGRAM}{name}"));
            if !pin.exists() {
                program.pin(&pin).map_err(|error| failed(&error))?;
                gone += 1;
            }
        }
        for (name, link) in &self.links {
            let pin = directory.join(format!("{LINK}{name}"));
            if !pin.exists() {
                link.pin(&pin).map_err(|error| failed(&error))?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

impl KernelError {
    pub(super) fn pin(directory: &Path, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Pin { directory: directory.to_owned(), reason: chain(error) }
    }
}

fn files_of_maps() -> impl Iterator<Item = &'static str> {
    MAPS.into_iter().chain(GLOBALS.map(|(_, file)| file))
}

/// Whether all pins of a set are in a directory.
fn is_whole(directory: &Path) -> bool {
    let of_programs = program::attached().flat_map(|name| [LINK, PROGRAM].map(|kind| format!("{kind}{name}")));
    files_of_maps().map(str::to_owned).chain(of_programs).all(|file| directory.join(file).exists())
}
