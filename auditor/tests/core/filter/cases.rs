//! The conditions that people read.

use std::path::Path;

use auditor::filter::{Comparison, Diagrams, Instruction, Outcome, Program, Test, Unknown};
use auditor::syscall::{Abi, SyscallNr};

use super::arbitrary::stmt;
use crate::nr;

pub(super) fn read(name: &str) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    Program::parse(&std::fs::read(path).unwrap()).unwrap()
}

/// The cases of a call in a filter that runc made.
fn lines(name: &str, abi: Abi, call: &str) -> Vec<String> {
    let mut diagrams = Diagrams::new();
    let diagram = read(name).analyze(&mut diagrams, abi, nr(abi, call)).unwrap();
    let cases = diagrams.cases(diagram).unwrap();
    cases.iter().map(|case| format!("{case}: {} {}", case.outcome.action, case.outcome.data)).collect()
}

const DEFAULT: &str = "docker-default-20.10-oci.bpf";
const CONDITIONS: &str = "filters/conditions.bpf";

#[test]
fn dockers_default_reads_as_its_profile_is_written() {
    let clone = ["arg0 & 0x7e020000 == 0: SCMP_ACT_ALLOW 0", "otherwise: SCMP_ACT_ERRNO 1"];
    assert_eq!(lines(DEFAULT, Abi::X86_64, "clone"), clone);
    assert_eq!(
        lines(DEFAULT, Abi::X86_64, "personality"),
        [
            "arg0 == 0: SCMP_ACT_ALLOW 0",
            "arg0 == 8: SCMP_ACT_ALLOW 0",
            "arg0 == 0x20000: SCMP_ACT_ALLOW 0",
            "arg0 == 0x20008: SCMP_ACT_ALLOW 0",
            "arg0 == 0xffffffff: SCMP_ACT_ALLOW 0",
            "otherwise: SCMP_ACT_ERRNO 1",
        ]
    );
    assert_eq!(lines(DEFAULT, Abi::X86_64, "clone3"), ["otherwise: SCMP_ACT_ERRNO 38"]);
    assert_eq!(lines(DEFAULT, Abi::X86_64, "mkdir"), ["otherwise: SCMP_ACT_ALLOW 0"]);
}

#[test]
fn a_32_bit_call_is_compared_by_half_its_argument() {
    assert_eq!(lines(DEFAULT, Abi::I386, "personality")[2], "arg0 & 0xffffffff == 0x20000: SCMP_ACT_ALLOW 0");
}

#[test]
fn every_operator_is_found_again() {
    let rows = [
        ("swapon", "arg0 == 1 && arg1 > 0x200000000: SCMP_ACT_ALLOW 0"),
        ("kexec_load", "arg1 <= 9 && arg3 > 4: SCMP_ACT_ALLOW 0"),
        ("unshare", "arg5 & 0xffff == 1: SCMP_ACT_ALLOW 0"),
        ("reboot", "arg0 & 0xff00000000 == 0: SCMP_ACT_ALLOW 0"),
        ("bpf", "arg0 == 1: SCMP_ACT_LOG 0"),
        ("acct", "arg0 >= 1 && arg0 <= 2: SCMP_ACT_ALLOW 0"),
    ];
    for (call, first) in rows {
        assert_eq!(lines(CONDITIONS, Abi::X86_64, call), [first, "otherwise: SCMP_ACT_ERRNO 1"], "{call}");
    }
    let but_one = ["arg0 == 5: SCMP_ACT_ERRNO 1", "otherwise: SCMP_ACT_ALLOW 0"];
    assert_eq!(lines(CONDITIONS, Abi::X86_64, "sethostname"), but_one);
}

#[test]
fn every_call_in_every_real_filter_has_cases() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/filters");
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for file in files.filter(|file| file.ends_with(".bpf")) {
        let (program, mut diagrams) = (read(&format!("filters/{file}")), Diagrams::new());
        for (abi, nr) in Abi::ALL.into_iter().flat_map(|abi| (-1..600).map(move |nr| (abi, SyscallNr(nr)))) {
            let diagram = program.analyze(&mut diagrams, abi, nr).unwrap();
            let cases = diagrams.cases(diagram).unwrap();
            assert_eq!(cases.len() == 1, diagrams.as_constant(diagram).is_some(), "{file}: {abi} {}", nr.0);
        }
    }
}

#[test]
fn eight_hundred_values_are_eight_hundred_cases() {
    let mut all = Vec::new();
    for value in 0..800 {
        all.extend([stmt(0x20, 20), Instruction { code: 0x15, jt: 0, jf: 3, k: 0 }, stmt(0x20, 16)]);
        all.extend([Instruction { code: 0x15, jt: 0, jf: 1, k: 3 * value }, stmt(0x06, 0x7fff_0000)]);
    }
    all.push(stmt(0x06, 0x0005_0001));
    let mut diagrams = Diagrams::new();
    let diagram = Program::new(all).unwrap().analyze(&mut diagrams, Abi::X86_64, nr(Abi::X86_64, "ioctl")).unwrap();
    let cases = diagrams.cases(diagram).unwrap();
    assert_eq!((cases.len(), cases[7].to_string().as_str()), (801, "arg0 == 21"));
}

#[test]
fn a_filter_that_asks_from_where_is_unknown_unless_it_does_not_matter() {
    let jump = |code, k, jt, jf| Instruction { code, jt, jf, k };
    let call = nr(Abi::X86_64, "mkdir");
    let ask = |here, elsewhere| {
        let body = vec![stmt(0x20, 8), jump(0x15, 0x1000, 0, 1), stmt(0x06, here), stmt(0x06, elsewhere)];
        let mut diagrams = Diagrams::new();
        let diagram = Program::new(body).unwrap().analyze(&mut diagrams, Abi::X86_64, call);
        diagram.map(|diagram| diagrams.as_constant(diagram))
    };
    assert_eq!(ask(0x7fff_0000, 0x0005_0001), Err(Unknown::InstructionPointer));
    assert_eq!(ask(0x0005_0001, 0x0005_0001), Ok(Some(Outcome::errno(1))));
}

#[test]
fn two_arguments_that_are_compared_are_too_complex() {
    let equal = Instruction { code: 0x1d, jt: 0, jf: 1, k: 0 };
    let ends = [stmt(0x06, 0x7fff_0000), stmt(0x06, 0x0005_0001)];
    let body = [&[stmt(0x20, 16), stmt(0x07, 0), stmt(0x20, 24), equal][..], &ends].concat();
    let analyzed = Program::new(body).unwrap().analyze(&mut Diagrams::with_limit(10_000), Abi::X86_64, SyscallNr(1));
    assert!(matches!(analyzed, Err(Unknown::TooComplex(_))));
}

#[test]
fn a_list_that_nobody_could_read_is_not_given() {
    let mut diagrams = Diagrams::new();
    let mut diagram = diagrams.constant(Outcome::ALLOW).unwrap();
    let refused = diagrams.constant(Outcome::errno(1)).unwrap();
    for value in 0..2000 {
        let test = Test { argument: 0, mask: u64::MAX, comparison: Comparison::Equal, value: value * value };
        diagram = diagrams.test(test, refused, diagram).unwrap();
    }
    assert_eq!(diagrams.evaluate(diagram, &[1999 * 1999, 0, 0, 0, 0, 0]), Outcome::errno(1));
    assert!(diagrams.cases(diagram).is_err());
}
