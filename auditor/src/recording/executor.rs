//! The program with which systemd sets services up: `systemd-executor`, since version 255.
//!
//! systemd keeps it open from its own start on, and executes that file also when a newer one lies in its place
//! (`pin_callout_binary` in `src/core/manager.c`). So what the manager holds is asked for first.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::kernel::Executor;

/// What it is called.
const NAME: &str = "systemd-executor";
/// Where it is.
const PLACES: [&str; 2] = ["/usr/lib/systemd/systemd-executor", "/lib/systemd/systemd-executor"];

/// The one that is used on this host; `None` where services are set up by the manager's own children.
pub fn find() -> Option<Executor> {
    held_by(Path::new("/proc/1/fd"))
        .or_else(|| PLACES.iter().find_map(|place| fs::metadata(place).ok()))
        .as_ref()
        .map(of)
}

fn of(file: &Metadata) -> Executor {
    Executor { inode: file.ino(), device: file.dev() }
}

/// The one among the files that a process has open.
fn held_by(descriptors: &Path) -> Option<Metadata> {
    let is_it = |path: &Path| {
        let target = fs::read_link(path).unwrap_or_default();
        // The kernel says so of a file that was replaced meanwhile.
        target.to_string_lossy().trim_end_matches(" (deleted)").rsplit('/').next() == Some(NAME)
    };
    let found = fs::read_dir(descriptors).ok()?.flatten().map(|entry| entry.path()).find(|path| is_it(path))?;
    fs::metadata(found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_held_is_found_also_when_it_was_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let held = Path::new("/proc/self/fd");
        assert!(held_by(held).is_none());
        fs::write(&path, "old").unwrap();
        let open = fs::File::open(&path).unwrap();
        let old = of(&open.metadata().unwrap());
        assert_eq!(held_by(held).as_ref().map(of), Some(old));
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(held_by(held).as_ref().map(of), Some(old));
        assert!(held_by(Path::new("/nonexistent")).is_none());
    }
}
