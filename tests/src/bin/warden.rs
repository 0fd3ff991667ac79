//! `warden [--unified|--hybrid] [--engine] [--directory DIR] -- PROGRAM ARG...`: runs a program for the rig and cleans up after it.
//!
//! Answers with the program's process id on standard output, obeys `restart` and `stop` on standard input, and when
//! that input ends (its owner let go, or died) ends every descendant and removes what they left.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tests::engine::cgroup_parent;
use tests::process::Cgroups;

const CGROUP: &str = "/sys/fs/cgroup";

fn main() -> Result<()> {
    let mut cgroups = None;
    let mut engine = false;
    let mut directory = None;
    let mut args = std::env::args_os().skip(1);
    loop {
        let arg = args.next().context("no program named")?;
        match arg.to_str() {
            Some("--unified") => cgroups = Some(Cgroups::Unified),
            Some("--hybrid") => cgroups = Some(Cgroups::Hybrid),
            Some("--engine") => engine = true,
            Some("--directory") => directory = Some(PathBuf::from(args.next().context("--directory names none")?)),
            Some("--") => break,
            _ => bail!("unknown argument {}", arg.display()),
        }
    }
    let line: Vec<OsString> = args.collect();
    // Whatever whoever started us holds back: the program must hear that it is to end.
    SigSet::empty().thread_set_mask().context("letting signals through")?;
    nix::sys::prctl::set_child_subreaper(true).context("becoming the parent of orphans")?;
    let outcome = cgroups.map_or(Ok(()), enter_namespace).and_then(|()| watch(&line, engine));
    end_descendants();
    if let Some(directory) = directory {
        if engine {
            remove_cgroups(&directory)?;
            unmount_below(&directory)?;
        }
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    outcome
}

/// Runs the program, and obeys until the owner lets go.
///
/// An engine is not asked to end: it would give every container its own time to do so.
fn watch(line: &[OsString], is_engine: bool) -> Result<()> {
    let mut child = start(line)?;
    for order in std::io::stdin().lock().lines() {
        match order.context("reading an order")?.as_str() {
            "restart" => {
                end(&mut child);
                child = start(line)?;
            }
            "stop" => {
                end(&mut child);
                answer(child.id())?;
            }
            other => bail!("unknown order {other}"),
        }
    }
    if !is_engine {
        end(&mut child);
    }
    Ok(())
}

fn start(line: &[OsString]) -> Result<Child> {
    let (program, args) = line.split_first().context("no program named")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(std::io::stderr());
    let child = command.process_group(0).spawn().with_context(|| format!("starting {}", program.display()))?;
    answer(child.id())?;
    Ok(child)
}

fn answer(pid: u32) -> Result<()> {
    println!("{pid}");
    std::io::stdout().flush().context("answering")
}

/// Asks the program to end, and after a while does not ask any more.
fn end(child: &mut Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    _ = kill(pid, Signal::SIGTERM);
    let asked = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if asked.elapsed() > Duration::from_secs(30) {
            _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // What it left is ours. An engine takes the dead for alive as long as nobody has buried them: its own containerd.
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// Kills what is left of the descendants, generation by generation, and reaps them.
fn end_descendants() {
    loop {
        for pid in descendants() {
            _ = kill(pid, Signal::SIGKILL);
        }
        // Each wait is for one that was killed: it comes at once, or there is nobody left.
        if waitpid(None, None).is_err() {
            return;
        }
    }
}

/// Every process below this one. The kernel moves orphans up to here, as this is the subreaper.
fn descendants() -> BTreeSet<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (comm) state ppid: the name may hold anything, also brackets.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        if let Some(parent) = rest.split_whitespace().nth(1).and_then(|text| text.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut below = BTreeSet::new();
    let mut next = vec![Pid::this().as_raw()];
    while let Some(pid) = next.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if below.insert(Pid::from_raw(child)) {
                next.push(child);
            }
        }
    }
    below
}

/// A mount namespace of the program's own: all that it mounts goes with it.
fn enter_namespace(layout: Cgroups) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace (this needs root)")?;
    mount_at(None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    // An engine of the machine's own must neither be used nor disturbed.
    let engine = Path::new("/run/containerd");
    if engine.is_dir() {
        mount_at(Some("none"), engine, Some("tmpfs"), MsFlags::empty(), None)?;
    }
    let root = Path::new(CGROUP);
    let is_unified = statfs(root).is_ok_and(|at| at.filesystem_type() == CGROUP2_SUPER_MAGIC);
    match layout {
        // The kernel refuses to mount it over itself.
        Cgroups::Unified if is_unified => Ok(()),
        Cgroups::Unified => mount_at(Some("none"), root, Some("cgroup2"), MsFlags::empty(), None),
        Cgroups::Hybrid if is_unified => mount_hybrid(root),
        Cgroups::Hybrid => hide_controllers(&root.join("unified")),
    }
}

/// The layout of systemd's "hybrid" mode on a machine that has only version 2 mounted.
fn mount_hybrid(root: &Path) -> Result<()> {
    mount_at(Some("none"), root, Some("tmpfs"), MsFlags::empty(), None)?;
    let own = fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
    // Version 1 hierarchies that there are: the runtime wants each of them. And two controllers that an engine needs;
    // the others it can do without, and version 2 may have them.
    let mut hierarchies: Vec<&str> = own.lines().filter_map(|line| line.split(':').nth(1)).collect();
    hierarchies.retain(|controllers| !controllers.is_empty());
    for needed in ["name=systemd", "devices", "freezer"] {
        if !hierarchies.iter().any(|controllers| controllers.split(',').any(|name| name == needed)) {
            hierarchies.push(needed);
        }
    }
    mount_cgroup(root, "unified", "cgroup2", None)?;
    hide_controllers(&root.join("unified"))?;
    for controllers in hierarchies {
        match controllers.strip_prefix("name=") {
            Some(name) => mount_cgroup(root, name, "cgroup", Some(&format!("none,{controllers}")))?,
            None => mount_cgroup(root, controllers, "cgroup", Some(controllers))?,
        }
    }
    Ok(())
}

/// In that layout version 2 has no controllers, and crun insists on it. Here some may be left for it.
fn hide_controllers(unified: &Path) -> Result<()> {
    let controllers = unified.join("cgroup.controllers");
    mount_at(Some("/dev/null"), &controllers, None, MsFlags::MS_BIND, None)
}

fn mount_cgroup(root: &Path, name: &str, kind: &str, options: Option<&str>) -> Result<()> {
    let dir = root.join(name);
    fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
    mount_at(Some("none"), &dir, Some(kind), MsFlags::empty(), options)
}

fn mount_at(source: Option<&str>, at: &Path, kind: Option<&str>, flags: MsFlags, data: Option<&str>) -> Result<()> {
    mount(source, at, kind, flags, data)
        .with_context(|| format!("mounting {} at {}", kind.unwrap_or("/"), at.display()))
}

/// Takes away what a killed engine had mounted: in our namespace these mounts are ours as well.
fn unmount_below(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    // Later mounts may lie in earlier ones.
    for at in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(Path::new) {
        if at.starts_with(dir) {
            umount2(at, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", at.display()))?;
        }
    }
    Ok(())
}

/// Removes an engine's cgroups in every hierarchy: those of containers that were killed, and those that the runtime
/// leaves in version 2 when it manages version 1.
fn remove_cgroups(state: &Path) -> Result<()> {
    let parent = cgroup_parent(state)?;
    let mut hierarchies = vec![PathBuf::from(CGROUP)];
    hierarchies.extend(fs::read_dir(CGROUP).into_iter().flatten().flatten().map(|entry| entry.path()));
    for hierarchy in hierarchies {
        remove_cgroup(&hierarchy.join(parent));
    }
    Ok(())
}

fn remove_cgroup(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    _ = fs::remove_dir(dir);
}
