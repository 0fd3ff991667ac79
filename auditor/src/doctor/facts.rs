//! What the host says when asked. Nothing is changed: the programs are loaded, and attached to nothing.

mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cgroupfs::{Hierarchy, Root};
use crate::control::{self, Request, Response};
use crate::docker::{Docker, Host};
use crate::kernel::{Kernel, missing_features};
use crate::procfs::{self, Capabilities};
use crate::report::snapshot::Health;
use crate::{bundle, docker};
pub use service::{Clocks, Pinned, State, Unit};

/// Bundles looked at: enough to know, on a host of a thousand containers too.
const MAX_BUNDLES: usize = 20;
/// How long the daemon and the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to look.
#[derive(Debug, Clone)]
pub struct Places {
    /// The engine.
    pub docker: Host,
    /// The cgroup2 mount; `None`: to be found.
    pub cgroup_root: Option<PathBuf>,
    /// The daemon's control socket.
    pub socket: PathBuf,
    /// Where the daemon keeps evidence; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// Where it pins its programs; `None`: nowhere.
    pub bpffs: Option<PathBuf>,
}

/// What was seen. An `Err` holds the words of whoever refused.
#[derive(Debug)]
pub struct Facts {
    /// As `uname -r` says.
    pub kernel_release: Result<String, String>,
    /// Whether `/sys/kernel/btf/vmlinux` can be opened.
    pub btf: Result<(), String>,
    /// The effective capabilities of this process.
    pub capabilities: Result<Capabilities, String>,
    /// The mode in brackets in `/sys/kernel/security/lockdown`; `None`: the file is not there.
    pub lockdown: Option<String>,
    /// Whether unprivileged users may load eBPF programs (`kernel.unprivileged_bpf_disabled`); the daemon does not care.
    pub unprivileged_bpf: Option<String>,
    /// Features of the kernel that the programs need and it has not.
    pub missing_features: Result<Vec<&'static str>, String>,
    /// Whether the kernel takes the programs and maps: `bpf(2)` allowed, verifier content, types there.
    pub programs: Result<(), String>,
    /// The cgroup2 hierarchy.
    pub cgroups: Result<Cgroups, String>,
    /// The container engine.
    pub engine: Result<Engine, String>,
    /// The bundles of running containers; `None`: the engine was not there to ask.
    pub bundles: Option<Bundles>,
    /// The clocks.
    pub clocks: Clocks,
    /// Where evidence is kept; `None`: nowhere.
    pub state: Option<State>,
    /// Where programs are pinned; `None`: nowhere.
    pub pinned: Option<Pinned>,
    /// The service; `None`: systemd does not run this machine.
    pub unit: Option<Result<Unit, String>>,
    /// What a running daemon says of itself.
    pub daemon: Result<Health, String>,
}

/// The cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    /// Where it is mounted.
    pub path: PathBuf,
    /// Alone or beside version 1.
    pub hierarchy: Hierarchy,
    /// Whether this process sees all of it, and not what a cgroup namespace shows.
    pub whole: Result<bool, String>,
}

/// The container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its version.
    pub version: Option<String>,
    /// The API version that was agreed on.
    pub api_version: String,
}

/// The bundles of running containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundles {
    /// Looked at.
    pub seen: usize,
    /// Read.
    pub readable: usize,
    /// Why the first of the others was not.
    pub error: Option<String>,
}

impl Facts {
    /// Asks the host.
    pub async fn gather(places: &Places) -> Self {
        let (engine, bundles) = match ask_engine(&places.docker).await {
            Ok((engine, bundles)) => (Ok(engine), Some(bundles)),
            Err(error) => (Err(error.to_string()), None),
        };
        Self {
            kernel_release: read("/proc/sys/kernel/osrelease"),
            btf: fs::File::open("/sys/kernel/btf/vmlinux").map(drop).map_err(|error| error.kind().to_string()),
            capabilities: procfs::own_capabilities().map_err(|error| error.to_string()),
            lockdown: read("/sys/kernel/security/lockdown").ok().map(|text| bracketed(&text)),
            unprivileged_bpf: read("/proc/sys/kernel/unprivileged_bpf_disabled").ok(),
            missing_features: missing_features(),
            programs: Kernel::load(1).map(drop).map_err(|error| error.to_string()),
            cgroups: find_cgroups(places.cgroup_root.as_deref()),
            engine,
            bundles,
            clocks: Clocks::read(),
            state: places.state_dir.as_deref().map(State::look),
            pinned: places.bpffs.as_deref().map(Pinned::look),
            unit: service::ask_systemd(),
            daemon: ask_daemon(&places.socket),
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| format!("reading {path}: {}", error.kind()))
}

/// `none [integrity] confidentiality` -> `integrity`.
fn bracketed(text: &str) -> String {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(text, |(mode, _)| mode).to_owned()
}

fn find_cgroups(given: Option<&Path>) -> Result<Cgroups, String> {
    let root = Root::find(given).map_err(|error| error.to_string())?;
    Ok(Cgroups {
        path: root.path().to_owned(),
        hierarchy: root.hierarchy(),
        whole: root.is_whole().map_err(|error| error.to_string()),
    })
}

async fn ask_engine(host: &Host) -> Result<(Engine, Bundles), docker::DockerError> {
    let engine = Docker::connect(host).await?;
    engine.ping(PATIENCE).await?;
    let about = Engine { version: engine.engine().await?.version, api_version: engine.api_version() };
    let listed = engine.list().await?;
    let running = listed.into_iter().filter(|container| container.state.as_deref() == Some("running"));
    let mut bundles = Bundles::default();
    let places = bundle::Places::default();
    for container in running.take(MAX_BUNDLES) {
        // It may have ended since the list was made: then it has no bundle, and that says nothing.
        let Ok(container) = engine.inspect(container.id).await else { continue };
        if container.state.as_deref() != Some("running") {
            continue;
        }
        bundles.seen += 1;
        match places.find(container.id, container.pid).and_then(|path| bundle::read(&path)) {
            Ok(_) => bundles.readable += 1,
            Err(error) => bundles.error = bundles.error.or_else(|| Some(error.to_string())),
        }
    }
    Ok((about, bundles))
}

fn ask_daemon(socket: &Path) -> Result<Health, String> {
    match control::call(socket, &Request::Health, PATIENCE) {
        Ok(Response::Health(health)) => Ok(*health),
        Ok(_) => Err("the daemon answered another question".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        for (text, expected) in [("none [integrity] confidentiality", "integrity"), ("[none] integrity", "none")] {
            assert_eq!(bracketed(text), expected);
        }
    }
}
