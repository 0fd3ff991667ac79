//! The big proof: ten million calls, a thousand short-lived processes, and two hundred short-lived containers, all at
//! once, and every number equal.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tests::engine::CgroupMode;
use tests::groundtruth::{self, compare};
use tests::image::BUSYBOX;
use tests::stage::Stage;

const CONTAINERS: usize = 200;
/// A container that took longer is compared like any other, but is not one of the two hundred.
const SHORT_MS: i128 = 100;

/// Four threads of 2.6 million calls, under the engine's default profile.
const CALLS: [&str; 6] = ["work", "--threads=4", "124*1500000", "100*1000000", "146@99*50000", "i386:147*50000"];

/// Two threads of 500 processes of six kinds.
const PROCESSES: [&str; 12] = [
    "work",
    "--threads=2",
    "--forks=100",
    "--vforks=50",
    "--clones=50",
    "--clone3s=50",
    "--execs=100",
    "--execs32=100",
    "124*40",
    "146@99*10",
    "i386:147*20",
    "--filter=121=errno:13",
];

/// What each of the short-lived containers does.
const SHORT: [&str; 5] = ["work", "124*300", "100*100", "i386:147*50", "146@99*20"];

#[test]
fn ten_million_calls_a_thousand_processes_and_two_hundred_containers_are_counted_exactly() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let short = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| stage.groundtruth("calls", &[], &CALLS));
        let processes =
            scope.spawn(|| stage.groundtruth("processes", &["--security-opt", "seccomp=unconfined"], &PROCESSES));
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                scope.spawn({
                    let short = &short;
                    move || short_lived(stage, worker, short)
                })
            })
            .collect();
        let issued = groundtruth::parse(&calls.join().expect("a panic")?)?;
        let total: u64 = issued.values().map(|issued| issued.before).sum();
        assert!(total >= 10_000_000, "only {total} calls");
        compare(&stage.auditor.rows("calls")?, &issued, true).context("ten million calls")?;
        let issued = groundtruth::parse(&processes.join().expect("a panic")?)?;
        compare(&stage.auditor.rows("processes")?, &issued, false).context("a thousand processes")?;
        workers.into_iter().try_for_each(|worker| worker.join().expect("a panic"))
    })?;
    assert!(short.load(Ordering::Relaxed) >= CONTAINERS);
    // Other engines' containers on this machine are counted as well, perhaps not from their first call.
    for container in stage.auditor.ps()?.iter().filter(|container| container["name"].is_string()) {
        assert_eq!(container["window"]["complete"], true, "{container}");
        assert_eq!(container["window"]["lost"], 0, "{container}");
    }
    Ok(())
}

/// Runs short-lived containers until there were enough short ones, and compares each.
fn short_lived(stage: &Stage, worker: usize, short: &AtomicUsize) -> Result<()> {
    for number in 0..CONTAINERS * 2 {
        if short.load(Ordering::Relaxed) >= CONTAINERS {
            break;
        }
        let name = format!("short{worker}x{number}");
        let mut line = vec!["run", "--name", &name, BUSYBOX, "/groundtruth"];
        line.extend(SHORT);
        let issued = groundtruth::parse(&stage.engine.client(line)?)?;
        compare(&stage.auditor.rows(&name)?, &issued, true).with_context(|| format!("container {name}"))?;
        let state = stage.engine.inspect(&name)?["State"].take();
        let at = |key: &str| -> Result<i128> {
            let text = state[key].as_str().context("no such time")?;
            Ok(text.parse::<jiff::Timestamp>().with_context(|| format!("the time {text}"))?.as_nanosecond())
        };
        let lasted = (at("FinishedAt")? - at("StartedAt")?) / 1_000_000;
        if lasted < SHORT_MS {
            short.fetch_add(1, Ordering::Relaxed);
        }
        stage.engine.client(["rm", &name])?;
    }
    Ok(())
}
