//! The cgroup2 filesystem: which cgroups are a container's, and by which id the kernel programs know them.

mod inside;
mod own;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub use self::inside::{directories_named, id_at, is_populated, nested_in, processes_of};
pub use self::own::OwnCgroup;
use crate::container::{CgroupId, ContainerId};

/// Directories below which nothing is looked at: a container may nest its own as deep as the kernel lets it.
const DEPTH_LIMIT: usize = 64;

/// Directories looked at in one walk. Ten thousand containers have fewer; a container that makes more is not followed.
const DIRECTORY_LIMIT: usize = 200_000;

/// Why there are no cgroups to be seen.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Not even v1.
    #[error(
        "find the cgroup2 mount in /proc/self/mountinfo: no cgroup filesystem is mounted; mount -t cgroup2 none /sys/fs/cgroup"
    )]
    NoCgroups,
    /// Only v1 hierarchies: they have no ids that the kernel programs could tell containers apart by.
    #[error(
        "find the cgroup2 mount in /proc/self/mountinfo: this host has cgroup v1 only; mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified, restart docker, or boot with systemd.unified_cgroup_hierarchy=1"
    )]
    LegacyOnly,
    /// The directory given is no such mount.
    #[error("use {} as the cgroup root: {reason}; give the directory where cgroup2 is mounted (--cgroup-root)", .path.display())]
    NotCgroup2 {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory could not be read.
    #[error("read {}: {source}", .path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A cgroup could not be made.
    #[error("make the cgroup {}: {}; run as root", .path.display(), .source.kind())]
    Make {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// How the host arranges its hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup2 alone.
    Unified,
    /// cgroup2 beside v1 hierarchies that hold the controllers.
    Hybrid,
}

/// The mounted cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
    hierarchy: Hierarchy,
}

/// One container's outermost cgroup, and those inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupDir {
    /// From the root of the hierarchy, with a leading slash.
    pub path: String,
    /// Its id.
    pub id: CgroupId,
    /// Whose it is.
    pub container: ContainerId,
    /// The ids of all cgroups inside it.
    pub nested: Vec<CgroupId>,
    /// Whether a process is in it or in one of those inside it. An engine or runtime that was killed leaves empty ones.
    pub populated: bool,
}

/// What one walk over the hierarchy found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// The containers' cgroups, by path.
    pub containers: Vec<CgroupDir>,
    /// Directories left out because there were too many, too deep, or not readable.
    pub skipped: u64,
}

impl Root {
    /// Finds where cgroup2 is mounted: where it is said to be, else in `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// It is not there; one line says what to do.
    pub fn find(given: Option<&Path>) -> Result<Self, CgroupError> {
        let file = Path::new("/proc/self/mountinfo");
        let text = fs::read(file).map_err(|source| CgroupError::Read { path: file.to_owned(), source })?;
        let mounts = Mounts::parse(&text);
        let Some(path) = given else {
            return match (mounts.unified.first(), mounts.legacy) {
                (Some(path), legacy) => Ok(Self { path: path.clone(), hierarchy: Hierarchy::with(legacy) }),
                (None, true) => Err(CgroupError::LegacyOnly),
                (None, false) => Err(CgroupError::NoCgroups),
            };
        };
        let refuse = |reason: String| CgroupError::NotCgroup2 { path: path.to_owned(), reason };
        let status = nix::sys::statfs::statfs(path).map_err(|errno| refuse(errno.desc().to_lowercase()))?;
        if status.filesystem_type() != nix::sys::statfs::CGROUP2_SUPER_MAGIC {
            return Err(refuse("not a cgroup2 filesystem".to_owned()));
        }
        Ok(Self { path: path.to_owned(), hierarchy: Hierarchy::with(mounts.legacy) })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the host arranges its hierarchies.
    #[must_use]
    pub const fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    /// Whether this is the host's whole hierarchy and not the part that a cgroup namespace shows: the kernel gives
    /// the root of a hierarchy the id 1 (`kernfs_create_root` in fs/kernfs/dir.c allocates it first).
    ///
    /// # Errors
    /// The mount point is not readable.
    pub fn is_whole(&self) -> Result<bool, CgroupError> {
        Ok(id_at(&self.path).map_err(|source| CgroupError::Read { path: self.path.clone(), source })? == CgroupId(1))
    }

    /// The id of the cgroup at a path as `/proc/PID/cgroup` gives it.
    ///
    /// # Errors
    /// There is none (any more).
    pub fn id_of(&self, path: &str) -> Result<CgroupId, CgroupError> {
        let full = self.path.join(path.trim_start_matches('/'));
        id_at(&full).map_err(|source| CgroupError::Read { path: full, source })
    }

    /// Walks the hierarchy for containers' cgroups. Those that come or go meanwhile may be in the result or not.
    ///
    /// # Errors
    /// The root is not readable.
    pub fn containers(&self) -> Result<Walk, CgroupError> {
        let mut walk = Walk::default();
        let mut found: BTreeMap<String, CgroupDir> = BTreeMap::new();
        // Directories to read: path, depth, and the path of the container cgroup around them.
        let mut waiting: Vec<(String, usize, Option<String>)> = vec![(String::new(), 0, None)];
        let mut seen = 0_usize;
        while let Some((path, depth, around)) = waiting.pop() {
            let full = self.path.join(path.trim_start_matches('/'));
            let entries = match fs::read_dir(&full) {
                Ok(entries) => entries,
                Err(source) if path.is_empty() => return Err(CgroupError::Read { path: full, source }),
                Err(error) if gone(&error) => continue,
                Err(_) => {
                    walk.skipped += 1;
                    continue;
                }
            };
            for entry in entries {
                let Ok(entry) = entry else { continue };
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                seen += 1;
                let name = entry.file_name();
                let (true, true, Some(name)) = (seen <= DIRECTORY_LIMIT, depth < DEPTH_LIMIT, name.to_str()) else {
                    walk.skipped += 1;
                    continue;
                };
                let child = format!("{path}/{name}");
                let id = match id_at(&entry.path()) {
                    Ok(id) => id,
                    Err(error) if gone(&error) => continue,
                    Err(_) => {
                        walk.skipped += 1;
                        continue;
                    }
                };
                let mut inside = around.clone();
                if let Some(outer) = inside.as_ref().and_then(|outer| found.get_mut(outer)) {
                    outer.nested.push(id);
                } else if let Some(container) = component_id(name) {
                    let populated = is_populated(&entry.path());
                    let directory = CgroupDir { path: child.clone(), id, container, nested: Vec::new(), populated };
                    found.insert(child.clone(), directory);
                    inside = Some(child.clone());
                }
                waiting.push((child, depth + 1, inside));
            }
        }
        walk.containers = found.into_values().collect();
        Ok(walk)
    }
}

impl Hierarchy {
    const fn with(legacy: bool) -> Self {
        if legacy { Self::Hybrid } else { Self::Unified }
    }
}

/// Whose a cgroup is, by its path: the outermost component that names a container. The cgroups inside, those of
/// containers of a Docker in it too, are that container's.
#[must_use]
pub fn container_id_of(path: &str) -> Option<ContainerId> {
    path.split('/').find_map(component_id)
}

/// `<64 hex>` (cgroupfs driver) or `<prefix>-<64 hex>.scope` (systemd driver). A `conmon` scope holds a container's
/// monitor, not the container.
fn component_id(name: &str) -> Option<ContainerId> {
    if let Some(scope) = name.strip_suffix(".scope") {
        let (prefix, id) = scope.rsplit_once('-')?;
        return if prefix.is_empty() || prefix.ends_with("conmon") { None } else { ContainerId::parse(id).ok() };
    }
    ContainerId::parse(name).ok()
}

/// Removed while we looked.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// The cgroup lines of a mountinfo file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    pub(crate) unified: Vec<PathBuf>,
    pub(crate) legacy: bool,
}

impl Mounts {
    /// See proc_pid_mountinfo(5): the mount point is the fifth field, the type the first after the lone dash.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut mounts = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b' ');
            let Some(point) = fields.nth(4) else { continue };
            match fields.skip_while(|field| *field != b"-").nth(1) {
                Some(b"cgroup2") => mounts.unified.push(unescaped(point)),
                // A named hierarchy without controllers, as systemd's on hybrid hosts, counts as well.
                Some(b"cgroup") => mounts.legacy = true,
                _ => {}
            }
        }
        // The usual places first: the same hierarchy may be mounted elsewhere, in parts.
        let usual = [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/unified")];
        mounts.unified.sort_by_key(|path| usual.iter().position(|usual| usual == path).unwrap_or(usual.len()));
        mounts
    }
}

/// The kernel writes blanks, tabs, line ends and backslashes of a path as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = (byte == b'\\').then(|| after.get(..3)).flatten();
        let octal = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_drivers_name_their_container() {
        let (id, other) = ("ab".repeat(32), "cd".repeat(32));
        let rows = [
            (format!("/docker/{id}"), true),
            (format!("/system.slice/docker-{id}.scope"), true),
            (format!("/pods/tenant-1/{id}"), true),
            (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id}.scope/init"), true),
            (format!("/docker/{id}/docker/{other}"), true),
            (format!("/machine.slice/libpod-{id}.scope/container"), true),
            (format!("/machine.slice/libpod-conmon-{id}.scope"), false),
            (format!("/-{id}.scope"), false),
            (format!("/docker/{}", &id[1..]), false),
            (format!("/docker/{}", id.to_uppercase()), false),
            (format!("/docker/x{id}"), false),
            ("/docker/buildkit/1a2b3c".to_owned(), false),
            ("/".to_owned(), false),
            (String::new(), false),
        ];
        for (path, wanted) in rows {
            assert_eq!(container_id_of(&path), wanted.then(|| ContainerId::parse(&id).unwrap()), "{path}");
        }
    }

    #[test]
    fn mounts_tell_unified_hybrid_and_legacy_hosts_apart() {
        let unified: &[u8] = b"30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid: &[u8] = b"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw\n";
        let legacy: &[u8] = b"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let odd: &[u8] = b"\n30 23\n30 23 0:26 / /mnt/a\\040b\\134c rw - cgroup2 none rw\n1 2 3 4 /x rw -\n";
        let rows: [(&[u8], &[&str], bool); 5] = [
            (unified, &["/sys/fs/cgroup"], false),
            (hybrid, &["/sys/fs/cgroup/unified"], true),
            (legacy, &[], true),
            (odd, &["/mnt/a b\\c"], false),
            (b"", &[], false),
        ];
        for (text, unified, legacy) in rows {
            let wanted = Mounts { unified: unified.iter().map(PathBuf::from).collect(), legacy };
            assert_eq!(Mounts::parse(text), wanted, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn usual_mount_point_comes_before_a_bind_mount_of_it() {
        let text =
            b"29 23 0:26 /a /srv/part rw - cgroup2 cgroup2 rw\n30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Mounts::parse(text).unified[0], Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn walk_gives_nested_directories_to_the_outermost_container() {
        let tree = tempfile::tempdir().unwrap();
        let (id, inner) = ("ab".repeat(32), "cd".repeat(32));
        let outer = format!("system.slice/docker-{id}.scope");
        for path in [format!("{outer}/init"), format!("{outer}/docker/{inner}"), "system.slice/ssh.service".to_owned()]
        {
            fs::create_dir_all(tree.path().join(path)).unwrap();
        }
        fs::write(tree.path().join("cgroup.procs"), "1\n").unwrap();
        let root = Root { path: tree.path().to_owned(), hierarchy: Hierarchy::Unified };
        let walk = root.containers().unwrap();
        assert_eq!((walk.containers.len(), walk.skipped), (1, 0));
        let found = &walk.containers[0];
        assert_eq!((found.path.as_str(), found.nested.len()), (format!("/{outer}").as_str(), 3));
        assert_eq!(found.container.to_string(), id);
        assert_eq!(root.id_of(&found.path).unwrap(), found.id);
    }

    #[test]
    fn walk_ends_where_a_container_nests_without_end() {
        let tree = tempfile::tempdir().unwrap();
        let mut path = tree.path().join("ab".repeat(32));
        for _ in 0..DEPTH_LIMIT + 3 {
            path.push("x");
        }
        fs::create_dir_all(&path).unwrap();
        let root = Root { path: tree.path().to_owned(), hierarchy: Hierarchy::Unified };
        let walk = root.containers().unwrap();
        assert_eq!((walk.containers[0].nested.len(), walk.skipped), (DEPTH_LIMIT - 1, 1));
    }

    #[test]
    fn directory_that_is_no_cgroup2_mount_is_refused() {
        for path in ["/proc", "/no/such/place"] {
            let error = Root::find(Some(Path::new(path))).unwrap_err();
            assert!(matches!(error, CgroupError::NotCgroup2 { .. }), "{error}");
            assert!(error.to_string().contains("--cgroup-root"), "{error}");
        }
    }
    proptest::proptest! {
        #[test]
        fn whatever_a_path_or_a_mount_is_called_nothing_breaks(text in "[\\PC\n]{0,200}", bytes: Vec<u8>) {
            let _ = container_id_of(&text);
            let _ = Mounts::parse(&bytes);
            let line = [b"30 23 0:26 / ", &bytes[..], b" rw - cgroup2 cgroup2 rw"].concat();
            let _ = Mounts::parse(&line);
        }
    }
}
