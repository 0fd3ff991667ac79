//! What repeats is one entry with a count, and nothing is counted twice or lost.

use std::collections::BTreeMap;

use auditor::counters::{Counters, Denials, Tally};
use auditor::denial::decision::{Call, Declared, Seen};
use auditor::denial::{Counter, KEPT, Kind, Log, Refusal, Rest, Task, counted};
use auditor::syscall::{Abi, SyscallNr};
use jiff::Timestamp;
use proptest::prelude::*;

use super::native;

fn refusal(second: i64, comm: &str, call: Call, seen: Seen) -> Refusal {
    let task = Task { pid: 1000, tid: 1001, container_pid: 1, container_tid: 2, comm: comm.to_owned() };
    Refusal { time: Timestamp::from_second(second).unwrap(), call, seen, task }
}

fn add(log: &mut Log, refusal: Refusal) {
    let nr = refusal.call.nr;
    log.add(refusal, nr, [false; 6]);
}

fn counts(rows: &[(SyscallNr, u64)]) -> BTreeMap<Counter, u64> {
    let tally =
        |errno| Tally { denials: Denials { errno, last_errno: Some(1), ..Denials::default() }, ..Tally::default() };
    let tallies = rows.iter().map(|(nr, count)| ((Abi::X86_64, *nr), tally(*count))).collect();
    counted(&Counters { tallies }).collect()
}

fn counts_of(rest: &[Rest]) -> Vec<(Counter, u64)> {
    rest.iter().map(|rest| (rest.counter, rest.count)).collect()
}

#[test]
fn the_same_wish_of_the_same_program_is_one_entry() {
    let mut log = Log::default();
    for (second, path) in [(10, 0x1000), (20, 0x2000), (15, 0x3000)] {
        add(&mut log, refusal(second, "sh", native("mkdir", &[path, 0o755]), Seen::Errno(1)));
    }
    assert_eq!(log.len(), 1);
    let entry = log.entries_mut().next().unwrap();
    assert_eq!((entry.count, entry.first.as_second(), entry.latest.time.as_second()), (3, 10, 20));
    assert_eq!(entry.latest.call.args[0], 0x2000);
    for other in [
        refusal(30, "sh", native("mkdir", &[0x1000, 0o700]), Seen::Errno(1)),
        refusal(30, "bash", native("mkdir", &[0x1000, 0o755]), Seen::Errno(1)),
        refusal(30, "sh", native("mkdir", &[0x1000, 0o755]), Seen::Errno(13)),
        refusal(30, "sh", native("rmdir", &[0x1000]), Seen::Errno(1)),
    ] {
        add(&mut log, other);
    }
    assert_eq!(log.len(), 5);
}

#[test]
fn arguments_that_the_profile_looks_at_are_compared() {
    let mut log = Log::default();
    for size in [1, 2, 2] {
        let refusal = refusal(1, "sh", native("read", &[3, 0x1000, size]), Seen::Errno(1));
        let nr = refusal.call.nr;
        log.add(refusal, nr, [false, false, true, false, false, false]);
    }
    assert_eq!(log.len(), 2);
}

#[test]
fn the_number_of_entries_is_bounded_and_what_is_dropped_is_counted() {
    let mut log = Log::default();
    let nr = native("mkdir", &[]).nr;
    for mode in 0..1000 {
        add(&mut log, refusal(i64::try_from(mode).unwrap(), "sh", native("mkdir", &[0, mode]), Seen::Errno(1)));
    }
    assert_eq!(log.len(), KEPT);
    assert!(log.entries_mut().all(|entry| entry.latest.time.as_second() >= 1000 - 64));
    let counter = Counter { abi: Abi::X86_64, nr, kind: Kind::Errno };
    assert_eq!(counts_of(&log.remainder(&counts(&[(nr, 1000)]))), [(counter, 936)]);
    assert_eq!(counts_of(&log.settled_remainder()), [(counter, 936)]);
    // What nobody saw is there too, once it is settled.
    assert_eq!(counts_of(&log.remainder(&counts(&[(nr, 100_000)]))), [(counter, 99_936)]);
    assert_eq!(log.settle(counts(&[(nr, 100_000)])), []);
    assert_eq!(counts_of(&log.settled_remainder()), [(counter, 936)]);
    assert_eq!(log.settle(counts(&[(nr, 100_000)])), [(counter, 99_000)]);
    assert_eq!(log.settle(counts(&[(nr, 100_000)])), []);
    assert_eq!(counts_of(&log.settled_remainder()), [(counter, 99_936)]);
}

#[test]
fn what_is_on_its_way_is_not_called_unseen() {
    let mut log = Log::default();
    let nr = native("mkdir", &[]).nr;
    log.settle(counts(&[(nr, 3)]));
    for _ in 0..3 {
        add(&mut log, refusal(1, "sh", native("mkdir", &[]), Seen::Errno(1)));
    }
    assert_eq!(log.settle(counts(&[(nr, 3)])), []);
    assert_eq!(counts_of(&log.remainder(&counts(&[(nr, 3)]))), []);
}

#[test]
fn what_was_counted_alone_has_the_time_of_when_it_was_noticed_not_of_the_question() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let times = |rest: Vec<Rest>| rest.iter().map(|rest| rest.time).collect::<Vec<_>>();
    let mut log = Log::default();
    let nr = native("mkdir", &[]).nr;
    for second in [100, 200, 300, 400] {
        log.tell_time(at(second));
        log.settle(counts(&[(nr, 5)]));
    }
    assert_eq!(times(log.remainder(&counts(&[(nr, 5)]))), [Some(at(200))]);
    assert_eq!(times(log.settled_remainder()), [Some(at(200))]);
    // A later one that is seen is a line of its own, and one that nobody has noticed yet is new.
    add(&mut log, refusal(500, "sh", native("mkdir", &[]), Seen::Errno(1)));
    assert_eq!(times(log.remainder(&counts(&[(nr, 6)]))), [Some(at(200))]);
    assert_eq!(times(log.remainder(&counts(&[(nr, 7)]))), [None]);
    // One that is dropped keeps its time.
    log.trim(0);
    assert_eq!(times(log.remainder(&counts(&[(nr, 6)]))), [Some(at(500))]);
}

#[test]
fn advice_is_made_anew_when_the_engine_says_whose_profile_it_is() {
    let profile = crate::docker_default();
    let policy = profile.evaluate(super::HOST);
    let declared = Some(Declared { profile: &profile, policy: &policy });
    let mut log = Log::default();
    add(&mut log, refusal(1, "sh", native("mount", &[1, 2, 3, 0x1000]), Seen::Errno(1)));
    let entry = log.entries_mut().next().unwrap();
    let mut remedy = |docker_default| entry.findings(declared, docker_default).advice.remedy.clone();
    let unknown = remedy(false);
    assert!(unknown.contains("the kernel also asks for"), "{unknown}");
    let default = remedy(true);
    assert!(default.contains("with which Docker's default allows it"), "{default}");
    assert_eq!(remedy(false), unknown);
}

proptest! {
    /// Folded counts and what is not in any entry add up to what was counted, whatever was seen of it.
    #[test]
    fn every_refusal_is_told_once(calls in prop::collection::vec((0_i32..4, 0_u64..40, any::<bool>()), 0..300)) {
        let mut log = Log::default();
        let mut made = BTreeMap::<SyscallNr, u64>::new();
        let mut told = 0;
        for (at, (nr, mode, sent)) in calls.iter().enumerate() {
            let call = Call { abi: Abi::X86_64, nr: SyscallNr(83 + nr), args: [0, *mode, 0, 0, 0, 0] };
            *made.entry(call.nr).or_default() += 1;
            if *sent {
                add(&mut log, refusal(1, "sh", call, Seen::Errno(1)));
                told += 1;
            }
            if at % 7 == 0 {
                let rows: Vec<_> = made.iter().map(|(nr, count)| (*nr, *count)).collect();
                told += log.settle(counts(&rows)).iter().map(|(_, count)| count).sum::<u64>();
            }
        }
        let rows: Vec<_> = made.into_iter().collect();
        let all_counts = counts(&rows);
        for _ in 0..2 {
            told += log.settle(all_counts.clone()).iter().map(|(_, count)| count).sum::<u64>();
        }
        let all: u64 = all_counts.values().sum();
        prop_assert_eq!(told, all);
        let kept: u64 = log.entries_mut().map(|entry| entry.count).sum();
        let rest: u64 = log.remainder(&all_counts).iter().map(|rest| rest.count).sum();
        prop_assert_eq!(kept + rest, all);
        let settled: u64 = log.settled_remainder().iter().map(|rest| rest.count).sum();
        prop_assert_eq!(kept + settled, all);
    }
}
