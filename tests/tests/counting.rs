//! What the daemon reports is what was issued: equal, not about.

use std::collections::BTreeMap;

use anyhow::Result;
use tests::engine::CgroupMode;
use tests::groundtruth::{self, Key};
use tests::stage::Stage;

/// Takes a filter of the program's own away from the container's.
const UNCONFINED: [&str; 2] = ["--security-opt", "seccomp=unconfined"];

fn stage() -> Result<&'static Stage> {
    Stage::shared(CgroupMode::Unified)
}

/// Every denial that the daemon reports for a container.
fn denials(name: &str) -> Result<BTreeMap<Key, u64>> {
    let rows = stage()?.auditor.rows(name)?;
    Ok(rows.into_iter().filter(|(_, row)| row.denied > 0).map(|(key, row)| (key, row.denied)).collect())
}

/// Runs groundtruth in a container without a filter and compares; no denial may be reported that was not made.
fn check(name: &str, args: &[&str]) -> Result<()> {
    let issued = groundtruth::parse(&stage()?.groundtruth(name, &UNCONFINED, args)?)?;
    groundtruth::compare(&stage()?.auditor.rows(name)?, &issued, false)?;
    let made = issued.iter().filter(|(_, issued)| issued.denied > 0).map(|(key, issued)| (key.clone(), issued.denied));
    assert_eq!(denials(name)?, made.collect(), "denials that nobody made, or that nobody saw");
    Ok(())
}

#[test]
fn calls_in_three_conventions_are_counted_apart() -> Result<()> {
    check("conventions", &["work", "124*1000", "146@99*50", "i386:147*300", "i386:159@99*7", "x32:124*11"])
}

#[test]
fn fork_vfork_clone_clone3_and_exec_children_are_not_denials() -> Result<()> {
    let args = [
        "work",
        "--threads=2",
        "--forks=20",
        "--vforks=20",
        "--clones=20",
        "--clone3s=20",
        "--execs=20",
        "124*3",
        "100",
    ];
    check("children", &args)
}

#[test]
fn children_under_a_filter_are_not_denials() -> Result<()> {
    let ways = ["work", "--threads=2", "--forks=20", "--vforks=20", "--clones=20", "--clone3s=20", "--execs=20"];
    check("filteredchildren", &[&ways[..], &["--filter=100=errno:13", "124*3", "100"]].concat())
}

#[test]
fn signal_returns_are_not_denials() -> Result<()> {
    check("signals", &["work", "--threads=2", "--signals=500", "--filter=100=errno:13", "124", "100"])
}

#[test]
fn execve_into_a_32_bit_program_and_out_of_it_is_not_a_denial() -> Result<()> {
    check("compat", &["work", "--threads=2", "--execs32=20", "--filter=100=errno:13", "i386:147*9", "124"])
}

#[test]
fn emulated_calls_are_not_denials() -> Result<()> {
    check("emulated", &["trace", "emulate", "124*5"])
}

#[test]
fn calls_cancelled_by_a_tracer_are_not_denials() -> Result<()> {
    check("cancelled", &["trace", "cancel", "124*5"])
}

#[test]
fn calls_that_a_tracer_skips_for_a_filter_are_not_denials() -> Result<()> {
    check("skipped", &["trace", "skip", "124*5"])
}

#[test]
fn calls_that_a_tracer_lets_pass_are_counted() -> Result<()> {
    check("passed", &["trace", "pass", "124*5"])
}

#[test]
fn dispatched_calls_are_not_denials() -> Result<()> {
    check("dispatched", &["dispatch", "124*5"])
}

#[test]
fn errno_denials_are_counted_also_with_errno_0() -> Result<()> {
    let rules =
        ["--filter=100=errno:13", "--filter=124=errno:0", "--filter=i386:147=errno:5", "--filter=x32:124=errno:1"];
    let calls = ["100*5", "124*7", "i386:147*3", "x32:124*4", "121@-1*2"];
    check("errno", &[&["work", "--threads=2", "--forks=2"], &rules[..], &calls[..]].concat())
}

#[test]
fn conditional_rules_deny_only_what_they_name() -> Result<()> {
    check("conditional", &["work", "--filter=146@99=errno:13", "146@99*5", "146@1*7"])
}

#[test]
fn trapped_calls_are_denials() -> Result<()> {
    check("trap", &["work", "--threads=2", "--filter=100=trap", "100*5", "124"])
}

#[test]
fn trace_without_a_tracer_is_a_denial() -> Result<()> {
    check("untraced", &["work", "--threads=2", "--filter=100=trace", "100*5", "124"])
}

#[test]
fn logged_calls_are_not_denials() -> Result<()> {
    check("logged", &["work", "--threads=2", "--filter=100=log", "100*5", "124"])
}

#[test]
fn killed_processes_leave_their_denial() -> Result<()> {
    check("killprocess", &["die", "kill_process", "7", "124", "i386:147"])?;
    check("killcompany", &["die", "kill_process", "7", "company", "124"])?;
    check("traptodeath", &["die", "trap", "7", "124"])
}

#[test]
fn killed_threads_leave_their_denial() -> Result<()> {
    check("killalone", &["die", "kill_thread", "7", "124"])?;
    check("killthreads", &["die", "kill_thread", "7", "company", "124", "i386:147"])
}

#[test]
fn a_supervisors_answer_is_not_a_denial() -> Result<()> {
    check("answered", &["supervise", "errno:5", "124*5"])?;
    check("valued", &["supervise", "value:7", "124*5"])?;
    check("continued", &["supervise", "continue", "124*5"])
}

#[test]
fn a_filter_put_on_all_threads_splits_the_counts() -> Result<()> {
    check("tsync", &["work", "--threads=4", "--tsync", "--filter=100=errno:13", "100*5", "124*9"])
}
