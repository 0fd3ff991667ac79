//! More containers than slots.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::auditord::{Auditor, sample};
use tests::cage::Cage;
use tests::ending::one_line;
use tests::engine::CgroupMode;
use tests::process::wait_for;
use tests::stage::Stage;

use crate::rounds::{CALLS, Rounds, counted};

/// 1,200 control groups named as containers' are, and a real container that comes late.
#[test]
fn of_1200_containers_the_ones_without_a_slot_are_counted_told_and_not_suggested_from() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let auditor = Auditor::start(&stage.engine.host(), &["--max-containers=1000"])?;
    let before = sample(&auditor.metrics()?, "auditor_slots_used").context("no auditor_slots_used")?;
    ensure!(sample(&auditor.metrics()?, "auditor_untracked_cgroups_total") == Some(0.0));
    let crowd = (0..1200).map(|_| Cage::new()).collect::<Result<Vec<_>>>()?;
    let mut late = Rounds::start(&stage.engine, "late", &[])?;
    late.next()?;

    let untracked = before + 1201.0 - 1000.0;
    auditor.wait_sample("auditor_untracked_cgroups_total", Duration::from_secs(20), |value| value == untracked)?;
    let metrics = auditor.metrics()?;
    ensure!(
        sample(&metrics, "auditor_slots_used") == Some(1000.0) && sample(&metrics, "auditor_slots") == Some(1000.0)
    );
    let ready = auditor.get("/readyz")?;
    ensure!(ready.status == 503 && ready.body.contains("slot"), "{}: {}", ready.status, ready.body);
    // A line for each that is not counted, and no more of them.
    let lines = u32::try_from(auditor.log().lines().filter(|line| line.contains("no free slot")).count())?;
    ensure!(f64::from(lines) == untracked, "{lines} lines about {untracked} containers");
    ensure!(counted(&auditor, "late")? == 0);
    let refused = auditor.output(&["suggest", "late"])?;
    ensure!(refused.status.code() != Some(0) && refused.stdout.is_empty(), "{refused:?}");

    // With room again it is counted, from now on.
    drop(crowd);
    wait_for("readiness", Duration::from_secs(40), || Ok((auditor.get("/readyz")?.status == 200).then_some(())))?;
    wait_for("a slot", Duration::from_secs(20), || {
        let shown = auditor.show("late")?;
        Ok(shown["window"]["since"].is_string().then_some(()))
    })?;
    late.next()?;
    ensure!(counted(&auditor, "late")? == CALLS, "{}", counted(&auditor, "late")?);
    ensure!(auditor.settled("late")?["window"]["complete"] == false);
    one_line(&auditor.output(&["suggest", "late"])?, 1, &["--allow-incomplete"])?;
    let (profile, _) = auditor.run(&["suggest", "late", "--allow-incomplete"])?;
    ensure!(profile.contains("getsid"), "{profile}");
    stage.engine.client(["rm", "--force", "late"])?;
    Ok(())
}
