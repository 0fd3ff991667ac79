//! One stack of filters, calls under it, and what the interpreter, the diagrams and the kernel say of each.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use auditor::filter::{Diagram, Diagrams, Instruction, Outcome, Program, SeccompData, Stack};
use auditor::profile::Action;
use auditor::syscall::{self, Abi, SyscallNr};
use tests::fate::{Call, Caller, Door, Fate, Job, Sigsys};

use crate::chance::Chance;

/// Filters, newest first, and the calls to make under them.
#[derive(Clone)]
pub struct Trial {
    pub name: String,
    pub stack: Stack,
    /// Each with as many different arguments.
    pub calls: Vec<(Abi, SyscallNr)>,
    pub arguments: usize,
    /// Bits of the first argument that every call must have, and must not, so that what is let through does nothing.
    pub always: u64,
    pub never: u64,
    /// A call that runs gives something, and not always the same.
    pub changes: bool,
}

/// What is beyond it is compared with the interpreter alone.
const MAX_STEPS: u32 = 1 << 14;

/// Calls that ignore their arguments, change nothing, and give a number above zero.
const HARMLESS: [&str; 8] = ["getpid", "getppid", "getpgrp", "gettid", "getuid", "geteuid", "getgid", "getegid"];

/// The ABIs that this machine can make calls by.
pub const ABIS: [Abi; 3] = [Abi::X86_64, Abi::I386, Abi::X32];

/// Some of the calls that do nothing.
pub fn harmless(chance: &mut Chance, count: usize) -> Vec<(Abi, SyscallNr)> {
    let abis = [Abi::X86_64, Abi::X86_64, Abi::I386, Abi::X32];
    (0..count)
        .filter_map(|_| {
            let abi = *chance.pick(&abis);
            let name: &str = chance.pick::<&str>(harmless_names());
            Some((abi, syscall::number(abi, name)?))
        })
        .collect()
}

/// The names to write rules for.
pub const fn harmless_names() -> &'static [&'static str] {
    &HARMLESS
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Seen {
    /// Cases with what the kernel did, by what that was.
    pub actions: BTreeMap<Action, usize>,
    /// Those of them in which the analysis had an answer; the interpreter has one in all.
    pub analyzed: usize,
}

impl Seen {
    pub fn cases(&self) -> usize {
        self.actions.values().sum()
    }

    pub fn add(&mut self, other: &Self) {
        for (action, count) in &other.actions {
            *self.actions.entry(*action).or_default() += count;
        }
        self.analyzed += other.analyzed;
    }
}

impl Trial {
    pub fn new(name: impl Into<String>, programs: Vec<Program>) -> Self {
        let stack = Stack(programs);
        Self { name: name.into(), stack, calls: Vec::new(), arguments: 20, always: 0, never: 0, changes: false }
    }

    /// Makes the calls and compares. What was compared is counted in `seen`.
    pub fn check(&self, caller: &mut Caller, chance: &mut Chance, seen: &mut Seen) -> Result<()> {
        let mut diagrams = Diagrams::with_limit(MAX_STEPS);
        let mut known: BTreeMap<(Abi, SyscallNr), Option<Diagram>> = BTreeMap::new();
        let numbers = self.numbers();
        let mut expected = Vec::new();
        for &(abi, nr) in &self.calls {
            let diagram = match known.get(&(abi, nr)) {
                Some(diagram) => *diagram,
                None => self.stack.analyze(&mut diagrams, abi, nr).ok(),
            };
            known.insert((abi, nr), diagram);
            for args in self.arguments(chance, &diagrams, diagram, &numbers) {
                let data = SeccompData::new(abi, nr, args);
                let (outcome, _) = self.stack.run(&data);
                if let Some(diagram) = diagram {
                    let analyzed = diagrams.evaluate(diagram, &args);
                    ensure!(analyzed == outcome, "{}: {data:x?}: analysis {analyzed:?}, run {outcome:?}", self.name);
                    seen.analyzed += 1;
                }
                expected.push((data, outcome));
            }
        }
        let job = Job {
            filters: self.stack.0.iter().rev().map(Program::to_bytes).collect(),
            resumes: self.lets_return(&mut diagrams),
            calls: expected.iter().map(|(data, outcome)| call(data, outcome.action.passes())).collect(),
        };
        let fates = caller.perform(&job).with_context(|| format!("{}: {}", self.name, self.listing()))?;
        for ((data, outcome), fate) in expected.iter().zip(fates) {
            let fits = self.fits(data, *outcome, fate);
            ensure!(fits, "{}: {data:x?}: expected {outcome:?}, got {fate:x?}\n{}", self.name, self.listing());
            *seen.actions.entry(outcome.action).or_default() += 1;
        }
        Ok(())
    }

    /// What the filters compare and compute with, but for the architecture and the number of the call.
    fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = Vec::new();
        for pair in self.stack.0.iter().flat_map(|program| program.instructions().windows(2)) {
            let (loads_head, works) = (pair[0].code == 0x20 && pair[0].k < 16, matches!(pair[1].code & 7, 4 | 5));
            if works && !loads_head && pair[1].k != 0 {
                numbers.push(pair[1].k);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn lets_return(&self, diagrams: &mut Diagrams) -> bool {
        let Some(nr) = syscall::number(Abi::X86_64, "rt_sigreturn") else { return false };
        let diagram = self.stack.analyze(diagrams, Abi::X86_64, nr).ok();
        diagram.and_then(|diagram| diagrams.as_constant(diagram)) == Some(Outcome::ALLOW)
    }

    /// Arguments with every outcome, and around the numbers that the filters hold.
    fn arguments(
        &self,
        chance: &mut Chance,
        diagrams: &Diagrams,
        diagram: Option<Diagram>,
        numbers: &[u32],
    ) -> Vec<[u64; 6]> {
        let mut all: Vec<[u64; 6]> = Vec::new();
        if let Some(diagram) = diagram {
            for wanted in diagrams.outcomes(diagram).into_iter().take(self.arguments / 2) {
                all.extend(diagrams.witness(diagram, |outcome| outcome == wanted));
            }
        }
        let witnesses = all.len();
        while all.len() < self.arguments {
            if witnesses > 0 && chance.one_in(3) {
                // Near the border of an outcome.
                let mut args = *chance.pick(&all[..witnesses]);
                args[chance.below(6)] ^= 1 << chance.below(64);
                all.push(args);
            } else {
                all.push(std::array::from_fn(|_| argument(chance, numbers)));
            }
        }
        for args in &mut all {
            args[0] = args[0] & !self.never | self.always;
        }
        all
    }

    fn fits(&self, data: &SeccompData, outcome: Outcome, fate: Fate) -> bool {
        match (outcome.action, fate) {
            (Action::Allow | Action::Log, Fate::Returned { result, unfiltered }) => {
                // A kernel without x32 says so, with a filter and without one.
                result == unfiltered || self.changes && result >= 0
            }
            (Action::Errno, Fate::Returned { result, .. }) => result == -i64::from(outcome.data),
            // Nobody traces or supervises: ENOSYS.
            (Action::Trace | Action::Notify, Fate::Returned { result, .. }) => result == -38,
            (Action::Trap, Fate::Trapped(signal)) => {
                const SYS_SECCOMP: i32 = 1;
                signal == Sigsys { errno: i32::from(outcome.data), code: SYS_SECCOMP, nr: data.nr, arch: data.arch }
            }
            (Action::KillThread, Fate::ThreadDied) | (Action::KillProcess, Fate::ProcessDied) => true,
            _ => false,
        }
    }

    fn listing(&self) -> String {
        let line = |at: &Instruction| format!("({:#x}, {}, {}, {:#x})", at.code, at.jt, at.jf, at.k);
        let filter = |program: &Program| program.instructions().iter().map(line).collect::<Vec<_>>().join(" ");
        self.stack.0.iter().map(filter).collect::<Vec<_>>().join("\n---\n")
    }
}

fn call(data: &SeccompData, harmless: bool) -> Call {
    let door = if data.arch == auditor::filter::audit_arch(Abi::I386) { Door::Interrupt } else { Door::Syscall };
    Call { door, nr: data.nr, args: data.args, harmless }
}

fn argument(chance: &mut Chance, numbers: &[u32]) -> u64 {
    let half = |chance: &mut Chance| match chance.below(7) {
        0 => chance.half(),
        1 => 0,
        2 => u32::MAX,
        _ if numbers.is_empty() => 0,
        3 => chance.pick(numbers).wrapping_add(chance.half() % 3).wrapping_sub(1),
        _ => *chance.pick(numbers),
    };
    let low = half(chance);
    let high = if chance.one_in(2) { 0 } else { half(chance) };
    u64::from(high) << 32 | u64::from(low)
}
