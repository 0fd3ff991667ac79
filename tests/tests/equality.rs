//! The big proof: ten million calls, a thousand short-lived processes, and two hundred short-lived containers, all at
//! once, and every number equal.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use tests::auditord::Row;
use tests::engine::CgroupMode;
use tests::groundtruth::{self, Issued, Key, compare};
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
    let before = processors()?;
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
        equal(&stage.auditor.rows("calls")?, &issued, true).context("ten million calls")?;
        let issued = groundtruth::parse(&processes.join().expect("a panic")?)?;
        equal(&stage.auditor.rows("processes")?, &issued, false).context("a thousand processes")?;
        workers.into_iter().try_for_each(|worker| worker.join().expect("a panic"))
    })?;
    assert!(short.load(Ordering::Relaxed) >= CONTAINERS);
    let after = processors()?;
    assert_eq!(before.len(), after.len());
    for (name, (busy, total)) in after {
        let (was_busy, was_total) = before[&name];
        let (busy, total) = (busy - was_busy, total - was_total);
        assert!(busy * 2 > total, "{name} was busy for {busy} of {total} ticks");
    }
    // Other engines' containers on this machine are counted as well, perhaps not from their first call.
    for container in stage.auditor.ps()?.iter().filter(|container| container["name"].is_string()) {
        assert_eq!(container["window"]["complete"], true, "{container}");
        assert_eq!(container["window"]["lost"], 0, "{container}");
    }
    Ok(())
}

/// Every number equal, and no other call said to be denied.
fn equal(rows: &BTreeMap<Key, Row>, issued: &BTreeMap<Key, Issued>, confined: bool) -> Result<()> {
    compare(rows, issued, confined)?;
    let denied = |key: &Key| issued.get(key).is_some_and(|issued| issued.denied > 0);
    for (key, row) in rows.iter().filter(|(key, row)| row.denied > 0 && !denied(key)) {
        // What the C library tries first to make a thread: Docker's default answers ENOSYS.
        let is_clone3 = *key == ("x86_64".to_owned(), 435) && confined && row.errno == Some(38);
        ensure!(is_clone3, "{key:?} is said to be denied: {row:?}");
    }
    Ok(())
}

/// For each processor the ticks that it was busy, and all.
fn processors() -> Result<BTreeMap<String, (u64, u64)>> {
    let stat = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let mut processors = BTreeMap::new();
    for line in stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")) {
        let (name, ticks) = line.split_once(' ').context("a processor's line")?;
        let ticks: Vec<u64> = ticks.split(' ').map(str::parse).collect::<Result<_, _>>().context("ticks")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        let total: u64 = ticks.iter().take(8).sum();
        processors.insert(name.to_owned(), (total - ticks[3] - ticks[4], total));
    }
    Ok(processors)
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
        equal(&stage.auditor.rows(&name)?, &issued, true).with_context(|| format!("container {name}"))?;
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
