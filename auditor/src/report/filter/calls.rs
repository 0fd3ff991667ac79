//! Call by call: what a stack of filters does.

use std::collections::BTreeSet;

use serde::Serialize;

use super::FilterError;
use crate::filter::{Case, Diagram, Diagrams, Outcome, SeccompData, Stack, Test};
use crate::profile::Decision;
use crate::report::escape::{LABEL_WIDTH, capped};
use crate::report::near::near;
use crate::report::view::VerdictKind;
use crate::syscall::{self, Abi, SyscallNr};

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnforcedCall {
    /// Calling convention.
    pub abi: Abi,
    /// Number within it.
    pub nr: SyscallNr,
    /// The kernel's name.
    pub name: String,
    /// Whether it runs.
    pub verdict: VerdictKind,
    /// The action, where it is the same for all arguments.
    pub action: Option<String>,
    /// The errno that goes with it.
    pub errno: Option<u16>,
    /// Where it is not: each action, and the arguments that it is for.
    pub cases: Vec<EnforcedCase>,
    /// The number of the filter that decides, where one does for all arguments and refuses the call.
    pub filter: Option<usize>,
    /// Why nothing can be said.
    pub unknown: Option<String>,
}

/// One action, and when it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnforcedCase {
    /// The action.
    pub action: String,
    /// The errno that goes with it.
    pub errno: Option<u16>,
    /// Conditions that hold together. None: whatever the other cases are not for.
    pub when: Vec<String>,
}

/// The ABIs by which a program can make calls on this machine.
pub(super) fn abis() -> impl Iterator<Item = Abi> {
    let all = match Abi::NATIVE {
        Abi::Aarch64 | Abi::Arm => [Abi::Aarch64, Abi::Arm].as_slice(),
        Abi::X86_64 | Abi::I386 | Abi::X32 => &[Abi::X86_64, Abi::I386, Abi::X32],
    };
    all.iter().copied()
}

/// The calls of these names, on each ABI that has one; all calls where there are no names.
pub(super) fn wanted(names: &[String]) -> Result<Vec<(Abi, SyscallNr, &'static str)>, FilterError> {
    let every = || abis().flat_map(|abi| syscall::all(abi).map(move |(nr, name)| (abi, nr, name)));
    for name in names {
        if !every().any(|(_, _, known)| known == name) {
            let known: BTreeSet<&str> = every().map(|(_, _, known)| known).collect();
            return Err(FilterError::NoSuchCall { name: capped(name, LABEL_WIDTH), near: near(known, name) });
        }
    }
    Ok(every().filter(|(_, _, known)| names.is_empty() || names.iter().any(|name| name == known)).collect())
}

/// What a stack does to these calls. `filters` are the indices of its programs among all filters.
pub(super) fn enforced(
    stack: &Stack,
    filters: &[usize],
    wanted: &[(Abi, SyscallNr, &'static str)],
) -> Vec<EnforcedCall> {
    let mut diagrams = Diagrams::new();
    let call = |&(abi, nr, name): &(Abi, SyscallNr, &str)| {
        let mut call = EnforcedCall {
            abi,
            nr,
            name: name.to_owned(),
            verdict: VerdictKind::Unknown,
            action: None,
            errno: None,
            cases: Vec::new(),
            filter: None,
            unknown: None,
        };
        match stack.analyze(&mut diagrams, abi, nr) {
            Ok(diagram) => describe(&mut call, &mut diagrams, diagram),
            Err(unknown) => call.unknown = Some(unknown.to_string()),
        }
        if call.verdict == VerdictKind::Denied && call.cases.is_empty() {
            let (_, by) = stack.run(&SeccompData::new(abi, nr, [0; 6]));
            call.filter = by.and_then(|by| filters.get(by)).map(|index| index + 1);
        }
        call
    };
    wanted.iter().map(call).collect()
}

fn describe(call: &mut EnforcedCall, diagrams: &mut Diagrams, diagram: Diagram) {
    let outcomes = diagrams.outcomes(diagram);
    call.verdict = verdict(&outcomes);
    let decisions: BTreeSet<Decision> = outcomes.iter().map(|outcome| outcome.decision()).collect();
    if let (Some(decision), 1) = (decisions.first(), decisions.len()) {
        call.action = Some(decision.action.as_str().to_owned());
        call.errno = decision.errno;
        return;
    }
    match diagrams.cases(diagram) {
        Ok(cases) => call.cases = cases.iter().map(|case| EnforcedCase::of(case, call.abi)).collect(),
        Err(error) => call.unknown = Some(error.to_string()),
    }
}

fn verdict(outcomes: &BTreeSet<Outcome>) -> VerdictKind {
    if outcomes.iter().all(|outcome| outcome.action.passes()) {
        VerdictKind::Allowed
    } else if outcomes.iter().all(|outcome| outcome.action.denies()) {
        VerdictKind::Denied
    } else {
        VerdictKind::Conditional
    }
}

impl EnforcedCase {
    fn of(case: &Case, abi: Abi) -> Self {
        // The arguments of a 32-bit call have 32 bits: that these are looked at goes without saying.
        let narrow = matches!(abi, Abi::I386 | Abi::Arm);
        let whole = |test: &Test| match test.mask {
            0xffff_ffff if narrow => Test { mask: u64::MAX, ..*test }.to_string(),
            _ => test.to_string(),
        };
        let decision = case.outcome.decision();
        Self {
            action: decision.action.as_str().to_owned(),
            errno: decision.errno,
            when: case.conditions.iter().map(whole).collect(),
        }
    }
}
