//! The daemon is told to end, is watched, and is killed by the kernel for its memory.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::auditord::Auditor;
use tests::cage::{output_of, start_in};
use tests::engine::{CgroupMode, Engine};
use tests::image::{self, BUSYBOX};
use tests::process::{Guarded, Ward, wait_for};
use tests::stage::Stage;

/// A stop may take this long.
const STOP: Duration = Duration::from_secs(2);

/// Asks for the end, and waits for it.
fn ends_in_time(auditor: &Auditor) -> Result<()> {
    let asked = Instant::now();
    auditor.process().signal(Signal::SIGTERM)?;
    wait_for("the daemon's end", Duration::from_secs(20), || Ok((!auditor.process().is_running()).then_some(())))?;
    let took = asked.elapsed();
    ensure!(took <= STOP, "it took {took:?}; its log:\n{}", auditor.log());
    println!("ended after {took:?}");
    Ok(())
}

/// Clients that begin and do not go on: on both sockets, some with half a request, some that take no answer.
fn hanging(auditor: &Auditor) -> Result<(Vec<TcpStream>, Vec<UnixStream>)> {
    let mut web = Vec::new();
    let mut control = Vec::new();
    for number in 0..40 {
        let mut stream = TcpStream::connect(auditor.address())?;
        stream.write_all(if number % 2 == 0 { b"GET /metr" } else { b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" })?;
        web.push(stream);
        let mut stream = UnixStream::connect(auditor.socket())?;
        stream.write_all(if number % 2 == 0 { b"{\"ask\":" } else { b"{\"ask\":\"ps\"}\n{\"ask\":\"ps\"}\n" })?;
        control.push(stream);
    }
    Ok((web, control))
}

#[test]
fn a_stop_takes_two_seconds_at_most_while_the_engine_is_frozen_and_clients_hang() -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    engine.client(["run", "--detach", "--name", "lasting", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    auditor.settled("lasting")?;
    engine.signal(Signal::SIGSTOP)?;
    let clients = hanging(&auditor)?;
    // A question to the engine is under way by then.
    std::thread::sleep(Duration::from_secs(6));
    let ended = ends_in_time(&auditor);
    engine.signal(Signal::SIGCONT)?;
    drop(clients);
    ended
}

/// A disk whose file system stops answering, as a network's does: what writes to it waits.
#[test]
fn a_stop_takes_two_seconds_at_most_while_the_disk_stalls() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let dir = tempfile::tempdir()?;
    let (behind, state) = (dir.path().join("behind"), dir.path().join("state"));
    fs::create_dir(&behind)?;
    fs::create_dir(&state)?;
    let disk = Disk::mount(&behind, &state)?;
    let flag = format!("--state-dir={}", state.display());
    let auditor = Auditor::start(&stage.engine.host(), &[&flag])?;
    stage.groundtruth("stored", &[], &["work", "124*3"])?;
    wait_for("what is stored", Duration::from_secs(10), || Ok(behind.join("evidence.redb").exists().then_some(())))?;
    disk.server.signal(Signal::SIGSTOP)?;
    let during = (|| {
        stage.groundtruth("unstored", &[], &["work", "124*3"])?;
        // A write is under way by then, and nobody who asks for counts waits for it.
        std::thread::sleep(Duration::from_secs(3));
        let asked = Instant::now();
        ensure!(auditor.show("unstored")?["window"]["complete"] == true);
        ensure!(auditor.metrics()?.contains("auditor_slots"));
        ensure!(asked.elapsed() < Duration::from_secs(2), "answers took {:?}", asked.elapsed());
        ends_in_time(&auditor)
    })();
    disk.server.signal(Signal::SIGCONT)?;
    during?;
    ensure!(auditor.log().contains("could not be written in time"), "{}", auditor.log());
    Ok(())
}

/// A file system of a program's, which can be stopped.
struct Disk {
    server: Guarded,
    at: PathBuf,
}

impl Disk {
    fn mount(behind: &Path, at: &Path) -> Result<Self> {
        let program = tests::engine::program("bindfs")?;
        let args = ["-f".to_owned(), behind.display().to_string(), at.display().to_string()];
        let server = Guarded::start(&program, &args, &Ward::default(), &at.with_file_name("log"))?;
        let disk = Self { server, at: at.to_owned() };
        wait_for("the mount", Duration::from_secs(10), || {
            let mounts = fs::read_to_string("/proc/self/mounts")?;
            Ok(mounts.contains(&at.display().to_string()).then_some(()))
        })
        .with_context(|| disk.server.log())?;
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It unmounts when it ends; this is for one that was killed.
        _ = self.server.signal(Signal::SIGCONT);
        _ = nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// What a service manager is told.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path, _directory: directory })
    }

    /// What it is told within this time.
    fn told(&self, during: Duration) -> Result<Vec<String>> {
        let end = Instant::now() + during;
        let mut told = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(told);
            }
            self.socket.set_read_timeout(Some(left))?;
            if let Ok(length) = self.socket.recv(&mut bytes) {
                told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
        }
    }
}

#[test]
fn a_daemon_that_stands_still_feeds_no_watchdog() -> Result<()> {
    let manager = Manager::new()?;
    let notify = format!("NOTIFY_SOCKET={}", manager.path.display());
    let auditor =
        Auditor::start_behind(&["env", &notify, "WATCHDOG_USEC=2000000"], "unix:///nonexistent/docker.sock", &[])?;
    let fed = |told: &[String]| told.iter().filter(|text| text.contains("WATCHDOG=1")).count();
    let told = manager.told(Duration::from_secs(3))?;
    // Ready, once and first of all; then it lives.
    ensure!(told.first().is_some_and(|first| first.contains("READY=1")), "{told:?}");
    ensure!(told.iter().filter(|text| text.contains("READY=1")).count() == 1, "{told:?}");
    ensure!(fed(&told) >= 2, "{told:?}");

    auditor.process().signal(Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_millis(200));
    manager.told(Duration::from_millis(10))?;
    let told = manager.told(Duration::from_secs(4));
    auditor.process().signal(Signal::SIGCONT)?;
    ensure!(told?.is_empty(), "a stopped daemon said that it lives");
    let told = manager.told(Duration::from_secs(3))?;
    ensure!(fed(&told) >= 2, "{told:?}");

    ends_in_time(&auditor)?;
    let told = manager.told(Duration::from_millis(100))?;
    ensure!(told.iter().any(|text| text.contains("STOPPING=1")), "{told:?}");
    Ok(())
}

/// A control group with a limit on memory, and what wants more than that.
struct Limited(PathBuf);

impl Limited {
    const BYTES: &str = "150000000";

    fn new() -> Result<Self> {
        let name = format!("auditor-test-memory-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let (directory, limit) = if first.is_dir() {
            (first.join(name), "memory.limit_in_bytes")
        } else {
            let root = auditor::cgroupfs::Root::find(None)?.path().to_owned();
            fs::write(root.join("cgroup.subtree_control"), "+memory").context("limiting memory")?;
            (root.join(name), "memory.max")
        };
        fs::create_dir(&directory).with_context(|| format!("making {}", directory.display()))?;
        let limited = Self(directory);
        fs::write(limited.0.join(limit), Self::BYTES).context("limiting memory")?;
        Ok(limited)
    }

    /// How many processes in it the kernel has killed.
    fn kills(&self) -> Result<u64> {
        let files = ["memory.events", "memory.oom_control"].map(|name| self.0.join(name));
        let text = files.iter().find_map(|file| fs::read_to_string(file).ok()).context("no word of kills")?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).context("no count of kills")?;
        count.parse().context("a count of kills")
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        _ = wait_for("removing a control group", Duration::from_secs(10), || {
            Ok((fs::remove_dir(&self.0).is_ok() || !self.0.exists()).then_some(()))
        });
    }
}

#[test]
fn what_was_kept_is_there_after_the_kernel_killed_the_daemon_for_its_memory() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    // Outlives the daemon, which is in it.
    let limited = Limited::new()?;
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", limited.0.display());
    let mut auditor = Auditor::start_behind(&["sh", "-c", &script, "sh"], &stage.engine.host(), &[])?;
    stage.groundtruth("kept", &[], &["work", "124*3"])?;
    let kept = |auditor: &Auditor| {
        wait_for("a start that is kept", Duration::from_secs(20), || {
            let output = auditor.output(&["history", "--output=json", BUSYBOX])?;
            let starts: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
            Ok(starts.into_iter().find(|start| start["name"] == "kept"))
        })
        .with_context(|| auditor.log())
    };
    let before = kept(&auditor)?;
    std::thread::sleep(Duration::from_secs(2));
    // The first that the kernel takes when there is too little for all in the group.
    let pid = auditor.process().pid();
    fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").context("offering the daemon")?;
    let hog = start_in(&limited.0, Path::new("perl"), &["-e", "my $x = 'x' x 120000000; $x .= 'y' x 20000000"])?;
    let ended =
        wait_for("the daemon's death", Duration::from_secs(20), || Ok((!auditor.process().is_running()).then_some(())));
    _ = output_of(hog);
    ended?;
    ensure!(limited.kills()? > 0, "it was not the kernel that killed it");
    ensure!(!auditor.log().contains("stopped"), "it ended by itself: {}", auditor.log());
    auditor.process_mut().restart()?;
    ensure!(kept(&auditor)? == before);
    ensure!(!auditor.log().contains("moved to"), "{}", auditor.log());
    Ok(())
}
