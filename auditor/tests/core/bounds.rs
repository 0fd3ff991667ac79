//! Bounding what is kept of a workload: what goes, what must stay, and that the order does not matter.

use std::collections::{BTreeMap, BTreeSet};

use auditor::counters::{Counters, Denials, Tally};
use auditor::evidence::{self, Start, Values};
use auditor::suggest::{Certainty, Demand, RuntimeFloor};
use auditor::syscall::{Abi, SyscallNr};
use proptest::prelude::*;

use crate::evidence::{any_starts, evidence as workload, start};

type Call = (Abi, SyscallNr);

/// `mmap`, whose arguments are noted.
const MMAP: Call = (Abi::X86_64, SyscallNr(9));

fn nr(number: i32) -> Call {
    (Abi::X86_64, SyscallNr(number))
}

fn kept(starts: &[Start], full: usize, all: usize) -> Vec<Start> {
    let mut starts = starts.to_vec();
    evidence::keep(&mut starts, full, all);
    starts
}

fn calls(numbers: &[i32]) -> Counters {
    let made = Tally { calls: 1, ..Tally::default() };
    Counters { tallies: numbers.iter().map(|number| (nr(*number), made)).collect() }
}

/// What a suggestion is made from.
fn seen(starts: &[Start]) -> (BTreeSet<Call>, BTreeSet<(Call, [u64; 2])>) {
    let evidence = workload(starts);
    let used = evidence.counters().tallies.into_iter().filter(|(_, tally)| tally.calls > 0).map(|(call, _)| call);
    let values = evidence.arguments().calls.into_iter();
    let values = values.flat_map(|(call, values)| values.seen.into_keys().map(move |value| (call, value)));
    (used.collect(), values.collect())
}

#[test]
fn a_job_of_a_thousand_runs_is_known_with_its_whole_time() {
    let starts: Vec<Start> = (0..1_000).map(|number| start(number, &calls(&[0, 1, 59]))).collect();
    let (before, after) = (workload(&starts), workload(&kept(&starts, 128, 4_096)));
    assert_eq!(after.starts.len(), 1_000);
    assert_eq!(after.window(), before.window());
    assert_eq!(after.starts.iter().filter(|start| !start.summary).count(), 128);
    // The first of them has seen the calls first; of the others one call tells that the program was run.
    assert!(after.starts[1..800].iter().all(|start| start.calls.len() == 1));
    let certainty = Certainty::of(&after, &RuntimeFloor::NONE, Abi::X86_64);
    let demand = Demand { starts: Some(1_000), seconds: Some(1_000 * 3_600), coverage: None };
    assert_eq!(certainty.shortfalls(&demand), Vec::<String>::new());
    assert_eq!(certainty.estimate.starts, 128);
    // Beyond the second bound they go, the oldest first, but for the one that brought something.
    let few = kept(&starts, 10, 20);
    assert_eq!((few.len(), &few[0].id), (21, &starts[0].id));
}

#[test]
fn what_does_not_count_stands_for_nothing_that_does() {
    let old = start(0, &calls(&[59, 83]));
    let denied = Tally { denials: Denials { errno: 1, ..Denials::default() }, ..Tally::default() };
    let newer = start(1, &calls(&[59, 83]));
    for other in [
        Start { excluded: true, exclusions: 1, ..newer.clone() },
        Start { profile: Some("aa".repeat(32)), ..newer.clone() },
        Start { confined: Some(false), profile: None, ..newer },
        start(1, &Counters { tallies: BTreeMap::from([(nr(83), denied), (nr(59), denied)]) }),
    ] {
        let kept = kept(&[old.clone(), other], 1, 1);
        assert!(kept[0].summary && kept[0].calls.contains_key(&nr(83)), "{kept:?}");
    }
}

#[test]
fn the_only_start_with_a_value_keeps_it_and_its_count_fits() {
    let with = |number, value: u64, count| {
        let made = Tally { calls: count, ..Tally::default() };
        let mut start = start(number, &Counters { tallies: BTreeMap::from([(MMAP, made)]) });
        let values = Values { seen: BTreeMap::from([([value, 0], count)]), overflowed: 0 };
        start.arguments.calls.insert(MMAP, values);
        start
    };
    let starts: Vec<Start> = (0..9).map(|number| with(number, u64::from(number == 3), 7)).collect();
    let starts = kept(&starts, 2, 2);
    let (counters, arguments) = (workload(&starts).counters(), workload(&starts).arguments());
    let values = &arguments.calls[&MMAP];
    assert!(values.seen.contains_key(&[1, 0]), "{values:?}");
    assert!(values.seen.values().sum::<u64>() >= counters.tallies[&MMAP].calls, "{values:?}");
    // More values than summaries keep: that there were more is told, however many starts come after it.
    let mut starts: Vec<Start> = (0..600).map(|number| with(number, u64::try_from(number).unwrap(), 1)).collect();
    for number in 600..700 {
        evidence::keep(&mut starts, 8, 16);
        starts.push(with(number, 0, 1));
    }
    assert!(workload(&starts).arguments().calls[&MMAP].overflowed > 0);
    assert!(starts.len() < 40, "{}", starts.len());
}

#[test]
fn a_start_of_which_arguments_are_missing_is_not_forgotten_as_such() {
    let noted = |number, count| {
        let mut start = start(number, &calls(&[9]));
        let values = Values { seen: BTreeMap::from([([1, 0], count)]), overflowed: 0 };
        start.arguments.calls.insert(MMAP, values);
        start
    };
    let mut gap = noted(0, 1);
    gap.arguments.calls.clear();
    let kept = kept(&[gap, noted(1, 1), noted(2, 1)], 1, 1);
    let (counters, arguments) = (workload(&kept).counters(), workload(&kept).arguments());
    assert!(arguments.calls[&MMAP].seen[&[1, 0]] < counters.tallies[&MMAP].calls, "{kept:?}");
}

proptest! {
    #[test]
    fn bounding_forgets_nothing_that_a_suggestion_needs(starts in any_starts(), full in 0..6_usize, more in 0..6_usize) {
        let all = full + more;
        let kept = kept(&starts, full, all);
        prop_assert_eq!(seen(&kept), seen(&starts));
        prop_assert!(starts.iter().rev().take(full).all(|start| kept.contains(start)));
        prop_assert!(kept.is_sorted_by_key(|start| start.began));
        // Every time is what it was, where no start is left out.
        if starts.len() <= all {
            prop_assert_eq!(workload(&kept).window(), workload(&starts).window());
            prop_assert_eq!(workload(&kept).whole(), workload(&starts).whole());
        }
        prop_assert_eq!(workload(&kept).window().last_new, workload(&starts).window().last_new);
    }

    #[test]
    fn bounding_before_adding_others_changes_nothing(
        starts in any_starts(),
        cut in 0..20_usize,
        full in 0..6_usize,
        more in 0..6_usize,
    ) {
        let all = full + more;
        let (some, others) = starts.split_at(cut.min(starts.len()));
        let mut step_by_step = kept(some, full, all);
        step_by_step.extend(others.to_vec());
        prop_assert_eq!(kept(&step_by_step, full, all), kept(&starts, full, all));
    }

    #[test]
    fn a_summary_and_the_whole_start_are_the_whole_start(starts in any_starts()) {
        for (summary, whole) in kept(&starts, 0, 99).into_iter().zip(&starts) {
            prop_assert!(summary.summary);
            prop_assert_eq!(&summary.clone().join(whole.clone()), whole);
            prop_assert_eq!(&whole.clone().join(summary), whole);
        }
    }
}

#[test]
fn a_call_that_was_denied_first_is_new_when_it_was_made() {
    let denied = Tally { denials: Denials { errno: 1, last_errno: Some(1), ..Denials::default() }, ..Tally::default() };
    let only_denied = Counters { tallies: [(nr(59), Tally { calls: 1, ..denied }), (nr(83), denied)].into() };
    let mut starts = vec![start(0, &only_denied)];
    starts.extend((1..4).map(|number| start(number, &calls(&[59, 83]))));
    assert_eq!(workload(&kept(&starts, 1, 4)).window(), workload(&starts).window());
}
