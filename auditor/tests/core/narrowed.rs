//! Conditions on the arguments that were seen, and nothing wider.

use std::collections::BTreeMap;

use auditor::counters::{Counters, Tally};
use auditor::evidence::argument::table::noted;
use auditor::evidence::{Arguments, Evidence, Start, Values};
use auditor::profile::{Action, HostArch, Policy, Profile, Rule, Runtime};
use auditor::suggest::{Allowance, Options, Request, RuntimeFloor, SuggestError, Suggestion, suggest};
use auditor::syscall::{self, Abi, SyscallNr};
use proptest::prelude::*;

use crate::evidence::{evidence, start};
use crate::suggest::any_profile;
use crate::{docker_default, nr, profile};

const HOST: HostArch = HostArch::of(Abi::X86_64);

/// Calls by name, each with the values of its noted registers.
type Asked<'a> = &'a [(Abi, &'a str, &'a [[u64; 2]])];

fn asked(rows: Asked<'_>) -> (Counters, Arguments) {
    let (mut counters, mut arguments) = (Counters::default(), Arguments::default());
    for (abi, name, values) in rows {
        let call = (*abi, nr(*abi, name));
        let tally = Tally { calls: values.len() as u64, ..Tally::default() };
        counters.tallies.insert(call, tally);
        let seen = values.iter().map(|value| (*value, 1)).collect();
        arguments.calls.insert(call, Values { seen, overflowed: 0 });
    }
    (counters, arguments)
}

fn of(counters: &Counters, arguments: Arguments) -> Evidence {
    let mut one = start(1, counters);
    one.arguments = arguments;
    evidence(&[one])
}

fn attempt(evidence: &Evidence, profile: Option<&Profile>) -> Result<Suggestion, SuggestError> {
    let options = Options { arguments: true, ..Options::default() };
    suggest(&Request { evidence, profile, host: HOST, floor: &RuntimeFloor::RUNC, options: &options })
}

fn narrowed(rows: Asked<'_>, profile: Option<&Profile>) -> Suggestion {
    let (counters, arguments) = asked(rows);
    attempt(&of(&counters, arguments), profile).unwrap()
}

/// Whether a call with these first arguments passes.
fn passes(policy: &Policy, abi: Abi, name: &str, first: &[u64]) -> bool {
    let mut args = [0; 6];
    args[..first.len()].copy_from_slice(first);
    policy.decide(abi, nr(abi, name), &args).unwrap().action.passes()
}

fn native(policy: &Policy, name: &str, first: &[u64]) -> bool {
    passes(policy, Abi::X86_64, name, first)
}

const X86: Abi = Abi::X86_64;

#[test]
fn what_was_asked_for_passes_and_nothing_else() {
    let rows: Asked<'_> = &[
        (X86, "clone", &[[0x120_0011, 0], [0x3d_0f00, 0]]),
        (X86, "socket", &[[1, 1], [2, 0x8_0801]]),
        (X86, "setsockopt", &[[1, 2], [6, 1]]),
        (X86, "prctl", &[[0x5356_4d41, 0]]),
        (X86, "ioctl", &[[0x5401, 0], [0xdead_beef_0000_5413, 0]]),
        (X86, "mprotect", &[[1, 0], [3, 0]]),
        (X86, "personality", &[[0xffff_ffff, 0]]),
        (X86, "ptrace", &[[16, 0]]),
    ];
    let suggestion = narrowed(rows, Some(&docker_default()));
    let policy = &suggestion.policy;
    for (name, yes, no) in [
        ("socket", &[2, 1][..], &[2, 2][..]),
        ("socket", &[1, 0x80001], &[16, 3]),
        ("socket", &[0xffff_0000_0000_0001, 0xaa_0000_0001], &[10, 1]),
        ("setsockopt", &[3, 6, 1], &[3, 6, 2]),
        ("setsockopt", &[3, 1, 2], &[3, 0, 1]),
        ("ioctl", &[0, 0x5401], &[0, 0x5412]),
        ("ioctl", &[0, 0x5413], &[0, 0x541e]),
        ("mprotect", &[0, 0, 3], &[0, 0, 7]),
        ("mprotect", &[0, 0, 2], &[0, 0, 4]),
        ("personality", &[0xffff_ffff], &[8]),
        ("ptrace", &[16], &[0]),
        ("clone", &[0x120_0011], &[0x1000_0000]),
        ("clone", &[0x3d_0f00], &[0x2_0011]),
        ("prctl", &[0x5356_4d41], &[22]),
        // The runtime's own: capabilities and no_new_privs, and a thread of Go's.
        ("prctl", &[38], &[4]),
        ("clone", &[0x5_0f00], &[0x80_0000]),
    ] {
        assert!(native(policy, name, yes), "{name} {yes:x?} was seen");
        assert!(!native(policy, name, no), "{name} {no:x?} was not seen");
    }
    let said = "--args: what was not seen to be asked of clone, ioctl, mmap, mprotect, personality, prctl, ptrace, \
                setsockopt, socket is refused";
    assert!(suggestion.notes.iter().any(|note| note == said), "{:?}", suggestion.notes);
}

#[test]
fn what_the_runtime_alone_asks_for_is_all_that_its_calls_let_through() {
    for (runtime, its_own) in [
        (
            Runtime::Runc,
            &[("clone", &[0x5_0f00][..]), ("mmap", &[0, 0, 3]), ("mmap", &[0, 0, 0]), ("mprotect", &[0, 0, 3])][..],
        ),
        (Runtime::Crun, &[][..]),
    ] {
        let (counters, arguments) = asked(&[(X86, "mkdir", &[[0, 0]])]);
        let (evidence, active) = (of(&counters, arguments), docker_default());
        let options = Options { arguments: true, ..Options::default() };
        let (host, floor) = (HOST.with(runtime), RuntimeFloor::of(runtime));
        let suggestion =
            suggest(&Request { evidence: &evidence, profile: Some(&active), host, floor, options: &options }).unwrap();
        let policy = &suggestion.policy;
        // TIOCSPGRP, a fork, and capabilities: what `--init` and the runtime do.
        let both = [("ioctl", &[0, 0x5410][..]), ("clone", &[0x120_0011]), ("mprotect", &[0, 0, 1]), ("prctl", &[24])];
        for (name, args) in both.into_iter().chain(its_own.iter().copied()) {
            assert!(native(policy, name, args), "{runtime}: {name} {args:x?} is the runtime's");
        }
        // TIOCSTI, executable memory, PR_SET_MM, and a traced child.
        for (name, args) in [
            ("ioctl", &[0, 0x5412][..]),
            ("mprotect", &[0, 0, 5]),
            ("mmap", &[0, 0, 7]),
            ("prctl", &[35]),
            ("clone", &[0x120_2011]),
        ] {
            assert!(!native(policy, name, args), "{runtime}: {name} {args:x?} was asked for by nobody");
        }
        for (name, values) in floor.arguments {
            for value in *values {
                let args = arguments_of(X86, nr(X86, name), value);
                assert!(native(policy, name, &args), "{runtime}: {name} {value:x?}");
            }
        }
        // What was looked at and taken in is let through whatever it is asked for.
        let options = Options { allow: vec![Allowance::parse("ioctl").unwrap()], ..options };
        let suggestion =
            suggest(&Request { evidence: &evidence, profile: Some(&active), host, floor, options: &options }).unwrap();
        assert!(native(&suggestion.policy, "ioctl", &[0, 0x5412]), "{:?}", suggestion.notes);
        // Without a runtime there is nothing that it needs.
        let options = Options { without_runtime: true, ..options };
        let floor = &RuntimeFloor::NONE;
        let suggestion =
            suggest(&Request { evidence: &evidence, profile: Some(&active), host, floor, options: &options }).unwrap();
        assert!(!native(&suggestion.policy, "mprotect", &[0, 0, 3]));
    }
}

#[test]
fn a_clone3_that_is_let_through_is_named_as_the_way_around_conditions_on_clone() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["mkdir", "clone", "clone3"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let rows: Asked<'_> = &[(X86, "clone", &[[0x120_0011, 0]]), (X86, "clone3", &[[0x10_0000, 0]])];
    let warns = |suggestion: &Suggestion| suggestion.notes.iter().any(|note| note.contains("clone3-bypass"));
    assert!(warns(&narrowed(rows, Some(&active))));
    assert!(!warns(&narrowed(&rows[..1], Some(&active))));
}

#[test]
fn the_chance_is_about_arguments_too_where_they_decide() {
    let starts = |socket: [u64; 2], flags: u64, protection: u64| -> Vec<Start> {
        (0..30)
            .map(|number| {
                let rows: [(Abi, &str, &[[u64; 2]]); 4] = [
                    (X86, "socket", &[[1, 0x8_0001]]),
                    (X86, "unshare", &[[0x2000_0000, 0]]),
                    (X86, "mprotect", &[[1, 0]]),
                    (X86, "ioctl", &[[0x5410, 0]]),
                ];
                let other: [(Abi, &str, &[[u64; 2]]); 3] = [
                    (X86, "socket", &[socket]),
                    (X86, "unshare", &[[flags, 0]]),
                    (X86, "mprotect", &[[protection, 0]]),
                ];
                let (counters, arguments) = asked(if number == 7 { &other } else { &rows });
                Start { arguments, ..start(number, &counters) }
            })
            .collect()
    };
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["socket", "unshare", "mprotect", "ioctl"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let own = |starts: &[Start], arguments: bool| {
        let options = Options { arguments, ..Options::default() };
        let evidence = evidence(starts);
        let request = Request {
            evidence: &evidence,
            profile: Some(&active),
            host: HOST,
            floor: &RuntimeFloor::RUNC,
            options: &options,
        };
        suggest(&request).unwrap().certainty.estimate
    };
    // The same but for what no condition tells apart: SOCK_CLOEXEC, and what is not PROT_EXEC.
    let alike = starts([1, 1], 0x2000_0000, 3);
    assert_eq!((own(&alike, true).starts_with_own_call, own(&alike, true).with_arguments), (0, true));
    let alone = [starts([10, 1], 0x2000_0000, 1), starts([1, 1], 0x4000_0000, 1)];
    for starts in &alone {
        let (with, without) = (own(starts, true), own(starts, false));
        assert_eq!((with.starts_with_own_call, without.starts_with_own_call), (1, 0));
        assert!(with.assured() < without.assured() && with.calls == without.calls);
        assert!(
            with.in_words().ends_with("1 of them brought a call or an argument of its own)"),
            "{}",
            with.in_words()
        );
    }
    // Nothing is refused of what has no conditions.
    assert_eq!(own(&starts([1, 1], 0x2000_0000, 7), true).starts_with_own_call, 0);
}

#[test]
fn without_the_option_the_profile_s_own_conditions_stay() {
    let rows: Asked<'_> = &[(X86, "clone", &[[0x11, 0]]), (X86, "socket", &[[1, 1]])];
    let (counters, arguments) = asked(rows);
    let evidence = of(&counters, arguments);
    let active = docker_default();
    let options = Options::default();
    let request = Request {
        evidence: &evidence,
        profile: Some(&active),
        host: HOST,
        floor: &RuntimeFloor::RUNC,
        options: &options,
    };
    let policy = suggest(&request).unwrap().policy;
    assert!(native(&policy, "socket", &[16, 3]) && native(&policy, "clone", &[0x3d_0f00]));
    assert!(!native(&policy, "clone", &[0x2_0000]));
}

#[test]
fn what_is_not_known_for_sure_gets_no_condition_and_that_is_said() {
    let rows: Asked<'_> = &[
        (X86, "mkdir", &[[0, 0]]),
        (X86, "socket", &[[1, 1]]),
        (X86, "ioctl", &[[0x5401, 0]]),
        (X86, "prctl", &[[15, 0]]),
        (X86, "mprotect", &[[5, 0]]),
    ];
    let (mut counters, mut arguments) = asked(rows);
    // More calls than arguments, values without room, and no arguments at all.
    counters.tallies.get_mut(&(X86, nr(X86, "socket"))).unwrap().calls = 2;
    arguments.calls.get_mut(&(X86, nr(X86, "ioctl"))).unwrap().overflowed = 1;
    arguments.calls.remove(&(X86, nr(X86, "prctl")));
    let many = Values { seen: (0..200).map(|option| ([option % 40, option], 1)).collect(), overflowed: 0 };
    let setsockopt = (X86, nr(X86, "setsockopt"));
    counters.tallies.insert(setsockopt, Tally { calls: 200, ..Tally::default() });
    arguments.calls.insert(setsockopt, many);
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"action": "SCMP_ACT_ALLOW",
            "names": ["mkdir", "socket", "ioctl", "prctl", "mprotect", "setsockopt", "clone3"]}]}"#,
    );
    let clone3 = (X86, nr(X86, "clone3"));
    counters.tallies.insert(clone3, Tally { calls: 1, ..Tally::default() });
    let suggestion = attempt(&of(&counters, arguments), Some(&active)).unwrap();
    for name in ["socket", "ioctl", "prctl", "mprotect", "setsockopt", "clone3"] {
        assert!(native(&suggestion.policy, name, &[77, 77, 77]), "{name}");
    }
    let notes: Vec<&str> = suggestion.notes.iter().filter_map(|note| note.strip_prefix("--args: ")).collect();
    assert_eq!(
        notes,
        [
            "there is nothing that conditions could be made from",
            "clone3 stays as it is: what it is asked for is in memory, which no filter can read",
            "ioctl stays as it is: some of its arguments found no room",
            "mprotect stays as it is: memory was made executable",
            "prctl stays as it is: its arguments were not noted",
            "setsockopt stays as it is: 40 different values of level were seen",
            "socket stays as it is: its arguments were not noted from the first call",
        ]
    );
}

#[test]
fn too_many_pairs_leave_conditions_on_the_first() {
    let values: Vec<[u64; 2]> = (0..90).map(|option| [option % 3, option]).collect();
    let suggestion = narrowed(&[(X86, "setsockopt", &values)], Some(&docker_default()));
    assert!(native(&suggestion.policy, "setsockopt", &[0, 2, 7_000]));
    assert!(!native(&suggestion.policy, "setsockopt", &[0, 3, 1]));
    let note = suggestion.notes.iter().find(|note| note.contains("fewer")).unwrap();
    assert_eq!(
        note,
        "--args: setsockopt has fewer conditions than it might: 90 different values of level with optname were seen"
    );
}

#[test]
fn i386_has_its_own_registers_and_doors() {
    let active = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {"names": ["socket", "bind", "mmap", "mmap2", "ptrace", "statx"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let both: Asked<'_> = &[
        (X86, "socket", &[[1, 1]]),
        (Abi::I386, "socket", &[[2, 2]]),
        (X86, "ptrace", &[[16, 0]]),
        (Abi::I386, "ptrace", &[[17, 0]]),
        (Abi::I386, "mmap2", &[[3, 0]]),
        (X86, "mmap", &[[1, 0]]),
    ];
    let policy = narrowed(both, Some(&active)).policy;
    for abi in [X86, Abi::I386] {
        // A rule is for every ABI.
        assert!(passes(&policy, abi, "socket", &[1, 1]) && passes(&policy, abi, "socket", &[2, 2]), "{abi}");
        assert!(!passes(&policy, abi, "socket", &[2, 1]) && !passes(&policy, abi, "socket", &[16, 2]), "{abi}");
        assert!(passes(&policy, abi, "ptrace", &[17]) && !passes(&policy, abi, "ptrace", &[0]), "{abi}");
    }
    assert!(!passes(&policy, Abi::I386, "mmap2", &[0, 0, 4]) && !passes(&policy, X86, "mmap", &[0, 0, 4]));
    // What came through socketcall had its arguments in memory: a condition on the second would look at their address.
    let through: Asked<'_> = &[(X86, "socket", &[[1, 1]]), (Abi::I386, "socketcall", &[[1, 0], [2, 0]])];
    let suggestion = narrowed(through, Some(&active));
    assert!(native(&suggestion.policy, "socket", &[1, 2]) && !native(&suggestion.policy, "socket", &[16, 3]));
    assert!(passes(&suggestion.policy, Abi::I386, "socketcall", &[1, 0xffff_d000]));
    // i386's oldest mmap has them in memory, too.
    let oldest: Asked<'_> = &[(X86, "mmap", &[[1, 0]]), (Abi::I386, "mmap", &[[0, 0]])];
    let suggestion = narrowed(oldest, Some(&active));
    assert!(native(&suggestion.policy, "mmap", &[0, 0, 4]), "{:?}", suggestion.notes);
}

#[test]
fn a_container_without_a_filter_gets_conditions_too() {
    let (mut counters, arguments) = asked(&[(X86, "socket", &[[1, 1]])]);
    for tally in counters.tallies.values_mut() {
        (tally.unfiltered_calls, tally.calls) = (tally.calls, 0);
    }
    let mut evidence = of(&counters, arguments);
    evidence.starts[0].confined = Some(false);
    let policy = attempt(&evidence, None).unwrap().policy;
    assert!(native(&policy, "socket", &[1, 1]) && !native(&policy, "socket", &[16, 3]));
}

/// Calls with something to them, beside those of [`any_profile`].
const NAMES: [&str; 12] = [
    "clone",
    "clone3",
    "socket",
    "socketcall",
    "shmat",
    "read",
    "execve",
    "statx",
    "mkdir",
    "ioctl",
    "prctl",
    "mprotect",
];

fn any_asked() -> impl Strategy<Value = (Counters, Arguments)> {
    let abi = prop_oneof![3 => Just(Abi::X86_64), 1 => Just(Abi::I386), 1 => Just(Abi::X32)];
    let value = prop_oneof![4 => 0..4_u64, 1 => Just(0xffff_ffff_0000_0001), 1 => any::<u64>()];
    let values = proptest::collection::btree_map([value.clone(), value], 1..3_u64, 1..4);
    let row = (abi, proptest::sample::select(NAMES.to_vec()), values, 0..8_u64);
    proptest::collection::vec(row, 1..6).prop_map(|rows| {
        let (mut counters, mut arguments) = (Counters::default(), Arguments::default());
        for (abi, name, values, gap) in rows {
            let Some(number) = syscall::number(abi, name) else { continue };
            let call = (abi, number);
            let registers = noted(abi, number).map_or(0, |noted| noted.arguments().count());
            let seen: BTreeMap<[u64; 2], u64> =
                values.into_iter().map(|([a, b], count)| ([a, if registers == 2 { b } else { 0 }], count)).collect();
            // Now and then a call without its arguments.
            let calls = seen.values().sum::<u64>() + u64::from(gap == 0);
            counters.tallies.insert(call, Tally { calls, ..Tally::default() });
            if registers > 0 {
                arguments.calls.insert(call, Values { seen, overflowed: u64::from(gap == 1) });
            }
        }
        (counters, arguments)
    })
}

/// With the calls of the runtime that have arguments to them: plain, or under the first rule's conditions.
fn with_the_runtime_s(profile: impl Strategy<Value = Profile>) -> impl Strategy<Value = Profile> {
    (profile, proptest::sample::subsequence(vec!["ioctl", "mmap", "mprotect", "prctl"], 1..5), any::<bool>()).prop_map(
        |(mut profile, names, plain)| {
            let names = names.into_iter().map(str::to_owned).collect();
            let args = if plain { Vec::new() } else { profile.rules[0].args.clone() };
            profile.rules.push(Rule { names, action: Action::Allow, errno: None, args });
            profile
        },
    )
}

/// All six arguments with these in the noted registers.
fn arguments_of(abi: Abi, nr: SyscallNr, value: &[u64; 2]) -> [u64; 6] {
    let mut args = [0; 6];
    let registers = noted(abi, nr).into_iter().flat_map(|noted| noted.arguments());
    registers.zip(value).for_each(|(register, value)| args[usize::from(register.index)] = *value);
    args
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn what_was_seen_passes_and_nothing_is_wider(
        active in prop_oneof![2 => any_profile(), 2 => with_the_runtime_s(any_profile()), 1 => Just(docker_default())],
        (counters, arguments) in any_asked(),
        tries in proptest::collection::vec((proptest::sample::select(NAMES.to_vec()), [0..5_u64, 0..5_u64]), 20),
    ) {
        let suggestion = match attempt(&of(&counters, arguments.clone()), Some(&active)) {
            Err(SuggestError::NothingSeen) => return Ok(()),
            other => other.unwrap(),
        };
        let (before, after) = (active.evaluate(HOST), &suggestion.policy);
        for (&(abi, nr), values) in &arguments.calls {
            for value in values.seen.keys() {
                let args = arguments_of(abi, nr, value);
                let (Ok(old), Ok(new)) = (before.decide(abi, nr, &args), after.decide(abi, nr, &args)) else { continue };
                if old.action.passes() {
                    prop_assert!(new.action.passes(), "{} {:?} {:x?}", abi, nr, args);
                }
            }
        }
        // What the runtime asks for passes, and of calls with conditions nothing else that was not seen.
        let given = |abi: Abi, name: &str| -> Vec<[u64; 2]> {
            let of = RuntimeFloor::RUNC.arguments.iter().filter(|(of, _)| abi == X86 && *of == name);
            of.flat_map(|(_, values)| values.iter().copied()).collect()
        };
        for (name, _) in RuntimeFloor::RUNC.arguments {
            for value in given(X86, name) {
                let args = arguments_of(X86, nr(X86, name), &value);
                let (Ok(old), Ok(new)) = (before.decide(X86, nr(X86, name), &args), after.decide(X86, nr(X86, name), &args))
                    else { continue };
                prop_assert!(!old.action.passes() || new.action.passes(), "{} {:x?}", name, args);
            }
        }
        let said = suggestion.notes.iter().find_map(|note| note.strip_prefix("--args: what was not seen to be asked of "));
        let conditions: Vec<&str> =
            said.into_iter().flat_map(|said| said.trim_end_matches(" is refused").split(", ")).collect();
        let fewer = |name: &str| suggestion.notes.iter().any(|note| note.starts_with(&format!("--args: {name} has fewer")));
        for name in conditions.iter().filter(|name| !fewer(name)) {
            let abi = X86;
            let Some(number) = syscall::number(abi, name) else { continue };
            let all = Abi::ALL.into_iter().filter_map(|abi| Some((abi, syscall::number(abi, name)?)));
            let mut seen: Vec<[u64; 2]> = all
                .filter_map(|call| arguments.calls.get(&call))
                .flat_map(|values| values.seen.keys().copied())
                .collect();
            seen.extend(given(abi, name));
            // Nothing like what was seen: a flag or an operation that nobody has, executable memory.
            let other = (0..32).map(|bit| 1_u64 << bit).find(|flag| {
                seen.iter().all(|value| value[0] & flag == 0 && value[0] & 0xffff_ffff != *flag)
            });
            let other = if name.contains("mmap") || name.contains("mprotect") { Some(4) } else { other };
            let Some(other) = other else { continue };
            let args = arguments_of(abi, number, &[other, other]);
            let Ok(new) = after.decide(abi, number, &args) else { continue };
            prop_assert!(!new.action.passes(), "{} {:x?}", name, args);
        }
        for (name, [a, b]) in tries {
            for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
                let Some(nr) = syscall::number(abi, name) else { continue };
                let args = [a, b, 0, 0, 0, 0];
                let (Ok(old), Ok(new)) = (before.decide(abi, nr, &args), after.decide(abi, nr, &args)) else { continue };
                prop_assert!(!new.action.passes() || old.action.passes(), "{} {} {:x?}", abi, name, args);
            }
        }
    }
}
