//! Clocks that step, and hosts that slept. The machine's own clocks stay as they are: one daemon sees others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditord::Auditor;
use tests::engine::CgroupMode;
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::stage::Stage;

use crate::rounds::{CALLS, Rounds, counted};

/// The library that shows a program another wall clock, and which: `+0`, or an offset in seconds or days.
struct Wall {
    library: PathBuf,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Wall {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("offset");
        let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu"];
        let library = usual.iter().map(|at| Path::new(at).join("faketime/libfaketimeMT.so.1")).find(|at| at.exists());
        let wall = Self {
            library: library.context("no libfaketimeMT.so.1; run `cargo xtask setup`")?,
            file,
            _directory: directory,
        };
        wall.step("+0")?;
        Ok(wall)
    }

    fn step(&self, offset: &str) -> Result<()> {
        fs::write(&self.file, offset).context("stepping a clock")
    }

    fn wrapper(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            // Clocks that nobody sets stay.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }
}

fn start_of(auditor: &Auditor, name: &str) -> Result<Value> {
    wait_for("a start", Duration::from_secs(20), || {
        let output = auditor.output(&["history", "--output=json", BUSYBOX])?;
        let starts: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(starts.into_iter().find(|start| start["name"] == name))
    })
    .with_context(|| auditor.log())
}

/// Seconds since 1970 of a time in JSON.
fn seconds(time: &Value) -> Result<i64> {
    let time: jiff::Timestamp = time.as_str().with_context(|| format!("{time} is no time"))?.parse()?;
    Ok(time.as_second())
}

/// Seconds from a time in JSON until now.
fn age(time: &Value) -> Result<i64> {
    Ok(jiff::Timestamp::now().as_second() - seconds(time)?)
}

#[test]
fn a_wall_clock_that_steps_moves_what_is_shown_and_no_window() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let wall = Wall::new()?;
    let wrapper = wall.wrapper();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let auditor = Auditor::start_behind(&wrapper, &stage.engine.host(), &[])?;
    let mut rounds = Rounds::start(&stage.engine, "stepped", &[])?;
    stage.groundtruth("gone", &[], &["work", "124*3"])?;
    auditor.show("gone")?;
    stage.engine.client(["rm", "gone"])?;
    let mut done = 0;
    for (offset, days) in [("+0", 0_i64), ("+2d", 2), ("-3d", -3), ("+0", 0)] {
        wall.step(offset)?;
        rounds.next()?;
        done += CALLS;
        // What was called is counted once, whatever day it is.
        ensure!(counted(&auditor, "stepped")? == done, "{offset}: {}", counted(&auditor, "stepped")?);
        let start = start_of(&auditor, "stepped")?;
        let hours = start["hours"].as_f64().context("no hours")?;
        ensure!((0.0..0.1).contains(&hours), "{offset}: {hours} hours were counted: {start}");
        let window = &auditor.show("stepped")?["window"];
        ensure!(window["complete"] == true && window["starts"] == 1, "{offset}: {window}");
        let shown = age(&window["since"])? + days * 86_400;
        ensure!((-5..120).contains(&shown), "{offset}: since {}, {shown} s ago", window["since"]);
        // Five minutes are not over because two days seem to be.
        ensure!(counted(&auditor, "gone")? == 3, "{offset}");
        ensure!(auditor.get("/readyz")?.status == 200, "{offset}");
    }
    // The step was seen at all.
    wall.step("+2d")?;
    let metrics = auditor.metrics()?;
    ensure!(metrics.contains("auditor_docker_up 1"), "{}", auditor.log());
    stage.engine.client(["rm", "--force", "stepped"])?;
    Ok(())
}

/// After a sleep the boot-time clock is ahead of the monotonic one; so it is here, by an hour, in a time namespace. A daemon
/// that took one for the other would be an hour off.
#[test]
fn on_a_host_that_slept_windows_are_as_long_as_they_were() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split('.').next().context("no uptime")?.parse()?;
    // A clock cannot be before its own beginning.
    let slept = format!("{:.0}", (uptime / 2.0).min(3600.0));
    let behind = format!("--monotonic=-{slept}");
    let wrapper = ["unshare", "--time", &behind];
    let mut rounds = Rounds::start(&stage.engine, "awake", &[])?;
    let auditor = Auditor::start_behind(&wrapper, &stage.engine.host(), &[])?;
    let offsets = fs::read_to_string(format!("/proc/{}/timens_offsets", auditor.process().pid()))?;
    ensure!(
        offsets.lines().any(|line| line.starts_with("monotonic") && line.contains(&format!("-{slept}"))),
        "{offsets}"
    );
    rounds.next()?;
    ensure!(counted(&auditor, "awake")? == CALLS);
    // One that was there before, one that came, and one that is gone.
    stage.groundtruth("new", &[], &["work", "124*3"])?;
    for name in ["awake", "new"] {
        let since = age(&auditor.show(name)?["window"]["since"])?;
        ensure!((-2..60).contains(&since), "{name}: since {since} s");
        let start = start_of(&auditor, name)?;
        ensure!((-2..60).contains(&age(&start["began"])?), "{start}");
        ensure!(start["hours"].as_f64().is_some_and(|hours| (0.0..0.05).contains(&hours)), "{start}");
    }
    stage.engine.client(["rm", "--force", "awake", "new"])?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(counted(&auditor, "new")? == 3, "what is gone for seconds is forgotten");
    Ok(())
}
