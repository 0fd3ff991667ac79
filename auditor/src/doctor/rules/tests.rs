use super::*;
use crate::doctor::{Bundles, Cgroups, Engine, table, worst};
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
        programs: Ok(()),
        cgroups: Ok(Cgroups { path: "/sys/fs/cgroup".into(), hierarchy: Hierarchy::Unified, whole: Ok(true) }),
        engine: Ok(Engine { version: Some("20.10.24".to_owned()), api_version: "1.41".to_owned() }),
        bundles: Some(Bundles { seen: 3, readable: 3, error: None }),
        daemon: Ok(Health { slots: 1024, slots_used: 3, ..Health::default() }),
    }
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
        programs: Err(broken("the kernel does not let this process load eBPF programs: not permitted; run as root")),
        cgroups: Err(broken("this host has cgroup v1 only; boot with systemd.unified_cgroup_hierarchy=1")),
        engine: Err(broken("docker engine at unix:///var/run/docker.sock: connection refused; is dockerd running")),
        bundles: None,
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
    let rows: [(&str, Status, Break); 12] = [
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

#[test]
fn what_does_no_harm_is_ok() {
    type Change = fn(&mut Facts);
    let rows: [Change; 5] = [
        |facts| facts.lockdown = None,
        |facts| facts.lockdown = Some("integrity".to_owned()),
        |facts| facts.kernel_release = Ok("5.15".to_owned()),
        |facts| facts.capabilities = Ok(Capabilities { bpf: false, perfmon: false, sys_admin: true }),
        |facts| facts.bundles = Some(Bundles::default()),
    ];
    for change in rows {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(worst(&findings(&facts)), Status::Ok, "{facts:?}");
    }
}
