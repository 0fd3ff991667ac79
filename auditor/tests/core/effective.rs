//! What tasks are under, held against what was declared: each reason by itself, and together.

use std::collections::BTreeSet;

use auditor::effective::{Asked, Comparison, Declared, Effective, Held, Reason, Stacked, Task, compare, differences};
use auditor::filter::{Instruction, Program};
use auditor::profile::{Decision, HostArch, Policy};
use auditor::syscall::Abi;

use super::{docker_default, nr, profile};

const DOCKER_FILTER: &[u8] = include_bytes!("../data/docker-default-20.10-oci.bpf");
/// The machine that the recorded filter comes from.
const HOST: HostArch = HostArch::of(Abi::X86_64);

const LOAD_NR: Instruction = Instruction { code: 0x20, jt: 0, jf: 0, k: 0 };
const LOAD_ARCH: Instruction = Instruction { code: 0x20, jt: 0, jf: 0, k: 4 };
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

const fn jump_if_equal(k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: 0x15, jt, jf, k }
}

const fn answer(k: u32) -> Instruction {
    Instruction { code: 0x06, jt: 0, jf: 0, k }
}

/// One call gets one answer, all others another, on x86-64; other ABIs end the thread.
fn program(call: u32, own: u32, others: u32) -> Program {
    let instructions = vec![
        LOAD_ARCH,
        jump_if_equal(0xc000_003e, 1, 0),
        answer(0),
        LOAD_NR,
        Instruction { code: 0x35, jt: 0, jf: 1, k: 0x4000_0000 },
        answer(0),
        jump_if_equal(call, 0, 1),
        answer(own),
        answer(others),
    ];
    Program::new(instructions).unwrap()
}

fn docker_filter() -> Program {
    Program::parse(DOCKER_FILTER).unwrap()
}

fn task(tid: u32) -> Task {
    Task { pid: 10, tid, comm: format!("task-{tid}") }
}

/// Tasks from 10 on, each with the filters of these indices, newest first.
fn effective(filters: Vec<Program>, stacks: &[&[usize]]) -> Effective {
    let stack =
        |(at, filters): (u32, &&[usize])| Stacked { filters: filters.to_vec(), cut: false, tasks: vec![task(10 + at)] };
    Effective {
        filters: filters.into_iter().map(Held::Program).collect(),
        stacks: (0..).zip(stacks).map(stack).collect(),
    }
}

fn compared(declared: Declared<'_>, effective: &Effective) -> Comparison {
    let asked =
        Asked { declared, effective: Ok(Some(effective)), foreign_abis: &BTreeSet::new(), default_changed: false };
    compare(&asked, differences)
}

fn reasons(comparison: &Comparison) -> Vec<&'static str> {
    comparison.reasons.iter().map(Reason::as_str).collect()
}

fn docker_policy() -> Policy {
    docker_default().evaluate(HOST)
}

#[test]
fn the_filter_of_the_declared_profile_matches_and_only_the_stub_is_named() {
    let policy = docker_policy();
    let found = compared(Declared::Profile(&policy), &effective(vec![docker_filter()], &[&[0], &[0]]));
    assert_eq!((found.matches, found.own), (Some(true), Some(0)));
    assert_eq!(reasons(&found), ["runtime-stub"]);
    assert!(!found.reasons[0].is_alarming());
}

#[test]
fn filters_on_top_are_the_programs_own_and_filters_below_are_inherited() {
    let policy = docker_policy();
    let (top, below) = (program(124, ERRNO | 5, ALLOW), program(39, ERRNO | 7, ALLOW));
    let held = effective(vec![top, docker_filter(), below], &[&[1], &[0, 1]]);
    let found = compared(Declared::Profile(&policy), &held);
    assert_eq!((found.matches, found.own), (Some(false), Some(1)));
    assert_eq!(reasons(&found), ["stacked-filter", "runtime-stub"]);
    assert_eq!(found.reasons[0], Reason::StackedFilter { filters: 1, tasks: vec![task(11)] });

    let held = Effective { stacks: effective(Vec::new(), &[&[1, 2], &[0, 1, 2]]).stacks, ..held };
    let found = compared(Declared::Profile(&policy), &held);
    assert_eq!(reasons(&found), ["stacked-filter", "inherited-filter", "runtime-stub"]);
    assert_eq!(found.matches, Some(false));
}

#[test]
fn tasks_without_a_filter_are_named_and_none_with_one_is_another_thing() {
    let policy = docker_policy();
    let found = compared(Declared::Profile(&policy), &effective(vec![docker_filter()], &[&[0], &[]]));
    assert_eq!(found.reasons[0], Reason::UnfilteredTask { tasks: vec![task(11)] });
    assert_eq!(found.matches, Some(false));
    let found = compared(Declared::Profile(&policy), &effective(Vec::new(), &[&[]]));
    assert_eq!((found.matches, reasons(&found)), (Some(false), vec!["no-filter"]));
}

#[test]
fn another_filter_is_told_by_the_calls_that_differ() {
    let policy = docker_policy();
    let found = compared(Declared::Profile(&policy), &effective(vec![program(83, ERRNO | 1, ALLOW)], &[&[0]]));
    assert_eq!((found.matches, found.own), (Some(false), None));
    let Reason::OtherFilter { differences } = &found.reasons[0] else { panic!("{:?}", found.reasons) };
    let of = |name: &str| differences.iter().find(|d| (d.abi, d.nr) == (Abi::X86_64, nr(Abi::X86_64, name)));
    let mkdir = of("mkdir").unwrap();
    assert_eq!((mkdir.declared, mkdir.enforced), (Decision::ALLOW, Decision::errno(1)));
    assert_eq!(of("read"), None);
    // For some arguments they agree; those that are given are others.
    let clone = of("clone").unwrap();
    assert_ne!(clone.args[0] & 0x7e02_0000, 0, "{clone:?}");
}

#[test]
fn a_runtime_without_a_stub_is_no_difference() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
        "syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let policy = profile(text).evaluate(HOST);
    assert!(policy.stub_above(Abi::X86_64).is_some());
    let found = compared(Declared::Profile(&policy), &effective(vec![program(39, ALLOW, ERRNO | 1)], &[&[0]]));
    assert_eq!((found.matches, found.own), (Some(true), Some(0)), "{:?}", found.reasons);
    // A call that the profile names has its own answer, with a stub or without.
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
        "syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
    let denying = profile(text).evaluate(HOST);
    let found = compared(Declared::Profile(&denying), &effective(vec![program(39, ALLOW, ALLOW)], &[&[0]]));
    assert_eq!((found.matches, reasons(&found)), (Some(false), vec!["other-filter"]));
    // Another errno than the default's and the stub's is no runtime's doing.
    let found = compared(Declared::Profile(&policy), &effective(vec![program(39, ALLOW, ERRNO | 2)], &[&[0]]));
    assert_eq!(found.matches, Some(false));
}

#[test]
fn without_a_declared_profile_every_filter_is_the_programs_own() {
    let held = effective(vec![program(124, ERRNO | 5, ALLOW)], &[&[], &[0]]);
    let found = compared(Declared::Nothing, &held);
    assert_eq!((found.matches, reasons(&found)), (Some(false), vec!["stacked-filter"]));
    let found = compared(Declared::Nothing, &effective(Vec::new(), &[&[]]));
    assert_eq!((found.matches, reasons(&found)), (Some(true), Vec::new()));
    for (profile_given, matches) in [(false, Some(true)), (true, Some(false))] {
        let found = compared(Declared::Privileged { profile_given }, &effective(Vec::new(), &[&[]]));
        assert_eq!((found.matches, reasons(&found)), (matches, vec!["privileged"]));
    }
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_a_match() {
    let policy = docker_policy();
    let mut held = effective(vec![docker_filter()], &[&[0]]);
    held.filters[0] = Held::Unreadable;
    let found = compared(Declared::Profile(&policy), &held);
    assert_eq!((found.matches, reasons(&found)), (None, vec!["effective-unknown"]));
    let mut held = effective(vec![docker_filter()], &[&[0]]);
    held.stacks[0].cut = true;
    assert_eq!(compared(Declared::Profile(&policy), &held).matches, None);
    let found = compared(Declared::Unknown, &effective(vec![docker_filter()], &[&[0]]));
    assert_eq!((found.matches, reasons(&found)), (None, vec!["declared-unknown"]));
    let nothing_seen = Asked {
        declared: Declared::Profile(&policy),
        effective: Ok(None),
        foreign_abis: &BTreeSet::new(),
        default_changed: false,
    };
    let found = compare(&nothing_seen, differences);
    assert_eq!((found.matches, found.pending), (None, true));
    let failed = Asked { effective: Err("the kernel said no"), ..nothing_seen };
    let found = compare(&failed, differences);
    assert_eq!((found.matches, found.pending), (None, false));
    // A difference that was found is one, whatever else is unknown.
    let mut held = effective(vec![docker_filter()], &[&[0], &[]]);
    held.stacks[0].cut = true;
    assert_eq!(compared(Declared::Profile(&policy), &held).matches, Some(false));
}

#[test]
fn a_foreign_abi_and_a_changed_default_are_reasons_of_their_own() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
        "syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let policy = profile(text).evaluate(HOST);
    let held = effective(vec![program(39, ALLOW, ERRNO | 1)], &[&[0]]);
    let foreign = BTreeSet::from([Abi::I386]);
    let asked = Asked {
        declared: Declared::Profile(&policy),
        effective: Ok(Some(&held)),
        foreign_abis: &foreign,
        default_changed: true,
    };
    let found = compare(&asked, differences);
    assert_eq!(reasons(&found), ["default-changed", "foreign-abi", "runtime-stub"]);
    assert_eq!(found.matches, Some(false));
}
