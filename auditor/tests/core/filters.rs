//! The evaluator against filters that runc 1.1.5 with libseccomp 2.5.4 made on Linux 6.18 (x86-64), started by
//! Docker 20.10. `data/NAME.json` is `linux.seccomp` of the container's bundle; `NAME.bpf` is what
//! `PTRACE_SECCOMP_GET_FILTER` read from its process: 8 bytes an instruction (`struct sock_filter`), little-endian.

use std::collections::BTreeSet;
use std::path::Path;

use auditor::filter::{Diagrams, Outcome, Program};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Decision, HostArch, Policy, Runtime, Verdict};
use auditor::syscall::{Abi, SyscallNr};

/// The machine the filters come from.
const HOST: HostArch = HostArch {
    native: Abi::X86_64,
    newest_known: Some(SyscallNr(456)),
    stub_always_native: false,
    runtime: Runtime::Runc,
};

/// Every difference between what the evaluator says and what the filter does, for every ABI and number up to 600.
fn differences(policy: &Policy, filter: &Program) -> Vec<String> {
    let mut diagrams = Diagrams::new();
    let calls = Abi::ALL.into_iter().flat_map(|abi| (0..600).map(move |nr| (abi, SyscallNr(nr))));
    calls
        .filter_map(|(abi, nr)| {
            let verdict = policy.verdict(abi, nr);
            let diagram = filter.analyze(&mut diagrams, abi, nr).unwrap();
            // The same function of the arguments, to the last bit of data.
            let declared = policy.diagram(&mut diagrams, abi, nr);
            // The data of a traced call is for the tracer; the caller gets ENOSYS whatever it is.
            let decisions: BTreeSet<Decision> = diagrams.outcomes(diagram).into_iter().map(Outcome::decision).collect();
            let passing = decisions.iter().filter(|decision| decision.action.passes()).count();
            let fits = match verdict {
                Verdict::Allowed(_) => passing == decisions.len(),
                Verdict::Denied(_) => passing == 0,
                Verdict::Conditional(_) => passing > 0 && passing < decisions.len(),
            };
            let constant = diagrams.as_constant(diagram) == Some(Outcome::ALLOW);
            let exact = decisions.contains(&verdict.decision()) && constant == policy.is_constant_allow(abi, nr);
            (!fits || !exact || declared != Ok(diagram))
                .then(|| format!("{abi} {}: {verdict:?}, filter {decisions:?}", nr.0))
        })
        .collect()
}

fn check(name: &str) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let read = |ending: &str| std::fs::read(data.join(format!("{name}.{ending}"))).unwrap();
    let policy = parse_seccomp(&read("json")).unwrap().evaluate(HOST);
    let found = differences(&policy, &Program::parse(&read("bpf")).unwrap());
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
