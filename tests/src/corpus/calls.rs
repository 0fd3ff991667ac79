//! What containers called: those that were recorded, and one alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use auditor::counters::Tally;
use auditor::evidence::{Evidence, Start};
use auditor::report::view::{ContainerView, VerdictKind};
use auditor::syscall::{self, Abi, SyscallNr};
use serde_json::Value;

/// A call as the kernel tells them apart.
pub type Call = (Abi, SyscallNr);

/// Its name; with the ABI, where that is not the machine's own.
#[must_use]
pub fn name(&(abi, nr): &Call) -> String {
    let name = syscall::display_name(abi, nr);
    if abi == Abi::NATIVE { name.into_owned() } else { format!("{name} ({abi})") }
}

/// The names of calls in a line, in the order of the alphabet.
pub fn names<'a>(calls: impl IntoIterator<Item = &'a Call>) -> String {
    let names: BTreeSet<String> = calls.into_iter().map(name).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// The same with how often.
#[must_use]
pub fn counted_names(calls: &BTreeMap<Call, u64>) -> String {
    let names: BTreeSet<String> = calls.iter().map(|(call, count)| format!("{} {count}", name(call))).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// What all recorded starts of a workload called.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Reached the kernel in any of them.
    pub passed: BTreeSet<Call>,
    /// Of these the ones that the program made.
    pub made: BTreeSet<Call>,
    /// Refused by the engine's own profile.
    pub denied: BTreeSet<Call>,
}

impl Recorded {
    /// From the starts that a suggestion is made of.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let mut this = Self::default();
        for start in evidence.counted() {
            this.made.extend(start.made());
            for (call, seen) in &start.calls {
                if seen.tally.calls > 0 {
                    this.passed.insert(*call);
                }
                if refusals(&seen.tally) > 0 {
                    this.denied.insert(*call);
                }
            }
        }
        this
    }

    /// What the runtime alone called.
    #[must_use]
    pub fn of_runtime(&self) -> BTreeSet<Call> {
        self.passed.difference(&self.made).copied().collect()
    }
}

const fn refusals(tally: &Tally) -> u64 {
    tally.denials.certain() + tally.denials.supervised
}

/// What the program of one start asked for, refused or not, by name: the runtime's calls are left out.
#[must_use]
pub fn asked_by_program(start: &Start) -> BTreeMap<String, u64> {
    let asked = start.calls.iter().map(|(call, seen)| {
        let own = seen.tally.calls.saturating_sub(seen.tally.runtime_calls);
        (name(call), own + refusals(&seen.tally))
    });
    asked.filter(|(_, count)| *count > 0).collect()
}

/// One container, as `show` has it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Reached the kernel.
    pub passed: BTreeSet<Call>,
    /// Refused, how often.
    pub denied: BTreeMap<Call, u64>,
    /// Allowed by the profile, always or for some arguments.
    pub allowed: BTreeSet<Call>,
}

impl Shown {
    /// From what `auditor show -o json` wrote.
    pub fn of(shown: &Value) -> Result<Self> {
        let view: ContainerView = serde_json::from_value(shown.clone()).context("parsing auditor show")?;
        let rows = view.syscalls.context("no syscalls in auditor show")?;
        let key = |row: &auditor::report::view::SyscallView| (row.abi, row.nr);
        let is_allowed = |verdict| matches!(verdict, VerdictKind::Allowed | VerdictKind::Conditional);
        Ok(Self {
            passed: rows.iter().filter(|row| row.calls > 0).map(key).collect(),
            denied: rows.iter().filter(|row| row.denied > 0).map(|row| (key(row), row.denied)).collect(),
            allowed: rows.iter().filter(|row| is_allowed(row.verdict)).map(key).collect(),
        })
    }
}
