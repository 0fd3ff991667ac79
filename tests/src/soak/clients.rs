//! Those who ask the daemon meanwhile.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Soak;
use crate::auditord::binary;

/// Prometheus does it every 15 seconds.
pub(super) fn scrapes(soak: &Soak) -> Result<()> {
    while soak.pause(Duration::from_secs(2)) {
        let page = soak.auditor.get("/metrics")?;
        ensure!(page.status == 200 && page.body.contains("\nauditor_docker_up "), "{}: {}", page.status, page.body);
        soak.done.scrapes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// People: whatever they ask, they get an answer. That a container has gone is one.
pub(super) fn commands(soak: &Soak) -> Result<()> {
    let lines: [&[&str]; 6] = [
        &["ps"],
        &["show", "soak-a"],
        &["suggest", "soak-a"],
        &["denials"],
        &["history"],
        &["filter", "soak-b", "mkdir"],
    ];
    let mut lines = lines.iter().cycle();
    while soak.pause(Duration::from_secs(3)) {
        let Some(line) = lines.next() else { break };
        let output = soak.auditor.output(line)?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(!text.contains("panicked") && output.status.code().is_some(), "auditor {line:?}: {text}");
        soak.done.commands.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// One who follows the denials, goes away, and comes again.
pub(super) fn follower(soak: &Soak) -> Result<()> {
    loop {
        let mut command = Command::new(binary()?);
        command.arg("--socket").arg(soak.auditor.socket()).args(["denials", "--follow"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever ends us ends it.
        let mut child = command.spawn().context("following the denials")?;
        let goes_on = soak.pause(Duration::from_secs(20));
        child.kill().context("ending a follower")?;
        child.wait().context("waiting for a follower")?;
        soak.done.commands.fetch_add(1, Ordering::Relaxed);
        if !goes_on {
            return Ok(());
        }
    }
}
