//! The laws of comparing and merging, over arbitrary profiles.

use auditor::filter::{Diagrams, Outcome};
use auditor::profile::compare::{self, Kind};
use auditor::profile::merge::{MergeError, join, merge};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Action, HostArch, Policy, Profile};
use auditor::syscall::{Abi, SyscallNr};
use proptest::prelude::*;

use crate::suggest::any_profile;
use crate::{docker_default, profile};

const HOST: HostArch = HostArch::of(Abi::X86_64);

/// Profiles that a runtime takes.
fn taken(profiles: Vec<Profile>) -> Vec<Profile> {
    profiles.into_iter().filter_map(|profile| parse_seccomp(profile.render_oci().as_bytes()).ok()).collect()
}

fn differences(a: &Profile, b: &Profile) -> Vec<compare::Difference> {
    compare::compare((a, &a.evaluate(HOST)), (b, &b.evaluate(HOST)))
}

/// How much is let through: all, what a supervisor lets, nothing.
fn reach(action: Action) -> u8 {
    if action.passes() { 2 } else { u8::from(!action.denies()) }
}

fn every_call() -> impl Iterator<Item = (Abi, SyscallNr)> {
    Abi::ALL.into_iter().flat_map(|abi| (0..600).map(move |nr| (abi, SyscallNr(nr))))
}

/// The result lets through for every argument what one of the inputs does, and nothing that none of them does.
fn assert_union(inputs: &[Policy], result: &Policy) {
    for (abi, nr) in every_call() {
        let mut diagrams = Diagrams::new();
        let mut all = inputs.iter().map(|input| input.diagram(&mut diagrams, abi, nr)).collect::<Result<Vec<_>, _>>();
        let (Ok(all), Ok(done)) = (&mut all, result.diagram(&mut diagrams, abi, nr)) else {
            panic!("{abi} {}: not known, and merged all the same", nr.0)
        };
        let most = |a: Outcome, b: Outcome| if reach(b.action) > reach(a.action) { b } else { a };
        let first = all.pop().unwrap();
        let union = all.iter().fold(first, |union, next| diagrams.combine(union, *next, most).unwrap());
        let other = diagrams.pair_witness(union, done, |union, done| reach(union.action) != reach(done.action));
        assert_eq!(other, None, "{abi} {}", nr.0);
    }
}

#[test]
fn merging_a_profile_with_itself_changes_nothing_it_does() {
    let default = docker_default();
    for inputs in [vec![default.clone()], vec![default.clone(), default.clone()]] {
        let merged = merge(&inputs, HOST, false).unwrap();
        assert_eq!(differences(&default, &merged.profile), []);
        assert_eq!(merged.notes, [""; 0]);
    }
}

#[test]
fn conditions_are_joined_and_not_lost() {
    let rule = |value| {
        profile(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
            {{"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": {value}, "op": "SCMP_CMP_EQ"}}]}},
            {{"names": ["statx"], "action": "SCMP_ACT_ALLOW"}}]}}"#
        ))
    };
    let merged = merge(&[rule(0), rule(8)], HOST, false).unwrap();
    let policy = merged.profile.evaluate(HOST);
    for abi in [Abi::X86_64, Abi::I386] {
        let decide = |value| policy.decide(abi, crate::nr(abi, "personality"), &[value, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!([decide(0), decide(8), decide(9)], [Outcome::ALLOW, Outcome::ALLOW, Outcome::errno(1)]);
    }
}

#[test]
fn what_has_no_rules_is_refused_unless_wider_is_asked_for() {
    let native = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["read", "mkdir"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let both = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let Err(MergeError::Inexpressible { calls, .. }) = merge(&[native.clone(), both.clone()], HOST, false) else {
        panic!("a rule for mkdir would be for i386, too")
    };
    assert_eq!(calls, "mkdir");
    let merged = merge(&[native, both], HOST, true).unwrap();
    assert!(merged.notes.iter().any(|note| note == "wider than the profiles, as was asked for: mkdir"));
}

#[test]
fn of_two_refusals_the_milder_one_stays() {
    let errno = Outcome::errno;
    let kill = Outcome { action: Action::KillProcess, data: 0 };
    for (a, b, expected) in [
        (errno(1), errno(38), errno(38)),
        (errno(13), errno(1), errno(1)),
        (kill, errno(5), errno(5)),
        (kill, Outcome::ALLOW, Outcome::ALLOW),
    ] {
        assert_eq!((join(a, b), join(b, a)), (expected, expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_is_the_union_whatever_the_order(profiles in proptest::collection::vec(any_profile(), 1..4)) {
        let inputs = taken(profiles);
        if inputs.is_empty() {
            return Ok(());
        }
        let merged = merge(&inputs, HOST, false);
        let backwards: Vec<Profile> = inputs.iter().rev().cloned().collect();
        prop_assert_eq!(&merged, &merge(&backwards, HOST, false));
        prop_assert!(!matches!(merged, Err(MergeError::Wrong { .. })), "{:?}", merged);
        if let Ok(merged) = merged {
            let policies: Vec<Policy> = inputs.iter().map(|input| input.evaluate(HOST)).collect();
            assert_union(&policies, &merged.profile.evaluate(HOST));
            // And no input lets through what the result does not.
            for input in &inputs {
                let lost = differences(input, &merged.profile).into_iter().find(|one| one.kind == Kind::Narrower);
                prop_assert_eq!(lost, None);
            }
        }
    }

    #[test]
    fn a_merge_with_itself_is_the_profile(profile in any_profile()) {
        for input in taken(vec![profile]) {
            if let Ok(merged) = merge(&[input.clone(), input.clone()], HOST, false) {
                let left = differences(&input, &merged.profile);
                prop_assert!(left.iter().all(|one| one.kind == Kind::Errno || one.kind == Kind::Action), "{:?}", left);
            }
        }
    }

    #[test]
    fn a_difference_is_where_the_profiles_decide_otherwise(profiles in proptest::collection::vec(any_profile(), 2)) {
        let [a, b] = taken(profiles).try_into().unwrap_or_else(|_| [docker_default(), docker_default()]);
        let (left, right) = (a.evaluate(HOST), b.evaluate(HOST));
        let found = differences(&a, &b);
        for one in &found {
            let (Some(abi), Some(nr)) = (one.abi, one.nr) else { continue };
            let args = one.args.unwrap_or_default();
            if let (Ok(left), Ok(right)) = (left.decide(abi, nr, &args), right.decide(abi, nr, &args)) {
                let wider = reach(right.action).cmp(&reach(left.action));
                match one.kind {
                    Kind::Wider => prop_assert!(wider.is_gt()),
                    Kind::Narrower => prop_assert!(wider.is_lt()),
                    Kind::Errno | Kind::Action => prop_assert!(left != right && wider.is_eq()),
                    Kind::Unknown | Kind::Profile => {}
                }
            }
        }
        // Nothing is left out.
        for (abi, nr) in every_call().filter(|(abi, _)| left.abis().any(|one| one == *abi)) {
            let known = auditor::syscall::known_name(abi, nr).is_some();
            if known && !found.iter().any(|one| (one.abi, one.nr) == (Some(abi), Some(nr))) {
                for args in [[0; 6], [1; 6], [2, 1, 0, 0, 0, 0]] {
                    let (left, right) = (left.decide(abi, nr, &args), right.decide(abi, nr, &args));
                    if let (Ok(left), Ok(right)) = (left, right) {
                        prop_assert_eq!(reach(left.action), reach(right.action), "{} {}", abi, nr.0);
                    }
                }
            }
        }
    }
}
