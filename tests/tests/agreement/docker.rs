//! Docker's default profile, as runc made a filter of it.

use std::path::Path;

use anyhow::{Context as _, Result};
use auditor::filter::{Diagrams, Program};
use auditor::profile::Action;
use auditor::syscall::{self, Abi, SyscallNr};

use crate::trial::{ABIS, Trial};

fn program() -> Result<Program> {
    let path = tests::root().join(Path::new("auditor/tests/data/docker-default-20.10-oci.bpf"));
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Program::parse(&bytes)?)
}

fn number(abi: Abi, name: &str) -> Result<SyscallNr> {
    syscall::number(abi, name).with_context(|| format!("{abi} has no {name}"))
}

/// What it refuses whatever the arguments, what it allows and does nothing, and the calls that it looks into.
pub fn trials() -> Result<Vec<Trial>> {
    // Without CLONE_VM a shared table of signal handlers makes no sense: EINVAL, and no new process.
    const CLONE_SIGHAND: u64 = 0x800;
    const CLONE_VM: u64 = 0x100;
    let program = program()?;
    let mut trials = Vec::new();
    for abi in ABIS {
        let trial = |name: &str| Trial::new(format!("Docker's default: {name} by {abi}"), vec![program.clone()]);
        let mut clone = trial("clone");
        clone.calls = vec![(abi, number(abi, "clone")?)];
        (clone.arguments, clone.always, clone.never) = (1000, CLONE_SIGHAND, CLONE_VM);
        let mut personality = trial("personality");
        personality.calls = vec![(abi, number(abi, "personality")?)];
        (personality.arguments, personality.changes) = (1000, true);
        let mut constant = trial("calls that are always refused or do nothing");
        let mut diagrams = Diagrams::new();
        for nr in (-2..700).map(SyscallNr) {
            let diagram = program.analyze(&mut diagrams, abi, nr)?;
            // The kernel lets these through whatever a filter says (`seccomp_uprobe_exception` in kernel/seccomp.c).
            let name = syscall::known_name(abi, nr).unwrap_or_default();
            if ["uretprobe", "uprobe"].contains(&name) {
                continue;
            }
            let refused = diagrams.as_constant(diagram).is_some_and(|outcome| outcome.action == Action::Errno);
            if refused || ["getpid", "getuid"].contains(&name) {
                constant.calls.push((abi, nr));
            }
        }
        constant.arguments = 10;
        trials.extend([clone, personality, constant]);
    }
    Ok(trials)
}
