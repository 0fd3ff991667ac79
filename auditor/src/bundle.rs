//! A container's OCI bundle: what the engine really told the runtime, profile resolved and all.
//!
//! Where engines keep bundles depends on their `--exec-root` and on whose containerd they use, and nothing need be
//! told: a containerd shim's working directory is its container's bundle.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cgroupfs;
use crate::container::ContainerId;
use crate::docker::Bundled;
use crate::procfs;

/// The file of a bundle that the runtime reads.
const CONFIG: &str = "config.json";

/// The file beside it in which containerd's shim notes how it calls the runtime (`runc.Options`).
const OPTIONS: &str = "options.json";

/// Bytes read of a `config.json` at most. Ordinary ones have some 30 kB.
const CONFIG_LIMIT: u64 = 10 * 1024 * 1024;

/// Where bundles are when nobody moved the engine: the host's containerd, and one that dockerd runs itself.
const USUAL_PLACES: [&str; 3] = [
    "/run/containerd/io.containerd.runtime.v2.task/moby",
    "/var/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby",
    "/run/containerd/io.containerd.runtime.v1.linux/moby",
];

/// Places kept in mind at most: one for each engine that runs or ran.
const PLACES_LIMIT: usize = 16;

/// Why there is no bundle to read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nowhere: a container that does not run has none.
    #[error("find the bundle of container {0}: not in the usual places, and no shim works for it; is it running")]
    NotFound(ContainerId),
    /// It is there and could not be read.
    #[error("read {}: {source}; run as root", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No runtime would take it.
    #[error("read {}: more than {CONFIG_LIMIT} bytes", .0.display())]
    TooLarge(PathBuf),
    /// It is not the JSON of a bundle.
    #[error("read {}: not an OCI bundle's configuration: {source}", .path.display())]
    NotOci {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// What a bundle's `config.json` says of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// `.linux.seccomp`, as JSON text: the declared profile. `None`: it runs without one.
    pub seccomp: Option<Vec<u8>>,
    /// `.process.noNewPrivileges`.
    pub no_new_privileges: bool,
    /// `.process.capabilities`.
    pub capabilities: Capabilities,
    /// `.process.user`.
    pub user: User,
    /// `.process.args`.
    pub args: Vec<String>,
    /// `.linux.cgroupsPath`: `/docker/<id>`, or `system.slice:docker:<id>` for the systemd driver.
    pub cgroups_path: Option<String>,
    /// The runtime's program as the shim calls it, for example `runc`; `None` where it took no note of it.
    pub runtime: Option<String>,
}

/// The five sets, with names such as `CAP_CHOWN`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// What its processes can ever get.
    pub bounding: Vec<String>,
    /// What they use.
    pub effective: Vec<String>,
    /// What they may use.
    pub permitted: Vec<String>,
    /// What they hand on to programs with inheritable capabilities of their own.
    pub inheritable: Vec<String>,
    /// What they hand on to any program.
    pub ambient: Vec<String>,
}

/// Who the first process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    pub additional_gids: Vec<u32>,
}

impl Bundle {
    /// For [`crate::docker::profile_kind`].
    #[must_use]
    pub const fn seccomp_kind(&self) -> Bundled {
        if self.seccomp.is_some() { Bundled::Profile } else { Bundled::NoProfile }
    }
}

/// Where bundles are found: the usual places, and those that shims were seen to work in. Looking through all processes
/// takes milliseconds, a container may live for 50, and an engine keeps all its bundles in one place. A clone knows
/// what the original learns.
#[derive(Debug, Clone)]
pub struct Places(Arc<Mutex<Vec<PathBuf>>>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(USUAL_PLACES.map(PathBuf::from).to_vec())))
    }
}

impl Places {
    /// Finds a running container's bundle; with the container's first process it is found faster.
    ///
    /// # Errors
    /// [`BundleError::NotFound`].
    pub fn find(&self, id: ContainerId, pid: Option<u32>) -> Result<PathBuf, BundleError> {
        let name = id.to_string();
        let known = self.lock().iter().map(|place| place.join(&name)).find(|path| holds_bundle(path));
        if let Some(path) = known {
            return Ok(path);
        }
        let parent = || pid.and_then(|pid| procfs::parent_of(pid).ok()).and_then(|shim| bundle_of_shim(shim, id));
        let anyone = || procfs::processes().ok()?.into_iter().find_map(|process| bundle_of_shim(process, id));
        let found = parent().or_else(anyone).ok_or(BundleError::NotFound(id))?;
        if let Some(place) = found.parent().filter(|_| found.ends_with(&name)) {
            let mut places = self.lock();
            if places.len() < PLACES_LIMIT && !places.iter().any(|known| known == place) {
                places.push(place.to_owned());
            }
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        // A list of paths is whole whatever a thread that held it died of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the bundle in a directory that [`Places::find`] gave.
///
/// # Errors
/// Its `config.json` is not readable, too large, or not what it should be.
pub fn read(directory: &Path) -> Result<Bundle, BundleError> {
    let path = directory.join(CONFIG);
    let bytes = match read_bounded(&path) {
        Err(source) => return Err(BundleError::Unreadable { path, source }),
        Ok(bytes) if u64::try_from(bytes.len()).is_ok_and(|length| length > CONFIG_LIMIT) => {
            return Err(BundleError::TooLarge(path));
        }
        Ok(bytes) => bytes,
    };
    let bundle = parse(&bytes).map_err(|source| BundleError::NotOci { path, source })?;
    let runtime = read_bounded(&directory.join(OPTIONS)).ok().and_then(|bytes| parse_options(&bytes));
    Ok(Bundle { runtime, ..bundle })
}

/// A file's bytes; of one that is too long one more than the limit.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CONFIG_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bundle that a process works for, if it is the container's shim: its working directory, also in another mount
/// namespace. To see that takes the right to trace; the shim's command line is there for everybody, and names its
/// containerd's socket, which lies beside the bundles.
///
/// Anybody can work in a directory of that name, or run under such a command line. So what runs in a container is
/// never believed, nor a process or a bundle that belongs to another user than root or this process's own.
fn bundle_of_shim(process: u32, id: ContainerId) -> Option<PathBuf> {
    let name = id.to_string();
    let link = PathBuf::from(format!("/proc/{process}/cwd"));
    let works_in = fs::read_link(&link).ok().filter(|target| target.ends_with(&name)).into_iter();
    let told = procfs::command_line(process).ok().into_iter().flat_map(|words| places_of_shim(&words, &name));
    let own = nix::unistd::geteuid().as_raw();
    let trusted = |path: &Path| fs::metadata(path).is_ok_and(|file| [0, own].contains(&file.uid()));
    let mut candidates = works_in.flat_map(|target| [target, link.clone()]).chain(told);
    let found = candidates.find(|path| trusted(&path.join(CONFIG)))?;
    let contained = procfs::cgroup_of(process).is_ok_and(|path| cgroupfs::container_id_of(&path).is_some());
    (!contained && trusted(Path::new(&format!("/proc/{process}")))).then_some(found)
}

/// Where the bundle of a container is by its shim's command line: `containerd-shim-runc-v2 -namespace moby -id ID
/// -address SOCKET`. The host's containerd has socket and bundles in one directory, dockerd's own one apart.
pub(crate) fn places_of_shim(words: &[String], name: &str) -> Vec<PathBuf> {
    let value = |option: &str| {
        let at = words.iter().position(|word| word.trim_start_matches('-') == option && word.starts_with('-'))?;
        words.get(at + 1)
    };
    let (Some(namespace), Some(id), Some(address)) = (value("namespace"), value("id"), value("address")) else {
        return Vec::new();
    };
    let socket = Path::new(address.trim_start_matches("unix://"));
    let Some(state) = socket.parent().filter(|_| id == name && socket.is_absolute()) else { return Vec::new() };
    let beneath = |state: PathBuf| state.join("io.containerd.runtime.v2.task").join(namespace).join(name);
    vec![beneath(state.join("daemon")), beneath(state.to_owned())]
}

fn holds_bundle(directory: &Path) -> bool {
    directory.join(CONFIG).is_file()
}

/// The part of the shim's options that is wanted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    binary_name: Option<String>,
}

/// The parts of the OCI runtime specification's `config.json` that are wanted.
#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(rename = "ociVersion")]
    _oci_version: String,
    #[serde(default)]
    process: Option<Process>,
    #[serde(borrow, default)]
    linux: Option<Linux<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Process {
    no_new_privileges: bool,
    capabilities: Option<Capabilities>,
    user: User,
    args: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux<'a> {
    #[serde(borrow, default)]
    seccomp: Option<&'a RawValue>,
    #[serde(default)]
    cgroups_path: Option<String>,
}

/// The runtime's program in the shim's options.
pub(crate) fn parse_options(bytes: &[u8]) -> Option<String> {
    let options = serde_json::from_slice::<Options>(bytes).ok()?;
    options.binary_name.filter(|name| !name.is_empty())
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Bundle, serde_json::Error> {
    let Spec { process, linux, .. } = serde_json::from_slice::<Spec<'_>>(bytes)?;
    let process = process.unwrap_or_default();
    let linux = linux.unwrap_or_default();
    Ok(Bundle {
        seccomp: linux.seccomp.map(|text| text.get().as_bytes().to_vec()),
        no_new_privileges: process.no_new_privileges,
        capabilities: process.capabilities.unwrap_or_default(),
        user: process.user,
        args: process.args,
        cgroups_path: linux.cgroups_path.filter(|path| !path.is_empty()),
        runtime: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> (tempfile::TempDir, Result<Bundle, BundleError>) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), text).unwrap();
        let read = read(directory.path());
        (directory, read)
    }

    #[test]
    fn profile_is_kept_as_it_stands() {
        let text = br#"{"ociVersion": "1.0.2", "hooks": {}, "process": {"noNewPrivileges": true,
            "user": {"uid": 1000, "gid": 7, "additionalGids": [9]}, "args": ["sh", "-c", "true"],
            "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}},
            "linux": {"cgroupsPath": "/docker/x", "seccomp": {"defaultAction":  "SCMP_ACT_ERRNO"}}}"#;
        let bundle = written(text).1.unwrap();
        assert_eq!(bundle.seccomp.as_deref(), Some(&br#"{"defaultAction":  "SCMP_ACT_ERRNO"}"#[..]));
        assert!(bundle.no_new_privileges);
        assert_eq!(bundle.capabilities.bounding, ["CAP_CHOWN"]);
        assert_eq!((bundle.user.uid, bundle.user.gid, bundle.user.additional_gids.as_slice()), (1000, 7, &[9][..]));
        assert_eq!(bundle.args, ["sh", "-c", "true"]);
        assert_eq!(bundle.cgroups_path.as_deref(), Some("/docker/x"));
        assert_eq!(bundle.seccomp_kind(), Bundled::Profile);
    }

    #[test]
    fn the_runtime_is_what_the_shim_calls() {
        let (directory, plain) = written(br#"{"ociVersion": "1.0.2"}"#);
        assert_eq!(plain.unwrap().runtime, None);
        for (options, runtime) in [
            (r#"{"binary_name": "/usr/bin/crun", "root": "/run/docker/runtime-runc"}"#, Some("/usr/bin/crun")),
            (r#"{"binary_name": ""}"#, None),
            ("{}", None),
            ("not JSON", None),
        ] {
            fs::write(directory.path().join("options.json"), options).unwrap();
            assert_eq!(read(directory.path()).unwrap().runtime.as_deref(), runtime, "{options}");
        }
    }

    #[test]
    fn bundle_without_a_profile_says_so() {
        for text in [
            r#"{"ociVersion": "1.0.2"}"#,
            r#"{"ociVersion": "1.0.2", "linux": {}, "process": {"capabilities": null}}"#,
            r#"{"ociVersion": "1.0.2", "linux": {"seccomp": null}}"#,
        ] {
            let bundle = written(text.as_bytes()).1.unwrap();
            assert_eq!((bundle.seccomp.as_deref(), bundle.seccomp_kind()), (None, Bundled::NoProfile), "{text}");
        }
    }

    #[test]
    fn what_is_no_bundle_is_an_error_with_its_path() {
        let huge = vec![b' '; usize::try_from(CONFIG_LIMIT).unwrap() + 1];
        let deep = "[".repeat(100_000);
        for text in [&b"not json"[..], b"{}", b"[]", b"", b"\xff\xfe", br#"{"ociVersion": 1}"#, deep.as_bytes(), &huge]
        {
            let (directory, result) = written(text);
            let message = result.unwrap_err().to_string();
            assert!(message.contains(directory.path().to_str().unwrap()) && !message.contains('\n'), "{message}");
        }
        let missing = read(Path::new("/no/such/bundle")).unwrap_err();
        assert!(matches!(missing, BundleError::Unreadable { .. }), "{missing}");
    }

    #[test]
    fn container_nobody_runs_has_no_bundle() {
        let id = ContainerId::parse(&"ab".repeat(32)).unwrap();
        assert!(matches!(Places::default().find(id, Some(u32::MAX)), Err(BundleError::NotFound(_))));
    }

    #[test]
    fn command_line_of_a_shim_tells_where_its_bundle_is() {
        let (id, other) = ("ab".repeat(32), "cd".repeat(32));
        let words = |address: &str| {
            let line = format!("/usr/bin/containerd-shim-runc-v2 -namespace moby -id {id} -address {address}");
            line.split(' ').map(str::to_owned).collect::<Vec<_>>()
        };
        let wanted = [
            format!("/d/exec/containerd/daemon/io.containerd.runtime.v2.task/moby/{id}"),
            format!("/d/exec/containerd/io.containerd.runtime.v2.task/moby/{id}"),
        ];
        assert_eq!(places_of_shim(&words("/d/exec/containerd/containerd.sock"), &id), wanted.map(PathBuf::from));
        for (line, name) in [(words("/d/c.sock"), &other), (words("relative"), &id), (vec!["-id".to_owned()], &id)] {
            assert_eq!(places_of_shim(&line, name), Vec::<PathBuf>::new(), "{line:?}");
        }
    }

    #[test]
    fn working_directory_named_after_the_container_is_its_bundle() {
        let id = ContainerId::parse(&"ef".repeat(32)).unwrap();
        let place = tempfile::tempdir().unwrap();
        let bundle = place.path().join(id.to_string());
        fs::create_dir(&bundle).unwrap();
        fs::write(bundle.join("config.json"), r#"{"ociVersion": "1.0.2"}"#).unwrap();
        let mut shim = std::process::Command::new("sleep").arg("60").current_dir(&bundle).spawn().unwrap();
        let places = Places::default();
        let found = places.find(id, None);
        shim.kill().unwrap();
        shim.wait().unwrap();
        assert_eq!(found.unwrap(), bundle.canonicalize().unwrap());

        // The next one of that engine needs no shim to be looked for.
        assert_eq!(places.find(id, None).unwrap(), bundle.canonicalize().unwrap());
        assert!(matches!(Places::default().find(id, None), Err(BundleError::NotFound(_))));
    }
}
