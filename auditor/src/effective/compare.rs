//! What the kernel enforces against what was declared, with the reasons for each difference.

use std::collections::BTreeSet;

use super::{Effective, Held, Task};
use crate::filter::{Diagrams, Outcome, Program};
use crate::profile::{Decision, Policy};
use crate::syscall::{self, Abi, SyscallNr};

/// What was declared to the runtime.
#[derive(Debug, Clone, Copy)]
pub enum Declared<'a> {
    /// It could not be read.
    Unknown,
    /// No filter, and none was asked for.
    Nothing,
    /// No filter, because the container is privileged. Holds whether a profile was asked for all the same.
    Privileged {
        /// `--security-opt seccomp=FILE` was given, and has no effect.
        profile_given: bool,
    },
    /// A profile.
    Profile(&'a Policy),
}

/// A call that a filter treats otherwise than the declared profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its ABI.
    pub abi: Abi,
    /// Its number.
    pub nr: SyscallNr,
    /// Arguments for which it does.
    pub args: [u64; 6],
    /// What the profile says of these.
    pub declared: Decision,
    /// What the filter does.
    pub enforced: Decision,
}

impl Difference {
    /// Whether it comes from the runtime's way of making a filter and not from the profile: a call that the filter was
    /// not told about, answered by the default or by the runtime's stub for calls that it does not know.
    fn is_the_runtimes(&self, policy: &Policy) -> bool {
        let unnamed = |decision: Decision| decision == Decision::errno(ENOSYS) || decision == policy.default_decision();
        let beyond = policy.stub_above(self.abi).is_some_and(|highest| self.nr > highest);
        beyond && unnamed(self.declared) && unnamed(self.enforced)
    }
}

const ENOSYS: u16 = 38;

/// Everything that the comparison rests on.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What was declared.
    pub declared: Declared<'a>,
    /// What is enforced; `None` where nobody looked yet, and the reason where it cannot be read.
    pub effective: Result<Option<&'a Effective>, &'a str>,
    /// Other ABIs than the host's own that the container was seen to use.
    pub foreign_abis: &'a BTreeSet<Abi>,
    /// The engine gives another default profile to containers that are started now.
    pub default_changed: bool,
}

/// Why declared and effective are not the same, or only look so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The runtime answers ENOSYS above the highest call that the profile names. This is how it is meant to be.
    RuntimeStub {
        /// That call.
        highest: SyscallNr,
        /// What the profile itself says of unnamed calls.
        default: Decision,
    },
    /// A program has put filters of its own on top of the container's.
    StackedFilter {
        /// How many of these filters there are.
        filters: usize,
        /// Who has any of them.
        tasks: Vec<Task>,
    },
    /// The engine itself runs under a filter, which its containers inherit.
    InheritedFilter {
        /// How many of these filters there are.
        filters: usize,
    },
    /// Some tasks of a confined container have no filter: they came in from the host, or by `docker exec --privileged` where
    /// the engine leaves the filter away.
    UnfilteredTask {
        /// Who.
        tasks: Vec<Task>,
    },
    /// The container is privileged: the profile is not applied.
    Privileged {
        /// One was given all the same.
        profile_given: bool,
    },
    /// A profile was declared and no task has a filter.
    NoFilter,
    /// Containers that are started now get another default profile.
    DefaultChanged,
    /// The container makes calls by an ABI that the profile does not name: they end the thread, whatever the default is.
    ForeignAbi {
        /// Which.
        abi: Abi,
        /// What happens to such calls.
        enforced: Decision,
    },
    /// The filter is not the declared profile's.
    OtherFilter {
        /// Calls that it treats otherwise, at least one.
        differences: Vec<Difference>,
    },
    /// The declared profile cannot be read.
    DeclaredUnknown,
    /// The filters in the kernel cannot be read.
    EffectiveUnknown {
        /// Why.
        why: String,
    },
}

impl Reason {
    /// Its name for scripts and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RuntimeStub { .. } => "runtime-stub",
            Self::StackedFilter { .. } => "stacked-filter",
            Self::InheritedFilter { .. } => "inherited-filter",
            Self::UnfilteredTask { .. } => "unfiltered-task",
            Self::Privileged { .. } => "privileged",
            Self::NoFilter => "no-filter",
            Self::DefaultChanged => "default-changed",
            Self::ForeignAbi { .. } => "foreign-abi",
            Self::OtherFilter { .. } => "other-filter",
            Self::DeclaredUnknown => "declared-unknown",
            Self::EffectiveUnknown { .. } => "effective-unknown",
        }
    }

    /// Whether somebody should look at it: something else is enforced than was asked for. What could not be read is no
    /// difference.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        match self {
            Self::RuntimeStub { .. } | Self::DeclaredUnknown | Self::EffectiveUnknown { .. } => false,
            Self::Privileged { profile_given } => *profile_given,
            _ => true,
        }
    }
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Whether what is enforced is what was declared; `None` where that cannot be said.
    pub matches: Option<bool>,
    /// The index of the declared profile's own filter in [`Effective::filters`].
    pub own: Option<usize>,
    /// Why not, or why it only looks otherwise; the alarming ones first.
    pub reasons: Vec<Reason>,
    /// More will be known soon.
    pub pending: bool,
}

/// The calls that a filter treats otherwise than a profile; none: it is the profile's.
pub type Differences = Result<Vec<Difference>, Unclear>;

/// Why a filter cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// It will be known soon.
    Pending,
    /// What it or the profile does cannot be told, for this reason.
    Never(String),
}

/// The calls that a program treats otherwise than a policy; empty: they are the same filter.
///
/// # Errors
/// When what the program does cannot be told.
pub fn differences(policy: &Policy, program: &Program) -> Differences {
    let mut found = Vec::new();
    for abi in Abi::ALL.into_iter().filter(|abi| reachable(policy.native(), *abi)) {
        // No table has these names: the number behind the last one, and those that no kernel has.
        let unnamed = [SyscallNr(600), SyscallNr(100_000)];
        let mut diagrams = Diagrams::new();
        for nr in syscall::all(abi).map(|(nr, _)| nr).chain(unnamed) {
            let declared = policy.diagram(&mut diagrams, abi, nr).map_err(never)?;
            let enforced = program.analyze(&mut diagrams, abi, nr).map_err(never)?;
            let other = |declared: Outcome, enforced: Outcome| declared.decision() != enforced.decision();
            if let Some(args) = diagrams.pair_witness(declared, enforced, other) {
                let decision = |diagram| diagrams.evaluate(diagram, &args).decision();
                found.push(Difference { abi, nr, args, declared: decision(declared), enforced: decision(enforced) });
            }
        }
    }
    Ok(found)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn never(error: impl ToString) -> Unclear {
    Unclear::Never(error.to_string())
}

/// Whether programs on a host of this kind can make calls by that ABI.
const fn reachable(native: Abi, abi: Abi) -> bool {
    match native {
        Abi::Aarch64 | Abi::Arm => matches!(abi, Abi::Aarch64 | Abi::Arm),
        _ => matches!(abi, Abi::X86_64 | Abi::I386 | Abi::X32),
    }
}

/// Holds what is enforced against what was declared. `differ` is [`differences`] of the declared policy and a program,
/// which is worth remembering.
pub fn compare(asked: &Asked<'_>, mut differ: impl FnMut(&Policy, &Program) -> Differences) -> Comparison {
    let mut found = Findings::default();
    match asked.effective {
        Err(why) => found.unknown(why),
        Ok(None) => found.not_yet("no task of the container was looked at yet"),
        Ok(Some(effective)) if effective.tasks() == 0 => found.not_yet("no task of the container was seen to run"),
        Ok(Some(effective)) => match asked.declared {
            Declared::Unknown => found.declared_unknown(),
            Declared::Nothing => found.nothing_declared(effective),
            Declared::Privileged { profile_given } => {
                found.reasons.push(Reason::Privileged { profile_given });
                found.nothing_declared(effective);
            }
            Declared::Profile(policy) => found.profile_declared(policy, effective, &mut differ),
        },
    }
    if asked.default_changed {
        found.reasons.push(Reason::DefaultChanged);
    }
    if let Declared::Profile(policy) = asked.declared {
        for abi in asked.foreign_abis.iter().filter(|abi| !policy.contains(**abi)) {
            let enforced = policy.verdict(*abi, SyscallNr(0)).decision();
            found.reasons.push(Reason::ForeignAbi { abi: *abi, enforced });
        }
    }
    found.finish()
}

/// What is found on the way.
#[derive(Debug, Default)]
struct Findings {
    reasons: Vec<Reason>,
    own: Option<usize>,
    /// Something that decides could not be read.
    unknown: bool,
    pending: bool,
}

impl Findings {
    fn unknown(&mut self, why: &str) {
        self.unknown = true;
        let reason = Reason::EffectiveUnknown { why: why.to_owned() };
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn not_yet(&mut self, why: &str) {
        self.pending = true;
        self.unknown(why);
    }

    fn declared_unknown(&mut self) {
        self.unknown = true;
        self.reasons.push(Reason::DeclaredUnknown);
    }

    /// Whatever filters there are, programs have put them there.
    fn nothing_declared(&mut self, effective: &Effective) {
        self.note_cuts(effective);
        let all: BTreeSet<usize> = effective.stacks.iter().flat_map(|stack| stack.filters.iter().copied()).collect();
        self.stacked(effective, &all);
    }

    fn profile_declared(
        &mut self,
        policy: &Policy,
        effective: &Effective,
        differ: &mut impl FnMut(&Policy, &Program) -> Differences,
    ) {
        let (bare, under): (Vec<_>, Vec<_>) = effective.stacks.iter().partition(|stack| stack.is_bare());
        if under.is_empty() {
            self.reasons.push(Reason::NoFilter);
            return;
        }
        let bare: Vec<Task> = bare.into_iter().flat_map(|stack| stack.tasks.iter().cloned()).collect();
        if !bare.is_empty() {
            self.reasons.push(Reason::UnfilteredTask { tasks: bare });
        }
        self.note_cuts(effective);
        // The declared profile's filter is on all tasks that have one; what it is missing from is not the container's.
        let mut stacked = BTreeSet::new();
        let mut inherited: BTreeSet<usize> = BTreeSet::new();
        for stack in under.into_iter().filter(|stack| !stack.filters.is_empty()) {
            match self.own_filter(policy, effective, &stack.filters, differ) {
                Some(at) => {
                    self.own.get_or_insert(stack.filters[at]);
                    stacked.extend(&stack.filters[..at]);
                    inherited.extend(&stack.filters[at + 1..]);
                }
                None => stacked.extend(&stack.filters[..stack.filters.len() - 1]),
            }
        }
        self.stacked(effective, &stacked);
        if !inherited.is_empty() {
            self.reasons.push(Reason::InheritedFilter { filters: inherited.len() });
        }
        if let Some(highest) = policy.stub_above(policy.native()).filter(|_| self.own.is_some()) {
            self.reasons.push(Reason::RuntimeStub { highest, default: policy.default_decision() });
        }
    }

    fn note_cuts(&mut self, effective: &Effective) {
        if effective.stacks.iter().any(|stack| stack.cut) {
            self.unknown("there are filters on a task that could not be read");
        }
    }

    /// Where in a stack the declared profile's filter is: the oldest that is the same. None: the oldest of all should
    /// have been, and is told apart.
    fn own_filter(
        &mut self,
        policy: &Policy,
        effective: &Effective,
        stack: &[usize],
        differ: &mut impl FnMut(&Policy, &Program) -> Differences,
    ) -> Option<usize> {
        let mut oldest = None;
        for (at, filter) in stack.iter().enumerate().rev() {
            let Some(Held::Program(program)) = effective.filters.get(*filter) else {
                self.unknown("the kernel does not keep the filter in a form that can be read");
                return None;
            };
            match differ(policy, program) {
                Ok(differences) if differences.iter().all(|difference| difference.is_the_runtimes(policy)) => {
                    return Some(at);
                }
                Ok(differences) => {
                    oldest.get_or_insert(differences);
                }
                Err(Unclear::Pending) => {
                    self.not_yet("they are being compared with the declared profile");
                    return None;
                }
                Err(Unclear::Never(why)) => {
                    self.unknown(&why);
                    return None;
                }
            }
        }
        let mut differences = oldest?;
        differences.retain(|difference| !difference.is_the_runtimes(policy));
        let known = self.reasons.iter().any(|reason| matches!(reason, Reason::OtherFilter { .. }));
        if !known {
            self.reasons.push(Reason::OtherFilter { differences });
        }
        None
    }

    fn stacked(&mut self, effective: &Effective, filters: &BTreeSet<usize>) {
        if filters.is_empty() {
            return;
        }
        let has = |stack: &&super::Stacked| stack.filters.iter().any(|filter| filters.contains(filter));
        let tasks = effective.stacks.iter().filter(has).flat_map(|stack| stack.tasks.iter().cloned()).collect();
        self.reasons.push(Reason::StackedFilter { filters: filters.len(), tasks });
    }

    fn finish(mut self) -> Comparison {
        self.reasons.sort_by_key(|reason| !reason.is_alarming());
        let differs = self.reasons.iter().any(Reason::is_alarming);
        // A difference that was found is one, whatever could not be read beside it.
        let matches = if differs { Some(false) } else { (!self.unknown).then_some(true) };
        Comparison { matches, own: self.own, reasons: self.reasons, pending: self.pending }
    }
}
