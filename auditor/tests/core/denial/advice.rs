//! What the program wanted, and the change that allows it.

use std::sync::LazyLock;

use auditor::denial::advice::{Advice, Change, advise};
use auditor::denial::decision::{Call, Declared, Seen, explain};
use auditor::denial::{Log, Refusal, Task};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Action, Arch, ArgCondition, Operator, Profile, Rule};
use auditor::report::denial::{Container, DenialView, list};
use auditor::report::table::Style;
use auditor::syscall::{self, Abi, SyscallNr};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{HOST, allows, call, native};
use crate::{docker_default, profile};

fn advice(call: &Call, seen: Seen, profile: &Profile) -> Advice {
    let policy = profile.evaluate(HOST);
    let declared = Some(Declared { profile, policy: &policy });
    advise(call, &explain(call, seen, declared), declared, true)
}

/// The line of advice that people read.
fn shown(call: &Call, seen: Seen, profile: &Profile) -> String {
    let policy = profile.evaluate(HOST);
    let declared = Some(Declared { profile, policy: &policy });
    let container = Container { name: None, id: "ab", declared, docker_default: true, effective: None };
    let task = Task { pid: 1, tid: 1, container_pid: 1, container_tid: 1, comm: "sh".to_owned() };
    let mut log = Log::default();
    log.add(Refusal { time: Timestamp::UNIX_EPOCH, call: *call, seen, task }, call.nr, [false; 6]);
    let views: Vec<_> = log.entries_mut().map(|entry| DenialView::of_entry(entry, &container)).collect();
    let text = list(&views, &Style::default());
    assert_eq!(text.lines().count(), 3, "{text}");
    text.lines().last().unwrap().trim_start().to_owned()
}

#[test]
fn advice_is_exact() {
    let default = docker_default();
    let stacked = "the declared profile is not what refused it, so no change there helps";
    let rows: &[(Call, Seen, &str, &str)] = &[
        (
            native("keyctl", &[1]),
            Seen::Errno(1),
            "wanted a keyring of its own",
            r#"add {"names":["keyctl"],"action":"SCMP_ACT_ALLOW"} to syscalls"#,
        ),
        (
            native("mount", &[1, 2, 3, 0x1000]),
            Seen::Errno(1),
            "wanted to mount a directory at a second place",
            r#"add {"names":["mount"],"action":"SCMP_ACT_ALLOW"} to syscalls; or --cap-add SYS_ADMIN, with which Docker's default allows it"#,
        ),
        (
            native("clone", &[0x1000_0011]),
            Seen::Errno(1),
            "wanted a new user namespace",
            r#"add {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":268435473,"op":"SCMP_CMP_EQ"}]} to syscalls; or --cap-add SYS_ADMIN, with which Docker's default allows it"#,
        ),
        (
            native("personality", &[0x0004_0000]),
            Seen::Errno(1),
            "wanted memory addresses that are not random (as debuggers do)",
            r#"add {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":262144,"op":"SCMP_CMP_EQ"}]} to syscalls"#,
        ),
        (
            native("clone3", &[]),
            Seen::Errno(38),
            "wanted to make a process or thread",
            "the C library falls back to clone when it gets ENOSYS: nothing to do",
        ),
        (native("mkdir", &[]), Seen::Errno(1), "wanted to make a directory", stacked),
        (
            native("swapon", &[]),
            Seen::Errno(1),
            "wanted to use a swap area",
            r#"add {"names":["swapon"],"action":"SCMP_ACT_ALLOW"} to syscalls; the kernel also asks for CAP_SYS_ADMIN (--cap-add SYS_ADMIN)"#,
        ),
        (
            Call { abi: Abi::X86_64, nr: SyscallNr(4000), args: [0; 6] },
            Seen::Errno(38),
            "wanted call number 4000, which nobody knows",
            "no profile can allow it: it has no name that a profile could use",
        ),
    ];
    for (call, seen, wanted, remedy) in rows {
        let found = advice(call, *seen, &default);
        assert_eq!((found.wanted.as_str(), found.remedy.as_str()), (*wanted, *remedy), "{call:?}");
    }
}

#[test]
fn rules_that_are_in_the_way_are_taken_out() {
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["mkdir", "rmdir"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["unlink"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#,
    );
    let found = advice(&native("mkdir", &[]), Seen::Errno(1), &profile);
    assert_eq!(found.remedy, r#"take "mkdir" out of syscalls[0]"#);
    let changed = found.change.unwrap().apply(&profile);
    assert_eq!(changed.rules[0].names, ["rmdir"]);
    let found = advice(&native("unlink", &[]), Seen::Signal, &profile);
    assert_eq!(found.change.unwrap().apply(&profile).rules.len(), 1);
    let foreign = advice(&call(Abi::I386, "mkdir", &[]), Seen::ThreadKilled, &profile);
    assert!(foreign.remedy.contains(r#"add "SCMP_ARCH_X86" to architectures"#), "{}", foreign.remedy);
}

#[test]
fn a_logged_call_is_told_what_to_do_before_the_profile_enforces() {
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(
        shown(&native("mkdir", &[0, 0o755]), Seen::Logged, &profile),
        r#"wanted to make a directory; before the profile enforces, add {"names":["mkdir"],"action":"SCMP_ACT_ALLOW"} to syscalls; risk low: it acts on files that the container can reach already; their permissions hold"#
    );
}

#[test]
fn there_is_a_line_of_advice_for_every_call() {
    let nothing = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    for abi in Abi::ALL {
        for (nr, name) in syscall::all(abi) {
            let call = Call { abi, nr, args: [0; 6] };
            let found = advice(&call, Seen::Errno(1), &nothing);
            assert!(found.wanted.starts_with("wanted ") && !found.wanted.contains("nobody knows"), "{abi} {name}");
            assert!(!found.remedy.is_empty() && !found.why.is_empty(), "{abi} {name}");
            let line = shown(&call, Seen::Errno(1), &nothing);
            assert!(line.is_ascii() && line.contains(&found.remedy), "{abi} {name}: {line}");
        }
    }
}

/// The change of the advice, applied, lets the very call through.
fn assert_change_allows(call: &Call, profile: &Profile) {
    let policy = profile.evaluate(HOST);
    if allows(&policy, call) {
        return;
    }
    let Some(change) = Change::to_allow(call, Declared { profile, policy: &policy }) else {
        assert!(syscall::known_name(call.abi, call.nr).is_none(), "no change for {call:?}");
        return;
    };
    let changed = change.apply(profile);
    assert!(allows(&changed.evaluate(HOST), call), "{call:?}: {}", change.describe());
    // A runtime takes the changed profile, too.
    let reread = parse_seccomp(changed.render_oci().as_bytes());
    if !change.architectures.is_empty() && reread.is_err() {
        // Rules that were no contradiction may be one for another ABI, where calls come through one door.
        return;
    }
    assert_eq!(reread.as_ref(), Ok(&changed), "{call:?}: {}", change.describe());
}

#[test]
fn the_change_allows_every_call_that_dockers_default_refuses() {
    let default = docker_default();
    for abi in [Abi::X86_64, Abi::I386, Abi::Aarch64] {
        for (nr, _) in syscall::all(abi) {
            for first in [1, 0x1000_0011] {
                assert_change_allows(&Call { abi, nr, args: [first, 7, 7, 7, 7, 7] }, &default);
            }
        }
    }
}

static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    vec!["mkdir", "clone", "socket", "personality", "openat", "clone3", "openat2", "semop", "socketcall"]
});

fn rule() -> impl Strategy<Value = Rule> {
    let action = prop::sample::select(vec![
        Action::Allow,
        Action::Log,
        Action::Errno,
        Action::Trap,
        Action::KillThread,
        Action::KillProcess,
        Action::Trace,
    ]);
    let condition = (0_u32..3, prop::sample::select(vec![0_u64, 1, 2, 3, 38, 0x1000_0000]), 0_u64..3, 0_usize..7)
        .prop_map(|(index, value, value_two, operator)| ArgCondition {
            index,
            value,
            value_two,
            operator: Operator::ALL[operator],
        });
    let names = prop::collection::vec(prop::sample::select(NAMES.clone()), 1..4);
    (names, action, prop::option::of(1_u32..40), prop::collection::vec(condition, 0..3)).prop_map(
        |(names, action, errno, args)| Rule {
            names: names.into_iter().map(str::to_owned).collect(),
            action,
            errno: errno.filter(|_| matches!(action, Action::Errno | Action::Trace)),
            args,
        },
    )
}

prop_compose! {
    fn any_profile()(
        default_action in prop::sample::select(vec![Action::Errno, Action::Allow, Action::Log, Action::KillProcess, Action::Trap]),
        architectures in prop::sample::subsequence(vec![Arch::X86_64, Arch::X86, Arch::X32], 0..=3),
        rules in prop::collection::vec(rule(), 1..6),
    ) -> Profile {
        Profile {
            default_action, default_errno: None, architectures, flags: None, listener_path: None,
            listener_metadata: None, rules,
        }
    }
}

proptest! {
    #[test]
    fn the_change_allows_the_call_whatever_the_profile(
        profile in any_profile(),
        name in prop::sample::select(NAMES.clone()),
        abi in prop::sample::select(vec![Abi::X86_64, Abi::I386, Abi::X32]),
        args in prop::array::uniform6(prop::sample::select(vec![0_u64, 1, 2, 3, 38, 0x1000_0000])),
    ) {
        // Only what a runtime takes is anybody's profile.
        let Ok(profile) = parse_seccomp(profile.render_oci().as_bytes()) else { return Ok(()) };
        if let Some(nr) = syscall::number(abi, name) {
            assert_change_allows(&Call { abi, nr, args }, &profile);
        }
    }
}
