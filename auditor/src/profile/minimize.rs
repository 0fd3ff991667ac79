//! Which allowances of a profile a run does without: the search, apart from whoever runs the program.
//!
//! The first proposal takes everything away that may go. Where a run then is refused a call by name, that name comes
//! back; where it only goes differently, the proposal is halved. So the number of runs is that of the calls that
//! are needed and not known to be, times a logarithm, and not that of the calls.

use std::collections::BTreeSet;

use super::{HostArch, Profile, Rule};
use crate::syscall::{Abi, known_name};

/// How a run under a proposal went, beside the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The same.
    Same,
    /// It was refused these calls, which it was not in the first run.
    Refused(BTreeSet<String>),
    /// It went differently, and nobody knows by which call.
    Different,
}

/// The state of a search. The same outcomes lead to the same result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    removed: BTreeSet<String>,
    /// To be tried yet, the next one last.
    groups: Vec<Vec<String>>,
}

impl Search {
    /// Of these names. The earlier ones are tried first, where they cannot be tried together.
    #[must_use]
    pub fn new(candidates: Vec<String>) -> Self {
        let groups = if candidates.is_empty() { Vec::new() } else { vec![candidates] };
        Self { removed: BTreeSet::new(), groups }
    }

    /// Names to run without next; `None` when nothing is left to try.
    #[must_use]
    pub fn proposal(&self) -> Option<BTreeSet<String>> {
        let group = self.groups.last()?;
        Some(self.removed.iter().chain(group).cloned().collect())
    }

    /// Takes in how the run without the last proposal went.
    pub fn learn(&mut self, outcome: &Outcome) {
        let Some(mut group) = self.groups.pop() else { return };
        match outcome {
            Outcome::Same => self.removed.extend(group),
            Outcome::Refused(names) => {
                let before = (group.len(), self.removed.len());
                self.restore(names);
                group.retain(|name| !names.contains(name));
                if before == (group.len(), self.removed.len()) {
                    self.halve(group);
                } else if !group.is_empty() {
                    self.groups.push(group);
                }
            }
            Outcome::Different => self.halve(group),
        }
    }

    fn halve(&mut self, mut group: Vec<String>) {
        if group.len() > 1 {
            let second = group.split_off(group.len().div_ceil(2));
            self.groups.push(second);
            self.groups.push(group);
        }
    }

    /// Gives names back that were taken away.
    pub fn restore(&mut self, names: &BTreeSet<String>) {
        self.removed.retain(|name| !names.contains(name));
    }

    /// Names that the run does without, as far as it was tried.
    #[must_use]
    pub const fn removed(&self) -> &BTreeSet<String> {
        &self.removed
    }

    /// How many names were not tried yet.
    #[must_use]
    pub fn untried(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }
}

/// The names that a profile lets through, always or for some arguments.
#[must_use]
pub fn allowances(profile: &Profile) -> BTreeSet<String> {
    profile.rules.iter().filter(|rule| !rule.action.denies()).flat_map(|rule| rule.names.iter().cloned()).collect()
}

/// A profile without the allowances of these names. runc answers ENOSYS to newer calls than the highest that a profile
/// names: that one stays named, with the default action, so that no errno changes.
#[must_use]
pub fn without(profile: &Profile, names: &BTreeSet<String>, host: HostArch) -> Profile {
    let mut small = profile.clone();
    for rule in small.rules.iter_mut().filter(|rule| !rule.action.denies()) {
        rule.names.retain(|name| !names.contains(name));
    }
    small.rules.retain(|rule| !rule.names.is_empty());
    let (before, after) = (profile.evaluate(host), small.evaluate(host));
    let moved = Abi::ALL.into_iter().filter_map(|abi| {
        let highest = before.stub_above(abi)?;
        (after.stub_above(abi) != Some(highest)).then(|| known_name(abi, highest)).flatten()
    });
    let kept: BTreeSet<&str> = moved.collect();
    if !kept.is_empty() {
        let names = kept.into_iter().map(str::to_owned).collect();
        small.rules.push(Rule { names, action: small.default_action, errno: small.default_errno, args: Vec::new() });
    }
    small
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(names: &[usize]) -> BTreeSet<String> {
        names.iter().map(|name| format!("call{name:02}")).collect()
    }

    /// Runs a search on a program that needs some calls, and tells of a refusal by name or not.
    fn searched(candidates: usize, needed: &BTreeSet<String>, tells: bool) -> (Search, usize) {
        let all: Vec<_> = (0..candidates).map(|name| format!("call{name:02}")).collect();
        let mut search = Search::new(all);
        let mut runs = 0;
        while let Some(proposal) = search.proposal() {
            runs += 1;
            let missed: BTreeSet<_> = proposal.intersection(needed).cloned().collect();
            search.learn(&match missed.first() {
                None => Outcome::Same,
                // A program ends at the first call that it cannot do without.
                Some(first) if tells => Outcome::Refused(BTreeSet::from([first.clone()])),
                Some(_) => Outcome::Different,
            });
        }
        (search, runs)
    }

    proptest! {
        #[test]
        fn what_is_needed_stays_and_all_else_goes(needed in prop::collection::vec(0_usize..40, 0..6), tells: bool) {
            let needed = set(&needed);
            let (search, runs) = searched(40, &needed, tells);
            let all: BTreeSet<_> = (0..40).map(|name| format!("call{name:02}")).collect();
            prop_assert_eq!(search.removed(), &all.difference(&needed).cloned().collect());
            prop_assert_eq!(search.untried(), 0);
            let bound = if tells { needed.len() + 1 } else { 2 * 6 * needed.len() + 1 };
            prop_assert!(runs <= bound, "{} runs for {} needed", runs, needed.len());
        }
    }

    #[test]
    fn a_refusal_of_what_nobody_took_away_does_not_go_on_for_ever() {
        let mut search = Search::new(vec!["a".to_owned(), "b".to_owned()]);
        let stranger = Outcome::Refused(BTreeSet::from(["c".to_owned()]));
        for _ in 0..3 {
            assert!(search.proposal().is_some());
            search.learn(&stranger);
        }
        assert_eq!((search.proposal(), search.removed().len()), (None, 0));
    }

    #[test]
    fn a_name_that_a_later_run_needs_comes_back() {
        let mut search = Search::new(vec!["a".to_owned(), "b".to_owned()]);
        search.learn(&Outcome::Same);
        search.restore(&BTreeSet::from(["a".to_owned()]));
        assert_eq!(search.removed(), &BTreeSet::from(["b".to_owned()]));
    }
}
