//! The metrics text, checked by Prometheus' own tool, and its reference page.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use auditor::metrics::{ALL, Options, render, render_reference};
use auditor::report::snapshot::Snapshot;

fn text(snapshot: &Snapshot, options: &Options) -> String {
    String::from_utf8(render(snapshot, options, Duration::from_millis(1500)).unwrap()).unwrap()
}

fn recorded(path: &str, output: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("AUDITOR_RECORD").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, output).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(output == recorded, "{} is out of date: AUDITOR_RECORD=1 cargo test writes it anew", path.display());
}

#[test]
fn the_scrape_is_as_recorded() {
    recorded("tests/golden/metrics.txt", &text(&fixture::snapshot(), &Options::default()));
}

#[test]
fn the_reference_is_up_to_date() {
    recorded("../docs/metrics.md", &render_reference());
}

#[test]
fn promtool_has_nothing_to_say() {
    for snapshot in [fixture::snapshot(), Snapshot::default()] {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs promtool (Debian: apt-get install prometheus)");
        let scrape = text(&snapshot, &Options::default());
        promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}

#[test]
fn every_definition_has_samples_in_a_full_scrape_and_none_comes_twice() {
    let scrape = text(&fixture::snapshot(), &Options::default());
    for definition in ALL {
        assert!(scrape.contains(&format!("\n{}", definition.name)), "{}", definition.name);
    }
    let series: Vec<&str> = samples(&scrape).map(|(series, _)| series).collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len());
}

fn samples(scrape: &str) -> impl Iterator<Item = (&str, f64)> {
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, value)| (series, value.parse().unwrap()))
}

fn sum(scrape: &str, family: &str) -> f64 {
    samples(scrape).filter(|(series, _)| series.starts_with(family)).map(|(_, value)| value).sum()
}

#[test]
fn what_is_unknown_has_no_sample() {
    let scrape = text(&fixture::snapshot(), &Options::default());
    let of_tools = |family: &str| scrape.contains(&format!("{family}{{name=\"tools\""));
    assert!(of_tools("auditor_seccomp_used_syscalls"));
    for family in
        ["auditor_seccomp_allowed_syscalls", "auditor_seccomp_unused_syscalls", "auditor_seccomp_profile_mismatch"]
    {
        assert!(!of_tools(family), "{family}");
    }
    assert!(!scrape.contains("auditor_program_runs_total{program=\"sys_exit\"}"));
}

#[test]
fn the_series_of_a_name_are_those_of_the_container_that_has_it() {
    let mut snapshot = fixture::snapshot();
    let once = text(&snapshot, &Options::default());
    let mut gone = snapshot.containers[0].clone();
    gone.id = "99".repeat(32);
    gone.state = Some("exited".to_owned());
    gone.used = 77;
    snapshot.containers.insert(0, gone);
    let twice = text(&snapshot, &Options::default());
    let read = |scrape: &str| {
        let series = "auditor_syscalls_total{name=\"shell\",image=\"busybox:1.35\",abi=\"x86_64\",syscall=\"read\"}";
        samples(scrape).find(|(found, _)| *found == series).unwrap().1
    };
    assert_eq!(read(&twice), read(&once));
    assert_eq!(sum(&twice, "auditor_seccomp_used_syscalls{"), sum(&once, "auditor_seccomp_used_syscalls{"));
    assert_eq!(sum(&twice, "auditor_container_info{"), sum(&once, "auditor_container_info{") + 1.0);
}

#[test]
fn over_the_budget_sums_stay_and_the_dropped_are_counted() {
    let snapshot = fixture::snapshot();
    let full = text(&snapshot, &Options::default());
    assert_eq!(sum(&full, "auditor_series_dropped"), 0.0);
    for budget in 0..40 {
        let scrape = text(&snapshot, &Options { max_syscall_series: budget, ..Options::default() });
        let mut named = 0;
        for family in ["auditor_syscalls_total", "auditor_syscall_errors_total", "auditor_seccomp_denials_total"] {
            assert_eq!(sum(&scrape, family), sum(&full, family), "{family} at {budget}");
            named += samples(&scrape)
                .filter(|(series, _)| series.starts_with(family) && !series.contains("syscall=\"other\""))
                .count();
        }
        assert!(named <= budget, "{named} series in a budget of {budget}");
    }
    let none = text(&snapshot, &Options { max_syscall_series: 0, ..Options::default() });
    assert!(sum(&none, "auditor_series_dropped") > 10.0);
}

#[test]
fn switched_off_calls_are_sums_and_denials_keep_their_names() {
    let scrape = text(&fixture::snapshot(), &Options { per_syscall: false, ..Options::default() });
    assert!(!scrape.contains("syscall=\"read\""));
    assert!(scrape.contains("syscall=\"mkdir\""));
}
