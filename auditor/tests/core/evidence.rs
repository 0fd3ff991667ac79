//! What was seen of a workload: its starts, their sums, their bounds, and their JSON form.

use std::collections::BTreeMap;

use auditor::counters::{Counters, Denials, Tally};
use auditor::evidence::{Archive, Arguments, Command, Evidence, Seen, Start, Values, Workload};
use auditor::profile::Runtime;
use auditor::report::history::{WorkloadView, starts, starts_table, workloads_table};
use auditor::report::table::Style;
use auditor::suggest::{Certainty, RuntimeFloor};
use auditor::syscall::{Abi, SyscallNr};
use jiff::Timestamp;
use proptest::prelude::*;

/// The beginning of a start: hour after hour.
fn hour(number: i64) -> Timestamp {
    "2026-11-23T19:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_hours(number)
}

/// A complete start of an hour that made these calls.
pub fn start(number: i64, counters: &Counters) -> Start {
    let (began, until) = (hour(number), hour(number + 1));
    let seen = |tally: &Tally| Seen { tally: *tally, startup_calls: None, first: began, last: began };
    Start {
        id: format!("{number:032x}"),
        container: "ab".repeat(32),
        name: Some("shell".to_owned()),
        began,
        until,
        seconds: 3_600,
        from_first_call: true,
        lost: 0,
        profile: Some("5e".repeat(32)),
        runtime: Runtime::Runc,
        confined: Some(true),
        excluded: false,
        exclusions: 0,
        calls: counters.tallies.iter().map(|(key, tally)| (*key, seen(tally))).collect(),
        arguments: Arguments::default(),
        summary: false,
    }
}

/// These starts of one workload.
pub fn evidence(starts: &[Start]) -> Evidence {
    let command = Command::Line(vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()]);
    Evidence {
        workload: Workload { image: format!("sha256:{}", "1a".repeat(32)), command },
        image_names: vec!["busybox:1.35".to_owned()],
        starts: starts.to_vec(),
    }
}

pub fn any_start() -> impl Strategy<Value = Start> {
    // Also calls that were refused, and nothing else.
    let call = (0..6_i32, 0..4_u64, 0..3_u64, proptest::sample::select(vec![1, 38]));
    let value = ((0..8_i32), any::<[u64; 2]>(), 1..9_u64);
    let calls = proptest::collection::vec(call, 0..6);
    let values = proptest::collection::vec(value, 0..4);
    let startup = proptest::option::of(0..2_u64);
    (0..40_i64, any::<bool>(), any::<bool>(), 0..3_u64, calls, values, startup).prop_map(
        |(number, from_first_call, excluded, lost, calls, values, startup_calls)| {
            let mut counters = Counters::default();
            for (nr, calls, errno, last) in calls {
                let denials = Denials { errno, last_errno: (errno > 0).then_some(last), ..Denials::default() };
                let tally = Tally { calls, runtime_calls: calls.min(1), denials, ..Tally::default() };
                counters.tallies.insert((Abi::X86_64, SyscallNr(nr - 1)), tally);
            }
            let mut arguments = Arguments::default();
            for (nr, value, count) in values {
                let entry: &mut Values = arguments.calls.entry((Abi::X86_64, SyscallNr(nr))).or_default();
                entry.seen.insert(value, count);
                entry.overflowed = count;
            }
            let exclusions = u32::from(excluded);
            let mut start =
                Start { from_first_call, excluded, exclusions, lost, arguments, ..start(number, &counters) };
            start.calls.values_mut().for_each(|seen| seen.startup_calls = startup_calls);
            start
        },
    )
}

/// Starts of different numbers.
pub fn any_starts() -> impl Strategy<Value = Vec<Start>> {
    proptest::collection::vec(any_start(), 0..20).prop_map(|starts| {
        let by_id: BTreeMap<String, Start> = starts.into_iter().map(|start| (start.id.clone(), start)).collect();
        by_id.into_values().collect()
    })
}

#[test]
fn history_says_what_a_suggestion_says_of_the_next_start() {
    let counters = |nr| Counters {
        tallies: BTreeMap::from([((Abi::X86_64, SyscallNr(nr)), Tally { calls: 1, ..Tally::default() })]),
    };
    let starts: Vec<_> = (0..48).map(|number| start(number, &counters(83))).collect();
    let view = WorkloadView::of(&evidence(&starts), 0);
    let floor = RuntimeFloor::of(Runtime::Runc);
    assert_eq!(view.estimate, Certainty::of(&evidence(&starts), floor, Abi::NATIVE).estimate);
    let table = workloads_table(&[view], &Style::default());
    assert!(table.lines().next().unwrap().ends_with("NEW IN NEXT START") && table.contains("below 7.4 %"), "{table}");
    let view = WorkloadView::of(&evidence(&starts[..1]), 0);
    assert!(workloads_table(&[view], &Style::default()).trim_end().ends_with("unknown"));
}

/// A history with all that it can show: a summary, one left out, one with losses, other ABIs, phases, arguments.
fn varied() -> Evidence {
    let nr = |number| (Abi::X86_64, SyscallNr(number));
    let tally = |calls, runtime_calls| Tally { calls, runtime_calls, ..Tally::default() };
    let of = |calls: &[((Abi, SyscallNr), Tally)]| Counters { tallies: calls.iter().copied().collect() };
    let mut old = Start { summary: true, ..start(0, &of(&[(nr(83), tally(2, 0))])) };
    old.calls.values_mut().for_each(|seen| seen.startup_calls = Some(2));
    let mut whole = start(
        24,
        &of(&[
            (nr(0), tally(9, 4)),
            (nr(59), tally(1, 1)),
            (nr(84), tally(3, 0)),
            (nr(9), tally(2, 0)),
            ((Abi::I386, SyscallNr(20)), tally(1, 0)),
            (
                nr(272),
                Tally { denials: Denials { errno: 1, last_errno: Some(1), ..Denials::default() }, ..Tally::default() },
            ),
        ]),
    );
    for (key, early) in
        [(nr(0), 2), (nr(59), 0), (nr(84), 3), (nr(9), 2), ((Abi::I386, SyscallNr(20)), 0), (nr(272), 0)]
    {
        whole.calls.get_mut(&key).unwrap().startup_calls = Some(early);
    }
    let values = Values { seen: BTreeMap::from([([1, 2], 1), ([3, 0x22], 1)]), overflowed: 0 };
    whole.arguments.calls.insert(nr(9), values);
    let lossy = Start { lost: 7, name: None, ..start(25, &of(&[(nr(0), tally(1, 0))])) };
    let adopted = Start {
        from_first_call: false,
        profile: None,
        confined: Some(false),
        ..start(26, &of(&[(nr(39), tally(1, 0))]))
    };
    let excluded = Start { excluded: true, exclusions: 1, ..start(27, &of(&[(nr(101), tally(1, 0))])) };
    evidence(&[old, whole, lossy, adopted, excluded])
}

#[test]
fn history_is_shown_as_recorded() {
    let evidence = varied();
    let workloads = vec![WorkloadView { left_out: 3, ..WorkloadView::of(&evidence, 1) }];
    let starts = starts(&evidence);
    crate::assert_recorded("history.txt", &workloads_table(&workloads, &Style::default()));
    crate::assert_recorded("history.json", &serde_json::to_string_pretty(&workloads).unwrap());
    crate::assert_recorded("history-starts.txt", &starts_table(&starts, &Style::default()));
    crate::assert_recorded("history-starts.json", &serde_json::to_string_pretty(&starts).unwrap());
    let archive = Archive { workloads: vec![evidence], ..Archive::default() };
    crate::assert_recorded("evidence.json", &archive.render().unwrap());
}

#[test]
fn phases_are_told_where_they_are_known_and_unknown_elsewhere() {
    let starts = starts(&varied());
    let [summary, whole, _, adopted, _] = starts.as_slice() else { panic!("{starts:?}") };
    assert_eq!((&summary.phases, summary.calls), (&None, None));
    let phases = whole.phases.as_ref().unwrap();
    assert_eq!(phases.runtime, ["read", "execve"]);
    assert_eq!(phases.startup.as_deref().unwrap(), ["read", "mmap", "rmdir"]);
    assert_eq!(phases.steady.as_deref().unwrap(), ["read", "getpid (i386)"]);
    let phases = adopted.phases.as_ref().unwrap();
    assert_eq!((&phases.startup, &phases.steady), (&None, &None));
}

#[test]
fn the_quiet_time_is_counted_time_in_which_nothing_new_was_made() {
    let nr = |number| (Abi::X86_64, SyscallNr(number));
    let tally = Tally { calls: 1, ..Tally::default() };
    let refused = Tally { denials: Denials { errno: 1, ..Denials::default() }, ..Tally::default() };
    let set_up = Tally { unfiltered_calls: 1, ..Tally::default() };
    let made =
        |calls: &[(i32, Tally)]| Counters { tallies: calls.iter().map(|(at, tally)| (nr(*at), *tally)).collect() };
    // Ten minutes after its beginning the first start makes a call that it had not made; a day later another one runs for
    // five seconds, is refused one call, and is entered by somebody without a filter.
    let minute = |minutes| hour(1) + jiff::SignedDuration::from_mins(minutes);
    let mut first = start(1, &made(&[(1, tally), (2, tally)]));
    first.calls.get_mut(&nr(2)).unwrap().first = minute(10);
    let mut later = start(25, &made(&[(1, tally), (3, refused), (4, set_up)]));
    (later.seconds, later.until) = (5, hour(25) + jiff::SignedDuration::from_secs(5));
    let window = evidence(&[first.clone(), later]).window();
    assert_eq!((window.last_new, window.quiet_seconds), (Some(minute(10)), Some(50 * 60 + 5)));
    let view = WorkloadView::of(&evidence(&[first]), 0);
    assert_eq!(serde_json::to_value(&view).unwrap()["quiet_seconds"], 3_000);
    assert_eq!(evidence(&[]).window().quiet_seconds, None);
}

#[test]
fn only_whole_starts_and_the_calls_of_their_programs_say_what_a_start_makes() {
    let nr = |number| (Abi::X86_64, SyscallNr(number));
    let tally = |calls, runtime_calls| Tally { calls, runtime_calls, ..Tally::default() };
    let made =
        |calls: &[(i32, Tally)]| Counters { tallies: calls.iter().map(|(at, tally)| (nr(*at), *tally)).collect() };
    let whole = start(1, &made(&[(1, tally(1, 0)), (2, tally(3, 3)), (3, tally(3, 2))]));
    let others = [
        Start { from_first_call: false, ..whole.clone() },
        Start { lost: 1, ..whole.clone() },
        Start { excluded: true, ..whole.clone() },
        Start { summary: true, ..whole.clone() },
        // The runtime failed before it came to the program.
        start(2, &made(&[(2, tally(3, 3))])),
        // What was refused was not made.
        start(3, &made(&[(4, Tally { denials: Denials { errno: 1, ..Denials::default() }, ..Tally::default() })])),
    ];
    for other in others {
        let evidence = evidence(&[whole.clone(), other]);
        let made: Vec<Vec<_>> = evidence.known_whole().map(|start| start.made().collect()).collect();
        assert_eq!(made, [[nr(1), nr(3)]]);
    }
    let unconfined = Tally { unfiltered_calls: 1, ..Tally::default() };
    let free = Start { confined: Some(false), ..start(1, &made(&[(5, unconfined)])) };
    assert_eq!(evidence(&[free]).known_whole().count(), 1);
}

#[test]
fn what_cannot_be_is_no_evidence() {
    let good = serde_json::to_value(evidence(&[start(1, &Counters::default())])).unwrap();
    assert!(serde_json::from_value::<Evidence>(good.clone()).is_ok());
    let row = serde_json::json!({"abi": "x86_64", "nr": 39, "calls": 1, "first": hour(1), "last": hour(1)});
    let mut huge = row.clone();
    huge["calls"] = (1_u64 << 60).into();
    let arguments = |value| serde_json::json!([{"abi": "x86_64", "nr": 56, "values": [[value, "0x0", 1]]}]);
    for (field, value, wanted) in [
        ("id", "".into(), "the id of a start is 1 to 64 letters and digits"),
        ("id", "\u{1b}[2J".into(), "the id of a start is 1 to 64 letters and digits"),
        ("profile", "5e".into(), "the sha256 of a profile is 64 hex digits"),
        ("until", "2020-01-01T00:00:00Z".into(), "the start 00000000000000000000000000000001 ends before it begins"),
        ("seconds", u64::MAX.into(), "a count of more than 2^53"),
        ("name", "x".repeat(10_000).into(), "a text of more than 4096 bytes"),
        ("calls", serde_json::json!([row, row]), "getpid (x86_64) is there twice"),
        ("calls", serde_json::json!([huge]), "a count of more than 2^53"),
        ("arguments", arguments("7"), "an argument that is not 0x and at most 16 hex digits"),
        ("arguments", arguments("0x+7"), "an argument that is not 0x and at most 16 hex digits"),
        ("runtime", "podman".into(), "unknown variant `podman`, expected `runc` or `crun`"),
    ] {
        let mut bad = good.clone();
        bad["starts"][0][field] = value;
        let said = serde_json::from_value::<Evidence>(bad).unwrap_err().to_string();
        assert_eq!(said, wanted, "{field}");
    }
    let mut twice = good.clone();
    let again = twice["starts"][0].clone();
    twice["starts"].as_array_mut().unwrap().push(again);
    let said = serde_json::from_value::<Evidence>(twice).unwrap_err().to_string();
    assert!(said.ends_with("is there twice"), "{said}");
}

#[test]
fn a_file_of_something_else_is_refused_in_one_line() {
    for (text, words) in [
        ("", "no evidence of auditor's: EOF"),
        ("[]", "no evidence of auditor's: "),
        ("{}", "no evidence of auditor's: missing field `auditor_evidence`"),
        (r#"{"auditor_evidence": 2, "workloads": 7}"#, "evidence of version 2; this auditor reads version 1"),
        (r#"{"auditor_evidence": 1, "profiles": [7]}"#, "a profile in it: "),
        (
            r#"{"auditor_evidence": 1, "workloads": [{"image": "x"}]}"#,
            "no evidence of auditor's: missing field `command`",
        ),
        (&"[".repeat(100_000), "no evidence of auditor's: "),
    ] {
        let said = Archive::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(said.starts_with(words) && !said.contains('\n'), "{said}");
    }
}

proptest! {
    #[test]
    fn evidence_is_what_its_json_is_read_as(starts in any_starts()) {
        let evidence = evidence(&starts);
        let json = serde_json::to_string(&evidence).unwrap();
        prop_assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence);
    }

    #[test]
    fn no_text_breaks_the_reading_of_evidence(text: String) {
        let _ = serde_json::from_str::<Evidence>(&text);
    }

    #[test]
    fn evidence_joins_in_any_order_and_any_number_of_times(
        a in any_starts(),
        b in any_starts(),
        c in any_starts(),
    ) {
        let joined = |parts: &[&Vec<Start>]| {
            let mut all = evidence(&[]);
            parts.iter().for_each(|part| all.join(evidence(part)));
            all
        };
        let all = joined(&[&a, &b, &c]);
        for order in [[&c, &b, &a], [&b, &a, &c], [&a, &c, &b]] {
            prop_assert_eq!(&joined(&order), &all);
        }
        prop_assert_eq!(&joined(&[&a, &b, &c, &a, &b, &b, &c]), &all);
        let mut nested = joined(&[&b, &c]);
        nested.join(joined(&[&a]));
        prop_assert_eq!(&nested, &all);
        let ids: std::collections::BTreeSet<&str> = all.starts.iter().map(|start| start.id.as_str()).collect();
        prop_assert_eq!(ids.len(), all.starts.len());
    }

    #[test]
    fn joining_loses_nothing_that_either_has_counted(a in any_start(), b in any_start()) {
        let b = Start { id: a.id.clone(), began: a.began, ..b };
        let joined = a.clone().join(b.clone());
        for one in [&a, &b] {
            for (key, seen) in &one.calls {
                let found = joined.calls[key];
                prop_assert!(found.tally.calls >= seen.tally.calls && found.tally.denials.errno >= seen.tally.denials.errno);
                prop_assert!(found.first <= seen.first && found.last >= seen.last);
            }
            for (key, values) in &one.arguments.calls {
                let found = &joined.arguments.calls[key];
                prop_assert!(values.seen.iter().all(|(value, count)| found.seen[value] >= *count));
                prop_assert!(found.overflowed >= values.overflowed);
            }
            prop_assert!(joined.lost >= one.lost && (one.from_first_call || !joined.from_first_call));
            prop_assert!(joined.seconds >= one.seconds && joined.until >= one.until);
        }
        // Who counts it now knows best under what that is; of the rest nothing is lost either.
        let updated = a.clone().updated_by(Start { profile: None, confined: Some(false), ..b });
        prop_assert_eq!((&updated.profile, updated.confined), (&a.profile, Some(false)));
        prop_assert_eq!((&updated.calls, &updated.arguments), (&joined.calls, &joined.arguments));
    }

    #[test]
    fn a_file_of_evidence_is_what_it_is_read_as(starts in any_starts(), limit in 1..9_000_usize) {
        let profile = crate::docker_default();
        let profiles = BTreeMap::from([(profile.sha256(), profile)]);
        let archive = Archive { workloads: vec![evidence(&starts)], profiles };
        let text = archive.render().unwrap();
        prop_assert_eq!(&Archive::parse(text.as_bytes()).unwrap(), &archive);
        let mut again = evidence(&[]);
        for part in evidence(&starts).into_parts(limit).unwrap() {
            prop_assert!(part.starts.len() <= 1 || serde_json::to_string(&part.starts).unwrap().len() <= limit + 64);
            again.join(part);
        }
        prop_assert_eq!(again, evidence(&starts));
    }
}

#[test]
fn sums_beyond_all_measure_stay_at_the_largest_number() {
    // What an archive may say of each start, and more starts than 64 bits have room for.
    const MOST: u64 = 1 << 53;
    let denials = Denials { errno: MOST, signalled: MOST, thread_killed: MOST, supervised: MOST, ..Denials::default() };
    let tally = Tally { calls: MOST, unfiltered_calls: MOST, errors: MOST, denials, ..Tally::default() };
    let execve = (Abi::X86_64, SyscallNr(59));
    let counters = Counters { tallies: BTreeMap::from([(execve, tally), ((Abi::X86_64, SyscallNr(1)), tally)]) };
    let values = Values { seen: BTreeMap::from([([1, 2], MOST)]), overflowed: MOST };
    let arguments = Arguments { calls: BTreeMap::from([(execve, values)]) };
    let one = Start { lost: MOST, seconds: MOST, confined: Some(false), arguments, ..start(0, &counters) };
    let starts: Vec<Start> = (0..2_100).map(|number| Start { id: format!("{number:032x}"), ..one.clone() }).collect();
    let evidence = evidence(&starts);
    let window = evidence.window();
    assert_eq!((window.lost, window.seconds), (u64::MAX, u64::MAX));
    let total = evidence.counters();
    assert_eq!(total.tallies[&execve].calls, u64::MAX);
    assert_eq!(evidence.arguments().calls[&execve].overflowed, u64::MAX);
    let rows = auditor::audit::syscall_views(&total, None, Some(false));
    assert!(auditor::report::summary::table(&rows, &Style::default()).contains(&u64::MAX.to_string()));
    assert_eq!(auditor::audit::denial_count(&total, None), u64::MAX);
    assert!(!workloads_table(&[WorkloadView::of(&evidence, 0)], &Style::default()).is_empty());
    let _ = Certainty::of(&evidence, RuntimeFloor::of(Runtime::Runc), Abi::NATIVE);
}
