//! What was counted, held against the profile.

use auditor::audit::{Usage, denial_count, syscall_views, usage};
use auditor::counters::{Counters, Denials, Tally};
use auditor::profile::{HostArch, Policy};
use auditor::report::view::{SyscallView, VerdictKind};
use auditor::syscall::{Abi, SyscallNr};

use crate::{docker_default, nr, profile};

fn default_policy() -> Policy {
    docker_default().evaluate(HostArch::of(Abi::X86_64))
}

pub fn counters(rows: &[(Abi, &str, Tally)]) -> Counters {
    Counters { tallies: rows.iter().map(|(abi, name, tally)| ((*abi, nr(*abi, name)), *tally)).collect() }
}

pub fn calls(calls: u64) -> Tally {
    Tally { calls, ..Tally::default() }
}

pub fn unfiltered(unfiltered_calls: u64) -> Tally {
    Tally { unfiltered_calls, ..Tally::default() }
}

pub fn refused(errno: u16, count: u64) -> Tally {
    Tally { denials: Denials { errno: count, last_errno: Some(errno), ..Denials::default() }, ..Tally::default() }
}

fn row(rows: &[SyscallView], name: &str) -> SyscallView {
    rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}")).clone()
}

#[test]
fn seen_calls_and_unused_allowances_are_rows() {
    let counters = counters(&[(Abi::X86_64, "mkdir", calls(6)), (Abi::X86_64, "keyctl", refused(1, 2))]);
    let rows = syscall_views(&counters, Some(&default_policy()), Some(true));
    assert_eq!(rows.len(), 290 + 1);
    assert!(rows.is_sorted_by_key(|row| (row.abi, row.nr)));
    let mkdir = row(&rows, "mkdir");
    assert_eq!((mkdir.calls, mkdir.denied, mkdir.verdict, mkdir.action), (6, 0, VerdictKind::Allowed, None));
    let keyctl = row(&rows, "keyctl");
    assert_eq!((keyctl.denied, keyctl.verdict, keyctl.errno), (2, VerdictKind::Denied, Some(1)));
    assert_eq!(keyctl.action.as_deref(), Some("SCMP_ACT_ERRNO"));
    assert_eq!(row(&rows, "rmdir").calls, 0);
    assert!(rows.iter().all(|row| row.name != "personality"), "a conditional call is no unused allowance");
}

#[test]
fn without_a_profile_only_what_was_seen_is_a_row_and_its_verdict_unknown() {
    let counters = counters(&[(Abi::X86_64, "mkdir", calls(6))]);
    let rows = syscall_views(&counters, None, None);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].verdict, VerdictKind::Unknown);
    assert_eq!(usage(&counters, None, None), Usage { used: 1, unused: None });
}

#[test]
fn used_are_the_calls_under_the_filter_and_denied_ones_are_not_unused() {
    let policy = default_policy();
    let counters = counters(&[
        (Abi::X86_64, "mkdir", calls(1)),
        (Abi::X86_64, "clone", calls(1)),
        (Abi::X86_64, "rmdir", refused(1, 1)),
        (Abi::X86_64, "chown", unfiltered(9)),
        (Abi::I386, "read", calls(1)),
    ]);
    // mkdir and clone are used. Of 290 allowances mkdir is used and rmdir was denied, by a filter of its own.
    assert_eq!(usage(&counters, Some(&policy), Some(true)), Usage { used: 2, unused: Some(288) });
    assert_eq!(usage(&counters, None, Some(false)), Usage { used: 3, unused: None });
}

#[test]
fn what_a_supervisor_may_have_answered_is_denied_only_where_the_profile_denies() {
    let supervised = Tally { denials: Denials { supervised: 3, ..Denials::default() }, ..Tally::default() };
    let policy = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"},
            {"names": ["statx"], "action": "SCMP_ACT_ALLOW"}]}"#,
    )
    .evaluate(HostArch::of(Abi::X86_64));
    let counters = counters(&[(Abi::X86_64, "mkdir", supervised), (Abi::X86_64, "rmdir", supervised)]);
    let rows = syscall_views(&counters, Some(&policy), Some(true));
    assert_eq!(row(&rows, "mkdir").denied, 0);
    assert_eq!(row(&rows, "rmdir").denied, 3);
    assert_eq!(denial_count(&counters, Some(&policy)), 3);
    assert_eq!(denial_count(&counters, None), 0);
}

#[test]
fn the_action_is_the_profiles_where_it_fits_what_the_kernel_showed() {
    let signalled = Tally { denials: Denials { signalled: 1, ..Denials::default() }, ..Tally::default() };
    let killed = Tally { denials: Denials { thread_killed: 1, ..Denials::default() }, ..Tally::default() };
    let named = |action: &str, tally: Tally| {
        let policy = profile(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["mkdir"], "action": "{action}"}}]}}"#
        ))
        .evaluate(HostArch::of(Abi::X86_64));
        let counters = counters(&[(Abi::X86_64, "mkdir", tally)]);
        let row = row(&syscall_views(&counters, Some(&policy), Some(true)), "mkdir");
        (row.action.unwrap(), row.errno)
    };
    for (action, tally, expected) in [
        ("SCMP_ACT_ERRNO", refused(13, 1), ("SCMP_ACT_ERRNO", Some(13))),
        ("SCMP_ACT_ERRNO", refused(0, 1), ("SCMP_ACT_ERRNO", Some(0))),
        ("SCMP_ACT_TRACE", refused(38, 1), ("SCMP_ACT_TRACE", Some(38))),
        ("SCMP_ACT_TRAP", signalled, ("SCMP_ACT_TRAP", None)),
        ("SCMP_ACT_KILL_PROCESS", signalled, ("SCMP_ACT_KILL_PROCESS", None)),
        ("SCMP_ACT_KILL_THREAD", signalled, ("SCMP_ACT_KILL_THREAD", None)),
        ("SCMP_ACT_ERRNO", signalled, ("SCMP_ACT_TRAP|KILL", None)),
        ("SCMP_ACT_KILL_THREAD", killed, ("SCMP_ACT_KILL_THREAD", None)),
        // A second filter, which the program put there itself.
        ("SCMP_ACT_ALLOW", refused(1, 1), ("SCMP_ACT_ERRNO", Some(1))),
    ] {
        let (action_shown, errno) = named(action, tally);
        assert_eq!((&*action_shown, errno), expected, "{action}");
    }
}

#[test]
fn numbers_without_a_name_stay_visible() {
    let counters = Counters {
        tallies: [((Abi::X86_64, SyscallNr(400)), calls(1)), ((Abi::X86_64, SyscallNr::OUTSIDE), refused(38, 2))]
            .into(),
    };
    let rows = syscall_views(&counters, Some(&default_policy()), Some(true));
    assert_eq!(row(&rows, "unknown_400").calls, 1);
    assert_eq!(row(&rows, "unknown").denied, 2);
}
