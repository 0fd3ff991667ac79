//! The staged way in, a base of one's own, unions; and that the same evidence gives the same bytes.

use auditor::counters::Counters;
use auditor::evidence::Evidence;
use auditor::filter::Outcome;
use auditor::profile::{Action, Arch, Format, HostArch, Policy, Profile, Verdict};
use auditor::suggest::{Allowance, Mode, Options, Request, RuntimeFloor, SuggestError, Suggestion, suggest};
use auditor::syscall::{self, Abi, SyscallNr};
use proptest::prelude::*;

use crate::audit::{calls, counters, unfiltered};
use crate::evidence::{evidence, start};
use crate::suggest::{any_counters, any_profile};
use crate::{docker_default, nr, profile};

const HOST: HostArch = HostArch::of(Abi::X86_64);
const X86: Abi = Abi::X86_64;

fn attempt(evidence: &Evidence, profile: Option<&Profile>, options: &Options) -> Result<Suggestion, SuggestError> {
    suggest(&Request { evidence, profile, host: HOST, floor: &RuntimeFloor::RUNC, options })
}

fn staged(seen: &Counters, profile: Option<&Profile>) -> Suggestion {
    let options = Options { mode: Mode::Log, ..Options::default() };
    attempt(&evidence(&[start(1, seen)]), profile, &options).unwrap()
}

fn action(policy: &Policy, name: &str) -> Action {
    policy.verdict(X86, nr(X86, name)).decision().action
}

#[test]
fn what_was_not_seen_is_logged_and_what_is_denied_stays_denied() {
    let seen = counters(&[(X86, "mkdir", calls(1)), (X86, "clone", calls(1))]);
    let active = docker_default();
    let suggestion = staged(&seen, Some(&active));
    let policy = &suggestion.policy;
    assert_eq!(action(policy, "mkdir"), Action::Allow);
    assert_eq!(action(policy, "rmdir"), Action::Log);
    for denied in ["keyctl", "clone3", "pivot_root"] {
        assert_eq!(
            policy.verdict(X86, nr(X86, denied)),
            active.evaluate(HOST).verdict(X86, nr(X86, denied)),
            "{denied}"
        );
    }
    // A call with conditions of its own is logged where they hold.
    let personality = |value| policy.decide(X86, nr(X86, "personality"), &[value, 0, 0, 0, 0, 0]).unwrap().action;
    assert_eq!((personality(8), personality(7)), (Action::Log, Action::Errno));
    // Newer calls keep the errno that they had, and every architecture stays.
    assert_eq!(policy.stub_above(X86), active.evaluate(HOST).stub_above(X86));
    assert_eq!(suggestion.profile.architectures.len(), active.architectures.len());
    assert_eq!(suggestion.after.allowed + suggestion.after.conditional, 60, "what is left once it is enforced");
    assert!(
        suggestion.notes.iter().any(|note| note.starts_with("--mode log: calls by i386 and x32")),
        "{:?}",
        suggestion.notes
    );
}

#[test]
fn without_a_filter_everything_is_let_through_and_what_was_not_seen_is_logged() {
    let suggestion = staged(&counters(&[(X86, "mkdir", unfiltered(1))]), None);
    assert_eq!(suggestion.profile.default_action, Action::Log);
    assert_eq!(action(&suggestion.policy, "mkdir"), Action::Allow);
    assert_eq!(action(&suggestion.policy, "clone3"), Action::Log);
    assert_eq!(suggestion.policy.verdict(Abi::I386, nr(Abi::I386, "waitpid")).decision().action, Action::Log);
}

#[test]
fn conditions_on_arguments_are_staged_too() {
    let seen = counters(&[(X86, "socket", calls(2)), (X86, "clone", calls(1)), (X86, "mprotect", calls(1))]);
    let mut one = start(1, &seen);
    for (name, values) in [("socket", &[[1, 1], [2, 2]][..]), ("clone", &[[0x11, 0]]), ("mprotect", &[[1, 0]])] {
        let values = values.iter().map(|value| (*value, 1)).collect();
        let values = auditor::evidence::Values { seen: values, overflowed: 0 };
        one.arguments.calls.insert((X86, nr(X86, name)), values);
    }
    let evidence = evidence(&[one]);
    let unconfined = Options { arguments: true, mode: Mode::Log, ..Options::default() };
    let suggestion = attempt(&evidence, Some(&docker_default()), &unconfined).unwrap();
    let decide = |name: &str, args: &[u64]| {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        suggestion.policy.decide(X86, nr(X86, name), &all).unwrap().action
    };
    let said = &suggestion.notes;
    assert_eq!((decide("socket", &[1, 1]), decide("socket", &[1, 2])), (Action::Allow, Action::Log), "{said:?}");
    assert_eq!((decide("socket", &[2, 2]), decide("socket", &[16, 3])), (Action::Allow, Action::Log));
    assert_eq!((decide("mprotect", &[0, 0, 3]), decide("mprotect", &[0, 0, 4])), (Action::Allow, Action::Log));
    assert_eq!((decide("clone", &[0x11]), decide("clone", &[0x8000])), (Action::Allow, Action::Log));
    assert_eq!(decide("clone", &[0x1000_0000]), Action::Errno, "denied before");
    // With rules for all arguments in whatever words, every format has them.
    for format in [Format::Docker, Format::Oci, Format::Operator] {
        assert!(suggestion.profile.render(format, "web", HOST).is_ok(), "{format:?}");
    }
}

#[test]
fn what_a_staged_profile_logged_is_told_and_stays() {
    let first = staged(&counters(&[(X86, "mkdir", calls(1))]), Some(&docker_default()));
    let seen = counters(&[(X86, "mkdir", calls(1)), (X86, "rmdir", calls(3))]);
    let options = Options::default();
    let second = attempt(&evidence(&[start(1, &seen)]), Some(&first.profile), &options).unwrap();
    assert_eq!(action(&second.policy, "mkdir"), Action::Allow);
    assert_eq!(action(&second.policy, "rmdir"), Action::Log);
    assert_eq!(action(&second.policy, "mknod"), Action::Errno);
    let note = "logged meanwhile, for review: rmdir (x86_64), 3 times: it stays, and stays logged; --allow rmdir lets it \
                through as any other";
    assert!(second.notes.iter().any(|one| one == note), "{:?}", second.notes);
    let reviewed = Options { allow: vec![Allowance::parse("rmdir").unwrap()], ..Options::default() };
    let third = attempt(&evidence(&[start(1, &seen)]), Some(&first.profile), &reviewed).unwrap();
    assert_eq!(action(&third.policy, "rmdir"), Action::Allow);
    assert!(third.notes.iter().any(|note| note.ends_with("it stays, and is not logged any more")), "{:?}", third.notes);
    // Where nothing was logged, the enforced profile does what the first one would have done.
    let quiet = counters(&[(X86, "mkdir", calls(1))]);
    let enforced = attempt(&evidence(&[start(1, &quiet)]), Some(&first.profile), &options).unwrap();
    let direct = attempt(&evidence(&[start(1, &quiet)]), Some(&docker_default()), &options).unwrap();
    assert_eq!(enforced.policy, direct.policy);
}

#[test]
fn a_base_takes_the_active_profile_s_place() {
    let base = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["read", "mkdir", "statx", "socket"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let seen = counters(&[(X86, "mkdir", calls(1)), (X86, "rmdir", calls(1)), (X86, "personality", calls(1))]);
    let mut one = start(1, &seen);
    let values = auditor::evidence::Values { seen: [([0xffff_ffff, 0], 1)].into(), overflowed: 0 };
    one.arguments.calls.insert((X86, nr(X86, "personality")), values);
    let options = Options { base: Some(base.clone()), ..Options::default() };
    for active in [Some(docker_default()), None] {
        let mut evidence = evidence(&[one.clone()]);
        if active.is_none() {
            evidence.starts[0].confined = Some(false);
        }
        let suggestion = attempt(&evidence, active.as_ref(), &options).unwrap();
        assert_eq!(action(&suggestion.policy, "mkdir"), Action::Allow);
        assert_eq!(suggestion.policy.verdict(X86, nr(X86, "socket")), Verdict::Denied(Outcome::errno(13).decision()));
        assert_eq!(suggestion.left_out, ["rmdir (x86_64)", "personality (x86_64) with personality 0xffffffff"]);
        assert!(
            suggestion
                .notes
                .iter()
                .any(|note| { note == "the base denies what was seen, and it is left out: rmdir (x86_64)" })
        );
    }
}

#[test]
fn a_union_lets_through_what_either_does() {
    let seen = counters(&[(X86, "mkdir", calls(1))]);
    let other = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {"names": ["acct", "rmdir"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let options = |mode, merge| Options { mode, merge, ..Options::default() };
    let evidence = evidence(&[start(1, &seen)]);
    let active = docker_default();
    let suggestion = attempt(&evidence, Some(&active), &options(Mode::Enforce, vec![other.clone()])).unwrap();
    for (name, expected) in
        [("mkdir", Action::Allow), ("acct", Action::Allow), ("rmdir", Action::Allow), ("mknod", Action::Errno)]
    {
        assert_eq!(action(&suggestion.policy, name), expected, "{name}");
    }
    assert!(suggestion.profile.architectures.contains(&Arch::X86));
    let logging = attempt(&evidence, Some(&active), &options(Mode::Log, vec![other.clone()])).unwrap();
    for (name, expected) in
        [("mkdir", Action::Allow), ("acct", Action::Allow), ("mknod", Action::Log), ("keyctl", Action::Errno)]
    {
        assert_eq!(action(&logging.policy, name), expected, "{name}");
    }
    // In whatever order.
    let merged = |merge| attempt(&evidence, Some(&active), &options(Mode::Enforce, merge)).unwrap().profile;
    let third = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(merged(vec![other.clone(), third.clone()]), merged(vec![third, other]));
}

#[test]
fn where_rules_of_a_door_contradict_each_other_refusals_keep_their_answers() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["socketcall"], "action": "SCMP_ACT_TRACE", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NE"}]}]}"#,
    );
    let suggestion = staged(&counters(&[(Abi::I386, "read", calls(1))]), Some(&active));
    let (before, socketcall) = (active.evaluate(HOST), nr(Abi::I386, "socketcall"));
    for call in 0..22 {
        let args = [call, 0, 0, 0, 0, 0];
        let [done, wanted] = [&suggestion.policy, &before].map(|policy| policy.decide(Abi::I386, socketcall, &args));
        assert_eq!(done.unwrap(), wanted.unwrap(), "socketcall({call})");
    }
    // Only what is behind that door is left as it was.
    assert_eq!(suggestion.policy.verdict(Abi::I386, nr(Abi::I386, "mkdir")).decision().action, Action::Log);
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn a_staged_profile_lets_through_what_either_does(
        active in proptest::option::of(any_profile()),
        counters in any_counters(),
        args in proptest::collection::vec([0..4_u64, 0..4_u64], 6),
    ) {
        let evidence = evidence(&[start(1, &counters)]);
        let enforce = Options::default();
        let log = Options { mode: Mode::Log, ..Options::default() };
        let small = match attempt(&evidence, active.as_ref(), &enforce) {
            Err(SuggestError::NothingSeen) => return Ok(()),
            other => other.unwrap().policy,
        };
        let staged = attempt(&evidence, active.as_ref(), &log).unwrap().policy;
        let before = active.as_ref().map_or_else(|| Policy::unconfined(X86), |active| active.evaluate(HOST));
        for abi in staged.abis() {
            // Calls that profiles name here, their neighbours, and those above all of them.
            let numbers = (0..6).chain([30, 56, 83, 102, 117, 332, 383, 435, 449, 450, 469, -1]).map(SyscallNr);
            for nr in numbers.chain(["socket", "bind", "execve"].iter().filter_map(|name| syscall::number(abi, name))) {
                for [a, b] in &args {
                    let args = [*a, *b, 0, 0, 0, 0];
                    let all = [&staged, &small, &before].map(|policy| policy.decide(abi, nr, &args));
                    let [Ok(done), Ok(small), Ok(before)] = all else { continue };
                    if before.action == Action::Notify {
                        // A supervisor may still be asked, or not any more.
                        prop_assert!(!done.action.denies(), "{} {:?} {:?}", abi, nr, args);
                        continue;
                    }
                    let wanted = small.action.passes() || before.action.passes();
                    prop_assert_eq!(done.action.passes(), wanted, "{} {:?} {:?}", abi, nr, args);
                    if !wanted {
                        prop_assert_eq!(done, before, "{} {:?} {:?}", abi, nr, args);
                    }
                }
            }
        }
        // What the active profile has room for, the staged one has.
        prop_assert!(before.abis().filter(|abi| matches!(abi, Abi::X86_64 | Abi::I386 | Abi::X32)).all(|abi| staged.abis().any(|one| one == abi)));
    }
}

proptest! {
    #![proptest_config(crate::cases(30))]

    #[test]
    fn the_same_evidence_gives_the_same_bytes(
        starts in proptest::collection::vec(any_counters(), 1..5),
        seed in any::<proptest::sample::Index>(),
        log in any::<bool>(),
        arguments in any::<bool>(),
        base in proptest::option::of(any_profile()),
        merge in proptest::collection::vec(prop_oneof![any_profile(), Just(docker_default())], 0..3),
        allow in proptest::sample::subsequence(vec!["keyctl", "mkdir", "clone3", "socket@i386", "statx"], 0..4),
    ) {
        let starts: Vec<_> = starts.iter().zip(1..).map(|(counters, number)| start(number, counters)).collect();
        let mut turned = starts.clone();
        turned.rotate_left(seed.index(starts.len()));
        turned.reverse();
        let mode = if log { Mode::Log } else { Mode::Enforce };
        let allow: Vec<_> = allow.iter().map(|text| Allowance::parse(text).unwrap()).collect();
        let options = Options { arguments, mode, base, merge, allow, ..Options::default() };
        // The order in which profiles and calls are named means nothing either.
        let mut other = options.clone();
        other.allow.reverse();
        other.merge.reverse();
        let made = |starts: &[auditor::evidence::Start], options: &Options| {
            attempt(&evidence(starts), Some(&docker_default()), options)
        };
        match (made(&starts, &options), made(&turned, &options), made(&turned, &other)) {
            (Ok(one), Ok(same), Ok(other)) => {
                for format in [Format::Docker, Format::Oci, Format::Operator, Format::Systemd] {
                    // Some formats have no word for some conditions.
                    let text = |suggestion: &Suggestion| match suggestion.profile.render(format, "web", HOST) {
                        Ok(rendered) => format!("{rendered:?}"),
                        Err(error) => error.to_string(),
                    };
                    prop_assert_eq!(text(&one), text(&same));
                    prop_assert_eq!(text(&one), text(&other));
                }
                prop_assert_eq!(one.notes, same.notes);
            }
            (one, same, other) => {
                prop_assert_eq!(&one, &same);
                prop_assert_eq!(one.is_err(), other.is_err());
            }
        }
    }
}
