//! A smaller profile, and its two laws.

use std::collections::BTreeSet;

use auditor::counters::{Counters, Tally};
use auditor::evidence::{Evidence, Start};
use auditor::profile::docker::{KernelVersion, Target, parse_docker};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{
    Action, Arch, ArgCondition, Decision, HostArch, Operator, Policy, Profile, Rule, Runtime, Verdict,
};
use auditor::suggest::exposure::Level;
use auditor::suggest::{
    Allowance, Certainty, Demand, Material, Options, Request, RuntimeFloor, SuggestError, Suggestion, suggest,
};
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
fn a_clone3_that_was_let_through_and_not_seen_is_answered_with_enosys() {
    // Docker's for a container with SYS_ADMIN, and the same as a list without an end.
    let mut admin = docker_default();
    admin.rules.iter_mut().for_each(|rule| rule.names.retain(|name| name != "clone3"));
    admin.rules.retain(|rule| !rule.names.is_empty());
    let allow = |names: &[&str]| Rule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: Action::Allow,
        errno: None,
        args: Vec::new(),
    };
    admin.rules.push(allow(&["clone3", "unshare", "setns", "mount"]));
    let killing = Profile { default_action: Action::KillProcess, default_errno: None, ..admin.clone() };
    for active in [admin.clone(), killing] {
        assert!(!is_denied(native(&active.evaluate(HOST), "clone3")));
        let unseen = suggestion(&counters(&[(Abi::X86_64, "mkdir", calls(1))]), Some(&active));
        assert_eq!(native(&unseen.policy, "clone3"), Verdict::Denied(ENOSYS));
        assert_eq!(native(&unseen.policy, "mount"), native(&unseen.policy, "keyctl"), "and nothing else is");
        let again = suggestion(&counters(&[(Abi::X86_64, "mkdir", calls(1))]), Some(&unseen.profile));
        assert_eq!(again.profile, unseen.profile);
        let seen = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "clone3", calls(1))]);
        assert_eq!(native(&suggestion(&seen, Some(&active)).policy, "clone3"), Verdict::Allowed(Decision::ALLOW));
    }
    // A refusal of the profile's own stays what it is.
    let mut own = admin;
    own.rules.push(Rule {
        names: vec!["clone3".to_owned()],
        action: Action::Errno,
        errno: Some(13),
        args: vec![ArgCondition { index: 1, value: 7, value_two: 0, operator: Operator::Equal }],
    });
    let suggestion = suggestion(&counters(&[(Abi::X86_64, "mkdir", calls(1))]), Some(&own));
    let with_size =
        |size| suggestion.policy.decide(Abi::X86_64, nr(Abi::X86_64, "clone3"), &[0, size, 0, 0, 0, 0]).unwrap();
    assert_eq!((with_size(7).decision(), with_size(88).decision()), (Decision::errno(13), EPERM));
}

#[test]
fn a_start_that_was_refused_a_call_carries_no_promise_until_that_is_decided_on() {
    let made = |refusal: Tally| counters(&[(Abi::X86_64, "chdir", calls(1)), (Abi::X86_64, "mkdir", refusal)]);
    let mut active = docker_default();
    active.rules.iter_mut().for_each(|rule| rule.names.retain(|name| name != "mkdir"));
    let certainty = |refusal: Tally, active: &Profile, allow: &[&str], reviewed: &[&str]| {
        let starts: Vec<_> = (0..48).map(|number| start(number, &made(refusal))).collect();
        let parse = |texts: &[&str]| texts.iter().map(|text| Allowance::parse(text).unwrap()).collect();
        let options = Options { allow: parse(allow), reviewed: parse(reviewed), ..Options::default() };
        let (evidence, floor) = (evidence(&starts), &RuntimeFloor::RUNC);
        suggest(&Request { evidence: &evidence, profile: Some(active), host: HOST, floor, options: &options })
            .unwrap()
            .certainty
    };
    let demand = Demand { coverage: Some(0.9), ..Demand::default() };
    assert_eq!(
        certainty(refused(1, 1), &active, &[], &["mkdir@i386", "rmdir"]).shortfalls(&demand),
        [
            "--min-coverage: the chance that the next start needs nothing new is at least 0 % (95 % confidence), and 90 % is \
          demanded; 48 starts were refused a call that may be needed"
        ]
    );
    let mut older = active.clone();
    let names = vec!["mkdir".to_owned()];
    older.rules.push(Rule { names, action: Action::Errno, errno: Some(38), args: Vec::new() });
    for (refusal, active, allow, reviewed) in [
        (refused(1, 1), &active, &["mkdir"][..], &[][..]),
        (refused(1, 1), &active, &[], &["mkdir"]),
        (refused(1, 1), &active, &[], &["mkdir@x86_64"]),
        // As of an older kernel's: programs look for another way.
        (refused(38, 1), &older, &[], &[]),
        // By a filter of the program's own.
        (refused(1, 1), &docker_default(), &[], &[]),
    ] {
        let certainty = certainty(refusal, active, allow, reviewed);
        assert_eq!(
            (certainty.estimate.starts_refused, certainty.shortfalls(&demand)),
            (0, Vec::new()),
            "{allow:?} {reviewed:?}"
        );
    }
}

#[test]
fn a_review_of_what_was_not_denied_or_is_taken_in_is_said_to_mean_nothing() {
    let made = counters(&[(Abi::X86_64, "chdir", calls(1)), (Abi::X86_64, "keyctl", refused(1, 1))]);
    let parse = |text: &str| vec![Allowance::parse(text).unwrap()];
    for (allow, reviewed, note) in [
        (Vec::new(), "mkdir", Some("--reviewed: mkdir was not denied")),
        (parse("keyctl"), "keyctl", Some("--reviewed: keyctl is taken in all the same, by --allow or --merge")),
        (Vec::new(), "keyctl", None),
    ] {
        let options = Options { allow, reviewed: parse(reviewed), ..Options::default() };
        let (evidence, floor) = (complete(&made), &RuntimeFloor::RUNC);
        let request =
            Request { evidence: &evidence, profile: Some(&docker_default()), host: HOST, floor, options: &options };
        let notes = suggest(&request).unwrap().notes;
        assert_eq!(notes.iter().find(|note| note.starts_with("--reviewed")).map(String::as_str), note);
    }
}

#[test]
fn what_a_filter_of_unknown_rules_refused_may_have_been_needed() {
    // A unit with a filter of its own: nobody gave its profile.
    let made = counters(&[(Abi::X86_64, "chdir", calls(1)), (Abi::X86_64, "mkdir", refused(1, 1))]);
    let starts: Vec<_> = (0..48).map(|number| Start { container: String::new(), ..start(number, &made) }).collect();
    let (evidence, floor) = (evidence(&starts), &RuntimeFloor::NONE);
    let options = Options::default();
    let request = Request { evidence: &evidence, profile: None, host: HOST, floor, options: &options };
    assert_eq!(suggest(&request).unwrap().certainty.estimate.starts_refused, 48);
}

#[test]
fn what_a_union_lets_through_is_not_called_denied() {
    let made = counters(&[(Abi::X86_64, "chdir", calls(1)), (Abi::X86_64, "keyctl", refused(1, 1))]);
    let starts: Vec<_> = (0..48).map(|number| start(number, &made)).collect();
    let other = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let (evidence, floor, active) = (evidence(&starts), &RuntimeFloor::RUNC, docker_default());
    for (merge, refused) in [(vec![other], 0), (Vec::new(), 48)] {
        let options = Options { merge, ..Options::default() };
        let request = Request { evidence: &evidence, profile: Some(&active), host: HOST, floor, options: &options };
        let Suggestion { certainty, denied, notes, .. } = suggest(&request).unwrap();
        assert_eq!(certainty.estimate.starts_refused, refused);
        assert_eq!(denied[0].taken_in, refused == 0);
        assert_eq!(notes.iter().any(|note| note.starts_with("denied meanwhile")), refused > 0, "{notes:?}");
    }
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
    for (starts, reason) in
        [(vec![adopted.clone()], "no start of the container was seen"), (vec![lossy], "7 calls or events were lost")]
    {
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
fn one_whole_start_carries_a_suggestion_and_those_with_gaps_add_to_it() {
    let adopted = Start { from_first_call: false, ..start(1, &counters(&[(Abi::X86_64, "rmdir", calls(1))])) };
    let evidence = evidence(&[adopted, start(2, &counters(&[(Abi::X86_64, "mkdir", calls(1))]))]);
    let suggestion = suggest(&Request {
        evidence: &evidence,
        profile: Some(&docker_default()),
        host: HOST,
        floor: &RuntimeFloor::RUNC,
        options: &Options::default(),
    })
    .unwrap();
    assert!(named(&suggestion.profile).is_superset(&["mkdir", "rmdir"].into()));
    assert!(suggestion.notes[0].contains("not complete"), "{:?}", suggestion.notes);
}

#[test]
fn failed_starts_alone_are_no_ground_for_a_suggestion() {
    let material = |seen: &Counters| Material {
        evidence: complete(seen),
        profile: Some(docker_default()),
        runtime: Runtime::Runc,
        host: Abi::X86_64,
        others: Vec::new(),
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
            "counted since 2026-11-23T20:00:00Z, 2 starts of the container, 2 h in all, complete; the last 2 h of that time \
             brought no new call",
            "the chance that the next start needs a call not seen yet is unknown: one whole start says nothing about the next",
            "59 calls always allowed instead of 290, 1 for some arguments instead of 2",
            "takes away 232 of the calls that were let through: 8 of them expose much, 15 some (by systemd's \
             groups as systemd-analyze security weighs them, and Docker's list of significant calls)",
            "taken away, exposing much: adjtimex (@clock), chroot (@mount, @privileged), clock_adjtime (@clock, Docker), \
             io_uring_enter (Docker), io_uring_register (Docker), io_uring_setup (Docker), personality (Docker), ptrace \
             (@debug, Docker)",
            "denied meanwhile and not added: keyctl (x86_64), 2 times, errno 1",
            "for review: auditor denials says who made them and what they were for; --allow NAME takes one in, --reviewed NAME \
             says that it may stay denied",
            "futex_waitv was not used and stays named, as denied, so that newer calls keep the errno they have",
            &RuntimeFloor::RUNC.note(),
        ]
    );
}

fn allowing(counters: &Counters, profile: Option<&Profile>, allow: &[&str]) -> Result<Suggestion, SuggestError> {
    let allow = allow.iter().map(|text| Allowance::parse(text).unwrap()).collect();
    suggest(&Request {
        evidence: &complete(counters),
        profile,
        host: HOST,
        floor: &RuntimeFloor::RUNC,
        options: &Options { allow, ..Options::default() },
    })
}

#[test]
fn a_denied_call_is_taken_in_by_its_name_and_nothing_else_is() {
    let seen = counters(&[
        (Abi::X86_64, "mkdir", calls(1)),
        (Abi::X86_64, "keyctl", refused(1, 2)),
        (Abi::X86_64, "add_key", refused(1, 1)),
    ]);
    let active = docker_default();
    let suggestion = allowing(&seen, Some(&active), &["keyctl"]).unwrap();
    assert_eq!(native(&suggestion.policy, "keyctl"), Verdict::Allowed(Decision::ALLOW));
    assert_eq!(native(&suggestion.policy, "add_key"), Verdict::Denied(EPERM));
    let taken_in: Vec<_> = suggestion.denied.iter().map(|call| (call.name.as_str(), call.taken_in)).collect();
    assert_eq!(taken_in, [("add_key", false), ("keyctl", true)]);
    let without = self::suggestion(&seen, Some(&active));
    for (abi, nr) in Abi::ALL.into_iter().flat_map(|abi| syscall::all(abi).map(move |(nr, _)| (abi, nr))) {
        if syscall::known_name(abi, nr) != Some("keyctl") {
            assert_eq!(suggestion.policy.verdict(abi, nr), without.policy.verdict(abi, nr), "{abi} {nr:?}");
        }
    }
    let notes = &suggestion.notes;
    let expected = "--allow: keyctl (x86_64) is taken in whatever its arguments, which the profile refuses; it was refused 2 times";
    assert!(notes.iter().any(|note| note == expected), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("denied meanwhile and not added: add_key")), "{notes:?}");
    assert!(!notes.iter().any(|note| note.starts_with("denied meanwhile and not added: keyctl")), "{notes:?}");
}

#[test]
fn what_the_profile_allows_is_taken_in_as_the_profile_has_it() {
    let seen = counters(&[(Abi::X86_64, "mkdir", calls(1))]);
    let suggestion = allowing(&seen, Some(&docker_default()), &["rmdir", "personality", "mkdir"]).unwrap();
    assert_eq!(native(&suggestion.policy, "rmdir"), Verdict::Allowed(Decision::ALLOW));
    assert_eq!(native(&suggestion.policy, "personality"), Verdict::Conditional(EPERM));
    let said = |words: &str| suggestion.notes.iter().any(|note| note.contains(words));
    assert!(said("rmdir (x86_64) was not seen; it is taken in, as"), "{:?}", suggestion.notes);
    assert!(said("personality (x86_64) was not seen; it is taken in under the profile's own conditions"));
    assert!(said("mkdir (x86_64) was seen, and is in the suggestion anyhow"));
}

#[test]
fn a_call_that_was_refused_for_its_arguments_is_taken_in_for_all() {
    let seen = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "personality", refused(1, 1))]);
    let suggestion = allowing(&seen, Some(&docker_default()), &["personality"]).unwrap();
    assert_eq!(native(&suggestion.policy, "personality"), Verdict::Allowed(Decision::ALLOW));
}

#[test]
fn a_name_above_the_highest_leaves_the_calls_between_as_they_were() {
    let seen = counters(&[(Abi::X86_64, "mkdir", calls(1))]);
    let suggestion = allowing(&seen, Some(&docker_default()), &["fchmodat2"]).unwrap();
    assert_eq!(native(&suggestion.policy, "fchmodat2"), Verdict::Allowed(Decision::ALLOW));
    for between in ["set_mempolicy_home_node", "cachestat"] {
        assert_eq!(native(&suggestion.policy, between), Verdict::Denied(ENOSYS), "{between}");
    }
    assert_eq!(native(&suggestion.policy, "futex_waitv"), Verdict::Denied(EPERM));
}

#[test]
fn each_abi_has_its_own_calls() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {"names": ["read", "statx", "mkdir", "waitpid"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let seen = counters(&[(Abi::X86_64, "statx", calls(1))]);
    // Of i386 alone, and by its own number for a socket, with and without the door.
    for (name, own) in [("socket@i386", "socket"), ("waitpid", "waitpid"), ("stime", "stime")] {
        let suggestion = allowing(&seen, Some(&active), &[name]).unwrap();
        assert_eq!(
            suggestion.policy.verdict(Abi::I386, nr(Abi::I386, own)),
            Verdict::Allowed(Decision::ALLOW),
            "{name}"
        );
        assert_eq!(suggestion.profile.architectures, [Arch::X86_64, Arch::X86]);
    }
    let door = |allow: &str, call: u64| {
        let suggestion = allowing(&seen, Some(&active), &[allow]).unwrap();
        let number = nr(Abi::I386, "socketcall");
        suggestion.policy.decide(Abi::I386, number, &[call, 0, 0, 0, 0, 0]).unwrap().action.passes()
    };
    assert!(door("socket@i386", 1) && !door("socket@i386", 2) && door("bind@i386", 2) && door("socketcall@i386", 9));
    let foreign = SuggestError::ForeignAbi { name: "read@x32".to_owned() };
    assert_eq!(allowing(&seen, Some(&active), &["read@x32"]), Err(foreign));
    let foreign = SuggestError::ForeignAbi { name: "stime".to_owned() };
    assert_eq!(
        allowing(
            &seen,
            Some(&profile(
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["statx"], "action": "SCMP_ACT_ALLOW"}]}"#
            )),
            &["stime"]
        ),
        Err(foreign)
    );
}

#[test]
fn names_that_there_are_not_are_told_with_those_that_there_are() {
    for (text, words) in [
        ("mkdri", "no system call is called \"mkdri\"; did you mean mkdir?"),
        ("", "no system call is called \"\""),
        ("mkdir@x86", "no ABI is called \"x86\"; there are x86_64, i386, x32, aarch64, arm"),
        ("waitpid@x86_64", "x86_64 has no call waitpid"),
    ] {
        assert_eq!(Allowance::parse(text).unwrap_err().to_string(), words);
    }
}

#[test]
fn what_is_bought_is_ranked_by_what_it_exposes() {
    let seen = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "ptrace", calls(1))]);
    let Suggestion { exposure, before, after, .. } = suggestion(&seen, Some(&docker_default()));
    let taken = before.allowed + before.conditional - after.allowed - after.conditional;
    assert_eq!(exposure.taken_away.len(), taken as usize);
    assert!(exposure.taken_away.is_sorted());
    let high = exposure.taken_away.iter().filter(|call| call.exposure == Level::High);
    assert!(
        high.clone().any(|call| call.name == "io_uring_setup") && high.clone().any(|call| call.name == "personality")
    );
    assert!(!high.clone().any(|call| call.name == "ptrace"));
    assert_eq!(exposure.kept[0].in_words(), "ptrace (@debug, Docker)");
}

#[test]
fn more_is_demanded_than_there_is() {
    let tally = counters(&[(Abi::X86_64, "mkdir", calls(1))]);
    let starts: Vec<_> = (0..20).map(|number| start(number, &tally)).collect();
    let certainty = Certainty::of(&evidence(&starts), &RuntimeFloor::RUNC, Abi::X86_64);
    let short = |starts, seconds, coverage| certainty.shortfalls(&Demand { starts, seconds, coverage });
    assert!(short(None, None, None).is_empty() && short(Some(20), Some(72_000), Some(0.83)).is_empty());
    assert_eq!(
        short(Some(21), Some(72_001), Some(0.9)),
        [
            "--min-starts: 20 whole starts were counted, and 21 are demanded",
            "--min-window: 20 h were counted, and 20 h are demanded",
            "--min-coverage: the chance that the next start needs nothing new is at least 83 % (95 % confidence), and 90 % \
             is demanded",
        ]
    );
    // Replicas side by side count their hours once.
    let replicas: Vec<_> = (0..20).map(|_| start(1, &tally)).collect();
    let certainty = Certainty::of(&evidence(&replicas), &RuntimeFloor::RUNC, Abi::X86_64);
    assert_eq!(certainty.seconds, 72_000);
    assert_eq!(certainty.shortfalls(&Demand { seconds: Some(3_601), ..Demand::default() }).len(), 1);
    // What the runtime needs anyhow cannot be missed.
    let mut rare = starts.clone();
    let write = counters(&[(Abi::X86_64, "mkdir", calls(1)), (Abi::X86_64, "write", calls(1))]);
    rare[3] = start(3, &write);
    assert_eq!(Certainty::of(&evidence(&rare), &RuntimeFloor::RUNC, Abi::X86_64).estimate.starts_with_own_call, 0);
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
    #![proptest_config(crate::cases(200))]

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
    fn what_is_taken_in_is_let_through_and_nothing_else_is_wider(
        active in any_profile(),
        counters in any_counters(),
        allow in proptest::sample::subsequence(NAMES[..13].to_vec(), 1..3),
        stub_always_native in any::<bool>(),
    ) {
        let host = HostArch { stub_always_native, ..HOST };
        let options = Options {
            allow: allow.iter().map(|name| Allowance::parse(name).unwrap()).collect(),
            ..Options::default()
        };
        let request = Request {
            evidence: &complete(&counters),
            profile: Some(&active),
            host,
            floor: &RuntimeFloor::RUNC,
            options: &options,
        };
        let suggestion = match suggest(&request) {
            Err(SuggestError::NothingSeen | SuggestError::ForeignAbi { .. }) => return Ok(()),
            other => other.unwrap(),
        };
        let (before, after) = (active.evaluate(host), &suggestion.policy);
        // What only runc's stub shut comes open where the stub moves up; the rules let it through.
        let rules = if active.default_action.denies() { active.evaluate(host.with(Runtime::Crun)) } else { before.clone() };
        let shut = |abi, nr| is_denied(before.verdict(abi, nr)) && is_denied(rules.verdict(abi, nr));
        let doors = ["socketcall", "ipc"];
        for (abi, nr) in Abi::ALL.into_iter().flat_map(|abi| (0..600).map(move |nr| (abi, SyscallNr(nr)))) {
            let name = syscall::known_name(abi, nr).unwrap_or_default();
            if shut(abi, nr) && !allow.contains(&name) && !doors.contains(&name) {
                prop_assert!(is_denied(after.verdict(abi, nr)), "{} {}", abi, name);
            }
        }
        for name in allow {
            let native = syscall::number(Abi::X86_64, name).map(|nr| after.verdict(Abi::X86_64, nr));
            prop_assert!(native.is_none_or(|verdict| !is_denied(verdict)), "{name}: {native:?}");
        }
    }

    #[test]
    fn a_suggestion_from_its_own_use_stays_the_same(counters in any_counters()) {
        let Ok(first) = attempt(&counters, Some(&docker_default())) else { return Ok(()) };
        let second = suggestion(&counters, Some(&first.profile));
        prop_assert_eq!(second.profile, first.profile);
    }
}
