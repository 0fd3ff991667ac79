//! What the starts that were seen say about the next one.
//!
//! The question is at the level of starts: how likely is it that the next one makes a call that none has made? Calls
//! come in groups (a rare branch makes five calls that nothing else makes), so that numbers of calls answer another
//! question. Leaving one start out does: it would have brought something new if it made a call that no other start
//! made. The share of such starts is Good and Turing's estimate, with starts in the place of animals (Good, Biometrika
//! 40, 1953), and on average it is what it should be.
//!
//! A bound is harder. Starts that are left out one by one are not independent trials: a call that two starts made is
//! new to neither, and yet it is as much a sign of rare calls as two that one start made each. The limit of Clopper
//! and Pearson over the share alone is too low in up to a fifth of all records (docs/coverage.md). What holds is to
//! count every such pair as well, to take the limit for 97.5 %, and not to believe in less than one such event as long
//! as there are fewer than five starts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Incidence;
use super::limit::upper_limit;

/// How often the bound may be wrong, over the hardest of the programs that were simulated.
const PROMISED: f64 = 0.95;
/// What the limit is taken for, to keep the promise.
const MISS: f64 = 0.025;
/// Fewer starts say nothing about the next.
const FEWEST: u32 = 2;
/// That fewer starts than these did all the same may well be chance: with several equally likely modes, none of them
/// above a quarter, it is in 6 % of all records of three starts.
const FEW: u32 = 5;

/// What is known about calls that were not seen yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Whole starts: T.
    pub starts: u32,
    /// Distinct calls that they made.
    pub calls: u32,
    /// Starts that made a call which no other start made.
    pub starts_with_own_call: u32,
    /// Pairs of other starts that alone share a call.
    pub pairs_with_own_call: u32,
    /// Starts that were refused a call which they may have needed. They count as those that made one of their own.
    #[serde(default)]
    pub starts_refused: u32,
    /// What calls were made with counts as well: the chance, starts and pairs are about a call or an argument.
    #[serde(default)]
    pub with_arguments: bool,
    /// The chance that the next start makes a call not seen yet; `None` with fewer than two starts.
    pub chance: Option<Chance>,
    /// New calls to expect of the next start: Q1 / T (Good and Turing), where Q1 calls were made by one start alone.
    pub expected_new_calls: Option<f64>,
    /// The sample coverage for incidence data of Chao and Jost (Ecology 93, 2012; Chao and others, Ecological
    /// Monographs 84, 2014): the share of what the starts make, call by call and as often as each is made, that
    /// belongs to calls which were seen.
    pub sample_coverage: Option<f64>,
    /// Calls that no start has made yet, at least: Chao2 (Chao, Biometrics 43, 1987), bias-corrected where no call was
    /// made by exactly two starts.
    pub unseen_calls: Option<f64>,
}

/// The chance that the next start makes a call not seen yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// The best guess.
    pub estimate: f64,
    /// It is below this, with [`Chance::confidence`].
    pub below: f64,
    /// In this share of all records at least the bound holds; measured, see docs/coverage.md.
    pub confidence: f64,
}

impl Estimate {
    /// From the starts that were seen.
    #[must_use]
    pub fn of<K: Ord>(incidence: &Incidence<K>) -> Self {
        let starts = incidence.starts;
        let made_by = |number: u32| incidence.calls.values().filter(move |made| made.starts == number);
        let own: BTreeSet<u32> = made_by(1).map(|made| made.first).collect();
        let new: BTreeSet<u32> = own.union(&incidence.refused).copied().collect();
        let pairs: BTreeSet<(u32, u32)> = made_by(2)
            .filter_map(|made| Some((made.first, made.second?)))
            .filter(|(one, other)| !new.contains(one) && !new.contains(other))
            .collect();
        let (own, new, pairs) = (count(own.len()), count(new.len()), count(pairs.len()));
        let rare = new.saturating_add(pairs).max(u32::from(starts < FEW));
        let known = |value: f64| (starts >= FEWEST).then_some(value);
        let t = f64::from(starts);
        let (q1, q2) = (f64::from(count(made_by(1).count())), f64::from(count(made_by(2).count())));
        let all: f64 = incidence.calls.values().map(|made| f64::from(made.starts)).sum();
        Self {
            starts,
            calls: count(incidence.calls.len()),
            starts_with_own_call: own,
            pairs_with_own_call: pairs,
            starts_refused: count(incidence.refused.len()),
            with_arguments: false,
            chance: known(f64::from(new) / t).map(|estimate| Chance {
                estimate,
                below: upper_limit(rare, starts, MISS),
                confidence: PROMISED,
            }),
            expected_new_calls: known(q1 / t),
            sample_coverage: known(sample_coverage(t, q1, q2, all)).filter(|_| all > 0.0),
            unseen_calls: known(unseen_calls(t, q1, q2)),
        }
    }

    /// With the confidence that is promised, the chance that the next start needs nothing that was not seen is at
    /// least this.
    #[must_use]
    pub fn assured(&self) -> Option<f64> {
        self.chance.map(|chance| 1.0 - chance.below)
    }

    /// For people: one sentence without a full stop.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { starts, starts_with_own_call: own, pairs_with_own_call: pairs, starts_refused: refused, .. } = *self;
        let new = if self.with_arguments { "a call or an argument" } else { "a call" };
        let what = format!("the chance that the next start needs {new} not seen yet is");
        let Some(chance) = self.chance else {
            let why =
                if starts == 0 { "no whole start was seen" } else { "one whole start says nothing about the next" };
            return format!("{what} unknown: {why}");
        };
        let mut seen = vec![format!("{starts} starts")];
        seen.push(match own {
            0 => format!("none of them brought {new} of its own"),
            own => format!("{own} of them brought {new} of its own"),
        });
        if pairs > 0 {
            let share = if pairs == 1 { "pair shares" } else { "pairs share" };
            let made = if self.with_arguments { "has" } else { "made" };
            seen.push(format!("{pairs} {share} {new} that no other start {made}"));
        }
        if refused > 0 {
            let were = if refused == 1 { "was" } else { "were" };
            seen.push(format!("{refused} {were} refused a call that may be needed"));
        }
        let seen = seen.join(", ");
        if chance.below >= 1.0 {
            return format!("{what} not bounded ({seen})");
        }
        let bound = percent_up(chance.below);
        format!("{what} below {bound} ({:.0} % confidence; {seen})", 100.0 * chance.confidence)
    }
}

/// As a percentage that is not smaller than it is: a tenth below 10 %, else whole.
pub(crate) fn percent_up(share: f64) -> String {
    let percent = 100.0 * share;
    // What is whole but for a rounding of the binary form is whole.
    let up = |value: f64| (value - 1e-9).ceil();
    if percent < 10.0 { format!("{:.1} %", up(percent * 10.0) / 10.0) } else { format!("{:.0} %", up(percent)) }
}

/// As a percentage that is not larger than it is: a tenth above 90 %, else whole.
pub(crate) fn percent_down(share: f64) -> String {
    let percent = 100.0 * share;
    let down = |value: f64| (value + 1e-9).floor();
    if percent > 90.0 { format!("{:.1} %", down(percent * 10.0) / 10.0) } else { format!("{:.0} %", down(percent)) }
}

/// 1 - Q1/U * (T-1)Q1 / ((T-1)Q1 + 2Q2), with U the sum of all incidences; without calls of two starts the second
/// factor is (T-1)(Q1-1) / ((T-1)(Q1-1) + 2).
fn sample_coverage(t: f64, q1: f64, q2: f64, all: f64) -> f64 {
    if q1 <= 0.0 || all <= 0.0 {
        return 1.0;
    }
    let (rare, pairs) = if q2 > 0.0 { ((t - 1.0) * q1, 2.0 * q2) } else { ((t - 1.0) * (q1 - 1.0), 2.0) };
    (1.0 - q1 / all * (rare / (rare + pairs))).clamp(0.0, 1.0)
}

/// (T-1)/T * Q1^2 / 2Q2; without calls of two starts (T-1)/T * Q1(Q1-1)/2.
fn unseen_calls(t: f64, q1: f64, q2: f64) -> f64 {
    (t - 1.0) / t * if q2 > 0.0 { q1 * q1 / (2.0 * q2) } else { q1 * (q1 - 1.0) / 2.0 }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::{Abi, SyscallNr};

    fn incidence(starts: &[&[i32]]) -> Incidence {
        let mut incidence = Incidence::default();
        for calls in starts {
            incidence.add(calls.iter().map(|nr| (Abi::X86_64, SyscallNr(*nr))));
        }
        incidence
    }

    fn near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn fewer_than_two_starts_are_no_number() {
        for starts in [&[][..], &[&[1, 2][..]]] {
            let estimate = Estimate::of(&incidence(starts));
            assert_eq!(estimate.chance, None);
            assert_eq!(
                (estimate.expected_new_calls, estimate.sample_coverage, estimate.unseen_calls),
                (None, None, None)
            );
            assert!(estimate.in_words().contains("unknown"), "{}", estimate.in_words());
            assert_eq!(estimate.assured(), None);
        }
    }

    #[test]
    fn each_formula_gives_what_it_gives_on_paper() {
        // T 4, U 13: calls 1 and 2 by all, 3 and 4 by one start, 5 by two, 6 by one.
        let estimate = Estimate::of(&incidence(&[&[1, 2, 3, 4], &[1, 2, 5], &[1, 2, 5], &[1, 2, 6]]));
        assert_eq!((estimate.starts, estimate.calls), (4, 6));
        assert_eq!((estimate.starts_with_own_call, estimate.pairs_with_own_call), (2, 1));
        assert!(near(estimate.chance.map(|chance| chance.estimate), 0.5));
        assert!(near(estimate.expected_new_calls, 0.75));
        assert!(near(estimate.sample_coverage, 1.0 - 3.0 / 13.0 * (9.0 / 11.0)));
        assert!(near(estimate.unseen_calls, 0.75 * 9.0 / 2.0));
        let alone = Estimate::of(&incidence(&[&[1, 2], &[1, 3], &[1]]));
        assert!(near(alone.sample_coverage, 1.0 - 2.0 / 5.0 * (2.0 / 4.0)));
        assert!(near(alone.unseen_calls, 2.0 / 3.0));
    }

    #[test]
    fn a_pair_with_a_start_that_counts_already_is_not_counted_again() {
        let estimate = Estimate::of(&incidence(&[&[1, 2, 3], &[1, 3], &[1, 4], &[1, 4], &[1]]));
        assert_eq!((estimate.starts_with_own_call, estimate.pairs_with_own_call), (1, 1));
    }

    #[test]
    fn a_start_that_was_refused_something_counts_as_one_that_brought_something() {
        let mut every = Incidence::default();
        let mut one = Incidence::default();
        for start in 0..20 {
            every.add([(Abi::X86_64, SyscallNr(1))]);
            every.refuse();
            one.add([(Abi::X86_64, SyscallNr(1))]);
            if start == 7 {
                one.refuse();
            }
        }
        let every = Estimate::of(&every);
        assert_eq!((every.starts_with_own_call, every.starts_refused, every.assured()), (0, 20, Some(0.0)));
        assert_eq!(
            every.in_words(),
            "the chance that the next start needs a call not seen yet is not bounded (20 starts, none of them brought a \
             call of its own, 20 were refused a call that may be needed)"
        );
        let own = Incidence { refused: BTreeSet::new(), ..one.clone() };
        let (one, own) = (Estimate::of(&one), Estimate::of(&own));
        assert!(near(one.chance.map(|chance| chance.estimate), 0.05) && one.assured() < own.assured());
    }

    #[test]
    fn nothing_new_in_many_starts_still_leaves_a_bound() {
        let estimate = Estimate::of(&incidence(&[&[1, 2][..]; 48]));
        let chance = estimate.chance.unwrap();
        assert!(chance.estimate == 0.0 && (0.07..0.075).contains(&chance.below), "{chance:?}");
        assert_eq!(
            estimate.in_words(),
            "the chance that the next start needs a call not seen yet is below 7.4 % (95 % confidence; 48 starts, none \
             of them brought a call of its own)"
        );
    }

    #[test]
    fn a_call_named_twice_counts_once() {
        let twice = incidence(&[&[1, 1], &[1, 2, 2], &[2, 1]]);
        assert_eq!(twice, incidence(&[&[1], &[1, 2], &[2, 1]]));
    }
}
