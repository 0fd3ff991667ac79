//! Conditions on the arguments that decide how dangerous a call is: what was asked for, and nothing else.
//!
//! Each call gets its conditions alone, and the result is held against the profile without them as a function of all
//! arguments: it lets nothing more through, every value that was seen passes where it passed, and no other call is
//! touched, for libseccomp's code for one call may depend on another's. Where that does not hold, the next wider
//! conditions are tried, and in the end none.
//!
//! A call that only the runtime needs, and that nobody was seen to make, gets what the runtime makes it with. A start that
//! went one way says nothing of the next one's runtime, so its values pass in any case.

mod cube;
mod proof;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::cube::told_apart;
use self::cube::{Register, ladder, narrowed};
use self::proof::{Question, with_values};
pub(super) use self::proof::{is_within, passes_as_seen};
use super::RuntimeFloor;
use crate::evidence::Arguments;
use crate::evidence::argument::table::{self, Kind, Noted};
use crate::filter::Diagrams;
use crate::profile::{HostArch, Policy, Profile, Rule, Verdict, door, reach};
use crate::syscall::{self, Abi, SyscallNr};

/// What the conditions are made from.
pub(super) struct Narrowing<'a> {
    pub(super) host: HostArch,
    /// What the suggestion starts from: it stays within.
    pub(super) start: &'a Policy,
    /// What was asked for.
    pub(super) arguments: &'a Arguments,
    /// How often each call was made.
    pub(super) made: &'a BTreeMap<(Abi, SyscallNr), u64>,
    /// What the runtime needs before the program starts.
    pub(super) floor: &'a RuntimeFloor,
    /// And with what: these values of the native ABI pass as they do at the start.
    pub(super) given: &'a Arguments,
    /// What was taken in whatever its arguments.
    pub(super) taken_in: &'a BTreeSet<(Abi, SyscallNr)>,
}

/// What came of it.
pub(super) struct Narrowed {
    pub(super) profile: Profile,
    /// Calls that have conditions now.
    pub(super) conditions: BTreeSet<&'static str>,
    /// What people should know, one line each.
    pub(super) notes: Vec<String>,
}

impl Narrowing<'_> {
    /// The profile with conditions on what was seen.
    pub(super) fn narrow(&self, profile: Profile) -> Narrowed {
        let mut notes = Vec::new();
        if profile.default_action.passes() {
            notes.push("--args: the profile allows what it does not name, so no conditions were added".to_owned());
            return Narrowed { profile, conditions: BTreeSet::new(), notes };
        }
        let mut search = Search { narrowing: self, policy: profile.evaluate(self.host), profile };
        let names: BTreeSet<&'static str> = table::all().map(|(_, _, noted)| noted.name).collect();
        let mut conditions = Vec::new();
        for name in names {
            match search.name(name) {
                Found::Nothing => {}
                Found::Conditions => conditions.push(name),
                Found::Fewer(why) => {
                    conditions.push(name);
                    notes.push(format!("--args: {name} has fewer conditions than it might: {why}"));
                }
                Found::None(why) => notes.push(format!("--args: {name} stays as it is: {why}")),
            }
        }
        notes.insert(
            0,
            match conditions.as_slice() {
                [] => "--args: there is nothing that conditions could be made from".to_owned(),
                names => format!("--args: what was not seen to be asked of {} is refused", names.join(", ")),
            },
        );
        if conditions.contains(&"clone") && search.opens_clone3() {
            notes.push(
                "--args: clone3 is let through, and its flags are in memory, which no filter can read: who is refused a clone \
                 can ask clone3 for the same (clone3-bypass of `auditor profile check`)"
                    .to_owned(),
            );
        }
        search.profile.rules = grouped(search.profile.rules);
        Narrowed { profile: search.profile, conditions: conditions.into_iter().collect(), notes }
    }
}

/// Values that were seen and that a policy refuses, whatever the other arguments.
pub(super) fn refused(policy: &Policy, arguments: &Arguments) -> Vec<String> {
    let mut found = Vec::new();
    for (&(abi, nr), values) in &arguments.calls {
        let Some(noted) = table::noted(abi, nr).filter(|noted| readable(noted)) else { continue };
        for value in values.seen.keys() {
            let mut diagrams = Diagrams::new();
            let passing = policy.diagram(&mut diagrams, abi, nr).and_then(|all| {
                let some = with_values(&mut diagrams, all, abi, nr, value)?;
                Ok(diagrams.witness(some, |outcome| reach(outcome.action) > 0).is_some())
            });
            if passing == Ok(false) {
                let registers = noted.arguments().zip(value);
                let words: Vec<String> =
                    registers.map(|(argument, value)| format!("{} {value:#x}", argument.name)).collect();
                found.push(format!("{} ({abi}) with {}", noted.name, words.join(", ")));
            }
        }
    }
    found
}

fn readable(noted: &Noted) -> bool {
    noted.arguments().all(|argument| !matches!(argument.kind, Kind::Pointer { .. }))
}

struct Search<'a> {
    narrowing: &'a Narrowing<'a>,
    profile: Profile,
    policy: Policy,
}

enum Found {
    /// The call is not let through, or nobody made it and the runtime does not need it.
    Nothing,
    Conditions,
    /// Not on all arguments that were noted, and why.
    Fewer(String),
    None(String),
}

impl Search<'_> {
    fn name(&mut self, name: &str) -> Found {
        let is_here = |rule: &Rule| rule.action.passes() && rule.names.iter().any(|one| one == name);
        let Narrowing { host, made, floor, given, taken_in, .. } = self.narrowing;
        let is_made = |call: &(Abi, SyscallNr)| made.get(call).is_some_and(|count| *count > 0);
        let is_given = |(abi, _): &(Abi, SyscallNr)| *abi == host.native && floor.calls.contains(&name);
        let all = || Abi::ALL.into_iter().filter_map(|abi| Some((abi, syscall::number(abi, name)?)));
        let calls: Vec<(Abi, SyscallNr)> =
            all().filter(|call| self.policy.contains(call.0) && (is_made(call) || is_given(call))).collect();
        if calls.is_empty() || !self.profile.rules.iter().any(is_here) {
            return Found::Nothing;
        }
        if all().any(|call| taken_in.contains(&call)) {
            return Found::None("it was taken in, and what for was not seen".to_owned());
        }
        let (registers, mut seen) = match self.gather(&calls) {
            Ok(gathered) => gathered,
            Err(why) => return Found::None(why.to_owned()),
        };
        seen.extend(calls.iter().filter_map(|call| given.calls.get(call)).flat_map(|values| values.seen.keys()));
        let seen: BTreeSet<[u64; 2]> = seen.into_iter().filter(|value| self.passed(&calls, value)).collect();
        if seen.is_empty() {
            return Found::None("nothing that is asked of it is let through".to_owned());
        }
        let mut missing = None;
        for (alternatives, left_out) in ladder(name, &registers, &seen) {
            missing = missing.or(left_out);
            if alternatives.is_empty() {
                break;
            }
            if self.try_out(name, &alternatives) {
                return missing.map_or(Found::Conditions, Found::Fewer);
            }
            missing =
                Some("more of them would refuse what was seen, or libseccomp makes other code of them".to_owned());
        }
        Found::None(missing.unwrap_or_else(|| "nothing of it can be refused".to_owned()))
    }

    /// What was seen of a call by all ABIs, and where. By one of which nobody made it, it is the runtime's.
    fn gather(&self, calls: &[(Abi, SyscallNr)]) -> Result<(Vec<Register>, BTreeSet<[u64; 2]>), &'static str> {
        let mut registers: Option<Vec<Register>> = None;
        let mut seen = BTreeSet::new();
        for call @ (abi, nr) in calls {
            let noted =
                table::noted(*abi, *nr).ok_or("its arguments are not noted for every ABI by which it was made")?;
            if !readable(noted) {
                return Err("what it is asked for is in memory, which no filter can read");
            }
            let of_abi = |argument| Register { argument, bits: argument.width.bits(*abi) };
            let mine: Vec<Register> = noted.arguments().map(of_abi).collect();
            registers = Some(match registers {
                None => mine,
                Some(others) => merged(&others, &mine).ok_or("its ABIs take what it is asked for in different ways")?,
            });
            let made = self.narrowing.made.get(call).copied().unwrap_or_default();
            if made == 0 {
                continue;
            }
            let values = self.narrowing.arguments.calls.get(call).ok_or("its arguments were not noted")?;
            let count = values.seen.values().fold(values.overflowed, |sum, count| sum.saturating_add(*count));
            if values.overflowed > 0 {
                return Err("some of its arguments found no room");
            }
            if made > count {
                return Err("its arguments were not noted from the first call");
            }
            seen.extend(values.seen.keys().copied());
        }
        Ok((registers.unwrap_or_default(), seen))
    }

    /// Whether a value passes at all, by any ABI: what ran against the profile is no ground for conditions.
    fn passed(&self, calls: &[(Abi, SyscallNr)], value: &[u64; 2]) -> bool {
        calls.iter().any(|(abi, nr)| {
            let mut diagrams = Diagrams::new();
            let passing = self.policy.diagram(&mut diagrams, *abi, *nr).and_then(|all| {
                let some = with_values(&mut diagrams, all, *abi, *nr, value)?;
                Ok(diagrams.witness(some, |outcome| outcome.action.passes()).is_some())
            });
            passing.unwrap_or(true)
        })
    }

    /// Puts conditions on a call, if they do what they should.
    fn try_out(&mut self, name: &str, alternatives: &[cube::All]) -> bool {
        let mut rules = Vec::new();
        for rule in &self.profile.rules {
            if !rule.action.passes() || !rule.names.iter().any(|one| one == name) {
                rules.push(rule.clone());
                continue;
            }
            let mut rest = rule.clone();
            rest.names.retain(|one| one != name);
            if !rest.names.is_empty() {
                rules.push(rest);
            }
            let Some(narrowed) = narrowed(rule, name, alternatives) else { return false };
            rules.extend(narrowed);
        }
        let profile = Profile { rules, ..self.profile.clone() };
        let after = profile.evaluate(self.narrowing.host);
        let made = self.narrowing.made.iter().filter(|(_, count)| **count > 0).map(|(call, _)| *call).collect();
        let Narrowing { arguments: seen, given, .. } = *self.narrowing;
        let question = Question { name, before: &self.policy, after: &after, seen, made: &made, given };
        // Where nobody knows what the start does with the call, its own rules stay.
        let start = Question { before: self.narrowing.start, ..question };
        // Nor is anything put on what comes through a door where nobody knows what the start does there.
        let is_shut = |(abi, nr)| {
            after.is_within(self.narrowing.start, abi, nr) || is_within(&after, self.narrowing.start, abi, nr)
        };
        let mut doors = Abi::ALL.into_iter().filter_map(|abi| Some((abi, door(abi, name)?.0)));
        let holds = start.holds_for_the_name() && doors.all(is_shut) && question.holds();
        if holds {
            (self.profile, self.policy) = (profile, after);
        }
        holds
    }
}

impl Search<'_> {
    /// Whether what is refused of `clone` can be had by another call.
    fn opens_clone3(&self) -> bool {
        let clone3 = |abi| syscall::number(abi, "clone3").map(|nr| self.policy.verdict(abi, nr));
        self.policy.abis().filter_map(clone3).any(|verdict| !matches!(verdict, Verdict::Denied(_)))
    }
}

/// The registers of two ABIs, as wide as the kernel takes them by both.
fn merged(a: &[Register], b: &[Register]) -> Option<Vec<Register>> {
    let same = |a: &Register, b: &Register| (a.argument.index, a.argument.kind) == (b.argument.index, b.argument.kind);
    let both = a.iter().zip(b).map(|(a, b)| same(a, b).then_some(Register { bits: a.bits.min(b.bits), ..*a }));
    (a.len() == b.len()).then(|| both.collect::<Option<Vec<Register>>>()).flatten()
}

/// Neighbours that differ by their names alone are one rule.
fn grouped(rules: Vec<Rule>) -> Vec<Rule> {
    let mut grouped: Vec<Rule> = Vec::new();
    for rule in rules {
        match grouped.last_mut() {
            Some(last)
                if !rule.args.is_empty()
                    && (last.action, last.errno, &last.args) == (rule.action, rule.errno, &rule.args) =>
            {
                last.names.extend(rule.names);
                last.names.sort_unstable();
            }
            _ => grouped.push(rule),
        }
    }
    grouped
}
