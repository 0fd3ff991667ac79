//! What a profile does to a call, and which of its rules say so.

use std::collections::HashMap;

use serde::Serialize;

use super::docker::{DockerProfile, DockerRule, Target};
use super::evaluate::{HostArch, same_action};
use super::multiplex::door;
use super::policy::Entry;
use super::{Action, Decision, Policy, Profile, ProfileError, Undetermined};
use crate::filter::{Case, Diagram, Diagrams, Outcome, Test, TooComplex};
use crate::syscall::{self, Abi, SyscallNr};

/// What happens to a call by one ABI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// By which convention it is made.
    pub abi: Abi,
    /// Its number there.
    pub nr: SyscallNr,
    /// Its name.
    pub name: String,
    /// `allowed`, `conditional`, `denied` or `unknown`.
    pub verdict: &'static str,
    /// What happens for which arguments: the first case that holds decides. Empty where that is not known.
    pub cases: Vec<ExplainedCase>,
    /// Why it is not known.
    pub unknown: Option<String>,
    /// The rules that are about it, also those that do not apply.
    pub rules: Vec<ExplainedRule>,
}

/// What happens for some arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedCase {
    /// Conditions that must hold together; none for all that is left.
    pub conditions: Vec<String>,
    /// `allowed`, `conditional` (a supervisor decides) or `denied`.
    pub verdict: &'static str,
    /// The specification's word.
    pub action: &'static str,
    /// The errno that the caller gets.
    pub errno: Option<u16>,
    /// `rule`, `default`, `runtime_stub` or `foreign_abi`.
    pub decided_by: &'static str,
    /// The place of the rule in `syscalls`, from 0.
    pub rule: Option<usize>,
}

/// A rule that is about the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRule {
    /// Its place in `syscalls`, from 0.
    pub rule: usize,
    /// The line on which it begins, from 1.
    pub line: Option<usize>,
    /// What its author says of it.
    pub comment: Option<String>,
    /// The name by which it is about the call: its own, or that of a call which comes through it.
    pub name: String,
    /// The specification's word.
    pub action: &'static str,
    /// The errno that it gives.
    pub errno: Option<u16>,
    /// Its conditions, as they are written.
    pub conditions: Vec<String>,
    /// Whether it gets into the filter.
    pub applies: bool,
    /// Why it does not.
    pub because: Vec<String>,
}

/// A profile that was read, and what it means for a container.
#[derive(Debug)]
pub struct Explainer {
    source: DockerProfile,
    lines: Vec<usize>,
    target: Target,
    profile: Profile,
    /// The place in the source of each rule of the resolved profile.
    places: Vec<usize>,
    policy: Policy,
    /// The names in the source that are about a call, as places of a rule and of a name in it: there may be as many
    /// rules as there are questions.
    about: HashMap<(Abi, SyscallNr), Vec<(usize, usize)>>,
}

impl Explainer {
    /// For a profile in either format. `lines` says where its rules begin.
    ///
    /// # Errors
    /// What the runtime would refuse.
    pub fn new(source: DockerProfile, lines: Vec<usize>, target: Target) -> Result<Self, ProfileError> {
        let profile = source.resolve(&target)?;
        let places = source.places(&target);
        let policy = profile.evaluate(HostArch::of(target.native));
        let about = about(&source);
        Ok(Self { source, lines, target, profile, places, policy, about })
    }

    /// What the profile does.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What happens to a call; `None` where the ABI has none of that name.
    #[must_use]
    pub fn explain(&self, diagrams: &mut Diagrams, abi: Abi, name: &str) -> Option<Explanation> {
        let nr = syscall::number(abi, name)?;
        let (cases, unknown) = match self.policy.cases(diagrams, abi, nr) {
            Ok(cases) => {
                let examples = examples(diagrams, &cases);
                (cases.iter().zip(examples).map(|(case, args)| self.case(abi, nr, case, args)).collect(), None)
            }
            Err(why) => (Vec::<ExplainedCase>::new(), Some(why.to_string())),
        };
        let all = |verdict| cases.iter().all(|case| case.verdict == verdict);
        let verdict = match cases.as_slice() {
            [] => "unknown",
            _ if all("allowed") => "allowed",
            _ if all("denied") => "denied",
            _ => "conditional",
        };
        let rules = self.rules(abi, nr);
        Some(Explanation { abi, nr, name: name.to_owned(), verdict, cases, unknown, rules })
    }

    fn case(&self, abi: Abi, nr: SyscallNr, case: &Case, example: Option<[u64; 6]>) -> ExplainedCase {
        let decision = case.outcome.decision();
        let (decided_by, rule) = self.who(abi, nr, decision, &example.unwrap_or_default());
        ExplainedCase {
            conditions: case.conditions.iter().map(|test| readable(abi, *test).to_string()).collect(),
            verdict: verdict(decision.action),
            action: decision.action.as_str(),
            errno: decision.errno,
            decided_by,
            rule,
        }
    }

    /// Who decides for these arguments.
    fn who(&self, abi: Abi, nr: SyscallNr, decision: Decision, args: &[u64; 6]) -> (&'static str, Option<usize>) {
        if !self.policy.contains(abi) {
            return ("foreign_abi", None);
        }
        if self.policy.stub_above(abi).is_some_and(|highest| nr > highest) {
            return ("runtime_stub", None);
        }
        let naming = self.about(abi, nr).iter().filter_map(|(at, name)| {
            let at = self.places.binary_search(at).ok()?;
            self.profile.naming(at, self.profile.rules.get(at)?.names.get(*name)?, (abi, nr), args)
        });
        let always = matches!(*self.policy.entry(abi, nr), Entry::Always(_));
        let decides = naming.filter(|rule| !rule.idle && rule.holds && rule.decision == decision);
        let first = decides.min_by_key(|rule| (always && rule.conditional, rule.rule));
        match first.and_then(|rule| self.places.get(rule.rule)) {
            Some(place) => ("rule", Some(*place)),
            None => ("default", None),
        }
    }

    fn rules(&self, abi: Abi, nr: SyscallNr) -> Vec<ExplainedRule> {
        let one = |(at, name): &(usize, usize)| {
            let rule = self.source.rules.get(*at)?;
            Some(self.rule(*at, rule, rule.rule.names.get(*name)?))
        };
        self.about(abi, nr).iter().filter_map(one).collect()
    }

    fn about(&self, abi: Abi, nr: SyscallNr) -> &[(usize, usize)] {
        self.about.get(&(abi, nr)).map_or(&[], Vec::as_slice)
    }

    fn rule(&self, at: usize, rule: &DockerRule, name: &str) -> ExplainedRule {
        let inner = &rule.rule;
        let mut because = rule.hindrances(&self.target);
        let default = (self.profile.default_action, self.profile.default_errno);
        if same_action((inner.action, inner.errno), default) {
            because.push("does what the default does".to_owned());
        }
        let decision = super::evaluate::outcome(inner.action, inner.errno).decision();
        ExplainedRule {
            rule: at,
            line: self.lines.get(at).copied(),
            comment: rule.comment.clone(),
            name: name.to_owned(),
            action: decision.action.as_str(),
            errno: decision.errno,
            conditions: inner.args.iter().map(|arg| Test::from(arg).to_string()).collect(),
            applies: because.is_empty(),
            because,
        }
    }
}

impl Policy {
    /// What happens to a call, as a list of cases, the first that holds decides: as the rules have them, where that is
    /// what they do and not much longer than need be.
    ///
    /// # Errors
    /// Where it cannot be told for sure, or not in so many words.
    pub fn cases(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<Vec<Case>, Undetermined> {
        let diagram = self.diagram(diagrams, abi, nr)?;
        let found = diagrams.cases(diagram);
        let written = self.written(abi, nr);
        let length = |cases: &[Case]| cases.iter().map(|case| 1 + case.conditions.len()).sum::<usize>();
        let is_shorter = found.as_ref().is_ok_and(|found| 2 * length(found) < length(&written));
        if is_shorter || meaning(diagrams, &written, |at| written[at].outcome) != Ok(diagram) {
            return Ok(found?);
        }
        // Rules that never decide are left out.
        let deciding = examples(diagrams, &written).into_iter().zip(written);
        Ok(deciding.filter_map(|(example, case)| example.map(|_| case)).collect())
    }

    /// The rules' conditions, in their order.
    fn written(&self, abi: Abi, nr: SyscallNr) -> Vec<Case> {
        let Entry::Chains(chains) = &*self.entry(abi, nr) else { return Vec::new() };
        let lower = if abi.is_wide() { u64::MAX } else { u32::MAX.into() };
        let test = |condition| {
            let test = Test::from(condition);
            Test { mask: test.mask & lower, ..test }
        };
        let mut cases: Vec<Case> = Vec::new();
        for chain in chains {
            let case = Case { conditions: chain.conditions.iter().map(test).collect(), outcome: chain.outcome };
            if chains.len() <= MOST_WRITTEN && !cases.contains(&case) {
                cases.push(case);
            }
        }
        cases.push(Case { conditions: Vec::new(), outcome: self.default });
        cases
    }
}

/// By call, the places of the names that are about it: its own, and those of calls that come through its door.
fn about(source: &DockerProfile) -> HashMap<(Abi, SyscallNr), Vec<(usize, usize)>> {
    let mut about: HashMap<_, Vec<_>> = HashMap::new();
    for (at, rule) in source.rules.iter().enumerate() {
        for (name_at, name) in rule.rule.names.iter().enumerate().filter(|(_, name)| syscall::is_known(name)) {
            for abi in Abi::ALL {
                let numbers = [syscall::number(abi, name), door(abi, name).map(|(door, _)| door)];
                for nr in numbers.into_iter().flatten() {
                    about.entry((abi, nr)).or_default().push((at, name_at));
                }
            }
        }
    }
    about
}

/// Rules about one call that anybody wants to read.
const MOST_WRITTEN: usize = 256;

/// The condition as people would write it: an argument of a 32-bit program has no upper half.
pub(super) const fn readable(abi: Abi, mut test: Test) -> Test {
    const LOWER: u64 = u32::MAX as u64;
    if matches!(abi, Abi::I386 | Abi::Arm) && test.mask & LOWER == LOWER && test.value <= LOWER {
        test.mask = u64::MAX;
    }
    test
}

/// What happens to the call itself.
pub(super) const fn verdict(action: Action) -> &'static str {
    if action.passes() {
        "allowed"
    } else if action.denies() {
        "denied"
    } else {
        "conditional"
    }
}

/// For each case arguments for which it is the one that decides.
fn examples(diagrams: &mut Diagrams, cases: &[Case]) -> Vec<Option<[u64; 6]>> {
    let mark = |at: usize| Outcome { action: Action::Trace, data: u16::try_from(at).unwrap_or(u16::MAX) };
    let Ok(whole) = meaning(diagrams, cases, mark) else { return vec![None; cases.len()] };
    (0..cases.len()).map(|at| diagrams.witness(whole, |outcome| outcome == mark(at))).collect()
}

/// The list as a function of the arguments, with an outcome for each case. The last one has no condition.
fn meaning(diagrams: &mut Diagrams, cases: &[Case], outcome: impl Fn(usize) -> Outcome) -> Result<Diagram, TooComplex> {
    let Some(last) = cases.len().checked_sub(1) else { return Err(TooComplex) };
    let mut rest = diagrams.constant(outcome(last))?;
    for (at, case) in cases.iter().enumerate().take(last).rev() {
        let mut then = diagrams.constant(outcome(at))?;
        for test in &case.conditions {
            then = diagrams.test(*test, then, rest)?;
        }
        rest = then;
    }
    Ok(rest)
}
