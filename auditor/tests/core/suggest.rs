//! A smaller profile, and its two laws.

use std::collections::BTreeSet;

use auditor::counters::{Counters, Tally};
use auditor::evidence::{Evidence, Start};
use auditor::profile::docker::{KernelVersion, Target, parse_docker};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{
    Action, Arch, ArgCondition, Decision, HostArch, Operator, Policy, Profile, Rule, Runtime, Verdict,
};
use auditor::suggest::{Material, Options, Request, RuntimeFloor, SuggestError, Suggestion, suggest};
use auditor::syscall::{self, Abi, SyscallNr};
use proptest::prelude::*;

use crate::audit::{calls, counters, refused, unfiltered};
use crate::evidence::{evidence, start};
use crate::{docker_default, nr, profile};

const HOST: HostArch = HostArch::of(Abi::X86_64);
const EPERM: Decision = Decision::errno(1);
const ENOSYS: Decision = Decision::errno(38);

/// Two complete starts, of which one made the calls.
fn complete(counters: &Counters) -> Evidence {
    evidence(&[start(1, counters), start(2, &Counters::default())])
}

fn attempt(counters: &Counters, profile: Option<&Profile>) -> Result<Suggestion, SuggestError> {
    suggest(&Request {
        evidence: &complete(counters),
        profile,
        host: HOST,
        floor: &RuntimeFloor::RUNC,
        options: &Options::default(),
    })
}

fn suggestion(counters: &Counters, profile: Option<&Profile>) -> Suggestion {
    attempt(counters, profile).unwrap()
}

fn named(profile: &Profile) -> BTreeSet<&str> {
    profile.rules.iter().flat_map(|rule| &rule.names).map(String::as_str).collect()
}

fn native(policy: &Policy, name: &str) -> Verdict {
    policy.verdict(Abi::X86_64, nr(Abi::X86_64, name))
}

#[test]
fn what_was_seen_is_allowed_and_the_rest_of_the_default_profile_is_not() {
    let counters = counters(&[
        (Abi::X86_64, "mkdir", calls(6)),
        (Abi::X86_64, "clone", calls(1)),
        (Abi::X86_64, "personality", calls(1)),
        (Abi::X86_64, "keyctl", refused(1, 2)),
        (Abi::X86_64, "pivot_root", unfiltered(1)),
    ]);
    let suggestion = suggestion(&counters, Some(&docker_default()));
    let policy = &suggestion.policy;
    assert_eq!(native(policy, "mkdir"), Verdict::Allowed(Decision::ALLOW));
    assert_eq!(native(policy, "clone"), Verdict::Conditional(EPERM));
    assert_eq!(native(policy, "personality"), Verdict::Conditional(EPERM));
    for denied in ["rmdir", "keyctl", "pivot_root", "ptrace"] {
        assert_eq!(native(policy, denied), Verdict::Denied(EPERM), "{denied}");
    }
    assert_eq!(suggestion.before.allowed, 290);
    let floor = RuntimeFloor::RUNC.calls.iter().filter(|name| **name != "clone").count();
    assert_eq!(suggestion.after.allowed as usize, floor + 1);
    assert_eq!(suggestion.after.conditional, 2);
}

#[test]
fn clone3_keeps_enosys_and_new_calls_keep_the_errno_they_had() {
    let active = docker_default().evaluate(HOST);
    let suggestion = suggestion(&counters(&[(Abi::X86_64, "mkdir", calls(1))]), Some(&docker_default()));
    assert_eq!(native(&suggestion.policy, "clone3"), Verdict::Denied(ENOSYS));
    // futex_waitv, 449, is the newest call that the default profile names: below it EPERM, above it ENOSYS.
    for (name, expected) in [("futex_waitv", EPERM), ("openat2", EPERM), ("set_mempolicy_home_node", ENOSYS)] {
        assert_eq!(native(&suggestion.policy, name), Verdict::Denied(expected), "{name}");
    }
    assert_eq!(suggestion.policy.stub_above(Abi::X86_64), active.stub_above(Abi::X86_64));
    let last = suggestion.profile.rules.last().unwrap();
    assert_eq!((last.names.as_slice(), last.action), (["futex_waitv".to_owned()].as_slice(), Action::Errno));
}

#[test]
fn only_abis_that_were_seen_are_named() {
    let native_alone = suggestion(&counters(&[(Abi::X86_64, "mkdir", calls(1))]), Some(&docker_default()));
    assert_eq!(native_alone.profile.architectures, [Arch::X86_64]);
    let seen = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::I386, "waitpid", calls(1))]);
    let both = suggestion(&seen, Some(&docker_default()));
    assert_eq!(both.profile.architectures, [Arch::X86_64, Arch::X86]);
    assert_eq!(both.policy.verdict(Abi::I386, nr(Abi::I386, "waitpid")), Verdict::Allowed(Decision::ALLOW));
    let denied = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X32, "keyctl", refused(1, 1))]);
    assert_eq!(suggestion(&denied, Some(&docker_default())).profile.architectures, [Arch::X86_64, Arch::X32]);
}

#[test]
fn socketcall_keeps_the_rules_behind_it() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {"names": ["socket", "bind", "statx", "mkdir"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let seen = counters(&[(Abi::X86_64, "statx", calls(1)), (Abi::I386, "socketcall", calls(1))]);
    let suggestion = suggestion(&seen, Some(&active));
    assert_eq!(named(&suggestion.profile), ["bind", "socket", "statx"].into());
}

#[test]
fn the_floor_is_never_wider_than_the_active_profile() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read", "statx", "mkdir"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let suggestion = suggestion(&counters(&[(Abi::X86_64, "statx", calls(1))]), Some(&active));
    assert_eq!(named(&suggestion.profile), ["read", "statx"].into());
    assert_eq!(suggestion.profile.architectures, []);
}

#[test]
fn a_profile_that_allows_by_default_gets_the_rest_denied_in_so_many_words() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let suggestion = suggestion(&counters(&[(Abi::X86_64, "mkdir", calls(1))]), Some(&active));
    let policy = &suggestion.policy;
    assert_eq!(native(policy, "mkdir"), Verdict::Conditional(Decision::ALLOW));
    assert_eq!(native(policy, "acct"), Verdict::Denied(Decision::errno(5)));
    assert_eq!(native(policy, "rmdir"), Verdict::Denied(EPERM));
    assert_eq!(native(policy, "clone3"), Verdict::Denied(ENOSYS));
}

#[test]
fn without_a_filter_unfiltered_calls_are_what_was_seen() {
    let seen = counters(&[(Abi::X86_64, "mkdir", unfiltered(1)), (Abi::X86_64, "pivot_root", unfiltered(1))]);
    let suggestion = suggestion(&seen, None);
    assert_eq!(suggestion.profile.default_action, Action::Errno);
    assert_eq!(native(&suggestion.policy, "pivot_root"), Verdict::Allowed(Decision::ALLOW));
    assert_eq!(native(&suggestion.policy, "clone3"), Verdict::Denied(ENOSYS));
    assert!(suggestion.notes.iter().any(|note| note.contains("the runtime's own set-up")), "{:?}", suggestion.notes);
}

#[test]
fn a_record_with_gaps_is_refused_unless_told_otherwise() {
    let counters = counters(&[(Abi::X86_64, "mkdir", calls(1))]);
    let active = docker_default();
    let adopted = Start { from_first_call: false, ..start(1, &counters) };
    let lossy = Start { lost: 7, ..start(1, &counters) };
    for (starts, reason) in [
        (vec![start(2, &counters), adopted.clone()], "not every start was counted from its first call"),
        (vec![adopted], "no start of the container was seen"),
        (vec![lossy], "7 calls or events were lost"),
    ] {
        let evidence = evidence(&starts);
        let request = |options: &Options| {
            suggest(&Request {
                evidence: &evidence,
                profile: Some(&active),
                host: HOST,
                floor: &RuntimeFloor::RUNC,
                options,
            })
        };
        let error = request(&Options::default()).unwrap_err();
        assert_eq!(error, SuggestError::Incomplete { reason: reason.to_owned() });
        let notes = request(&Options { allow_incomplete: true, ..Options::default() }).unwrap().notes;
        assert!(notes[0].contains("not complete"), "{notes:?}");
    }
}

#[test]
fn failed_starts_alone_are_no_ground_for_a_suggestion() {
    let material = |seen: &Counters| Material {
        evidence: complete(seen),
        profile: Some(docker_default()),
        runtime: Runtime::Runc,
        host: Abi::X86_64,
    };
    let set_up = counters(&[(Abi::X86_64, "mkdir", calls(1))]);
    assert_eq!(material(&set_up).suggest(&Options::default()), Err(SuggestError::NeverStarted));
    let started = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "execve", calls(1))]);
    assert!(material(&started).suggest(&Options::default()).is_ok());
}

#[test]
fn nothing_seen_is_no_ground_for_a_suggestion() {
    for seen in [Counters::default(), counters(&[(Abi::X86_64, "keyctl", refused(1, 1))])] {
        assert_eq!(attempt(&seen, Some(&docker_default())), Err(SuggestError::NothingSeen));
    }
}

#[test]
fn denied_calls_are_listed_and_not_taken_in() {
    let seen = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "keyctl", refused(1, 2))]);
    let suggestion = suggestion(&seen, Some(&docker_default()));
    let denied: Vec<_> = suggestion.denied.iter().map(|call| (call.name.as_str(), call.count, call.errno)).collect();
    assert_eq!(denied, [("keyctl", 2, Some(1))]);
    assert_eq!(
        suggestion.notes,
        [
            "counted since 2026-11-23T20:00:00Z, 2 starts of the container, complete",
            "38 calls always allowed instead of 290, 1 for some arguments instead of 2",
            "denied meanwhile and not added: keyctl (x86_64), 2 times, errno 1",
            "futex_waitv was not used and stays named, as denied, so that newer calls keep the errno they have",
        ]
    );
}

#[test]
fn what_ran_against_the_declared_profile_or_has_no_name_is_noted() {
    let mut seen = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "keyctl", calls(1))]);
    seen.tallies.insert((Abi::X86_64, SyscallNr(400)), calls(1));
    let notes = suggestion(&seen, Some(&docker_default())).notes;
    assert!(notes.iter().any(|note| note.starts_with("keyctl (x86_64) ran although")), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("unknown_400 (x86_64) was called")), "{notes:?}");
}

#[test]
fn the_text_is_read_by_engine_and_runtime_alike() {
    let suggestion = suggestion(&counters(&[(Abi::X86_64, "clone", calls(1))]), Some(&docker_default()));
    let text = suggestion.profile.render_docker();
    assert!(text.starts_with("{\n") && text.ends_with("}\n"));
    assert_eq!(parse_seccomp(text.as_bytes()).unwrap(), suggestion.profile);
    let target =
        Target { native: Abi::X86_64, kernel: KernelVersion(6, 1), capabilities: vec![], drops_oci_fields: true };
    assert_eq!(parse_docker(text.as_bytes()).unwrap().resolve(&target).unwrap().evaluate(HOST), suggestion.policy);
}

/// Names with something to them: conditions, numbers of their own on x32, doors on i386, the stub, and nothing at all.
const NAMES: [&str; 14] = [
    "read",
    "mkdir",
    "clone",
    "clone3",
    "socket",
    "bind",
    "socketcall",
    "shmat",
    "ipc",
    "execve",
    "waitpid",
    "statx",
    "futex_waitv",
    "no_such_call",
];

pub fn any_profile() -> impl Strategy<Value = Profile> {
    let condition = (0..2u32, 0..3u64, 0..3u64, proptest::sample::select(Operator::ALL.to_vec()))
        .prop_map(|(index, value, value_two, operator)| ArgCondition { index, value, value_two, operator });
    let rule = (
        proptest::sample::subsequence(NAMES.to_vec(), 1..8),
        proptest::sample::select(Action::ALL.to_vec()),
        proptest::option::of(0..3u32),
        prop_oneof![Just(Vec::new()), proptest::collection::vec(condition, 1..3)],
    )
        .prop_map(|(names, action, errno, args)| Rule {
            names: names.into_iter().map(str::to_owned).collect(),
            action,
            errno,
            args,
        });
    let default = prop_oneof![
        4 => Just(Action::Errno),
        1 => proptest::sample::select(vec![Action::Allow, Action::Log, Action::Trace, Action::KillProcess, Action::Trap]),
    ];
    let arches = vec![Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64];
    (
        default,
        proptest::option::of(0..3u32),
        proptest::sample::subsequence(arches, 0..5),
        proptest::collection::vec(rule, 1..8),
    )
        .prop_map(|(default_action, default_errno, architectures, rules)| Profile {
            default_action,
            default_errno,
            architectures,
            flags: None,
            listener_path: None,
            listener_metadata: None,
            rules,
        })
}

pub fn any_counters() -> impl Strategy<Value = Counters> {
    let abi = prop_oneof![3 => Just(Abi::X86_64), 1 => Just(Abi::I386), 1 => Just(Abi::X32)];
    let call = (abi, proptest::sample::select(NAMES.to_vec()), 0..3u64, 0..2u64);
    proptest::collection::vec(call, 1..10).prop_map(|rows| Counters {
        tallies: rows
            .into_iter()
            .filter_map(|(abi, name, calls, unfiltered_calls)| {
                let tally = Tally { calls, unfiltered_calls, ..Tally::default() };
                syscall::number(abi, name).map(|nr| ((abi, nr), tally))
            })
            .collect(),
    })
}

fn is_denied(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Denied(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_suggestion_is_never_wider_and_never_narrower(
        active in proptest::option::of(any_profile()),
        counters in any_counters(),
        stub_always_native in any::<bool>(),
    ) {
        let host = HostArch { stub_always_native, ..HOST };
        let request = Request {
            evidence: &complete(&counters),
            profile: active.as_ref(),
            host,
            floor: &RuntimeFloor::RUNC,
            options: &Options::default(),
        };
        let suggestion = match suggest(&request) {
            Err(SuggestError::NothingSeen) => return Ok(()),
            other => other.unwrap(),
        };
        let before = active.as_ref().map_or_else(|| Policy::unconfined(Abi::X86_64), |active| active.evaluate(host));
        let after = &suggestion.policy;
        for (abi, nr) in Abi::ALL.into_iter().flat_map(|abi| (0..600).map(move |nr| (abi, SyscallNr(nr)))) {
            let (old, new) = (before.verdict(abi, nr), after.verdict(abi, nr));
            let tally = counters.tallies.get(&(abi, nr)).copied().unwrap_or_default();
            let seen = tally.calls > 0 || (active.is_none() && tally.unfiltered_calls > 0);
            if seen && active.is_some() && !is_denied(old) {
                prop_assert_eq!(new, old, "{} {:?}", abi, nr);
            }
            if seen && active.is_none() {
                prop_assert!(matches!(new, Verdict::Allowed(_)), "{} {:?}", abi, nr);
            }
            if is_denied(old) {
                prop_assert!(is_denied(new), "{} {:?}: {:?} became {:?}", abi, nr, old, new);
                if after.abis().any(|kept| kept == abi) {
                    prop_assert_eq!(new, old, "errno of {} {:?}", abi, nr);
                }
            }
        }
    }

    #[test]
    fn a_suggestion_from_its_own_use_stays_the_same(counters in any_counters()) {
        let Ok(first) = attempt(&counters, Some(&docker_default())) else { return Ok(()) };
        let second = suggestion(&counters, Some(&first.profile));
        prop_assert_eq!(second.profile, first.profile);
    }
}
