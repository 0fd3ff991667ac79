//! Calls that the user takes in, although nobody was seen to make them: denied ones that were looked at, or rare ones.
//!
//! A name that the profile lets through already stays as it is there, with its conditions. One that it refuses is let
//! through whatever its arguments, and so is one that it lets through for some arguments where others were refused:
//! that is what was looked at. The profile is widened by exactly these names, which the evaluator proves
//! call by call; the laws of a suggestion then hold against the wider one.

use std::collections::BTreeSet;

use super::SuggestError;
use crate::audit;
use crate::counters::{Counters, total};
use crate::filter::{Comparison, Diagrams, Outcome, Test};
use crate::profile::{
    Action, ArgCondition, Decision, Entry, HostArch, Operator, Policy, Profile, Rule, Runtime, Undetermined, Verdict,
    door, doors, reach,
};
use crate::report::escape::{NAME_WIDTH, capped};
use crate::report::near::near;
use crate::syscall::{self, Abi, SyscallNr, display_name, known_name};

/// ENOSYS.
const ENOSYS: u32 = 38;

/// A call that somebody has decided on, above all one that is to be taken in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowance {
    /// The kernel's name.
    pub name: String,
    /// By which ABI; `None` for those that were seen.
    pub abi: Option<Abi>,
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.abi {
            Some(abi) => write!(out, "{}@{abi}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

/// Why a text names no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    /// No ABI has such a call.
    #[error("no system call is called \"{}\"{}", capped(.name, NAME_WIDTH), did_you_mean(.near))]
    NoSuchCall {
        /// As it was typed.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// There is no such ABI.
    #[error("no ABI is called \"{}\"; there are {}", capped(.name, NAME_WIDTH), Abi::ALL.map(Abi::as_str).join(", "))]
    NoSuchAbi {
        /// As it was typed.
        name: String,
    },
    /// The ABI has no such call.
    #[error("{abi} has no call {name}")]
    NotOfAbi {
        /// The call.
        name: String,
        /// The ABI.
        abi: Abi,
    },
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

impl Allowance {
    /// Reads `NAME` or `NAME@ABI`.
    ///
    /// # Errors
    /// Where there is no such call, or no such ABI.
    pub fn parse(text: &str) -> Result<Self, AllowError> {
        let (name, abi) = text.split_once('@').map_or((text, None), |(name, abi)| (name, Some(abi)));
        if !syscall::is_known(name) {
            let known: BTreeSet<&str> = Abi::ALL.into_iter().flat_map(syscall::all).map(|(_, name)| name).collect();
            return Err(AllowError::NoSuchCall { near: near(known, name), name: name.to_owned() });
        }
        let abi = abi.map(|abi| abi.parse::<Abi>().map_err(|()| AllowError::NoSuchAbi { name: abi.to_owned() }));
        let abi = abi.transpose()?;
        match abi.filter(|abi| syscall::number(*abi, name).is_none()) {
            Some(abi) => Err(AllowError::NotOfAbi { name: name.to_owned(), abi }),
            None => Ok(Self { name: name.to_owned(), abi }),
        }
    }

    /// Whether it means this call.
    pub(super) fn means(&self, abi: Abi, name: &str) -> bool {
        self.name == name && self.abi.is_none_or(|only| only == abi)
    }
}

/// What taking calls in means for what a suggestion starts from.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// The profile with the calls that it refused; `None` where there is no such call.
    pub(super) profile: Option<Profile>,
    /// Names that are let through whatever their arguments and were not before.
    pub(super) names: BTreeSet<String>,
    /// All that was taken in: it must stay.
    pub(super) calls: BTreeSet<(Abi, SyscallNr)>,
    /// What people should know, one line each.
    pub(super) notes: Vec<String>,
}

/// The profile that a suggestion starts from, and what was counted under it.
pub(super) struct Start<'a> {
    pub(super) profile: Option<&'a Profile>,
    pub(super) policy: &'a Policy,
    pub(super) host: HostArch,
    pub(super) counters: &'a Counters,
    pub(super) confined: bool,
}

impl Start<'_> {
    /// Takes calls in.
    ///
    /// # Errors
    /// Where the profile has nothing for the ABI of one, or where more than these names would be let through.
    pub(super) fn open(&self, allow: &[Allowance]) -> Result<Opening, SuggestError> {
        let mut opening = Opening::default();
        for allowance in allow {
            let calls = self.calls(allowance)?;
            let note = self.take(allowance, &calls, &mut opening);
            if !opening.notes.contains(&note) {
                opening.notes.push(note);
            }
            opening.calls.extend(calls);
        }
        if let Some(profile) = self.profile.filter(|_| !opening.names.is_empty()) {
            let wide = widened(profile, self, &opening.names);
            // What the profile's rules let through and runc's stub alone shut comes open where the stub moves up.
            let rules = profile.evaluate(self.host.with(Runtime::Crun));
            let stubbed = profile.default_action.denies().then_some(rules);
            check(self.policy, stubbed.as_ref(), &wide.evaluate(self.host), &opening.names)?;
            opening.profile = Some(wide);
        }
        Ok(opening)
    }

    /// By which ABIs a name is meant: those that were seen, else the first of the profile's that has it.
    fn calls(&self, allowance: &Allowance) -> Result<Vec<(Abi, SyscallNr)>, SuggestError> {
        let Allowance { name, abi } = allowance;
        let of = |abi: Abi| Some((abi, syscall::number(abi, name)?)).filter(|_| self.policy.contains(abi));
        let seen = |abi: &Abi| *abi == self.host.native || self.counters.tallies.keys().any(|(made, _)| made == abi);
        let found: Vec<_> = match abi {
            Some(abi) => of(*abi).into_iter().collect(),
            None => Abi::ALL.into_iter().filter(seen).filter_map(of).collect(),
        };
        let elsewhere = || Abi::ALL.into_iter().filter(|_| abi.is_none()).find_map(of);
        let found = if found.is_empty() { elsewhere().into_iter().collect() } else { found };
        if found.is_empty() {
            return Err(SuggestError::ForeignAbi { name: allowance.to_string() });
        }
        Ok(found)
    }

    /// Decides what becomes of one, and says so.
    fn take(&self, allowance: &Allowance, calls: &[(Abi, SyscallNr)], opening: &mut Opening) -> String {
        let name = &allowance.name;
        let abis: Vec<&str> = calls.iter().map(|(abi, _)| abi.as_str()).collect();
        let tally = |call: &(Abi, SyscallNr)| self.counters.tallies.get(call).copied().unwrap_or_default();
        let refused =
            total(calls.iter().flat_map(|call| [tally(call).denials.certain(), tally(call).denials.supervised]));
        let verdicts = || calls.iter().map(|(abi, nr)| self.policy.verdict(*abi, *nr));
        let is_denied = verdicts().any(|verdict| matches!(verdict, Verdict::Denied(_)));
        let is_conditional = verdicts().any(|verdict| matches!(verdict, Verdict::Conditional(_)));
        let what = format!("--allow: {name} ({})", abis.join(", "));
        if is_denied || (is_conditional && refused > 0) {
            opening.names.insert(name.clone());
            let times = match refused {
                0 => "was never refused".to_owned(),
                1 => "was refused once".to_owned(),
                times => format!("was refused {times} times"),
            };
            let before = if is_denied { "which the profile refuses" } else { "which it lets through for some alone" };
            return format!("{what} is taken in whatever its arguments, {before}; it {times}");
        }
        let used = |call: &(Abi, SyscallNr)| audit::is_used(&tally(call), Some(self.confined));
        match (calls.iter().all(used), is_conditional) {
            (true, _) => format!("{what} was seen, and is in the suggestion anyhow"),
            (false, true) => format!("{what} was not seen; it is taken in under the profile's own conditions"),
            (false, false) => format!("{what} was not seen; it is taken in, as the profile has it"),
        }
    }
}

/// The profile with a rule that lets these names through, and no other rule for them.
fn widened(profile: &Profile, start: &Start<'_>, names: &BTreeSet<String>) -> Profile {
    let mut wide = profile.clone();
    for rule in &mut wide.rules {
        rule.names.retain(|name| !names.contains(name));
    }
    wide.rules.retain(|rule| !rule.names.is_empty());
    wide.rules.push(Rule {
        names: names.iter().cloned().collect(),
        action: Action::Allow,
        errno: None,
        args: Vec::new(),
    });
    // runc answers ENOSYS above the highest number that is named. If that is one of these now, what lies between keeps
    // its answer by a rule; and that rule may name a higher number of another ABI.
    loop {
        let policy = wide.evaluate(start.host);
        let mut between = BTreeSet::new();
        for abi in Abi::ALL {
            if let Some((old, new)) = start.policy.stub_above(abi).zip(policy.stub_above(abi)) {
                let shut = |nr: &SyscallNr| *nr > old && *nr <= new;
                between.extend(syscall::all(abi).filter(|(nr, _)| shut(nr)).map(|(_, name)| name));
            }
        }
        // One that is named, or comes through a door as well: a refusal would be for both. Without one its own number has
        // the default's errno.
        let is_named = |name: &str| wide.rules.iter().any(|rule| rule.names.iter().any(|named| named == name));
        let has_door = |name: &str| Abi::ALL.into_iter().any(|abi| policy.contains(abi) && door(abi, name).is_some());
        let denies = wide.default_action.denies();
        between.retain(|name| !(is_named(name) || denies && has_door(name)));
        if between.is_empty() {
            return wide;
        }
        let names = between.into_iter().map(str::to_owned).collect();
        wide.rules.push(Rule { names, action: Action::Errno, errno: Some(ENOSYS), args: Vec::new() });
    }
}

/// The law: these names are let through, and of all other calls nothing is that was not before.
fn check(
    before: &Policy,
    stubbed: Option<&Policy>,
    after: &Policy,
    names: &BTreeSet<String>,
) -> Result<(), SuggestError> {
    for abi in before.abis() {
        for nr in syscall::all(abi).map(|(nr, _)| nr).chain([SyscallNr::OUTSIDE]) {
            let name = || display_name(abi, nr);
            if known_name(abi, nr).is_some_and(|name| names.contains(name)) {
                // One that also comes through a door may have a number of its own that is above runc's stub. What comes
                // through a door has rules of its own.
                let has_door =
                    known_name(abi, nr).and_then(|name| door(abi, name)).is_some() || doors(abi).contains(&nr);
                if !matches!(after.verdict(abi, nr), Verdict::Allowed(_)) && !has_door {
                    return Err(SuggestError::Narrower { abi, name: name().into_owned() });
                }
            } else if !after.is_within(before, abi, nr)
                && !is_within_but(before, after, (abi, nr), names)
                && !stubbed.is_some_and(|rules| {
                    after.is_within(rules, abi, nr) || is_within_but(rules, after, (abi, nr), names)
                })
            {
                return Err(SuggestError::Wider { abi, name: name().into_owned() });
            }
        }
    }
    Ok(())
}

/// Of a call that others come through: nothing more is let through but the named ones among them.
fn is_within_but(before: &Policy, after: &Policy, (abi, nr): (Abi, SyscallNr), names: &BTreeSet<String>) -> bool {
    if !doors(abi).contains(&nr) {
        return false;
    }
    let behind = names.iter().filter_map(|name| door(abi, name)).filter(|(door, _)| *door == nr);
    let numbers: Vec<u64> = behind.map(|(_, number)| number).collect();
    is_same_but((&before.entry(abi, nr), &after.entry(abi, nr)), before.default_decision(), &numbers)
        || refused_for(before, after, (abi, nr), &numbers).unwrap_or(false)
}

/// The rules are the same but for those that the named calls have.
fn is_same_but((before, after): (&Entry, &Entry), default: Decision, numbers: &[u64]) -> bool {
    let names_one = |condition: &ArgCondition| {
        condition.index == 0 && condition.operator == Operator::Equal && numbers.contains(&condition.value)
    };
    let is_named = |conditions: &[ArgCondition]| conditions.iter().any(names_one);
    match (before, after) {
        (Entry::Chains(old), Entry::Chains(new)) => {
            let left = new.iter().filter(|chain| !is_named(&chain.conditions));
            left.eq(old.iter().filter(|chain| !is_named(&chain.conditions)))
        }
        (Entry::Always(outcome), Entry::Chains(new)) => {
            outcome.action.denies() && new.iter().all(|chain| is_named(&chain.conditions))
        }
        (Entry::Chains(old), Entry::Always(outcome)) => {
            outcome.decision() == default && old.iter().all(|chain| is_named(&chain.conditions))
        }
        (Entry::Always(_), Entry::Always(_)) => false,
    }
}

/// With the named calls refused, it lets through no more than before, whatever the arguments.
fn refused_for(
    before: &Policy,
    after: &Policy,
    (abi, nr): (Abi, SyscallNr),
    numbers: &[u64],
) -> Result<bool, Undetermined> {
    let mut diagrams = Diagrams::new();
    let old = before.diagram(&mut diagrams, abi, nr)?;
    let mut new = after.diagram(&mut diagrams, abi, nr)?;
    let refused = diagrams.constant(Outcome::errno(1))?;
    for number in numbers {
        let test = Test { argument: 0, mask: u64::from(u32::MAX), comparison: Comparison::Equal, value: *number };
        new = diagrams.test(test, refused, new)?;
    }
    Ok(diagrams.pair_witness(new, old, |new, old| reach(new.action) > reach(old.action)).is_none())
}
