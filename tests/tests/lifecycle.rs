//! Containers that come before, beside and after the daemon; slots that run out and come back.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::auditord::Auditor;
use tests::engine::{self, CgroupMode, Engine};
use tests::groundtruth::{self, compare};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;
use tests::stage::Stage;

const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

fn engine_with_busybox() -> Result<Engine> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    Ok(engine)
}

#[test]
fn calls_in_flight_when_the_daemon_comes_are_not_denials() -> Result<()> {
    let engine = engine_with_busybox()?;
    // poll(2) may be refused by this program's own filter: the daemon has to pair its enters and exits.
    let line =
        ["run", "--detach", "--name", "flight", BUSYBOX, "/groundtruth", "inflight", "16", "8000", "7@99=errno:1"];
    engine.client(line)?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    assert_eq!(engine.client(["wait", "flight"])?, "0");
    let shown = auditor.show("flight")?;
    assert_eq!(shown["denials"], 0, "{shown}");
    assert_eq!(shown["window"]["complete"], false, "{shown}");
    Ok(())
}

#[test]
fn a_container_that_was_there_before_is_counted_from_now_on_and_says_so() -> Result<()> {
    let engine = engine_with_busybox()?;
    engine.client([&["run", "--detach", "--name", "early", BUSYBOX][..], &SLEEP].concat())?;
    engine.client(["exec", "early", "/groundtruth", "work", "124*77"])?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    let line = ["exec", "early", "/groundtruth", "work", "--threads=2", "--forks=3", "124*1000", "i386:147*10"];
    let issued = groundtruth::parse(&engine.client(line)?)?;
    compare(&auditor.rows("early")?, &issued, true)?;
    let shown = auditor.settled("early")?;
    assert_eq!(shown["window"]["complete"], false, "{shown}");
    assert_eq!(shown["profile"]["kind"], "default", "{shown}");
    Ok(())
}

#[test]
fn nested_cgroups_count_for_their_container() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.engine.client([&["run", "--detach", "--name", "nest", BUSYBOX][..], &SLEEP].concat())?;
    let nested = stage.engine.cgroup("nest")?.join("inner/innermost");
    std::fs::create_dir_all(&nested).with_context(|| format!("making {}", nested.display()))?;
    let program = groundtruth::program()?;
    let script = format!("echo $$ > {}/cgroup.procs && exec {} work 124*500", nested.display(), program.display());
    let output = Command::new("sh").args(["-c", &script]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let issued = groundtruth::parse(&String::from_utf8(output.stdout)?)?;
    compare(&stage.auditor.rows("nest")?, &issued, false)?;
    stage.engine.client(["rm", "--force", "nest"])?;
    Ok(())
}

#[test]
fn a_privileged_exec_in_a_confined_container_is_counted_by_the_filter_it_has() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let runtime = engine::privileged()?;
    let runtime: Vec<&str> = runtime.iter().map(String::as_str).filter(|option| option.contains("runtime")).collect();
    stage.engine.client([&["run", "--detach", "--name", "both"][..], &runtime, &[BUSYBOX], &SLEEP].concat())?;
    let exec = ["exec", "--privileged", "both"];
    // Engines differ: some leave the filter away, some keep it. The kernel knows.
    let status = stage.engine.client([&exec[..], &["/bin/grep", "Seccomp:", "/proc/self/status"]].concat())?;
    let confined = status.ends_with('2');
    let work = ["/groundtruth", "work", "124*40", "i386:147*4"];
    let issued = groundtruth::parse(&stage.engine.client([&exec[..], &work].concat())?)?;
    compare(&stage.auditor.rows("both")?, &issued, confined)?;
    stage.engine.client(["rm", "--force", "both"])?;
    Ok(())
}

#[test]
fn a_restarted_container_adds_to_its_counts() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.groundtruth("again", &[], &["work", "124*40"])?;
    for _ in 0..2 {
        stage.engine.client(["start", "--attach", "again"])?;
    }
    let shown = stage.auditor.show("again")?;
    let rows = tests::auditord::rows(&shown)?;
    assert_eq!(rows[&("x86_64".to_owned(), 124)].calls, 120);
    assert_eq!(shown["window"]["starts"], 3, "{}", shown["window"]);
    assert_eq!(shown["window"]["complete"], true, "{}", shown["window"]);
    Ok(())
}

/// Slots that other engines' containers on this machine take.
fn slots_taken() -> Result<usize> {
    let auditor = Auditor::start("unix:///nonexistent/docker.sock", &["--max-containers=4096"])?;
    let metrics = auditor.metrics()?;
    let used = metrics.lines().find_map(|line| line.strip_prefix("auditor_slots_used "));
    used.context("no auditor_slots_used")?.parse().context("auditor_slots_used")
}

fn slots_come_back_in(mode: CgroupMode) -> Result<()> {
    let engine = Engine::start(mode)?;
    image::import_busybox(&engine)?;
    let slots = format!("--max-containers={}", slots_taken()? + 16);
    let auditor = Auditor::start(&engine.host(), &[&slots])?;
    for number in 0..48 {
        let name = format!("turn{number}");
        let line = ["run", "--name", &name, BUSYBOX, "/groundtruth", "work", "124*9"];
        let issued = groundtruth::parse(&engine.client(line)?)?;
        compare(&auditor.rows(&name)?, &issued, true).with_context(|| format!("container {name}"))?;
    }
    assert_eq!(auditor.get("/readyz")?.status, 200);
    Ok(())
}

#[test]
fn slots_come_back_after_their_containers() -> Result<()> {
    slots_come_back_in(CgroupMode::Unified)
}

#[test]
fn slots_come_back_on_hybrid_hosts_too() -> Result<()> {
    slots_come_back_in(CgroupMode::Hybrid)
}

#[test]
fn slots_run_out_loudly() -> Result<()> {
    let engine = engine_with_busybox()?;
    let slots = format!("--max-containers={}", slots_taken()? + 2);
    let auditor = Auditor::start(&engine.host(), &[&slots])?;
    for number in 0..4 {
        let name = format!("many{number}");
        engine.client([&["run", "--detach", "--name", &name, BUSYBOX][..], &SLEEP].concat())?;
    }
    let answer = wait_for("the daemon to say that slots ran out", Duration::from_secs(10), || {
        let answer = auditor.get("/readyz")?;
        Ok((answer.status == 503).then_some(answer.body))
    })?;
    assert!(answer.contains("slot"), "{answer}");
    let metrics = auditor.metrics()?;
    let untracked = metrics.lines().find_map(|line| line.strip_prefix("auditor_untracked_cgroups_total "));
    assert!(untracked.is_some_and(|count| count != "0"), "{untracked:?}");
    assert!(auditor.log().contains("slot"), "{}", auditor.log());
    let output = auditor.output(&["suggest", "many3"])?;
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn the_engine_may_be_absent_and_come_and_go() -> Result<()> {
    let mut engine = engine_with_busybox()?;
    engine.stop()?;
    let auditor = Auditor::launch(&engine.host(), &[])?;
    let docker_up = |wanted: &str| {
        wait_for("auditor_docker_up", Duration::from_secs(60), || {
            let Ok(metrics) = auditor.metrics() else { return Ok(None) };
            Ok(metrics.lines().any(|line| line == format!("auditor_docker_up {wanted}")).then_some(()))
        })
        .with_context(|| format!("waiting for {wanted}; the daemon's log:\n{}", auditor.log()))
    };
    docker_up("0")?;
    engine.restart()?;
    docker_up("1")?;
    let work = ["run", "--name", "first", BUSYBOX, "/groundtruth", "work", "124*9"];
    let issued = groundtruth::parse(&engine.client(work)?)?;
    compare(&auditor.rows("first")?, &issued, true)?;
    engine.stop()?;
    docker_up("0")?;
    // Known from before: its counts are still there.
    compare(&auditor.rows("first")?, &issued, true)?;
    engine.restart()?;
    docker_up("1")?;
    engine.client(["start", "--attach", "first"])?;
    assert_eq!(auditor.rows("first")?[&("x86_64".to_owned(), 124)].calls, 18);
    Ok(())
}
