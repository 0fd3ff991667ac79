//! Refused calls: their arguments in words, what refused them, what would allow them, and how they are folded.

mod advice;
mod argument;
mod decision;
mod fold;

use auditor::denial::decision::{Call, Declared, Explanation, Seen, explain};
use auditor::profile::{HostArch, Policy, Profile};
use auditor::syscall::Abi;

const HOST: HostArch = HostArch::of(Abi::X86_64);

fn call(abi: Abi, name: &str, args: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { abi, nr: crate::nr(abi, name), args: all }
}

fn native(name: &str, args: &[u64]) -> Call {
    call(Abi::X86_64, name, args)
}

fn explained(call: &Call, seen: Seen, profile: &Profile) -> Explanation {
    let policy = profile.evaluate(HOST);
    explain(call, seen, Some(Declared { profile, policy: &policy }))
}

/// Whether a profile lets the call through with its arguments.
fn allows(policy: &Policy, call: &Call) -> bool {
    let decisions = auditor::denial::decision::declared_decisions(call, policy);
    decisions.iter().all(|decision| decision.action.passes())
}
