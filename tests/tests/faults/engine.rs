//! The engine dies, stops, comes back, or says nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::auditord::Auditor;
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth::{self, compare};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;
use tests::proxy::Proxy;

use crate::rounds::{CALLS, Rounds, counted};

const PATIENCE: Duration = Duration::from_secs(40);

fn engine(configuration: &Value) -> Result<Engine> {
    let engine = Engine::configured(CgroupMode::Unified, configuration)?;
    image::import_busybox(&engine)?;
    Ok(engine)
}

fn docker_up(auditor: &Auditor, wanted: f64) -> Result<()> {
    auditor.wait_sample("auditor_docker_up", PATIENCE, |value| value == wanted).map(drop)
}

/// A container that runs while dockerd is killed: what it does with no engine there is counted.
fn killed(configuration: &Value) -> Result<(Engine, Auditor, Rounds)> {
    let mut engine = engine(configuration)?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    let mut rounds = Rounds::start(&engine, "lasting", &[])?;
    rounds.next()?;
    auditor.settled("lasting")?;
    ensure!(counted(&auditor, "lasting")? == CALLS);
    engine.kill()?;
    docker_up(&auditor, 0.0)?;
    rounds.next()?;
    // It is still known by its name, and ready: to count needs no engine.
    ensure!(counted(&auditor, "lasting")? == 2 * CALLS);
    ensure!(auditor.get("/readyz")?.status == 200, "{}", auditor.get("/readyz")?.body);
    engine.restart()?;
    docker_up(&auditor, 1.0)?;
    Ok((engine, auditor, rounds))
}

/// Without live-restore the new dockerd ends what still runs; the next start adds to the counts.
#[test]
fn a_killed_dockerd_takes_no_count_with_it() -> Result<()> {
    let (engine, auditor, mut rounds) = killed(&json!({}))?;
    wait_for("the container's end", PATIENCE, || {
        Ok((engine.inspect("lasting")?["State"]["Running"] == false).then_some(()))
    })?;
    ensure!(counted(&auditor, "lasting")? == 2 * CALLS, "{}", counted(&auditor, "lasting")?);
    // It goes through the rounds that it was told of once more.
    engine.client(["start", "lasting"])?;
    rounds.find(&engine)?;
    rounds.next()?;
    ensure!(counted(&auditor, "lasting")? == 5 * CALLS, "{}", counted(&auditor, "lasting")?);
    let window = &auditor.settled("lasting")?["window"];
    ensure!(window["starts"] == 2 && window["complete"] == true && window["lost"] == 0, "{window}");
    Ok(())
}

/// With live-restore the container outlives its engine, and is one start.
#[test]
fn with_live_restore_a_container_and_its_counts_outlive_dockerd() -> Result<()> {
    let (engine, auditor, mut rounds) = killed(&json!({"live-restore": true}))?;
    ensure!(engine.inspect("lasting")?["State"]["Running"] == true, "live-restore did not keep it");
    rounds.next()?;
    ensure!(counted(&auditor, "lasting")? == 3 * CALLS, "{}", counted(&auditor, "lasting")?);
    let window = &auditor.settled("lasting")?["window"];
    ensure!(window["starts"] == 1 && window["complete"] == true && window["lost"] == 0, "{window}");
    // And what is new is known by its name again.
    let issued =
        groundtruth::parse(&engine.client(["run", "--name", "new", BUSYBOX, "/groundtruth", "work", "124*9"])?)?;
    compare(&auditor.rows("new")?, &issued, true)
}

/// A stopped engine takes requests and answers none: it is down, nobody waits for it, and what runs is counted.
#[test]
fn a_frozen_dockerd_is_down_and_holds_nobody_up() -> Result<()> {
    let engine = engine(&json!({}))?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    let mut rounds = Rounds::start(&engine, "lasting", &[])?;
    auditor.settled("lasting")?;
    engine.signal(Signal::SIGSTOP)?;
    let down = docker_up(&auditor, 0.0);
    let during = down.and_then(|()| {
        rounds.next()?;
        let asked = Instant::now();
        let counted = counted(&auditor, "lasting")?;
        ensure!(asked.elapsed() < Duration::from_secs(2), "an answer took {:?}", asked.elapsed());
        ensure!(counted == CALLS, "{counted}");
        Ok(())
    });
    engine.signal(Signal::SIGCONT)?;
    during?;
    // No blind window: one that is started at once is counted from its first call.
    let issued =
        groundtruth::parse(&engine.client(["run", "--name", "next", BUSYBOX, "/groundtruth", "work", "124*9"])?)?;
    docker_up(&auditor, 1.0)?;
    compare(&auditor.rows("next")?, &issued, true)?;
    ensure!(auditor.show("next")?["window"]["complete"] == true);
    Ok(())
}

/// An event stream that is open and silent, beside an engine that answers pings: counting does not wait for events.
#[test]
fn behind_a_silent_event_stream_containers_are_counted_from_their_first_call() -> Result<()> {
    let engine = engine(&json!({}))?;
    let proxy = Proxy::new(&engine.socket())?;
    let auditor = Auditor::start(&proxy.host(), &[])?;
    proxy.hold_events(true);
    let issued =
        groundtruth::parse(&engine.client(["run", "--name", "unheard", BUSYBOX, "/groundtruth", "work", "124*9"])?)?;
    let id = engine.id("unheard")?;
    compare(&auditor.rows(&id)?, &issued, true)?;
    let shown = auditor.show(&id)?;
    ensure!(shown["window"]["complete"] == true && shown["name"].is_null(), "{shown}");
    proxy.hold_events(false);
    wait_for("its name", PATIENCE, || Ok((auditor.show(&id)?["name"] == "unheard").then_some(())))
}
