//! A profile's meaning: for every ABI and number, what happens to the call.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{ArgCondition, Decision, Verdict};
use crate::syscall::{self, Abi, SyscallNr};

/// What a filter does, call by call. Total: it has an answer for every ABI and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) native: Abi,
    pub(super) default: Decision,
    /// What happens to calls by an ABI that the filter does not contain.
    pub(super) bad_arch: Decision,
    pub(super) tables: BTreeMap<Abi, Table>,
}

/// One ABI's part of the filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<SyscallNr, Entry>,
    /// Numbers above it are answered by the runtime's ENOSYS stub.
    pub(super) stub_above: Option<SyscallNr>,
}

/// What a filter holds for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Whatever the arguments.
    Always(Decision),
    /// Where all conditions of a chain hold, its decision; else the default.
    Chains(BTreeSet<Chain>),
}

/// Conditions that must hold together, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chain {
    pub(crate) conditions: Vec<ArgCondition>,
    pub(crate) decision: Decision,
}

/// How many calls of the native ABI's table a policy allows, allows for some arguments, and denies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Always allowed.
    pub allowed: u32,
    /// Allowed for some arguments.
    pub conditional: u32,
    /// Always denied.
    pub denied: u32,
}

/// ENOSYS, in the generic and the x86 and Arm errno tables.
pub(super) const ENOSYS: u16 = 38;

impl Policy {
    /// The policy of a task without a filter.
    #[must_use]
    pub fn unconfined(native: Abi) -> Self {
        Self { native, default: Decision::ALLOW, bad_arch: Decision::ALLOW, tables: BTreeMap::new() }
    }

    /// What happens to a call. [`SyscallNr::OUTSIDE`] stands for numbers beyond every table.
    #[must_use]
    pub fn verdict(&self, abi: Abi, nr: SyscallNr) -> Verdict {
        match &*self.entry(abi, nr) {
            Entry::Always(decision) if decision.action.passes() => Verdict::Allowed(*decision),
            Entry::Always(decision) if decision.action.denies() => Verdict::Denied(*decision),
            Entry::Always(decision) => Verdict::Conditional(*decision),
            Entry::Chains(chains) => self.verdict_of(chains),
        }
    }

    fn verdict_of(&self, chains: &BTreeSet<Chain>) -> Verdict {
        let mut outcomes = chains.iter().map(|chain| chain.decision).chain([self.default]);
        if outcomes.clone().all(|decision| decision.action.passes()) {
            Verdict::Allowed(self.default)
        } else if outcomes.all(|decision| decision.action.denies()) {
            Verdict::Denied(self.default)
        } else {
            Verdict::Conditional(self.default)
        }
    }

    /// The filter's part for one call.
    pub(crate) fn entry(&self, abi: Abi, nr: SyscallNr) -> Cow<'_, Entry> {
        let always = |decision| Cow::Owned(Entry::Always(decision));
        let Some(table) = self.tables.get(&abi) else { return always(self.bad_arch) };
        if table.stub_above.is_some_and(|highest| nr > highest || nr.0 < 0) {
            return always(Decision::errno(ENOSYS));
        }
        table.entries.get(&nr).map_or_else(|| always(self.default), Cow::Borrowed)
    }

    /// The kernel's bitmap for the filter (`struct action_cache` in kernel/seccomp.c) has the bit of this call: the
    /// filter answers ALLOW without looking at an argument. A call that is logged has no bit there.
    #[must_use]
    pub fn is_constant_allow(&self, abi: Abi, nr: SyscallNr) -> bool {
        *self.entry(abi, nr) == Entry::Always(Decision::ALLOW)
    }

    /// What happens to calls that no rule names.
    #[must_use]
    pub const fn default_decision(&self) -> Decision {
        self.default
    }

    /// The ABI of the host's 64-bit programs.
    #[must_use]
    pub const fn native(&self) -> Abi {
        self.native
    }

    /// The ABIs that the filter contains; to calls by another one happens what a foreign architecture gets.
    pub fn abis(&self) -> impl Iterator<Item = Abi> + '_ {
        Abi::ALL.into_iter().filter(|abi| self.contains(*abi))
    }

    pub(crate) fn contains(&self, abi: Abi) -> bool {
        self.tables.contains_key(&abi) || self.bad_arch == Decision::ALLOW
    }

    /// The number above which runc's stub answers ENOSYS.
    #[must_use]
    pub fn stub_above(&self, abi: Abi) -> Option<SyscallNr> {
        self.tables.get(&abi).and_then(|table| table.stub_above)
    }

    /// The calls of the ABI's table that are allowed whatever their arguments.
    pub fn always_allowed(&self, abi: Abi) -> impl Iterator<Item = SyscallNr> + '_ {
        syscall::all(abi).map(|(nr, _)| nr).filter(move |nr| matches!(self.verdict(abi, *nr), Verdict::Allowed(_)))
    }

    /// Counts over the names of the native ABI.
    #[must_use]
    pub fn native_summary(&self) -> Summary {
        let mut summary = Summary::default();
        for (nr, _) in syscall::all(self.native) {
            match self.verdict(self.native, nr) {
                Verdict::Allowed(_) => summary.allowed += 1,
                Verdict::Conditional(_) => summary.conditional += 1,
                Verdict::Denied(_) => summary.denied += 1,
            }
        }
        summary
    }

    /// Every argument that this policy lets through, the other one lets through too.
    pub(crate) fn is_within(&self, other: &Self, abi: Abi, nr: SyscallNr) -> bool {
        if matches!(self.verdict(abi, nr), Verdict::Denied(_)) || matches!(other.verdict(abi, nr), Verdict::Allowed(_))
        {
            return true;
        }
        let (mine, theirs) = (self.entry(abi, nr), other.entry(abi, nr));
        let (Entry::Chains(mine), Entry::Chains(theirs)) = (&*mine, &*theirs) else { return mine == theirs };
        if self.default.action.denies() && other.default.action.denies() {
            // Less is let through, and no more is taken out of it.
            let denies = |chain: &&Chain| chain.decision.action.denies();
            return mine.iter().filter(|chain| !denies(chain)).all(|chain| theirs.contains(chain))
                && theirs.iter().filter(denies).all(|chain| mine.contains(chain));
        }
        mine == theirs && self.default == other.default
    }
}
