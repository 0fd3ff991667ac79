//! Programs that outlive their daemon: killed, stopped, replaced, upgraded, and taken apart.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auditor::cgroupfs::Root;
use auditor::kernel::{Existing, Kernel};
use nix::sys::signal::Signal;
use tests::auditord::{self, Auditor};
use tests::bpffs::Bpffs;
use tests::cage::Cage;
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth::{Truth, add, compare, parse};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;

const KILLS: usize = 100;
const WORK: [&str; 5] = ["/groundtruth", "work", "--threads=2", "--forks=3", "124*500"];

fn engine() -> Result<Engine> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    Ok(engine)
}

/// Ends the daemon as nobody should, and starts it again in the same place.
fn kill(auditor: &mut Auditor) -> Result<()> {
    auditor.process().signal(Signal::SIGKILL)?;
    auditor.process_mut().restart()
}

#[test]
fn calls_made_while_no_daemon_runs_are_in_the_totals() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let mut auditor = bpffs.daemon(&engine.host(), &[])?;
    engine.client(["run", "--detach", "--name", "web", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let mut issued = Truth::new();
    for stop in [Signal::SIGKILL, Signal::SIGTERM] {
        add(&mut issued, &parse(&engine.client([&["exec", "web"][..], &WORK].concat())?)?);
        auditor.process().signal(stop)?;
        auditor.process_mut().pause()?;
        // One that goes on, one that begins, and one that comes and goes.
        add(&mut issued, &parse(&engine.client([&["exec", "web"][..], &WORK].concat())?)?);
        let name = format!("meanwhile-{stop}");
        let alone = parse(&engine.client([&["run", "--name", &name, BUSYBOX][..], &WORK].concat())?)?;
        auditor.process_mut().restart()?;
        auditor.wait_ready()?;
        compare(&auditor.rows("web")?, &issued, true)?;
        compare(&auditor.rows(&name)?, &alone, true)?;
        for container in ["web", &name] {
            let window = &auditor.show(container)?["window"];
            ensure!(window["complete"] == true && window["starts"] == 1, "{container}: {window}");
        }
    }
    // Evidence as well: nothing of it was cut in two.
    let (history, _) = auditor.run(&["history", BUSYBOX, "--output=json"])?;
    ensure!(!history.contains("\"complete\": false") && !history.contains("\"complete\":false"), "{history}");
    Ok(())
}

#[test]
fn totals_of_a_container_go_on_over_its_restarts_and_the_daemon_s() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let mut auditor = bpffs.daemon(&engine.host(), &[])?;
    let line = ["create", "--name", "again", BUSYBOX];
    engine.client([&line[..], &WORK].concat())?;
    let mut issued = Truth::new();
    for round in 0..4_usize {
        // Between its start and its end, after its end, and in between.
        let out = engine.client(["start", "--attach", "again"])?;
        add(&mut issued, &parse(&out)?);
        std::thread::sleep(Duration::from_millis(700 * u64::try_from(round)?));
        kill(&mut auditor)?;
    }
    auditor.wait_ready()?;
    compare(&auditor.rows("again")?, &issued, true)?;
    let window = &auditor.show("again")?["window"];
    ensure!(window["complete"] == true && window["starts"] == 4, "{window}");
    Ok(())
}

/// What the workers have their containers do, until they are told to stop.
struct Load {
    stop: AtomicBool,
    failed: AtomicBool,
}

impl Load {
    /// Containers that start, run and end, one after the other; each is compared at the end.
    fn come_and_go(&self, engine: &Engine, worker: usize) -> Result<BTreeMap<String, Truth>> {
        let mut issued = BTreeMap::new();
        for round in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("short-{worker}-{round}");
            let out = engine.client([&["run", "--name", &name, BUSYBOX][..], &WORK].concat())?;
            issued.insert(name, parse(&out)?);
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(issued)
    }

    /// One that is started again and again, and one in which things are executed.
    fn go_on(&self, engine: &Engine) -> Result<BTreeMap<String, Truth>> {
        engine.client([&["create", "--name", "again", BUSYBOX][..], &WORK].concat())?;
        engine.client(["run", "--detach", "--name", "long", BUSYBOX, "/bin/busybox", "sleep", "10000"])?;
        let mut issued: BTreeMap<String, Truth> = BTreeMap::new();
        while !self.stop.load(Ordering::Relaxed) {
            let again = parse(&engine.client(["start", "--attach", "again"])?)?;
            add(issued.entry("again".to_owned()).or_default(), &again);
            let long = parse(&engine.client([&["exec", "long"][..], &WORK].concat())?)?;
            add(issued.entry("long".to_owned()).or_default(), &long);
        }
        Ok(issued)
    }

    fn watched(&self, issued: Result<BTreeMap<String, Truth>>) -> Result<BTreeMap<String, Truth>> {
        self.failed.fetch_or(issued.is_err(), Ordering::Relaxed);
        issued
    }
}

#[test]
fn a_hundred_kills_lose_no_count() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let mut auditor = bpffs.daemon(&engine.host(), &[])?;
    let load = Load { stop: AtomicBool::new(false), failed: AtomicBool::new(false) };
    let (killed, issued) = std::thread::scope(|scope| {
        let workers = [
            scope.spawn(|| load.watched(load.come_and_go(&engine, 0))),
            scope.spawn(|| load.watched(load.come_and_go(&engine, 1))),
            scope.spawn(|| load.watched(load.go_on(&engine))),
        ];
        let mut kill_all = || -> Result<()> {
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            for round in 0..KILLS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Every fourth is ready before it dies, whatever the machine has to do; the others may be at anything.
                if round % 4 == 0 {
                    auditor.wait_ready()?;
                }
                std::thread::sleep(Duration::from_millis(random % 600));
                ensure!(auditor.process().is_running(), "the daemon ended by itself: {}", auditor.log());
                ensure!(!load.failed.load(Ordering::Relaxed), "a container could not be run");
                kill(&mut auditor)?;
            }
            auditor.wait_ready()
        };
        let killed = kill_all();
        load.stop.store(true, Ordering::Relaxed);
        (killed, workers.map(|worker| worker.join().expect("a worker that ends")))
    });
    killed?;
    // Each says so once, when it is ready.
    let ready = auditor.log().matches(" counting ").count();
    let mut compared = 0;
    for worker in issued {
        for (name, issued) in worker? {
            compare(&auditor.rows(&name)?, &issued, true).with_context(|| name.clone())?;
            let window = &auditor.show(&name)?["window"];
            ensure!(window["complete"] == true && window["lost"] == 0, "{name}: {window}");
            compared += 1;
        }
    }
    println!("{KILLS} kills, {ready} of daemons that were ready; {compared} containers equal to the ground truth");
    // Kills that all came too early, or containers that all came too late, would show nothing.
    ensure!(ready >= KILLS / 4 && compared >= 20, "{ready} were ready, {compared} containers");
    // No slot was lost on the way: those that are in use are of container cgroups that there are, ours and others'.
    wait_for("slots to come back", Duration::from_secs(60), || {
        let metrics = auditor.metrics()?;
        let used = metrics.lines().find_map(|line| line.strip_prefix("auditor_slots_used ")).context("no slots")?;
        let used: usize = used.parse()?;
        let cgroups = Root::find(None)?.containers()?.containers;
        let populated = cgroups.iter().filter(|cgroup| cgroup.populated).count();
        Ok((populated <= used && used <= cgroups.len()).then_some(()))
    })
}

#[test]
fn two_daemons_at_once_are_one_and_a_clear_error() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let auditor = bpffs.daemon(&engine.host(), &[])?;
    let pins = format!("--bpffs={}", bpffs.pins().display());
    let socket = auditor.directory().join("other.sock");
    let second = ["--socket", socket.to_str().context("a path")?, "daemon", &pins, "--state-dir=none"];
    let output = bpffs.auditor(&second)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(2), "{:?}: {said}", output.status);
    let wanted = format!("another auditor daemon (process {}) counts with the pins in", auditor.process().pid());
    ensure!(said.contains(&wanted) && said.lines().count() == 1, "{said}");
    // Neither does anybody take its pins away.
    let output = bpffs.auditor(&["doctor", "--clean", &pins])?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    ensure!(auditor.get("/readyz")?.status == 200, "the first one goes on");
    Ok(())
}

#[test]
fn detach_on_exit_and_doctor_clean_leave_nothing() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    // The kernel's own two files are in each bpffs.
    let root = bpffs.pins().parent().context("a parent")?.display().to_string();
    let list = || bpffs.shell(&format!("find {root} -mindepth 1 ! -name '*.debug' | sort"));
    let mut auditor = bpffs.daemon(&engine.host(), &["--detach-on-exit"])?;
    ensure!(list()?.contains("link_sys_enter"), "{}", list()?);
    auditor.process_mut().pause()?;
    ensure!(!list()?.contains("SLOTS"), "{}", list()?);
    drop(auditor);
    // Killed, it could not: somebody else does.
    let auditor = bpffs.daemon(&engine.host(), &["--detach-on-exit"])?;
    auditor.process().signal(Signal::SIGKILL)?;
    wait_for("its end", Duration::from_secs(10), || Ok((!auditor.process().is_running()).then_some(())))?;
    ensure!(list()?.contains("link_sys_enter"), "{}", list()?);
    let pins = format!("--bpffs={}", bpffs.pins().display());
    let output = bpffs.auditor(&["doctor", "--clean", &pins])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(list()?.is_empty(), "{}", list()?);
    // Again, with nothing there.
    ensure!(bpffs.auditor(&["doctor", "--clean", &pins])?.status.success(), "nothing to clean");
    Ok(())
}

#[test]
fn a_daemon_that_is_told_to_stop_is_done_in_two_seconds() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let mut auditor = bpffs.daemon(&engine.host(), &[])?;
    engine.client([&["run", "--name", "last", BUSYBOX][..], &WORK].concat())?;
    let told = Instant::now();
    auditor.process().signal(Signal::SIGTERM)?;
    wait_for("its end", Duration::from_secs(10), || Ok((!auditor.process().is_running()).then_some(())))?;
    ensure!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    auditor.process_mut().restart()?;
    auditor.wait_ready()?;
    ensure!(auditor.show("last")?["window"]["complete"] == true, "{}", auditor.show("last")?["window"]);
    Ok(())
}

/// A copy of the binary whose programs come from another source, as far as it knows: the hash of the source is in it, and it
/// is changed.
fn other_version(directory: &Path) -> Result<PathBuf> {
    let mut bytes = std::fs::read(auditord::binary()?)?;
    let hash = Kernel::source_hash().context("the programs have no hash")?;
    let mut other = hash.clone().into_bytes();
    other[..16].copy_from_slice(b"0123456789abcdef");
    let mut changed = 0;
    for at in 0..bytes.len() - hash.len() {
        if bytes[at..].starts_with(hash.as_bytes()) {
            bytes[at..at + hash.len()].copy_from_slice(&other);
            changed += 1;
        }
    }
    ensure!(changed > 0, "the hash is not in the binary");
    let path = directory.join("auditor-of-another-version");
    std::fs::write(&path, bytes)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

#[test]
fn what_other_programs_counted_is_read_out_before_they_are_replaced() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let directory = tempfile::tempdir()?;
    let state = format!("--state-dir={}", directory.path().join("state").display());
    let older = other_version(directory.path())?;
    let mut old = bpffs.daemon_of(Some(&older), &engine.host(), &[&state])?;
    engine.client(["run", "--detach", "--name", "web", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let mut issued = parse(&engine.client([&["exec", "web"][..], &WORK].concat())?)?;
    old.process_mut().pause()?;
    // Still counted by what the old one left.
    add(&mut issued, &parse(&engine.client([&["exec", "web"][..], &WORK].concat())?)?);
    let over = parse(&engine.client([&["run", "--name", "over", BUSYBOX][..], &WORK].concat())?)?;
    drop(old);
    let mut auditor = bpffs.daemon(&engine.host(), &[&state])?;
    ensure!(auditor.log().contains("replaced the programs of an earlier daemon"), "{}", auditor.log());
    compare(&auditor.rows("over")?, &over, true)?;
    add(&mut issued, &parse(&engine.client([&["exec", "web"][..], &WORK].concat())?)?);
    compare(&auditor.rows("web")?, &issued, true)?;
    wait_for("the old set's removal", Duration::from_secs(10), || {
        let sets = bpffs.shell(&format!("ls {}", bpffs.pins().display()))?;
        Ok((sets.lines().count() == 1 && !sets.contains("0123456789abcdef")).then_some(()))
    })?;
    // Nobody saw the moment in between.
    ensure!(auditor.show("web")?["window"]["complete"] == false, "{}", auditor.show("web")?["window"]);
    // What it read out is its own from now on.
    kill(&mut auditor)?;
    auditor.wait_ready()?;
    compare(&auditor.rows("web")?, &issued, true)?;
    compare(&auditor.rows("over")?, &over, true)
}

#[test]
fn pins_of_an_unknown_layout_or_with_parts_missing_are_given_up_and_told_of() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let mut auditor = bpffs.daemon(&engine.host(), &[])?;
    engine.client(["run", "--detach", "--name", "web", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let pins = bpffs.pins().display().to_string();
    let faults = [
        ("mv v1-* v999-0123456789abcdef-1024", "cannot be read by this version"),
        ("rm v1-*/link_sys_exit", "replaced the programs of an earlier daemon"),
        ("rm v1-*/NATIVE", "cannot be read by this version"),
        ("mv v1-* staging", "counting"),
        ("mv v1-* going-v1-0-1024", "counting"),
    ];
    for (fault, said) in faults {
        auditor.process_mut().pause()?;
        bpffs.shell(&format!("cd {pins}; {fault}"))?;
        let before = auditor.log().len();
        auditor.process_mut().restart()?;
        auditor.wait_ready()?;
        let log = auditor.log().split_off(before);
        ensure!(log.contains(said) && !log.contains("took over"), "{fault}: {log}");
        wait_for("one set", Duration::from_secs(10), || {
            let sets = bpffs.shell(&format!("ls {pins}"))?;
            Ok((sets.lines().count() == 1 && sets.starts_with("v1-")).then_some(()))
        })
        .context(fault)?;
        ensure!(auditor.show("web")?["window"]["complete"] == false, "{fault}");
        let work = parse(&engine.client([&["run", "--rm", BUSYBOX][..], &WORK].concat())?)?;
        ensure!(!work.is_empty(), "{fault}");
    }
    Ok(())
}

#[test]
fn a_detached_program_is_seen() -> Result<()> {
    // The check can fail: programs that are loaded and not attached do not run.
    let mut kernel = Kernel::load(4)?;
    ensure!(!kernel.is_counting()?, "nothing is attached");
    let cage = Cage::new()?;
    kernel.attach(|| vec![Existing::nameless(cage.id())])?;
    ensure!(kernel.is_counting()?, "everything is attached");
    drop(kernel);
    // All that root can take away are the pins: a link of this kind cannot be detached, and the daemon holds it.
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let mut auditor = bpffs.daemon(&engine.host(), &[])?;
    engine.client(["run", "--detach", "--name", "web", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let pins = bpffs.pins().display().to_string();
    bpffs.shell(&format!("cd {pins}/v1-*; rm link_sys_enter prog_sys_exit SLOTS"))?;
    wait_for("the pins", Duration::from_secs(10), || {
        Ok(auditor.log().contains("pins of the programs were removed").then_some(()))
    })?;
    bpffs.shell(&format!("rm -r {pins}/v1-*"))?;
    wait_for("the pins again", Duration::from_secs(10), || {
        Ok(bpffs.shell(&format!("ls {pins}/v1-*/link_sys_enter {pins}/v1-*/SLOTS")).ok())
    })?;
    let issued = parse(&engine.client([&["exec", "web"][..], &WORK].concat())?)?;
    kill(&mut auditor)?;
    auditor.wait_ready()?;
    compare(&auditor.rows("web")?, &issued, true)?;
    ensure!(auditor.show("web")?["window"]["complete"] == true, "{}", auditor.show("web")?["window"]);
    Ok(())
}
