use super::*;
use std::time::Duration;

use crate::doctor::{Bundles, Cgroups, Clocks, Engine, Pinned, State, Unit, table, worst};
use crate::golden::assert_recorded;
use crate::procfs::Capabilities;
use crate::report::snapshot::Health;
use crate::report::table::Style;

/// A host on which all is well.
fn healthy() -> Facts {
    Facts {
        kernel_release: Ok("6.1.0-31-amd64".to_owned()),
        btf: Ok(()),
        capabilities: Ok(Capabilities { bpf: true, perfmon: true, sys_admin: false }),
        lockdown: Some("none".to_owned()),
        unprivileged_bpf: Some("2".to_owned()),
        missing_features: Ok(Vec::new()),
        programs: Ok(()),
        cgroups: Ok(Cgroups { path: "/sys/fs/cgroup".into(), hierarchy: Hierarchy::Unified, whole: Ok(true) }),
        engine: Ok(Engine { version: Some("20.10.24".to_owned()), api_version: "1.41".to_owned() }),
        bundles: Some(Bundles { seen: 3, readable: 3, error: None }),
        clocks: Clocks {
            boot: Ok(Duration::from_secs(300_000)),
            wall: Duration::from_secs(1_790_000_000),
            shifted: None,
            synchronized: Some(true),
        },
        state: Some(State { path: "/var/lib/auditor".into(), exists: true, writable: Ok(()), free: Ok(5 << 30) }),
        pinned: Some(pins(true, Ok(1), true)),
        unit: Some(Ok(service("loaded", "active", 0))),
        daemon: Ok(Health { slots: 1024, slots_used: 3, ..Health::default() }),
    }
}

fn pins(on_bpffs: bool, sets: Result<usize, String>, in_use: bool) -> Pinned {
    Pinned { path: "/sys/fs/bpf/auditor".into(), on_bpffs, sets, in_use }
}

#[test]
fn programs_that_count_for_nobody_are_told_of() {
    let rows = [
        (Some(pins(true, Ok(1), true)), Status::Ok, None),
        (Some(pins(true, Ok(1), false)), Status::Warn, Some("auditor doctor --clean")),
        (Some(pins(true, Ok(0), false)), Status::Ok, None),
        (Some(pins(false, Ok(0), false)), Status::Warn, Some("mount -t bpf")),
        (Some(pins(true, Err("permission denied".to_owned()), false)), Status::Warn, Some("daemon's user")),
        (None, Status::Ok, None),
    ];
    for (pinned, status, advice) in rows {
        let findings = findings(&Facts { pinned: pinned.clone(), ..healthy() });
        let found = findings.into_iter().find(|finding| finding.check == "pins").unwrap();
        assert_eq!(found.status, status, "{pinned:?}: {found:?}");
        let says = |advice| found.advice.as_ref().is_some_and(|found| found.contains(advice));
        assert!(advice.map_or(found.advice.is_none(), says), "{pinned:?}: {found:?}");
    }
}

fn service(load: &str, active: &str, restarts: u64) -> Unit {
    let [load, active] = [load, active].map(str::to_owned);
    Unit { load, active, sub: "running".to_owned(), result: "success".to_owned(), restarts }
}

fn broken(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_healthy_host_is_as_recorded() {
    let findings = findings(&healthy());
    assert_eq!(worst(&findings), Status::Ok);
    assert_recorded("doctor.txt", &table(&findings, &Style::default()));
}

#[test]
fn a_hopeless_host_is_as_recorded() {
    let facts = Facts {
        kernel_release: Ok("4.19.0".to_owned()),
        btf: Err(broken("entity not found")),
        capabilities: Ok(Capabilities { bpf: false, perfmon: true, sys_admin: false }),
        lockdown: Some("confidentiality".to_owned()),
        unprivileged_bpf: None,
        missing_features: Ok(vec!["ring buffers", "task iterators"]),
        programs: Err(broken("the kernel does not let this process load eBPF programs: not permitted; run as root")),
        cgroups: Err(broken("this host has cgroup v1 only; boot with systemd.unified_cgroup_hierarchy=1")),
        engine: Err(broken("docker engine at unix:///var/run/docker.sock: connection refused; is dockerd running")),
        bundles: None,
        clocks: Clocks { boot: Ok(Duration::ZERO), wall: Duration::ZERO, shifted: None, synchronized: None },
        state: Some(State {
            path: "/var/lib/auditor".into(),
            exists: false,
            writable: Err(broken("read-only file system")),
            free: Ok(0),
        }),
        pinned: Some(pins(false, Ok(0), false)),
        unit: Some(Ok(Unit {
            sub: "auto-restart".to_owned(),
            result: "exit-code".to_owned(),
            ..service("loaded", "activating", 7)
        })),
        daemon: Err(broken("cannot reach the daemon at /run/auditor/auditor.sock: no such file; is it running?")),
    };
    let findings = findings(&facts);
    assert_eq!(worst(&findings), Status::Fail);
    assert_recorded("doctor-hopeless.txt", &table(&findings, &Style::default()));
    assert_recorded("doctor-hopeless.json", &crate::report::json::array(&findings).unwrap());
}

#[test]
fn one_fact_decides_one_finding() {
    type Break = fn(&mut Facts);
    let rows: [(&str, Status, Break); 30] = [
        ("kernel", Status::Fail, |facts| facts.kernel_release = Ok("5.14.99".to_owned())),
        ("kernel", Status::Warn, |facts| facts.kernel_release = Ok("homemade".to_owned())),
        ("btf", Status::Fail, |facts| facts.btf = Err(String::new())),
        ("capabilities", Status::Fail, |facts| {
            facts.capabilities = Ok(Capabilities { bpf: true, perfmon: false, sys_admin: false });
        }),
        ("lockdown", Status::Fail, |facts| facts.lockdown = Some("confidentiality".to_owned())),
        ("programs", Status::Fail, |facts| facts.programs = Err(String::new())),
        ("cgroups", Status::Fail, |facts| facts.cgroups = Err(String::new())),
        ("cgroups", Status::Fail, |facts| {
            facts.cgroups =
                Ok(Cgroups { path: "/sys/fs/cgroup".into(), hierarchy: Hierarchy::Hybrid, whole: Ok(false) });
        }),
        ("docker", Status::Warn, |facts| facts.engine = Err(String::new())),
        ("bundles", Status::Warn, |facts| {
            facts.bundles = Some(Bundles { seen: 2, readable: 1, error: Some("permission denied".to_owned()) });
        }),
        ("daemon", Status::Warn, |facts| facts.daemon = Err(String::new())),
        ("features", Status::Fail, |facts| facts.missing_features = Ok(vec!["task storage"])),
        ("features", Status::Warn, |facts| facts.missing_features = Err(String::new())),
        ("clock", Status::Fail, |facts| facts.clocks.boot = Err(String::new())),
        ("clock", Status::Warn, |facts| facts.clocks.wall = Duration::from_secs(86_400)),
        ("clock", Status::Warn, |facts| facts.clocks.shifted = Some("7 s".to_owned())),
        ("state", Status::Warn, |facts| change_state(facts, |state| state.writable = Err(String::new()))),
        ("state", Status::Warn, |facts| change_state(facts, |state| state.free = Ok(63 << 20))),
        ("state", Status::Warn, |facts| change_state(facts, |state| state.free = Err(String::new()))),
        ("service", Status::Warn, |facts| facts.unit = Some(Err(String::new()))),
        ("service", Status::Warn, |facts| facts.unit = Some(Ok(service("masked", "inactive", 0)))),
        ("service", Status::Warn, |facts| facts.unit = Some(Ok(service("loaded", "inactive", 0)))),
        ("service", Status::Warn, |facts| facts.unit = Some(Ok(service("loaded", "failed", 0)))),
        ("service", Status::Warn, |facts| facts.unit = Some(Ok(service("loaded", "active", 1)))),
        ("daemon", Status::Warn, |facts| change_health(facts, |health| health.build.version = "0.0.0".to_owned())),
        ("daemon", Status::Warn, |facts| change_health(facts, |health| health.store_error = Some(String::new()))),
        ("daemon", Status::Warn, |facts| change_health(facts, |health| health.untracked_cgroups = 1)),
        ("daemon", Status::Warn, |facts| {
            change_health(facts, |health| _ = health.lost_events.insert("task_storage".to_owned(), 1));
        }),
        ("docker", Status::Warn, |facts| facts.engine = Err(broken("permission denied"))),
        ("daemon", Status::Warn, |facts| {
            facts.daemon = Ok(Health { not_ready: vec!["no slots".to_owned()], ..Health::default() });
        }),
    ];
    for (check, status, break_it) in rows {
        let mut facts = healthy();
        break_it(&mut facts);
        for finding in findings(&facts) {
            let expected = if finding.check == check { status } else { Status::Ok };
            assert_eq!(finding.status, expected, "{check}: {finding:?}");
        }
    }
}

fn change_state(facts: &mut Facts, change: fn(&mut State)) {
    facts.state.iter_mut().for_each(change);
}

fn change_health(facts: &mut Facts, change: fn(&mut Health)) {
    facts.daemon.iter_mut().for_each(change);
}

#[test]
fn what_does_no_harm_is_ok() {
    type Change = fn(&mut Facts);
    let rows: [Change; 12] = [
        |facts| facts.lockdown = None,
        |facts| facts.lockdown = Some("integrity".to_owned()),
        |facts| facts.kernel_release = Ok("5.15".to_owned()),
        |facts| facts.capabilities = Ok(Capabilities { bpf: false, perfmon: false, sys_admin: true }),
        |facts| facts.bundles = Some(Bundles::default()),
        |facts| facts.unprivileged_bpf = Some("0".to_owned()),
        |facts| facts.clocks.synchronized = None,
        |facts| facts.state = None,
        |facts| change_state(facts, |state| state.exists = false),
        |facts| facts.unit = None,
        |facts| facts.unit = Some(Ok(service("not-found", "inactive", 0))),
        // No count is lost by that.
        |facts| change_health(facts, |health| _ = health.lost_events.insert("event_ring_full".to_owned(), 9)),
    ];
    for change in rows {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(worst(&findings(&facts)), Status::Ok, "{facts:?}");
    }
}
