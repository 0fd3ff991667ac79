//! What the auditor reads of a host, against a real engine: its events, the bundles, the cgroups, `/proc`.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use auditor::bundle::Places;
use auditor::cgroupfs::Root;
use auditor::container::{CgroupId, ContainerId};
use auditor::docker::{self, Bundled, Change, Container, Feed, Pace, profile_kind};
use auditor::procfs::SeccompMode;
use auditor::report::view::ProfileKind;
use auditor::{bundle, procfs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::engine::{CgroupMode, Engine};
use tests::proxy::Proxy;

const PATIENCE: Duration = Duration::from_secs(60);
const BUSYBOX: &str = "/bin/busybox";

/// An engine with one image.
fn engine(mode: CgroupMode) -> Result<Engine> {
    let engine = Engine::start(mode)?;
    let tree = tempfile::tempdir()?;
    fs::create_dir(tree.path().join("bin"))?;
    fs::copy(BUSYBOX, tree.path().join("bin/busybox"))?;
    engine.import_image(tree.path(), "busybox")?;
    Ok(engine)
}

/// Starts a container that sleeps, with these options.
fn sleeper(engine: &Engine, name: &str, options: &[&str]) -> Result<ContainerId> {
    let mut args = vec!["run", "--detach", "--network=none", "--name", name];
    args.extend(options);
    args.extend(["busybox", BUSYBOX, "sleep", "1000"]);
    Ok(ContainerId::parse(&engine.client(args)?)?)
}

/// Follows an engine from a thread of its own, as the daemon does from a task.
struct Follower {
    changes: Receiver<Change>,
    engine: docker::Engine,
    containers: BTreeMap<ContainerId, Container>,
}

impl Follower {
    fn new(engine: &Engine) -> Result<Self> {
        Self::at(&engine.host())
    }

    fn at(host: &str) -> Result<Self> {
        let host = host.parse()?;
        let (sender, changes) = channel();
        std::thread::spawn(move || -> Result<()> {
            let pace = Pace {
                ping_every: Duration::from_millis(500),
                ping_deadline: Duration::from_secs(2),
                resync_every: Duration::from_secs(2),
                ..Pace::default()
            };
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let (feed, mut told) = tokio::sync::mpsc::channel(16);
                tokio::spawn(Feed::new(host, pace).run(feed));
                while let Some(change) = told.recv().await {
                    sender.send(change)?;
                }
                Ok(())
            })
        });
        Ok(Self { changes, engine: docker::Engine::default(), containers: BTreeMap::new() })
    }

    /// Takes in changes until one fits.
    fn until(&mut self, what: &str, mut fits: impl FnMut(&Self, &Change) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = self.changes.recv_timeout(left).with_context(|| format!("waiting for {what}"))?;
            match &change {
                Change::Connected { engine, containers } => {
                    self.engine = engine.clone();
                    self.containers = containers.iter().map(|container| (container.id, container.clone())).collect();
                }
                Change::Updated(container) => _ = self.containers.insert(container.id, container.clone()),
                Change::Removed(id) => _ = self.containers.remove(id),
                Change::Lost(lost) => bail!("{lost} lost while waiting for {what}"),
                Change::Disconnected(_) => {}
            }
            if fits(self, &change) {
                return Ok(());
            }
        }
    }

    fn until_known(&mut self, id: ContainerId, what: &str, fits: impl Fn(&Container) -> bool) -> Result<Container> {
        self.until(what, |follower, _| follower.containers.get(&id).is_some_and(&fits))?;
        Ok(self.containers[&id].clone())
    }
}

/// A `--cgroup-parent` of this process's own. The runtime makes it and never takes it away.
struct Parent(String);

impl Parent {
    fn new(mode: CgroupMode) -> Self {
        Self(format!("/edges-{}-{mode:?}", std::process::id()).to_lowercase())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let name = self.0.trim_start_matches('/');
        let top = Path::new("/sys/fs/cgroup");
        for hierarchy in fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path()) {
            remove_cgroup(&hierarchy.join(name));
        }
        remove_cgroup(&top.join(name));
    }
}

/// With what is left of those inside: a runtime that was killed took none of its own away.
fn remove_cgroup(directory: &Path) {
    for inner in fs::read_dir(directory).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&inner.path());
        }
    }
    _ = fs::remove_dir(directory);
}

/// The id of a cgroup as the kernel's file handle has it.
fn handle_of(directory: &Path) -> Result<u64> {
    #[repr(C)]
    struct Handle {
        bytes: libc::c_uint,
        kind: libc::c_int,
        id: [u8; 128],
    }
    let path = CString::new(directory.as_os_str().as_bytes())?;
    let mut handle = Handle { bytes: 128, kind: 0, id: [0; 128] };
    let mut mount = 0;
    // SAFETY: the handle is laid out as `struct file_handle`, with as many bytes behind its head as it says.
    let result =
        unsafe { libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), (&raw mut handle).cast(), &raw mut mount, 0) };
    anyhow::ensure!(result == 0, "name_to_handle_at: {}", std::io::Error::last_os_error());
    anyhow::ensure!(handle.bytes == 8, "a handle of {} bytes", handle.bytes);
    Ok(u64::from_ne_bytes(handle.id[..8].try_into()?))
}

fn containers_are_told_apart(mode: CgroupMode) -> Result<()> {
    // Goes after the engine.
    let parent = Parent::new(mode);
    let engine = engine(mode)?;
    let files = tempfile::tempdir()?;
    let profile = files.path().join("profile.json");
    fs::write(
        &profile,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO"}]}"#,
    )?;
    let custom = format!("seccomp={}", profile.display());
    let elsewhere = format!("--cgroup-parent={}", parent.0);
    let label = "com.docker.compose.service=web";
    let mut follower = Follower::new(&engine)?;
    follower.until("the engine", |_, change| matches!(change, Change::Connected { .. }))?;

    let rows: [(&str, &[&str], ProfileKind); 4] = [
        ("plain", &[], ProfileKind::Default),
        ("open", &["--security-opt=seccomp=unconfined"], ProfileKind::Unconfined),
        ("custom", &["--security-opt", &custom, "--label", label], ProfileKind::Custom),
        ("elsewhere", &[&elsewhere, "--security-opt=no-new-privileges"], ProfileKind::Default),
    ];
    let root = Root::find(None)?;
    assert!(root.is_whole()?);
    for (name, options, kind) in rows {
        let id = sleeper(&engine, name, options)?;
        let container = follower.until_known(id, name, |container| container.pid.is_some())?;
        assert_eq!((container.name.as_deref(), container.image.as_deref()), (Some(name), Some("busybox")));
        assert_eq!(container.service.as_deref(), (name == "custom").then_some("web"));
        let pid = container.pid.context("it runs")?;

        // The engine's state directory is not a usual place.
        for hint in [None, Some(pid)] {
            assert_eq!(Places::default().find(id, hint)?, engine.bundle(name)?, "{name}");
        }
        let bundle = bundle::read(&engine.bundle(name)?)?;
        assert_eq!(profile_kind(Some(&container), Some(&follower.engine), bundle.seccomp_kind()), kind, "{name}");
        assert_eq!(profile_kind(Some(&container), Some(&follower.engine), Bundled::Unread), kind, "{name}");
        assert_eq!(bundle.args, [BUSYBOX, "sleep", "1000"]);
        assert!(bundle.capabilities.bounding.contains(&"CAP_CHOWN".to_owned()));

        let status = procfs::seccomp_status(pid)?;
        assert_eq!(status.mode == SeccompMode::Filter, kind != ProfileKind::Unconfined, "{name}");
        assert_eq!(status.no_new_privs, Some(bundle.no_new_privileges), "{name}");

        let path = procfs::cgroup_of(pid)?;
        assert!(procfs::path_is_of(&path, id), "{path}");
        assert_eq!(auditor::cgroupfs::container_id_of(&path), Some(id));
        let directory = root.path().join(path.trim_start_matches('/'));
        let found = root.containers()?.containers.into_iter().find(|found| found.container == id).context("walked")?;
        assert_eq!((&found.path, found.id), (&path, root.id_of(&path)?));
        assert_eq!(found.id, CgroupId(handle_of(&directory)?));

        fs::create_dir_all(directory.join("inner/deep"))?;
        let nested = ["inner", "inner/deep"].map(|name| root.id_of(&format!("{path}/{name}")));
        let walked = root.containers()?.containers.into_iter().find(|found| found.container == id).context("walked")?;
        fs::remove_dir(directory.join("inner/deep"))?;
        fs::remove_dir(directory.join("inner"))?;
        let mut wanted = nested.into_iter().collect::<Result<Vec<_>, _>>()?;
        wanted.sort();
        let mut got = walked.nested;
        got.sort();
        assert_eq!((walked.id, got), (found.id, wanted), "{name}");
    }

    // Not started: a host may lack capabilities that a privileged container must have.
    let id = engine.client(["create", "--privileged", "--name", "mighty", "busybox", BUSYBOX])?;
    let container = follower.until_known(ContainerId::parse(&id)?, "mighty", |mighty| mighty.privileged.is_some())?;
    let kind = profile_kind(Some(&container), Some(&follower.engine), Bundled::Unread);
    assert_eq!(kind, ProfileKind::Privileged);

    engine.client(["rename", "plain", "simple"])?;
    let id = ContainerId::parse(&engine.id("simple")?)?;
    follower.until_known(id, "the new name", |container| container.name.as_deref() == Some("simple"))?;
    engine.client(["pause", "simple"])?;
    follower.until_known(id, "the pause", |container| container.state.as_deref() == Some("paused"))?;
    engine.client(["unpause", "simple"])?;
    engine.client(["rm", "--force", "simple"])?;
    follower.until("its removal", |_, change| *change == Change::Removed(id))
}

#[test]
fn containers_are_told_apart_on_unified_cgroups() -> Result<()> {
    containers_are_told_apart(CgroupMode::Unified)
}

#[test]
fn containers_are_told_apart_on_hybrid_cgroups() -> Result<()> {
    containers_are_told_apart(CgroupMode::Hybrid)
}

#[test]
fn engine_wide_profile_is_not_called_the_default() -> Result<()> {
    let mut engine = engine(CgroupMode::Hybrid)?;
    let settings = engine.socket().with_file_name("daemon.json");
    let profile = engine.socket().with_file_name("profile.json");
    fs::write(
        &profile,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO"}]}"#,
    )?;
    fs::write(&settings, serde_json::json!({"seccomp-profile": profile}).to_string())?;
    engine.restart()?;
    let id = sleeper(&engine, "plain", &[])?;
    let mut follower = Follower::new(&engine)?;
    let container = follower.until_known(id, "the container", |container| container.pid.is_some())?;
    let bundle = bundle::read(&Places::default().find(id, container.pid)?)?;
    assert!(String::from_utf8(bundle.seccomp.clone().context("it has a profile")?)?.contains("mkdir"));
    for bundled in [bundle.seccomp_kind(), Bundled::Unread] {
        assert_eq!(profile_kind(Some(&container), Some(&follower.engine), bundled), ProfileKind::Custom);
    }
    Ok(())
}

#[test]
fn stopped_and_restarted_engine_is_followed() -> Result<()> {
    let mut engine = engine(CgroupMode::Hybrid)?;
    let mut follower = Follower::new(&engine)?;
    let connected = |_: &Follower, change: &Change| matches!(change, Change::Connected { .. });
    follower.until("the engine", connected)?;

    // Half open: the socket takes requests, nobody reads them.
    let pid: i32 = fs::read_to_string(engine.socket().with_file_name("pid"))?.trim().parse()?;
    kill(Pid::from_raw(pid), Signal::SIGSTOP)?;
    let noticed = follower.until("the silence", |_, change| matches!(change, Change::Disconnected(_)));
    kill(Pid::from_raw(pid), Signal::SIGCONT)?;
    noticed?;
    follower.until("the engine that goes on", connected)?;

    engine.client(["create", "--name", "first", "busybox", BUSYBOX])?;
    follower.until("the first container", |follower, _| follower.containers.len() == 1)?;
    engine.stop()?;
    follower.until("the end", |_, change| matches!(change, Change::Disconnected(_)))?;
    engine.restart()?;
    follower.until("the new engine", connected)?;
    assert_eq!(follower.containers.len(), 1);
    engine.client(["rm", "first"])?;
    follower.until("the removal", |_, change| matches!(change, Change::Removed(_)))
}

/// Half open: pings are answered, and the event stream, as open as before, has nothing any more.
#[test]
fn what_a_silent_event_stream_kept_back_is_found_by_comparing() -> Result<()> {
    let engine = engine(CgroupMode::Unified)?;
    let proxy = Proxy::new(&engine.socket())?;
    let mut follower = Follower::at(&proxy.host())?;
    follower.until("the engine", |_, change| matches!(change, Change::Connected { .. }))?;
    proxy.hold_events(true);
    let id = sleeper(&engine, "unheard", &[])?;
    let container = follower.until_known(id, "the list", |container| container.pid.is_some())?;
    assert_eq!(container.name.as_deref(), Some("unheard"));
    // The new stream is held back as well.
    engine.client(["rm", "--force", "unheard"])?;
    follower.until("its end", |follower, _| !follower.containers.contains_key(&id))
}

#[test]
fn shortest_lives_are_told_with_their_names() -> Result<()> {
    let engine = engine(CgroupMode::Hybrid)?;
    let mut follower = Follower::new(&engine)?;
    follower.until("the engine", |_, change| matches!(change, Change::Connected { .. }))?;
    let names: Vec<_> = (0..24).map(|number| format!("brief-{number}")).collect();
    for names in names.chunks(4) {
        let started = names.iter().map(|name| {
            let args = ["run", "--rm", "--network=none", "--name", name, "busybox", BUSYBOX, "true"];
            engine.docker(args).spawn().context("running docker")
        });
        for mut client in started.collect::<Result<Vec<_>>>()? {
            assert!(client.wait()?.success());
        }
    }
    let mut told = BTreeMap::new();
    let mut removed = Vec::new();
    follower.until("all removals", |_, change| {
        match change {
            Change::Updated(container) => _ = told.insert(container.id, container.name.clone().unwrap_or_default()),
            Change::Removed(id) => removed.push(told[id].clone()),
            _ => {}
        }
        removed.len() == names.len()
    })?;
    removed.sort();
    let mut wanted = names.clone();
    wanted.sort();
    assert_eq!(removed, wanted);
    Ok(())
}
