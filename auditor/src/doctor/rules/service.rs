//! What the facts about the service mean: clocks, evidence, systemd, the daemon that runs.

use std::time::Duration;

use super::finding;
use crate::doctor::{Facts, Finding, Status};

/// Nobody has set a clock that is before this (the beginning of 2025).
const PLAUSIBLE: Duration = Duration::from_secs(1_735_689_600);
/// Evidence of many images is some megabytes; a file is written anew beside the old one.
const ENOUGH: u64 = 64 << 20;
/// Losses that make numbers too small; the others take nothing from them.
const OF_COUNTS: [&str; 6] =
    ["ambiguous_exit", "denial_table_full", "foreign_table_full", "nested_cgroup", "program_recursion", "task_storage"];

pub(super) fn clocks(facts: &Facts) -> Finding {
    let clocks = &facts.clocks;
    let boot = match &clocks.boot {
        Ok(boot) => boot,
        Err(error) => return finding("clock", Status::Fail, error.as_str(), Some("the kernel's boot clock is needed")),
    };
    if let Some(shift) = &clocks.shifted {
        let advice = "run in the host's time namespace, or times since the start of calls are wrong";
        return finding(
            "clock",
            Status::Warn,
            format!("a time namespace shifts the boot clock by {shift}"),
            Some(advice),
        );
    }
    if clocks.wall < PLAUSIBLE {
        let advice = "set it; counts and windows do not depend on it, the times that are shown do";
        return finding("clock", Status::Warn, "the wall clock was never set", Some(advice));
    }
    let days = boot.as_secs() / 86_400;
    let set = match clocks.synchronized {
        Some(true) => ", set by systemd-timesyncd",
        Some(false) => ", not yet set by systemd-timesyncd",
        None => "",
    };
    finding("clock", Status::Ok, format!("started {days} days ago; the wall clock is plausible{set}"), None)
}

pub(super) fn state(facts: &Facts) -> Finding {
    let Some(state) = &facts.state else {
        return finding("state", Status::Ok, "evidence is not kept, as configured", None);
    };
    let path = state.path.display();
    if let Err(error) = &state.writable {
        let advice = "run as root or as the daemon's user, or give --state-dir";
        return finding("state", Status::Warn, format!("{path} cannot be written: {error}"), Some(advice));
    }
    match &state.free {
        Err(error) => finding("state", Status::Warn, format!("{path}: {error}"), Some("give another --state-dir")),
        Ok(free) if *free < ENOUGH => {
            let advice = "make room, or evidence is lost when the daemon ends";
            finding("state", Status::Warn, format!("{path}: {} MiB are free", free >> 20), Some(advice))
        }
        Ok(free) => {
            let there = if state.exists { "" } else { "is not there yet and will be made, " };
            finding("state", Status::Ok, format!("{path}: {there}{} MiB are free", free >> 20), None)
        }
    }
}

pub(super) fn pinned(facts: &Facts) -> Finding {
    let Some(pinned) = &facts.pinned else {
        return finding("pins", Status::Ok, "nothing is pinned, as configured: counting ends with the daemon", None);
    };
    let path = pinned.path.display();
    if !pinned.on_bpffs {
        let advice = "mount -t bpf bpf /sys/fs/bpf, or counting ends with the daemon";
        return finding("pins", Status::Warn, format!("{path} is not on a bpffs"), Some(advice));
    }
    match (&pinned.sets, pinned.in_use) {
        (Err(error), _) => {
            let advice = "run as root or as the daemon's user";
            finding("pins", Status::Warn, format!("{path}: {error}"), Some(advice))
        }
        (Ok(0), _) => finding("pins", Status::Ok, format!("{path}: nothing is pinned yet"), None),
        (Ok(_), true) => finding("pins", Status::Ok, format!("{path}: counting outlives the daemon"), None),
        (Ok(sets), false) => {
            let advice = "start the daemon, which takes them over, or remove them: auditor doctor --clean";
            let detail = format!("{path}: programs are pinned and count ({sets}), and no daemon has them");
            finding("pins", Status::Warn, detail, Some(advice))
        }
    }
}

pub(super) fn unit(facts: &Facts) -> Finding {
    let unit = match &facts.unit {
        None => return finding("service", Status::Ok, "systemd does not run this machine", None),
        Some(Err(error)) => return finding("service", Status::Warn, error.as_str(), None),
        Some(Ok(unit)) => unit,
    };
    let state = format!("auditor.service is {} ({})", unit.active, unit.sub);
    match (unit.load.as_str(), unit.active.as_str()) {
        ("not-found", _) => finding("service", Status::Ok, "auditor.service is not installed", None),
        ("masked", _) => {
            finding("service", Status::Warn, "auditor.service is masked", Some("systemctl unmask auditor"))
        }
        (_, "active") if unit.restarts > 0 => {
            let advice = "journalctl -u auditor says why";
            finding("service", Status::Warn, format!("{state}, restarted {} times", unit.restarts), Some(advice))
        }
        (_, "active") => finding("service", Status::Ok, state, None),
        (_, "inactive") => finding("service", Status::Warn, state, Some("systemctl enable --now auditor")),
        _ => {
            let detail = format!("{state}, last result {}, restarted {} times", unit.result, unit.restarts);
            finding(
                "service",
                Status::Warn,
                detail,
                Some("journalctl -u auditor says why; then systemctl restart auditor"),
            )
        }
    }
}

pub(super) fn daemon(facts: &Facts) -> Finding {
    let health = match &facts.daemon {
        Ok(health) => health,
        Err(error) => return finding("daemon", Status::Warn, error.as_str(), None),
    };
    let runs = format!("auditor {} runs", health.build.version);
    let own = env!("CARGO_PKG_VERSION");
    if health.build.version != own {
        let advice = "restart the daemon, so that both are of one version";
        return finding("daemon", Status::Warn, format!("{runs}, and this command is {own}"), Some(advice));
    }
    if !health.not_ready.is_empty() {
        return finding("daemon", Status::Warn, format!("{runs} and is not ready"), Some(&health.not_ready.join("; ")));
    }
    if let Some(error) = &health.store_error {
        return finding("daemon", Status::Warn, format!("{runs} and cannot store evidence"), Some(error));
    }
    let mut losses: Vec<String> = OF_COUNTS
        .iter()
        .filter_map(|reason| Some((*health.lost_events.get(*reason)?, reason)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{reason} {count}"))
        .collect();
    if health.untracked_cgroups > 0 {
        losses.push(format!("containers without a slot {}", health.untracked_cgroups));
    }
    if !losses.is_empty() {
        let advice = "containers that lost counts say so in auditor ps; ARCHITECTURE.md tells what each loss means";
        return finding("daemon", Status::Warn, format!("{runs} and lost: {}", losses.join(", ")), Some(advice));
    }
    let slots = format!("{} of {} slots in use", health.slots_used, health.slots);
    finding("daemon", Status::Ok, format!("{runs}, nothing lost, {slots}"), None)
}
