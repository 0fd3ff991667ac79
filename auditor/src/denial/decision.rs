//! What refused a call: which action, and which rule or filter.
//!
//! The kernel shows an errno, a signal or a thread's end; the declared profile says which of its actions look like
//! that. Where none does, it was not the profile: a filter that somebody stacked on it, or another profile.

use crate::profile::{Action, Arch, Decision, Entry, Policy, Profile};
use crate::syscall::{Abi, SyscallNr};

/// A system call as a filter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// By which convention it was made.
    pub abi: Abi,
    /// Its number, without the x32 bit.
    pub nr: SyscallNr,
    /// Its arguments; by a 32-bit ABI the lower halves.
    pub args: [u64; 6],
}

/// What the kernel showed of the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// It was answered with an errno, which may be 0.
    Errno(u16),
    /// It was rolled back, and a SIGSYS sent.
    Signal,
    /// Its thread, one of many, was ended.
    ThreadKilled,
    /// It never ran, in a task one of whose filters has a supervisor; with what it gave.
    Supervised(i64),
    /// It was made, and a filter logs it.
    Logged,
}

/// A declared profile and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// As declared.
    pub profile: &'a Profile,
    /// Evaluated.
    pub policy: &'a Policy,
}

/// What became of the call in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It was refused.
    Denied,
    /// It was refused, and the program or thread ended or interrupted for it.
    Killed,
    /// It was made, and the log says so: a stricter profile would deny it.
    WouldBeDenied,
    /// A supervisor answered it: no denial.
    Answered,
}

impl Fate {
    /// As it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Killed => "killed",
            Self::WouldBeDenied => "would_be_denied",
            Self::Answered => "answered",
        }
    }
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecidedBy {
    /// This rule of the declared profile.
    Rule(usize),
    /// The declared profile's default. These rules name the call, and their conditions do not hold.
    Default(Vec<usize>),
    /// The runtime, which answers ENOSYS above the highest number that the profile names.
    Stub(SyscallNr),
    /// The profile has no calls of this ABI at all.
    ForeignAbi,
    /// Not the declared profile, which lets the call through or does something else to it: another filter.
    AnotherFilter,
    /// The filter asked a supervisor.
    Supervisor,
    /// The declared profile is not known.
    Unknown,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The actions that it can have been, as the specification spells them: one, or two where nobody can tell.
    pub action: &'static str,
    /// The errno that the program got.
    pub errno: Option<u16>,
    /// What became of the call.
    pub fate: Fate,
    /// Who decided.
    pub decided_by: DecidedBy,
}

/// `SCMP_ACT_TRAP` and the `KILL`s of one thread look the same from outside.
const TRAP_OR_KILL: &str = "SCMP_ACT_TRAP|KILL";

/// Says what refused the call, from what was seen and declared.
#[must_use]
pub fn explain(call: &Call, seen: Seen, declared: Option<Declared<'_>>) -> Explanation {
    let Some(declared) = declared else { return explained(seen, None, DecidedBy::Unknown) };
    let decisions = declared_decisions(call, declared.policy);
    match decisions.iter().find(|decision| looks_like(**decision, seen)) {
        Some(decision) => explained(seen, Some(*decision), decided_by(call, *decision, declared)),
        None => explained(seen, None, DecidedBy::AnotherFilter),
    }
}

/// What the declared profile does to the call; more than one where rules overlap and nobody can tell which comes first.
#[must_use]
pub fn declared_decisions(call: &Call, policy: &Policy) -> Vec<Decision> {
    if let Ok(outcome) = policy.decide(call.abi, call.nr, &call.args) {
        return vec![outcome.decision()];
    }
    match &*policy.entry(call.abi, call.nr) {
        Entry::Always(outcome) => vec![outcome.decision()],
        Entry::Chains(chains) => {
            let holding = chains.iter().filter(|chain| chain.conditions.iter().all(|one| one.holds(&call.args)));
            let mut decisions: Vec<Decision> = holding.map(|chain| chain.outcome.decision()).collect();
            if decisions.is_empty() {
                decisions.push(policy.default_decision());
            }
            decisions
        }
    }
}

/// Whether the decision's outcome is what was seen.
#[must_use]
pub fn looks_like(decision: Decision, seen: Seen) -> bool {
    match seen {
        Seen::Errno(errno) => {
            matches!(decision.action, Action::Errno | Action::Trace) && capped(decision.errno) == Some(errno)
        }
        Seen::Signal => matches!(decision.action, Action::Trap | Action::KillProcess | Action::KillThread),
        Seen::ThreadKilled => decision.action == Action::KillThread,
        Seen::Supervised(result) => match decision.action {
            Action::Notify => true,
            Action::Errno | Action::Trace => {
                capped(decision.errno).is_some_and(|errno| i64::from(errno) == result.saturating_neg())
            }
            _ => false,
        },
        Seen::Logged => decision.action == Action::Log,
    }
}

/// The kernel gives no errno above `MAX_ERRNO` (`__seccomp_filter` in kernel/seccomp.c).
fn capped(errno: Option<u16>) -> Option<u16> {
    errno.map(|errno| errno.min(4095))
}

fn decided_by(call: &Call, decision: Decision, declared: Declared<'_>) -> DecidedBy {
    let Declared { profile, policy } = declared;
    if decision.action == Action::Notify {
        return DecidedBy::Supervisor;
    }
    if !policy.abis().any(|abi| abi == call.abi) {
        return DecidedBy::ForeignAbi;
    }
    if let Some(highest) = policy.stub_above(call.abi)
        && (call.nr > highest || call.nr.0 < 0)
    {
        return DecidedBy::Stub(highest);
    }
    let naming = profile.rules_naming(call.abi, call.nr, &call.args);
    let mut active = naming.iter().filter(|rule| !rule.idle);
    match active.clone().find(|rule| rule.holds && rule.decision == decision) {
        Some(rule) => DecidedBy::Rule(rule.rule),
        None => {
            let mut missed: Vec<usize> = Vec::new();
            active.by_ref().filter(|rule| !rule.holds).for_each(|rule| missed.push(rule.rule));
            missed.dedup();
            DecidedBy::Default(missed)
        }
    }
}

fn explained(seen: Seen, decision: Option<Decision>, decided_by: DecidedBy) -> Explanation {
    let named = |otherwise: &'static str| decision.map_or(otherwise, |decision| decision.action.as_str());
    let (action, errno, fate) = match seen {
        Seen::Errno(errno) => (named(Action::Errno.as_str()), Some(errno), Fate::Denied),
        Seen::Signal => (named(TRAP_OR_KILL), None, Fate::Killed),
        Seen::ThreadKilled => (Action::KillThread.as_str(), None, Fate::Killed),
        Seen::Logged => (Action::Log.as_str(), None, Fate::WouldBeDenied),
        Seen::Supervised(result) => {
            let errno = u16::try_from(result.saturating_neg()).ok().filter(|errno| (1..=4095).contains(errno));
            match decision {
                Some(decision) if decision.action != Action::Notify => (decision.action.as_str(), errno, Fate::Denied),
                _ => (Action::Notify.as_str(), errno, Fate::Answered),
            }
        }
    };
    Explanation { action, errno, fate, decided_by }
}

impl DecidedBy {
    /// As it is written in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rule(_) => "rule",
            Self::Default(_) => "default",
            Self::Stub(_) => "runtime_stub",
            Self::ForeignAbi => "foreign_abi",
            Self::AnotherFilter => "another_filter",
            Self::Supervisor => "supervisor",
            Self::Unknown => "unknown",
        }
    }

    /// The rules of the profile that decided, or whose conditions did not hold.
    #[must_use]
    pub fn rules(&self) -> Vec<usize> {
        match self {
            Self::Rule(rule) => vec![*rule],
            Self::Default(missed) => missed.clone(),
            _ => Vec::new(),
        }
    }

    /// In words, for people.
    #[must_use]
    pub fn describe(&self, abi: Abi) -> String {
        match self {
            Self::Rule(rule) => format!("rule syscalls[{rule}] of the profile"),
            Self::Default(missed) if missed.is_empty() => "the profile's default: no rule names the call".to_owned(),
            Self::Default(missed) => {
                let rules: Vec<String> = missed.iter().map(|rule| format!("syscalls[{rule}]")).collect();
                format!("the profile's default: the conditions of {} do not hold", rules.join(" and "))
            }
            Self::Stub(highest) => {
                format!("the runtime's ENOSYS stub: the profile names no call above number {}", highest.0)
            }
            Self::ForeignAbi => format!("the profile's architectures: {} is not among them", Arch::of(abi).as_str()),
            Self::AnotherFilter => "another filter than the declared profile, which would not do this".to_owned(),
            Self::Supervisor => "a supervisor, which the filter asked".to_owned(),
            Self::Unknown => "unknown: the container's profile could not be read".to_owned(),
        }
    }
}
