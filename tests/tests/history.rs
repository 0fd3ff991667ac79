//! What was seen is kept: over restarts of containers and daemons, over crashes and full disks, and from host to host.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::auditord::Auditor;
use tests::engine::{CgroupMode, Engine};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;

fn engine() -> Result<Engine> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    Ok(engine)
}

fn history(auditor: &Auditor, args: &[&str]) -> Result<Vec<Value>> {
    let (stdout, _) = auditor.run(&[&["history", "--output=json"], args].concat())?;
    serde_json::from_str(&stdout).with_context(|| format!("parsing {stdout}"))
}

/// The starts of the image, once there are so many.
fn starts(auditor: &Auditor, wanted: usize) -> Result<Vec<Value>> {
    wait_for("the starts", Duration::from_secs(20), || {
        let found = history(auditor, &[BUSYBOX]).unwrap_or_default();
        Ok((found.len() == wanted).then_some(found))
    })
    .with_context(|| format!("{wanted} starts wanted: {:?}", history(auditor, &[BUSYBOX])))
}

fn names(profile: &str) -> Result<Vec<String>> {
    let profile: Value = serde_json::from_str(profile)?;
    let rules = profile["syscalls"].as_array().context("no rules")?;
    let allowed = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
    let names = allowed.flat_map(|rule| rule["names"].as_array().into_iter().flatten());
    Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn ready(auditor: &Auditor) -> Result<()> {
    wait_for("the daemon", Duration::from_secs(60), || {
        Ok(auditor.get("/readyz").is_ok_and(|answer| answer.status == 200).then_some(()))
    })
    .with_context(|| auditor.log())
}

/// One workload, two replicas; what each of them does is in a file that it alone has.
fn run(engine: &Engine, name: &str, work: &str) -> Result<()> {
    let script = "sh /work";
    let cid = engine.client(["create", "--name", name, BUSYBOX, "sh", "-c", script])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("work");
    fs::write(&file, work)?;
    engine.client(["cp", &file.display().to_string(), &format!("{cid}:/work")])?;
    engine.client(["start", "--attach", name])?;
    Ok(())
}

#[test]
fn what_replicas_did_is_suggested_when_nothing_runs_and_after_a_crash() -> Result<()> {
    let engine = engine()?;
    let mut auditor = Auditor::start(&engine.host(), &[])?;
    run(&engine, "one", "mkdir /tmp/x")?;
    run(&engine, "two", "ln -s a /tmp/y")?;
    let found = starts(&auditor, 2)?;
    ensure!(found.iter().all(|start| start["complete"] == true), "{found:?}");
    let new = found[1]["new_calls"].as_array().context("no new calls")?;
    ensure!(new.iter().any(|call| call == "symlink"), "{new:?}");
    // One stands for both, which have one workload.
    let (profile, notes) = auditor.suggest("one")?;
    ensure!(names(&profile)?.iter().any(|name| name == "symlink"), "{profile}");
    ensure!(notes.contains("2 starts of 2 containers"), "{notes}");
    engine.client(["rm", "one", "two"])?;

    // What is over was written at once: a second is enough.
    std::thread::sleep(Duration::from_secs(3));
    auditor.process().signal(Signal::SIGKILL)?;
    auditor.process_mut().restart()?;
    ready(&auditor)?;
    let found = starts(&auditor, 2)?;
    let (again, _) = auditor.suggest(BUSYBOX)?;
    ensure!(names(&again)? == names(&profile)?, "{again}");

    let second = found[1]["id"].as_str().context("no id")?;
    let (without, notes) = auditor.run(&["suggest", BUSYBOX, "--exclude", second])?;
    ensure!(!names(&without)?.iter().any(|name| name == "symlink"), "{without}");
    ensure!(notes.contains("1 left out"), "{notes}");
    auditor.run(&["history", "exclude", second])?;
    let (excluded, _) = auditor.suggest(BUSYBOX)?;
    ensure!(excluded == without, "{excluded}");
    auditor.run(&["history", "exclude", second, "--undo"])?;
    ensure!(auditor.suggest(BUSYBOX)?.0 == again);
    let late = auditor.output(&["suggest", BUSYBOX, "--since", "2100-01-01T00:00:00Z"])?;
    ensure!(late.status.code() == Some(1), "{late:?}");

    // To another host, twice.
    let (exported, _) = auditor.run(&["history", "export"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("evidence.json");
    fs::write(&file, &exported)?;
    let other = Auditor::start("unix:///nonexistent/docker.sock", &[])?;
    let file = file.display().to_string();
    for new in ["2 starts are new", "0 starts are new"] {
        let (_, notes) = other.run(&["history", "import", &file])?;
        ensure!(notes.contains(new), "{notes}");
    }
    ensure!(other.suggest(BUSYBOX)?.0 == again);
    ensure!(other.run(&["history", "export"])?.0 == exported);
    other.run(&["history", "forget", BUSYBOX])?;
    ensure!(history(&other, &[])?.is_empty());

    // One store has one daemon.
    let state = format!("--state-dir={}", auditor.directory().join("state").display());
    let mut second = Auditor::launch(&engine.host(), &[&state])?;
    wait_for(
        "the second daemon's end",
        Duration::from_secs(20),
        || Ok((!second.process().is_running()).then_some(())),
    )?;
    ensure!(second.log().contains("another daemon's"), "{}", second.log());
    second.process_mut().pause()
}

#[test]
fn a_start_goes_on_when_the_daemon_is_started_anew_and_is_not_complete_then() -> Result<()> {
    let engine = engine()?;
    let mut auditor = Auditor::start(&engine.host(), &[])?;
    engine.client([
        "run",
        "--detach",
        "--name",
        "long",
        BUSYBOX,
        "sh",
        "-c",
        "while sleep 0.2; do mkdir -p /tmp/x; done",
    ])?;
    let before = starts(&auditor, 1)?;
    ensure!(before[0]["complete"] == true, "{before:?}");
    std::thread::sleep(Duration::from_secs(2));
    auditor.process_mut().restart()?;
    ready(&auditor)?;
    let after = starts(&auditor, 1)?;
    ensure!(after[0]["id"] == before[0]["id"] && after[0]["began"] == before[0]["began"], "{before:?} {after:?}");
    ensure!(after[0]["complete"] == false, "{after:?}");
    Ok(())
}

#[test]
fn a_start_that_ends_while_no_daemon_runs_is_not_complete_and_keeps_its_arguments() -> Result<()> {
    let engine = engine()?;
    let mut auditor = Auditor::start(&engine.host(), &[])?;
    let work = "while sleep 0.2; do mkdir -p /tmp/x; done";
    engine.client(["run", "--detach", "--name", "long", BUSYBOX, "sh", "-c", work])?;
    ensure!(starts(&auditor, 1)?[0]["complete"] == true);
    // What runs is written every ten seconds.
    std::thread::sleep(Duration::from_secs(13));
    auditor.process().signal(Signal::SIGKILL)?;
    engine.client(["rm", "--force", "long"])?;
    auditor.process_mut().restart()?;
    ready(&auditor)?;
    let found = starts(&auditor, 1)?;
    ensure!(found[0]["complete"] == false && found[0]["lost"] == 0, "{found:?}");
    let refused = auditor.output(&["suggest", BUSYBOX])?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let (_, notes) = auditor.run(&["suggest", BUSYBOX, "--args", "--allow-incomplete"])?;
    ensure!(notes.contains("what was not seen to be asked of"), "{notes}");
    ensure!(!notes.contains("not noted"), "{notes}");
    Ok(())
}

#[test]
fn what_is_forgotten_stays_forgotten_while_its_containers_are_still_known() -> Result<()> {
    let engine = engine()?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    run(&engine, "one", "mkdir /tmp/x")?;
    starts(&auditor, 1)?;
    auditor.run(&["history", "forget", BUSYBOX])?;
    ensure!(history(&auditor, &[])?.is_empty(), "{:?}", history(&auditor, &[])?);
    // Leaving out another start stores what is known of all.
    run(&engine, "two", "mkdir /tmp/x")?;
    let found = starts(&auditor, 1)?;
    let id = found[0]["id"].as_str().context("no id")?;
    auditor.run(&["history", "exclude", id])?;
    ensure!(starts(&auditor, 1)?[0]["excluded"] == true);
    Ok(())
}

#[test]
fn a_disk_that_fills_up_keeps_nobody_from_reading() -> Result<()> {
    let engine = engine()?;
    let dir = tempfile::tempdir()?;
    let (state, fill) = (dir.path().join("state"), dir.path().join("fill"));
    fs::create_dir(&state)?;
    // Full once the file `fill` is there.
    let script = format!(
        "mount -t tmpfs -o size=4m none {0} && {{ while [ ! -e {1} ]; do sleep 0.1; done; \
         cat /dev/zero > {0}/fill 2>/dev/null; echo full > {1}; }} & \
         while ! grep -q {0} /proc/self/mounts; do sleep 0.1; done; exec \"$@\"",
        state.display(),
        fill.display()
    );
    let wrapper = ["unshare", "--mount", "--propagation=private", "sh", "-c", &script, "sh"];
    let flag = format!("--state-dir={}", state.display());
    let auditor = Auditor::start_behind(&wrapper, &engine.host(), &[&flag])?;
    run(&engine, "one", "mkdir /tmp/x")?;
    starts(&auditor, 1)?;
    // It is stored, and its container is not known any more.
    std::thread::sleep(Duration::from_secs(3));
    engine.client(["rm", "one"])?;
    fs::write(&fill, "")?;
    wait_for("a full disk", Duration::from_secs(20), || Ok((fs::read(&fill)? == b"full\n").then_some(())))?;
    // Arguments enough for a file that has to grow.
    for number in 0..12 {
        run(&engine, &format!("more{number}"), "ln -s a /tmp/y")?;
    }
    wait_for("auditor_evidence_stored 0", Duration::from_secs(30), || {
        Ok(auditor.metrics()?.contains("auditor_evidence_stored 0").then_some(()))
    })
    .with_context(|| auditor.log())?;
    for _ in 0..30 {
        let found = history(&auditor, &[BUSYBOX])?;
        ensure!(found.len() == 13, "{} starts", found.len());
        std::thread::sleep(Duration::from_millis(500));
    }
    ensure!(names(&auditor.suggest(BUSYBOX)?.0)?.iter().any(|name| name == "symlink"));
    Ok(())
}

#[test]
fn a_full_disk_stops_no_counting_and_is_said_once() -> Result<()> {
    let engine = engine()?;
    let dir = tempfile::tempdir()?;
    let (state, room) = (dir.path().join("state"), dir.path().join("room"));
    fs::create_dir(&state)?;
    // Full from the start; there is room once the file `room` is there.
    let script = format!(
        "mount -t tmpfs -o size=4m none {0} && {{ cat /dev/zero > {0}/fill 2>/dev/null; true; }} && \
         {{ while [ ! -e {1} ]; do sleep 0.1; done; rm {0}/fill; }} & while [ ! -s {0}/fill ]; do sleep 0.1; done; \
         sleep 1; exec \"$@\"",
        state.display(),
        room.display()
    );
    let wrapper = ["unshare", "--mount", "--propagation=private", "sh", "-c", &script, "sh"];
    let flag = format!("--state-dir={}", state.display());
    let auditor = Auditor::start_behind(&wrapper, &engine.host(), &[&flag])?;
    run(&engine, "full", "mkdir /tmp/x")?;
    let stored = |wanted: &str| {
        wait_for("auditor_evidence_stored", Duration::from_secs(30), || {
            Ok(auditor.metrics()?.contains(&format!("auditor_evidence_stored {wanted}")).then_some(()))
        })
        .with_context(|| format!("waiting for {wanted}; the daemon's log:\n{}", auditor.log()))
    };
    stored("0")?;
    ensure!(auditor.show("full")?["window"]["complete"] == true);
    std::thread::sleep(Duration::from_secs(11));
    ensure!(auditor.log().matches("cannot be stored").count() == 1, "{}", auditor.log());
    fs::write(&room, "")?;
    stored("1")?;
    ensure!(starts(&auditor, 1)?[0]["complete"] == true);
    ensure!(auditor.log().contains("stored again"), "{}", auditor.log());
    Ok(())
}
