//! Containers that are there for a moment, or never really.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::auditord::{Auditor, sample};
use tests::engine::CgroupMode;
use tests::groundtruth::{self, compare};
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::proxy::Proxy;
use tests::stage::Stage;

/// The engine answers the daemon's question about a container only when that is gone.
#[test]
fn a_container_that_is_gone_before_it_can_be_inspected_is_counted_from_its_first_call() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let proxy = Proxy::new(&stage.engine.socket())?;
    let auditor = Auditor::start(&proxy.host(), &[])?;
    proxy.hold_inspections(true);
    let dir = tempfile::tempdir()?;
    let id_file = dir.path().join("id");
    let option = format!("--cidfile={}", id_file.display());
    let line = ["run", "--rm", "--name", "ghost", &option, BUSYBOX, "/groundtruth", "work", "124*9", "i386:147*4"];
    let issued = groundtruth::parse(&stage.engine.client(line)?)?;
    let id = fs::read_to_string(&id_file)?;
    ensure!(!stage.engine.output(["inspect", &id])?.status.success(), "it is still there");
    // By its id, which is in the cgroup's path.
    compare(&auditor.rows(&id)?, &issued, true)?;
    proxy.hold_inspections(false);
    // What the events said is all that there is to know, and it is kept for a while.
    wait_for("its name", Duration::from_secs(20), || Ok((auditor.show(&id)?["name"] == "ghost").then_some(())))?;
    let shown = auditor.show("ghost")?;
    ensure!(shown["window"]["complete"] == true && shown["image"] == BUSYBOX, "{shown}");
    compare(&auditor.rows("ghost")?, &issued, true)
}

/// Four at once, each for about 50 ms, and removed at their ends.
#[test]
fn fifty_milliseconds_are_enough() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let script = "/groundtruth work '124*7' && usleep 50000";
    for round in 0..3 {
        let names: Vec<String> = (0..4).map(|number| format!("moment{round}{number}")).collect();
        let run = |name: &String| {
            stage.engine.docker(["run", "--rm", "--name", name, BUSYBOX, "/bin/sh", "-c", script]).output()
        };
        std::thread::scope(|scope| -> Result<()> {
            let running: Vec<_> = names.iter().map(|name| scope.spawn(move || run(name))).collect();
            for one in running {
                let output = one.join().expect("a panic")?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(())
        })?;
        for name in &names {
            let shown = stage.auditor.show(name)?;
            let row = &tests::auditord::rows(&shown)?[&("x86_64".to_owned(), 124)];
            ensure!((row.calls, row.unfiltered) == (7, 0), "{name}: {row:?}");
            ensure!(shown["window"]["complete"] == true, "{name}: {}", shown["window"]);
        }
    }
    Ok(())
}

/// What a daemon holds.
fn holdings(auditor: &Auditor) -> Result<BTreeMap<&'static str, usize>> {
    let metrics = auditor.metrics()?;
    let series = metrics.lines().filter(|line| !line.starts_with('#')).count();
    let slots = sample(&metrics, "auditor_slots_used").context("no auditor_slots_used")?;
    let fds = fs::read_dir(format!("/proc/{}/fd", auditor.process().pid()))?.count();
    Ok(BTreeMap::from([("series", series), ("slots", format!("{slots}").parse()?), ("descriptors", fds)]))
}

/// Starts that fail, one after the other.
const FAILING: u32 = 30;

/// One that is started again and again and never comes to its program, and one that the engine starts again whenever its
/// program fails.
#[test]
fn a_container_that_fails_to_start_in_a_loop_leaks_nothing() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let auditor = Auditor::start(&stage.engine.host(), &[])?;
    stage.engine.client(["create", "--name", "stillborn", BUSYBOX, "/nonexistent"])?;
    stage.engine.client(["run", "--detach", "--restart=always", "--name", "again", BUSYBOX, "/bin/false"])?;
    let fail = |times: u32| -> Result<()> {
        for _ in 0..times {
            let output = stage.engine.output(["start", "--attach", "stillborn"])?;
            ensure!(!output.status.success(), "it started");
        }
        Ok(())
    };
    let settled = |wanted: Option<&BTreeMap<&'static str, usize>>| {
        // Slots come back with the next reading, and answers are closed when they are read.
        let mut last = BTreeMap::new();
        wait_for("what the daemon holds", Duration::from_secs(15), || {
            let now = holdings(&auditor)?;
            // Something may happen for the first time meanwhile, and have a series from then on; a leak has one for each start.
            let few = |what: &str| if what == "series" { FAILING as usize / 5 } else { 0 };
            let holds = |wanted: &BTreeMap<_, _>| now.iter().all(|(what, count)| *count <= wanted[what] + few(what));
            let same = wanted.map_or(now == last, holds);
            last.clone_from(&now);
            std::thread::sleep(Duration::from_millis(300));
            Ok(same.then_some(now))
        })
        .with_context(|| format!("before: {wanted:?}; now: {:?}", holdings(&auditor)))
    };
    fail(5)?;
    wait_for("a few starts", Duration::from_secs(20), || {
        let starts = auditor.show("again")?["window"]["starts"].as_u64();
        Ok(starts.is_some_and(|starts| starts >= 3).then_some(()))
    })?;
    let before = settled(None)?;
    let page = auditor.metrics()?;
    fail(FAILING)?;
    stage.engine.client(["update", "--restart=no", "again"])?;
    let after = settled(Some(&before))?;
    println!("before: {before:?}, after: {after:?}");
    let known: BTreeSet<&str> = page.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name).collect();
    let now = auditor.metrics()?;
    let names = now.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name);
    for name in names.filter(|name| !name.starts_with('#') && !known.contains(name)) {
        println!("a series that was not there before: {name}");
    }
    let starts = &auditor.show("again")?["window"];
    ensure!(starts["starts"].as_u64() > Some(3) && starts["complete"] == true, "{starts}");
    ensure!(auditor.get("/readyz")?.status == 200);
    stage.engine.client(["rm", "--force", "stillborn", "again"])?;
    Ok(())
}
