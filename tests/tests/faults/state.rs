//! State that cannot be read any more: the daemon says so, keeps it aside, begins anew, and counts.

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

fn history(auditor: &Auditor) -> Result<Vec<Value>> {
    let (stdout, _) = auditor.run(&["history", "--output=json", BUSYBOX])?;
    serde_json::from_str(&stdout).with_context(|| format!("parsing {stdout}"))
}

/// Waits until a start of this container is kept.
fn kept(auditor: &Auditor, name: &str) -> Result<()> {
    wait_for("a start that is kept", Duration::from_secs(20), || {
        let starts = history(auditor).unwrap_or_default();
        Ok(starts.iter().any(|start| start["name"] == name).then_some(()))
    })
    .with_context(|| auditor.log())
}

fn aside(state: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(state)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_aside = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("corrupt"));
    Ok(entries.into_iter().filter(is_aside).collect())
}

#[test]
fn a_damaged_or_cut_state_is_moved_aside_said_and_begun_anew() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let flag = format!("--state-dir={}", state.display());
    let file = state.join("evidence.redb");
    let mut auditor = Auditor::start(&stage.engine.host(), &[&flag])?;
    stage.groundtruth("spoilt", &[], &["work", "124*3"])?;
    kept(&auditor, "spoilt")?;
    std::thread::sleep(Duration::from_secs(2));
    auditor.process_mut().pause()?;
    drop(auditor);
    let whole = fs::read(&file)?;
    ensure!(whole.len() > 8192, "a state of {} bytes", whole.len());

    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[512..middle].iter_mut().for_each(|byte| *byte ^= 0x55);
    let spoilt = [("cut", whole[..whole.len() / 3].to_vec()), ("flipped", flipped), ("noise", b"noise".repeat(2000))];
    for (number, (how, bytes)) in spoilt.into_iter().enumerate() {
        fs::write(&file, &bytes)?;
        let auditor = Auditor::start(&stage.engine.host(), &[&flag]).with_context(|| how)?;
        let said: Vec<String> =
            auditor.log().lines().filter(|line| line.contains("moved to")).map(str::to_owned).collect();
        ensure!(said.len() == 1, "{how}: {}", auditor.log());
        let found = aside(&state)?;
        ensure!(found.len() == number + 1, "{how}: {found:?}");
        ensure!(
            found.iter().any(|path| fs::read(path).is_ok_and(|kept| kept == bytes)),
            "{how}: what was there is gone"
        );
        // Clean, and at work.
        ensure!(history(&auditor).unwrap_or_default().iter().all(|start| start["name"] != "spoilt"), "{how}");
        let name = format!("after-{how}");
        stage.groundtruth(&name, &[], &["work", "124*3"])?;
        kept(&auditor, &name)?;
        auditor.wait_sample("auditor_evidence_stored", Duration::from_secs(10), |stored| stored == 1.0)?;
    }

    // What is whole is taken up as it was.
    fs::write(&file, &whole)?;
    let auditor = Auditor::start(&stage.engine.host(), &[&flag])?;
    kept(&auditor, "spoilt")?;
    ensure!(!auditor.log().contains("moved to"), "{}", auditor.log());
    Ok(())
}
