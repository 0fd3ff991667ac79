//! What is in one cgroup: its id, its processes, and the cgroups inside it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{DIRECTORY_LIMIT, Root};
use crate::container::CgroupId;

/// The id of the cgroup whose directory this is.
///
/// # Errors
/// It is not there (any more).
pub fn id_at(directory: &Path) -> io::Result<CgroupId> {
    Ok(CgroupId(fs::metadata(directory)?.ino()))
}

/// The ids of all cgroups inside the one whose directory this is. Those that come or go meanwhile may be in it or not.
#[must_use]
pub fn nested_in(directory: &Path) -> Vec<CgroupId> {
    inside(directory).iter().filter_map(|path| id_at(path).ok()).collect()
}

/// The directories below one, outer ones first.
pub(super) fn inside(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let entries = fs::read_dir(&next).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if found.len() < DIRECTORY_LIMIT {
                found.push(entry.path());
                waiting.push(entry.path());
            }
        }
    }
    found
}

/// The processes in the cgroup whose directory this is, and in those inside it.
#[must_use]
pub fn processes_of(directory: &Path) -> Vec<u32> {
    let of = |path: &Path| {
        let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>()
    };
    let mut processes = of(directory);
    processes.extend(inside(directory).iter().flat_map(|path| of(path)));
    processes
}

/// The paths of all cgroups of this name, from the root of the hierarchy; of those inside one another the outer one.
#[must_use]
pub fn directories_named(root: &Root, name: &str) -> Vec<String> {
    let mut found: Vec<PathBuf> = inside(root.path());
    found.retain(|path| path.file_name().is_some_and(|file| file == name));
    let outer: Vec<PathBuf> = found.clone();
    found.retain(|path| !outer.iter().any(|other| path != other && path.starts_with(other)));
    let below = |path: &PathBuf| Some(format!("/{}", path.strip_prefix(root.path()).ok()?.display()));
    let mut paths: Vec<String> = found.iter().filter_map(below).collect();
    paths.sort();
    paths
}

/// Reads `populated` of `cgroup.events`: whether a process is in it or in one of those inside it. What cannot be read
/// is taken for populated: better a slot too many.
#[must_use]
pub fn is_populated(directory: &Path) -> bool {
    fs::read_to_string(directory.join("cgroup.events"))
        .map_or(true, |events| !events.lines().any(|line| line == "populated 0"))
}
