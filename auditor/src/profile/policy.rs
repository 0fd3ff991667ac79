//! A profile's meaning: for every ABI and number, what happens to the call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::code::Code;
use super::tree::{Tree, Trouble};
use super::{ArgCondition, Decision, Verdict};
use crate::filter::{Diagram, Diagrams, Outcome, TooComplex};
use crate::syscall::{self, Abi, SyscallNr};

/// What a filter does, call by call. Total: it has an answer for every ABI and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) native: Abi,
    pub(super) default: Outcome,
    /// What happens to calls by an ABI that the filter does not contain.
    pub(super) bad_arch: Outcome,
    pub(super) tables: BTreeMap<Abi, Table>,
}

/// One ABI's part of the filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<SyscallNr, Entry>,
    /// Rules for names that the ABI does not have: libseccomp keeps them, and makes no code of them.
    pub(super) ghosts: BTreeMap<String, Entry>,
    /// libseccomp makes code that does not look at the number.
    pub(super) misread: bool,
    /// Numbers above it are answered by the runtime's ENOSYS stub.
    pub(super) stub_above: Option<SyscallNr>,
}

/// What a filter holds for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Whatever the arguments.
    Always(Outcome),
    /// Where all conditions of a chain hold, its outcome; else the default. In the order in which they go into the
    /// filter, which matters where several hold.
    Chains(Vec<Chain>),
}

impl Entry {
    /// How many comparisons libseccomp counts for it.
    pub(super) fn size(&self, abi: Abi) -> i64 {
        match self {
            Self::Always(_) => 0,
            Self::Chains(chains) => tree(abi, chains).map_or(0, |tree| tree.size()),
        }
    }
}

/// Conditions that must hold together, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chain {
    pub(crate) conditions: Vec<ArgCondition>,
    pub(crate) outcome: Outcome,
}

/// Why the outcome of a call is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undetermined {
    /// The function of the arguments would be too large.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    /// libseccomp 2.6.1 makes another filter of the rules than the versions before it.
    #[error("it depends on the version of libseccomp which of several rules with conditions comes first")]
    Version,
    /// libseccomp refuses rules with these conditions and different actions.
    #[error("rules contradict each other, and libseccomp refuses them")]
    Contradiction,
    /// The call's number is compared with something else.
    #[error("libseccomp makes code of this profile that never looks at the call's number for this ABI")]
    Misread,
    /// Blocks of code that several calls share may look at the wrong half of an argument.
    #[error("libseccomp makes code of these conditions and of another call's that compares the wrong words")]
    Entangled,
    /// More than fits into a filter.
    #[error("there are more conditions than a filter has room for")]
    TooLarge,
}

impl From<Trouble> for Undetermined {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Exists => Self::Contradiction,
            Trouble::Version => Self::Version,
            Trouble::Unfathomable => Self::TooLarge,
        }
    }
}

fn tree(abi: Abi, chains: &[Chain]) -> Result<Tree<Outcome>, Trouble> {
    let mut tree = Tree::new();
    for chain in chains {
        tree.add(&chain.conditions, abi.is_wide(), chain.outcome)?;
    }
    Ok(tree)
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
        Self { native, default: Outcome::ALLOW, bad_arch: Outcome::ALLOW, tables: BTreeMap::new() }
    }

    /// What happens to a call. [`SyscallNr::OUTSIDE`] stands for numbers beyond every table.
    #[must_use]
    pub fn verdict(&self, abi: Abi, nr: SyscallNr) -> Verdict {
        match &*self.entry(abi, nr) {
            Entry::Always(outcome) if outcome.action.passes() => Verdict::Allowed(outcome.decision()),
            Entry::Always(outcome) if outcome.action.denies() => Verdict::Denied(outcome.decision()),
            Entry::Always(outcome) => Verdict::Conditional(outcome.decision()),
            Entry::Chains(chains) => self.verdict_of(chains),
        }
    }

    fn verdict_of(&self, chains: &[Chain]) -> Verdict {
        let default = self.default.decision();
        let mut outcomes = chains.iter().map(|chain| chain.outcome).chain([self.default]);
        if outcomes.clone().all(|outcome| outcome.action.passes()) {
            Verdict::Allowed(default)
        } else if outcomes.all(|outcome| outcome.action.denies()) {
            Verdict::Denied(default)
        } else {
            Verdict::Conditional(default)
        }
    }

    /// What happens to a call with these arguments.
    ///
    /// # Errors
    /// Where that cannot be told for sure.
    pub fn decide(&self, abi: Abi, nr: SyscallNr, args: &[u64; 6]) -> Result<Outcome, Undetermined> {
        self.check_read(abi, nr)?;
        match &*self.entry(abi, nr) {
            Entry::Always(outcome) => Ok(*outcome),
            Entry::Chains(chains) => Ok(self.code(abi, chains)?.run(args).unwrap_or(self.default)),
        }
    }

    /// What happens to a call, as a function of its arguments.
    ///
    /// # Errors
    /// Where that cannot be told for sure.
    pub fn diagram(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<Diagram, Undetermined> {
        self.check_read(abi, nr)?;
        match &*self.entry(abi, nr) {
            Entry::Always(outcome) => Ok(diagrams.constant(*outcome)?),
            Entry::Chains(chains) => {
                let code = self.code(abi, chains)?;
                let mut leaves = BTreeMap::new();
                for outcome in chains.iter().map(|chain| chain.outcome).chain([self.default]) {
                    leaves.insert(outcome, diagrams.constant(outcome)?);
                }
                let leaf = |outcome: Option<Outcome>| {
                    leaves.get(&outcome.unwrap_or(self.default)).copied().ok_or(Undetermined::TooLarge)
                };
                let test = |test, yes, no| Ok(diagrams.test(test, yes, no)?);
                code.fold(leaf, test)?.ok_or(Undetermined::TooLarge)
            }
        }
    }

    fn check_read(&self, abi: Abi, nr: SyscallNr) -> Result<(), Undetermined> {
        let misread = self.tables.get(&abi).is_some_and(|table| table.misread && table.entries.contains_key(&nr));
        if misread && self.stub_above(abi).is_none_or(|highest| nr <= highest) {
            return Err(Undetermined::Misread);
        }
        Ok(())
    }

    /// The filter's comparisons for one call, where no other call bears on them.
    fn code(&self, abi: Abi, chains: &[Chain]) -> Result<Code<Outcome>, Undetermined> {
        let mine = tree(abi, chains)?.generate()?;
        if mine.delicate() {
            for (other, table) in &self.tables {
                for entry in table.entries.values() {
                    let Entry::Chains(theirs) = entry else { continue };
                    // Equal chains make equal code.
                    if theirs != chains || other.is_wide() != abi.is_wide() {
                        match tree(*other, theirs).and_then(|tree| tree.generate()) {
                            Ok(theirs) if mine.is_disturbed_by(&theirs) => return Err(Undetermined::Entangled),
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(mine)
    }

    /// The filter's part for one call.
    pub(crate) fn entry(&self, abi: Abi, nr: SyscallNr) -> Cow<'_, Entry> {
        let always = |outcome| Cow::Owned(Entry::Always(outcome));
        let Some(table) = self.tables.get(&abi) else { return always(self.bad_arch) };
        if table.stub_above.is_some_and(|highest| nr > highest || nr.0 < 0) {
            return always(Outcome::errno(ENOSYS));
        }
        table.entries.get(&nr).map_or_else(|| always(self.default), Cow::Borrowed)
    }

    /// The kernel's bitmap for the filter (`struct action_cache` in kernel/seccomp.c) has the bit of this call: the
    /// filter answers ALLOW without looking at an argument. A call that is logged has no bit there.
    #[must_use]
    pub fn is_constant_allow(&self, abi: Abi, nr: SyscallNr) -> bool {
        *self.entry(abi, nr) == Entry::Always(Outcome::ALLOW)
    }

    /// What happens to calls that no rule names.
    #[must_use]
    pub const fn default_decision(&self) -> Decision {
        self.default.decision()
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
        self.tables.contains_key(&abi) || self.bad_arch == Outcome::ALLOW
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
            let denies = |chain: &&Chain| chain.outcome.action.denies();
            return mine.iter().filter(|chain| !denies(chain)).all(|chain| theirs.contains(chain))
                && theirs.iter().filter(denies).all(|chain| mine.contains(chain));
        }
        mine == theirs && self.default == other.default
    }
}
