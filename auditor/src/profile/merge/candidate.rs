//! Rules that may do what is wanted.

use std::collections::{BTreeSet, HashMap};

use super::Rules;
use crate::filter::{Case, Comparison, Diagram, Diagrams, Outcome, Test};
use crate::profile::evaluate::{outcome, same_action};
use crate::profile::{Action, ArgCondition, Operator, Profile, Rule};
use crate::syscall::{Abi, SyscallNr};

/// A rule without names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Plain {
    // In the order in which a result has them: rules without conditions first.
    conditions: usize,
    action: Action,
    errno: Option<u32>,
    args: Vec<ArgCondition>,
}

impl Plain {
    pub(super) fn always(outcome: Outcome) -> Self {
        Self::new(outcome, Vec::new())
    }

    fn new(outcome: Outcome, args: Vec<ArgCondition>) -> Self {
        Self { conditions: args.len(), action: outcome.action, errno: errno(outcome), args }
    }

    fn of(rule: &Rule) -> Self {
        Self::new(outcome(rule.action, rule.errno), rule.args.clone())
    }

    pub(super) fn with(self, names: Vec<String>) -> Rule {
        Rule { names, action: self.action, errno: self.errno, args: self.args }
    }

    fn lets_through(&self) -> bool {
        !self.action.denies()
    }
}

/// The errno as a profile has it: where it is the usual one, EPERM, nothing needs to be said.
pub(super) fn errno(outcome: Outcome) -> Option<u32> {
    (matches!(outcome.action, Action::Errno | Action::Trace) && outcome.data != 1).then(|| outcome.data.into())
}

/// A profile's rules by the calls that they name, those that get into the filter and are not the result's default.
pub(super) fn by_name<'a>(input: &'a Profile, head: &Profile) -> HashMap<&'a str, Vec<&'a Rule>> {
    let defaults = [input, head].map(|profile| (profile.default_action, profile.default_errno));
    let mut named: HashMap<&str, Vec<&Rule>> = HashMap::new();
    for rule in &input.rules {
        if defaults.into_iter().any(|default| same_action((rule.action, rule.errno), default)) {
            continue;
        }
        for name in &rule.names {
            let rules = named.entry(name).or_default();
            if !rules.last().is_some_and(|last| std::ptr::eq(*last, rule)) {
                rules.push(rule);
            }
        }
    }
    named
}

impl Rules<'_> {
    /// What may do, the simplest first.
    pub(super) fn candidates(
        &self,
        name: &str,
        diagrams: &mut Diagrams,
        wanted: &[(Abi, SyscallNr, Diagram)],
    ) -> Vec<Vec<Plain>> {
        let mut found = vec![Vec::new()];
        let constants: BTreeSet<Outcome> =
            wanted.iter().filter_map(|(_, _, diagram)| diagrams.as_constant(*diagram)).collect();
        found.extend(constants.iter().map(|outcome| vec![Plain::always(*outcome)]));
        if wanted.iter().all(|(_, _, diagram)| diagrams.as_constant(*diagram).is_some()) {
            return found;
        }
        found.extend(self.named.iter().map(|named| rules_of(named, name)));
        found.push(self.passing(name));
        let mut all: Vec<Plain> = self.named.iter().flat_map(|named| rules_of(named, name)).collect();
        all.sort_unstable();
        all.dedup();
        found.push(all);
        for (_, _, diagram) in wanted {
            if let Ok(cases) = diagrams.cases(*diagram) {
                found.extend(self.of_cases(&cases));
            }
        }
        found
    }

    /// All rules that let the call through, whoever has them.
    pub(super) fn passing(&self, name: &str) -> Vec<Plain> {
        let all = self.named.iter().flat_map(|named| rules_of(named, name));
        let mut passing: Vec<Plain> = all.filter(Plain::lets_through).collect();
        passing.sort_unstable();
        passing.dedup();
        let always: Vec<Plain> = passing.iter().filter(|rule| rule.args.is_empty()).cloned().collect();
        if always.is_empty() { passing } else { always.into_iter().take(1).collect() }
    }

    /// Rules for what is not done by default.
    fn of_cases(&self, cases: &[Case]) -> Option<Vec<Plain>> {
        let default = outcome(self.head.default_action, self.head.default_errno);
        let (last, others) = cases.split_last()?;
        if last.outcome == default {
            let rules = others.iter().filter(|case| case.outcome != default);
            return rules.map(|case| Some(Plain::new(case.outcome, conditions(&case.conditions)?))).collect();
        }
        // Everything but some arguments: what is not so, put the other way round.
        if others.iter().any(|case| case.outcome != default) {
            return None;
        }
        match others {
            [only] => {
                let negated = only.conditions.iter().map(|test| negated(*test));
                negated.map(|test| Some(Plain::new(last.outcome, conditions(&[test])?))).collect()
            }
            _ if others.iter().all(|case| case.conditions.len() == 1) => {
                let tests: Vec<Test> =
                    others.iter().flat_map(|case| &case.conditions).map(|test| negated(*test)).collect();
                Some(vec![Plain::new(last.outcome, conditions(&tests)?)])
            }
            _ => None,
        }
    }
}

fn rules_of(named: &HashMap<&str, Vec<&Rule>>, name: &str) -> Vec<Plain> {
    named.get(name).into_iter().flatten().map(|rule| Plain::of(rule)).collect()
}

fn negated(test: Test) -> Test {
    Test { comparison: test.comparison.negated(), ..test }
}

/// The conditions of a rule; `None` where a profile has no words for them.
fn conditions(tests: &[Test]) -> Option<Vec<ArgCondition>> {
    let indices: BTreeSet<u8> = tests.iter().map(|test| test.argument).collect();
    // Two conditions on one argument are two rules to a runtime.
    (indices.len() == tests.len()).then_some(())?;
    tests.iter().map(condition).collect()
}

fn condition(test: &Test) -> Option<ArgCondition> {
    const LOWER: u64 = u32::MAX as u64;
    let index = test.argument.into();
    if test.comparison == Comparison::Equal && test.mask != u64::MAX {
        let operator = Operator::MaskedEqual;
        return Some(ArgCondition { index, value: test.mask, value_two: test.value, operator });
    }
    // Where arguments have 32 bits, conditions are about those alone.
    if test.mask != u64::MAX && test.mask != LOWER {
        return None;
    }
    let operator = match test.comparison {
        Comparison::Equal => Operator::Equal,
        Comparison::NotEqual => Operator::NotEqual,
        Comparison::Less => Operator::Less,
        Comparison::LessOrEqual => Operator::LessOrEqual,
        Comparison::Greater => Operator::Greater,
        Comparison::GreaterOrEqual => Operator::GreaterOrEqual,
    };
    Some(ArgCondition { index, value: test.value, value_two: 0, operator })
}
