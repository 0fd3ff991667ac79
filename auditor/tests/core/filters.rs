//! The evaluator against filters that runc 1.1.5 with libseccomp 2.5.4 made on Linux 6.18 (x86-64), started by
//! Docker 20.10. `data/NAME.json` is `linux.seccomp` of the container's bundle; `NAME.bpf` is what
//! `PTRACE_SECCOMP_GET_FILTER` read from its process: 8 bytes an instruction (`struct sock_filter`), little-endian.

use std::collections::BTreeSet;
use std::path::Path;

use auditor::profile::oci::parse_seccomp;
use auditor::profile::{HostArch, Policy, Runtime, Verdict};
use auditor::syscall::{Abi, SyscallNr};

/// The machine the filters come from.
const HOST: HostArch = HostArch {
    native: Abi::X86_64,
    newest_known: Some(SyscallNr(456)),
    stub_always_native: false,
    runtime: Runtime::Runc,
};

#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

fn parse_filter(bytes: &[u8]) -> Vec<Instruction> {
    let instruction = |b: &[u8]| Instruction {
        code: u16::from_le_bytes([b[0], b[1]]),
        jump_true: b[2],
        jump_false: b[3],
        k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

/// What a filter can answer to a call: its return values, and whether it looked at an argument.
struct Answers {
    values: BTreeSet<u32>,
    looked: bool,
}

/// Runs a filter for a number without arguments: where an argument decides, both ways are taken.
fn answers(filter: &[Instruction], abi: Abi, nr: SyscallNr) -> Answers {
    let (arch, number) = match abi {
        Abi::X86_64 => (0xc000_003e, nr.0.cast_unsigned()),
        Abi::X32 => (0xc000_003e, nr.0.cast_unsigned() | 1 << 30),
        Abi::I386 => (0x4000_0003, nr.0.cast_unsigned()),
        Abi::Aarch64 => (0xc000_00b7, nr.0.cast_unsigned()),
        Abi::Arm => (0x4000_0028, nr.0.cast_unsigned()),
    };
    let mut found = Answers { values: BTreeSet::new(), looked: false };
    let mut todo: Vec<(usize, Option<u32>)> = vec![(0, Some(0))];
    let mut done = BTreeSet::new();
    while let Some((mut at, mut accumulator)) = todo.pop() {
        loop {
            let Instruction { code, jump_true, jump_false, k } = filter[at];
            at += 1;
            match code {
                0x20 => {
                    accumulator = match k {
                        0 => Some(number),
                        4 => Some(arch),
                        _ => {
                            found.looked = true;
                            None
                        }
                    }
                }
                0x05 => at += k as usize,
                0x54 => accumulator = accumulator.map(|value| value & k),
                0x06 => {
                    found.values.insert(k);
                    break;
                }
                0x15 | 0x25 | 0x35 | 0x45 => {
                    let (yes, no) = (at + usize::from(jump_true), at + usize::from(jump_false));
                    let Some(value) = accumulator else {
                        todo.extend([yes, no].into_iter().filter(|at| done.insert(*at)).map(|at| (at, None)));
                        break;
                    };
                    let holds = match code {
                        0x15 => value == k,
                        0x25 => value > k,
                        0x35 => value >= k,
                        _ => value & k != 0,
                    };
                    at = if holds { yes } else { no };
                }
                other => panic!("instruction {other:#x} is none that libseccomp makes"),
            }
        }
    }
    found
}

const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;

/// The value that a filter returns for a decision.
fn value(verdict: Verdict) -> u32 {
    let decision = verdict.decision();
    let data = |base: u32| base | u32::from(decision.errno.unwrap_or(0));
    match decision.action.as_str() {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_ERRNO" => data(0x0005_0000),
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        // The data of a traced call is for the tracer; the caller gets ENOSYS whatever it is.
        "SCMP_ACT_TRACE" => 0x7ff0_0000,
        other => panic!("no filter here has {other}"),
    }
}

fn without_trace_data(value: u32) -> u32 {
    if value >> 16 == 0x7ff0 { value & 0xffff_0000 } else { value }
}

/// Every difference between what the evaluator says and what the filter does, for every ABI and number up to 600.
fn differences(policy: &Policy, filter: &[Instruction]) -> Vec<String> {
    let calls = Abi::ALL.into_iter().flat_map(|abi| (0..600).map(move |nr| (abi, SyscallNr(nr))));
    calls
        .filter_map(|(abi, nr)| {
            let verdict = policy.verdict(abi, nr);
            let Answers { values, looked } = answers(filter, abi, nr);
            let values: BTreeSet<u32> = values.into_iter().map(without_trace_data).collect();
            let passing = values.iter().filter(|value| [ALLOW, LOG].contains(value)).count();
            let fits = match verdict {
                Verdict::Allowed(_) => passing == values.len(),
                Verdict::Denied(_) => passing == 0,
                Verdict::Conditional(_) => passing > 0 && passing < values.len(),
            };
            let constant = values.contains(&ALLOW) && values.len() == 1 && !looked;
            let exact = values.contains(&value(verdict)) && constant == policy.is_constant_allow(abi, nr);
            (!fits || !exact).then(|| format!("{abi} {}: {verdict:?}, filter {values:x?}", nr.0))
        })
        .collect()
}

fn check(name: &str) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let read = |ending: &str| std::fs::read(data.join(format!("{name}.{ending}"))).unwrap();
    let policy = parse_seccomp(&read("json")).unwrap().evaluate(HOST);
    let found = differences(&policy, &parse_filter(&read("bpf")));
    assert!(found.is_empty(), "{name}: {} differences: {:#?}", found.len(), &found[..found.len().min(20)]);
}

macro_rules! filters {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { check($name); })*
        #[test]
        fn every_filter_in_the_folder_has_a_test() {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/filters");
            let files = std::fs::read_dir(data).unwrap().count();
            let tested = [$($name),*].into_iter().filter(|name| name.starts_with("filters/")).count();
            assert_eq!(files, 2 * tested);
        }
    };
}

filters! {
    docker_default_is_the_filter_that_runc_made: "docker-default-20.10-oci",
    without_architectures_the_native_abi_is_all: "filters/without-architectures",
    a_foreign_abi_gets_the_bad_architecture_action: "filters/native-alone",
    architectures_of_other_machines_change_nothing: "filters/two-architectures-and-foreign-ones",
    socketcall_and_ipc_are_ruled_by_the_calls_behind_them: "filters/multiplexed",
    conditions_are_joined_split_and_overridden_as_runc_does: "filters/conditions",
    every_action_and_errno_is_what_the_filter_returns: "filters/actions",
    default_allow_has_no_enosys_stub: "filters/default-allow",
    default_log_has_no_enosys_stub: "filters/default-log",
    default_kill_process_has_an_enosys_stub: "filters/default-kill-process",
    default_trace_has_no_enosys_stub: "filters/default-trace",
    default_trap_has_an_enosys_stub: "filters/default-trap",
    a_suggestion_is_the_filter_that_runc_made: "filters/suggestion",
    a_rule_with_the_default_action_still_places_the_stub: "filters/highest-named-by-the-default",
}
