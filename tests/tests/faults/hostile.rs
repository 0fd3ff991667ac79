//! A container that makes as much as it can of everything, and a quiet one beside it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::auditord::{Auditor, sample};
use tests::engine::CgroupMode;
use tests::groundtruth::{self, compare};
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::stage::Stage;

use crate::rounds::{CALLS, Rounds, counted};

/// Calls and processes without end: by four threads, by two loops that fork, by one that puts filters on what it forks.
const FLOOD: &str = "while :; do /bin/true; done & while :; do /bin/true; done & \
                     while :; do /groundtruth churn 1000; done & \
                     while :; do /groundtruth work --threads=4 '124*100000' 'i386:147*20000' '9999*1000'; done";

#[test]
fn floods_of_calls_processes_and_control_groups_spoil_nobody_else_s_counts() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let auditor = Auditor::start(&stage.engine.host(), &[])?;
    let mut quiet = Rounds::start(&stage.engine, "quiet", &[])?;
    quiet.next()?;
    stage.engine.client(["run", "--detach", "--name", "flood", BUSYBOX, "/bin/sh", "-c", FLOOD])?;
    let around = stage.engine.cgroup("flood")?;
    let done = AtomicBool::new(false);
    let groups = std::thread::scope(|scope| -> Result<u64> {
        // As a service manager in the container could; here by root's hand.
        let groups = scope.spawn(|| -> Result<u64> {
            let mut made = 0;
            while !done.load(Ordering::Relaxed) {
                let names: Vec<_> = (0..200).map(|number| around.join(format!("group{number}"))).collect();
                for name in &names {
                    fs::create_dir(name).context("making a control group")?;
                }
                for name in &names {
                    fs::remove_dir(name).context("removing a control group")?;
                }
                made += 200;
            }
            Ok(made)
        });
        let work = (|| {
            for round in 2..=5 {
                std::thread::sleep(Duration::from_millis(1500));
                quiet.next()?;
                ensure!(counted(&auditor, "quiet")? == round * CALLS, "{}", counted(&auditor, "quiet")?);
            }
            // And one that comes in the middle of it.
            let line =
                ["run", "--name", "visitor", BUSYBOX, "/groundtruth", "work", "124*77", "i386:147*7", "121@-1*5"];
            let issued = groundtruth::parse(&stage.engine.client(line)?)?;
            compare(&auditor.rows("visitor")?, &issued, true)
        })();
        done.store(true, Ordering::Relaxed);
        let made = groups.join().expect("a panic")?;
        work.map(|()| made)
    })?;
    for name in ["quiet", "visitor"] {
        let window = &auditor.show(name)?["window"];
        ensure!(window["complete"] == true && window["lost"] == 0, "{name}: {window}");
    }
    // The flood is there to be seen, with its name on it.
    let flood = counted(&auditor, "flood")?;
    println!("{flood} calls, {groups} control groups");
    ensure!(flood > 100 * CALLS && groups > 1000, "{flood} calls, {groups} control groups");
    ensure!(auditor.get("/readyz")?.status == 200, "{}", auditor.get("/readyz")?.body);
    stage.engine.client(["rm", "--force", "flood", "quiet", "visitor"])?;
    Ok(())
}

/// More control groups inside one container than its share of the room: its own record has the gap, and those that were
/// there before, or come after, have none.
#[test]
fn control_groups_that_stay_are_a_loss_of_the_container_that_has_them() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let auditor = Auditor::start(&stage.engine.host(), &["--max-containers=64"])?;
    let mut quiet = Rounds::start(&stage.engine, "beside", &[])?;
    let sleep = ["/bin/busybox", "sleep", "1000"];
    stage.engine.client([&["run", "--detach", "--name", "groups64", BUSYBOX][..], &sleep].concat())?;
    auditor.settled("groups64")?;
    let around = stage.engine.cgroup("groups64")?;
    for number in 0..1100 {
        fs::create_dir(around.join(format!("group{number}"))).context("making a control group")?;
    }
    let lost = wait_for("the loss", Duration::from_secs(10), || {
        let lost = auditor.show("groups64")?["window"]["lost"].as_u64();
        Ok(lost.filter(|lost| *lost > 0))
    })?;
    let told = sample(&auditor.metrics()?, "auditor_lost_events_total{reason=\"nested_cgroup\"}");
    ensure!(told == format!("{lost}").parse().ok(), "{lost} lost, {told:?} told");
    ensure!(auditor.show("groups64")?["window"]["complete"] == false);
    // It has filled its own share: one that comes later has room.
    let line = ["run", "--name", "later64", BUSYBOX, "/groundtruth", "work", "124*77", "i386:147*7"];
    let issued = groundtruth::parse(&stage.engine.client(line)?)?;
    compare(&auditor.rows("later64")?, &issued, true)?;
    ensure!(auditor.show("later64")?["window"]["complete"] == true, "{}", auditor.show("later64")?["window"]);
    quiet.next()?;
    ensure!(counted(&auditor, "beside")? == CALLS);
    let window = &auditor.show("beside")?["window"];
    ensure!(window["complete"] == true && window["lost"] == 0, "{window}");
    stage.engine.client(["rm", "--force", "groups64", "beside", "later64"])?;
    Ok(())
}
