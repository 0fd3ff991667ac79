//! What must hold for whatever starts make.

use std::collections::BTreeSet;

use auditor::coverage::{Estimate, Incidence, upper_limit};
use auditor::syscall::{Abi, SyscallNr};
use proptest::prelude::*;

fn starts() -> impl Strategy<Value = Vec<BTreeSet<i32>>> {
    proptest::collection::vec(proptest::collection::btree_set(0..30, 0..12), 0..25)
}

fn incidence<'a>(starts: impl IntoIterator<Item = &'a BTreeSet<i32>>) -> Incidence {
    let mut incidence = Incidence::default();
    for calls in starts {
        incidence.add(calls.iter().map(|nr| (Abi::X86_64, SyscallNr(*nr))));
    }
    incidence
}

fn estimate<'a>(starts: impl IntoIterator<Item = &'a BTreeSet<i32>>) -> Estimate {
    Estimate::of(&incidence(starts))
}

fn below(estimate: &Estimate) -> f64 {
    estimate.chance.map_or(1.0, |chance| chance.below)
}

proptest! {
    #[test]
    fn every_number_is_in_its_range(starts in starts()) {
        let found = estimate(&starts);
        prop_assert_eq!(found.chance.is_some(), starts.len() >= 2);
        prop_assert!(found.starts_with_own_call + found.pairs_with_own_call <= found.starts * found.starts.max(1));
        if let Some(chance) = found.chance {
            prop_assert!((0.0..=1.0).contains(&chance.estimate) && (0.0..=1.0).contains(&chance.below));
            prop_assert!(chance.estimate < chance.below || chance.below >= 1.0);
        }
        for share in [found.sample_coverage, found.assured()].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
        }
        for number in [found.expected_new_calls, found.unseen_calls].into_iter().flatten() {
            prop_assert!(number.is_finite() && number >= 0.0, "{number}");
        }
    }

    #[test]
    fn the_order_of_starts_does_not_matter(starts in starts()) {
        prop_assert_eq!(estimate(&starts), estimate(starts.iter().rev()));
    }

    #[test]
    fn leaving_each_start_out_finds_those_with_a_call_of_their_own(starts in starts()) {
        let brings_something = |at: usize| {
            let others: BTreeSet<i32> =
                starts.iter().enumerate().filter(|(other, _)| *other != at).flat_map(|(_, calls)| calls).copied().collect();
            !starts[at].is_subset(&others)
        };
        let own = (0..starts.len()).filter(|at| brings_something(*at)).count();
        prop_assert_eq!(estimate(&starts).starts_with_own_call as usize, own);
    }

    #[test]
    fn a_start_that_does_all_that_was_seen_never_raises_the_bound(mut starts in starts()) {
        let before = below(&estimate(&starts));
        let all: BTreeSet<i32> = starts.iter().flatten().copied().collect();
        starts.push(all);
        prop_assert!(below(&estimate(&starts)) <= before);
    }

    #[test]
    fn a_start_that_brings_only_something_new_never_lowers_it(mut starts in starts()) {
        let before = below(&estimate(&starts));
        starts.push(BTreeSet::from([1000]));
        // Below five starts one such is assumed in any case.
        prop_assert!(starts.len() <= 5 || below(&estimate(&starts)) >= before - 1e-12);
    }

    #[test]
    fn the_limit_rises_with_what_was_seen_and_falls_with_trials(seen in 0..40u32, more in 0..40u32, miss in 0.001..0.5f64) {
        let trials = seen + more;
        let limit = upper_limit(seen, trials, miss);
        prop_assert!((0.0..=1.0).contains(&limit));
        prop_assert!(limit <= upper_limit((seen + 1).min(trials), trials, miss));
        prop_assert!(limit >= upper_limit(seen, trials + 1, miss));
        prop_assert!(trials == 0 || limit >= f64::from(seen) / f64::from(trials));
    }
}
