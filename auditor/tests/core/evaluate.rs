//! The meaning of a profile, where no real filter of one host can show it.

use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Decision, HostArch, Policy, Profile, Runtime, Verdict};
use auditor::syscall::{Abi, SyscallNr};

use crate::{nr, profile};

const X86: HostArch = HostArch::of(Abi::X86_64);

fn errno_profile(fields: &str) -> Profile {
    profile(&format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", {fields}}}"#))
}

fn verdict(policy: &Policy, name: &str) -> Verdict {
    policy.verdict(policy.native(), nr(policy.native(), name))
}

#[test]
fn unlisted_syscall_takes_default_action() {
    let policy = errno_profile(r#""syscalls": [{"names": ["statx"], "action": "SCMP_ACT_ALLOW"}]"#).evaluate(X86);
    assert_eq!(verdict(&policy, "mkdir"), Verdict::Denied(Decision::errno(1)));
    assert_eq!(policy.default_decision(), Decision::errno(1));
}

#[test]
fn a_supervised_call_is_conditional() {
    let policy = errno_profile(r#""syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]"#).evaluate(X86);
    assert!(matches!(verdict(&policy, "mkdir"), Verdict::Conditional(_)));
}

#[test]
fn a_logged_call_is_allowed_and_has_no_bit() {
    let policy = errno_profile(r#""syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_LOG"}]"#).evaluate(X86);
    assert!(matches!(verdict(&policy, "mkdir"), Verdict::Allowed(_)));
    assert!(!policy.is_constant_allow(Abi::X86_64, nr(Abi::X86_64, "mkdir")));
}

#[test]
fn conditions_that_only_choose_an_errno_leave_a_call_denied() {
    let rules = r#""syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
        "args": [{"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]}, {"names": ["statx"], "action": "SCMP_ACT_ALLOW"}]"#;
    assert_eq!(verdict(&errno_profile(rules).evaluate(X86), "mkdir"), Verdict::Denied(Decision::errno(1)));
}

#[test]
fn the_stub_is_above_the_highest_name_that_libseccomp_knows() {
    let profile = errno_profile(
        r#""architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["futex_waitv", "cachestat"], "action": "SCMP_ACT_ALLOW"}]"#,
    );
    let highest = |newest_known| profile.evaluate(HostArch { newest_known, ..X86 }).stub_above(Abi::X86_64);
    assert_eq!(highest(None), Some(SyscallNr(451)));
    assert_eq!(highest(Some(SyscallNr(450))), Some(SyscallNr(449)));
    let old = profile.evaluate(HostArch { newest_known: Some(SyscallNr(450)), ..X86 });
    assert_eq!(verdict(&old, "cachestat"), Verdict::Denied(Decision::errno(38)));
}

#[test]
fn the_stub_needs_a_named_architecture_before_runc_1_1_15() {
    let profile = errno_profile(r#""syscalls": [{"names": ["statx"], "action": "SCMP_ACT_ALLOW"}]"#);
    let old = HostArch { stub_always_native: false, ..X86 };
    assert_eq!(verdict(&profile.evaluate(old), "clone3"), Verdict::Denied(Decision::errno(1)));
    assert_eq!(verdict(&profile.evaluate(X86), "clone3"), Verdict::Denied(Decision::errno(38)));
}

#[test]
fn crun_has_no_stub() {
    let profile = errno_profile(
        r#""architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["statx"], "action": "SCMP_ACT_ALLOW"}]"#,
    );
    let policy = profile.evaluate(X86.with(Runtime::Crun));
    assert_eq!(policy.stub_above(Abi::X86_64), None);
    assert_eq!(verdict(&policy, "clone3"), Verdict::Denied(Decision::errno(1)));
    assert_eq!(verdict(&policy, "statx"), verdict(&profile.evaluate(X86), "statx"));
}

#[test]
fn a_profile_that_names_read_alone_has_no_stub() {
    let policy = errno_profile(r#""syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]"#).evaluate(X86);
    assert_eq!(policy.stub_above(Abi::X86_64), None);
    assert_eq!(verdict(&policy, "clone3"), Verdict::Denied(Decision::errno(1)));
}

#[test]
fn the_same_profile_means_other_numbers_on_arm64() {
    let profile = errno_profile(
        r#""architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "syscalls": [{"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ALLOW"}]"#,
    );
    let policy = profile.evaluate(HostArch::of(Abi::Aarch64));
    assert_eq!(verdict(&policy, "mkdirat"), Verdict::Allowed(Decision::ALLOW));
    assert_eq!(policy.verdict(Abi::Arm, nr(Abi::Arm, "mkdir")), Verdict::Allowed(Decision::ALLOW));
    let killed = policy.verdict(Abi::X86_64, nr(Abi::X86_64, "mkdir"));
    assert!(matches!(killed, Verdict::Denied(_)));
}

#[test]
fn without_a_filter_everything_is_allowed() {
    let policy = Policy::unconfined(Abi::X86_64);
    for abi in Abi::ALL {
        for nr in [SyscallNr(0), SyscallNr(83), SyscallNr(9999), SyscallNr::OUTSIDE] {
            assert_eq!(policy.verdict(abi, nr), Verdict::Allowed(Decision::ALLOW));
        }
    }
    assert_eq!(policy.native_summary().denied, 0);
}

#[test]
fn summary_counts_every_name_once() {
    let policy = crate::docker_default().evaluate(X86);
    let summary = policy.native_summary();
    let names = auditor::syscall::all(Abi::X86_64).count();
    assert_eq!((summary.allowed + summary.conditional + summary.denied) as usize, names);
}

/// A rule for a multiplexed call as such is about the same call as those for the calls behind it.
#[test]
fn what_comes_through_a_door_is_settled_by_a_rule_for_the_door() {
    let door = r#"{"names": ["ipc"], "action": "SCMP_ACT_ALLOW"}"#;
    let semop = |action, args| format!(r#"{{"names": ["semop"], "action": "{action}"{args}}}"#);
    let below = r#", "args": [{"index": 0, "value": 9, "op": "SCMP_CMP_LT"}]"#;
    let (always, sometimes) = (semop("SCMP_ACT_NOTIFY", ""), semop("SCMP_ACT_ALLOW", below));
    let parsed = |rules: &str| {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{rules}]}}"#
        );
        parse_seccomp(text.as_bytes())
    };
    assert!(parsed(&format!("{always}, {door}, {sometimes}")).is_ok());
    assert!(parsed(&format!("{always}, {sometimes}, {door}")).is_err());
}
