use super::*;
use crate::container::CgroupId;
use crate::counters::Tally;
use crate::kernel::SlotState;

fn id() -> ContainerId {
    ContainerId::parse(&"ab".repeat(32)).unwrap()
}

fn counters(calls: u64) -> Counters {
    let tally = Tally { calls, ..Tally::default() };
    Counters { tallies: BTreeMap::from([((Abi::NATIVE, SyscallNr(39)), tally)]) }
}

fn owner(cgroup: u64, from_first_call: bool) -> SlotOwner {
    let (cgroup, since_ns) = (CgroupId(cgroup), 1_000_000_000);
    SlotOwner { cgroup, name: String::new(), since_ns, from_first_call, state: SlotState::Live }
}

fn at(second: i64) -> Now {
    Now { wall: Timestamp::from_second(second).unwrap(), boot: Duration::from_secs(second.unsigned_abs()) }
}

/// A record whose slot `nr` was taken.
fn taken(record: &mut Record, nr: u32, from_first_call: bool) -> SlotNr {
    let owner = owner(u64::from(nr), from_first_call);
    let run = || Run::new(id(), &owner, "boot", &mut BTreeMap::new(), false);
    record.slot_taken(SlotNr(nr), &owner, None, run);
    SlotNr(nr)
}

#[test]
fn totals_go_on_over_restarts_and_the_starts_stay_apart() {
    let mut record = Record::new(id());
    for (slot, calls) in [(3, 5), (9, 7)] {
        let slot = taken(&mut record, slot, true);
        record.counted(slot, counters(calls), 0, at(0));
        record.slot_released(slot, (u64::from(slot.0), 0), None);
    }
    assert_eq!(record.counters(), counters(12));
    let evidence = record.evidence(None);
    assert_eq!(evidence.counters(), counters(12));
    assert_eq!((evidence.window().starts, evidence.window().complete), (2, true));
    assert_ne!(evidence.starts[0].id, evidence.starts[1].id);
}

#[test]
fn a_start_has_one_name_whoever_counts_it() {
    let name = |boot, cgroup| Run::new(id(), &owner(cgroup, true), boot, &mut BTreeMap::new(), false).id().to_owned();
    assert_eq!(name("a", 1), name("a", 1));
    assert_ne!(name("a", 1), name("b", 1));
    assert_ne!(name("a", 1), name("a", 2));
}

#[test]
fn a_container_that_was_there_before_the_daemon_is_not_complete() {
    let mut record = Record::new(id());
    taken(&mut record, 0, false);
    let window = record.evidence(None).window();
    assert_eq!((window.starts, window.complete), (0, false));
}

#[test]
fn a_start_whose_programs_were_taken_over_has_no_gap() {
    let mut first = Record::new(id());
    let slot = taken(&mut first, 0, true);
    // After its first minute: what the first daemon saw of that stays known.
    first.counted(slot, counters(3), 0, at(11));
    first.counted(slot, counters(5), 0, at(71));
    let start = first.evidence(None).starts.remove(0);
    let seen = start.calls[&(Abi::NATIVE, SyscallNr(39))];
    assert_eq!(seen.startup_calls, Some(3));
    let mut unfinished = BTreeMap::from([(start.id.clone(), start)]);
    let mut second = Record::new(id());
    let owner = owner(0, true);
    second.slot_taken(SlotNr(0), &owner, None, || Run::new(id(), &owner, "boot", &mut unfinished, true));
    // The same counters, which went on.
    second.counted(SlotNr(0), counters(8), 0, at(81));
    let evidence = second.evidence(None);
    assert_eq!(evidence.counters(), counters(8));
    let (start, window) = (&evidence.starts[0], evidence.window());
    assert_eq!((start.seconds, start.from_first_call, window.complete, window.starts), (80, true, true, 1));
    let later = start.calls[&(Abi::NATIVE, SyscallNr(39))];
    assert_eq!((later.startup_calls, later.first), (Some(3), seen.first));
}

#[test]
fn what_replaced_programs_counted_is_added_whoever_counts_in_the_slot_now() {
    let begun = |slot: u32, from_first_call, resumed| {
        let owner = owner(7, from_first_call);
        (SlotNr(slot), owner.clone(), Run::new(id(), &owner, "boot", &mut BTreeMap::new(), resumed))
    };
    let mut record = Record::new(id());
    // Taken over from a daemon that was killed before it kept what the programs before its own had counted.
    let (slot, new, run) = begun(0, false, true);
    record.slot_taken(slot, &new, None, || run);
    record.counted(slot, counters(3), 0, at(21));
    let (_, old, mut run) = begun(0, true, true);
    run.counted(counters(5), at(22));
    run.lost_in_slot(1);
    record.take_in(&run, &old, at(22), None);
    assert_eq!((record.counters(), record.all_lost(), record.starts), (counters(8), 1, 1));
    // The slot goes on, and so does the start.
    record.counted(slot, counters(4), 0, at(23));
    assert_eq!(record.counters(), counters(9));
    let evidence = record.evidence(None);
    assert_eq!((evidence.starts.len(), evidence.counters(), evidence.window().complete), (1, counters(9), false));
    // Nor is it lost by the next one.
    let account = record.take_account("boot").unwrap();
    let mut later = Record::restored(id(), account);
    assert!(later.has_read(tenure(&old)));
    let (slot, new, run) = begun(0, false, true);
    later.slot_taken(slot, &new, None, || run);
    later.counted(slot, counters(6), 0, at(31));
    let evidence = later.evidence(None);
    assert_eq!((later.counters(), evidence.starts.len(), evidence.counters()), (counters(11), 1, counters(11)));
    later.slot_released(slot, tenure(&new), None);
    assert_eq!(later.evidence(None).counters(), counters(11));
}

#[test]
fn an_account_has_all_that_the_kernel_forgets() {
    let mut record = Record::new(id());
    let slot = taken(&mut record, 3, true);
    record.counted(slot, counters(5), 2, at(11));
    let tenure = (3, 1_000_000_000);
    record.slot_released(slot, tenure, None);
    let again = taken(&mut record, 4, true);
    record.counted(again, counters(9), 0, at(12));
    let account = record.take_account("boot").unwrap();
    assert_eq!(record.take_account("boot"), None);
    let text = serde_json::to_string(&account).unwrap();
    let mut restored = Record::restored(id(), serde_json::from_str(&text).unwrap());
    // What a slot holds now is the kernel's to tell.
    assert_eq!((restored.counters(), restored.all_lost(), restored.starts), (counters(5), 2, 1));
    assert!(restored.has_read(tenure) && !restored.has_read((4, 1_000_000_000)));
    // The start that is over is nobody's evidence yet.
    assert_eq!(restored.starts_of_no_workload(), 1);
    let slot = taken(&mut restored, 4, true);
    restored.counted(slot, counters(10), 0, at(13));
    assert_eq!((restored.counters(), restored.starts, restored.is_complete()), (counters(15), 2, false));
    restored.cleared(tenure);
    assert!(!restored.has_read(tenure));
}

#[test]
fn a_start_goes_on_under_another_daemon_and_has_a_gap_then() {
    let mut first = Record::new(id());
    let slot = taken(&mut first, 0, true);
    first.counted(slot, counters(5), 0, at(11));
    let start = first.evidence(None).starts.remove(0);
    let mut unfinished = BTreeMap::from([(start.id.clone(), start)]);
    let mut second = Record::new(id());
    let owner = owner(0, false);
    let run = || Run::new(id(), &owner, "boot", &mut unfinished, false);
    second.slot_taken(SlotNr(7), &owner, None, run);
    second.counted(SlotNr(7), counters(2), 0, at(21));
    let evidence = second.evidence(None);
    assert!(unfinished.is_empty());
    assert_eq!(evidence.counters(), counters(7));
    let (start, window) = (&evidence.starts[0], evidence.window());
    assert_eq!((start.seconds, start.from_first_call, window.complete), (30, false, false));
}

/// An engine's word on what it runs.
fn told(record: &mut Record) {
    let container = Container {
        id: id(),
        name: Some("shell".to_owned()),
        image: Some("busybox".to_owned()),
        image_id: Some("sha256:1a".to_owned()),
        service: None,
        compose_service: None,
        command: Some(vec!["sh".to_owned()]),
        state: None,
        pid: None,
        started_at: None,
        privileged: None,
        security_opt: None,
        cgroup_parent: None,
        runtime: None,
        auto_remove: None,
    };
    record.container = Some(container);
}

/// The starts that are to be stored now.
fn unkept(record: &mut Record) -> Vec<Start> {
    record.take_unkept(None).map(|evidence| evidence.starts).unwrap_or_default()
}

#[test]
fn what_is_forgotten_is_not_stored_again_from_what_is_still_known() {
    let mut record = Record::new(id());
    told(&mut record);
    for (slot, second) in [(0, 11), (1, 21)] {
        let slot = taken(&mut record, slot, true);
        record.counted(slot, counters(5), 0, at(second));
        record.slot_released(slot, (u64::from(slot.0), 0), None);
    }
    record.ended[0].until = at(11).wall;
    record.forget(Some(at(15).wall));
    assert_eq!(record.evidence(None).starts.len(), 1);
    record.forget(None);
    assert!(record.evidence(None).starts.is_empty() && unkept(&mut record).is_empty());
    // What goes on is kept again, and only what was counted since the daemon knows it.
    let slot = taken(&mut record, 2, true);
    record.counted(slot, counters(5), 0, at(31));
    let before = record.evidence(None).starts.remove(0);
    assert_eq!(record.seen_before(before.clone()), None);
    assert_eq!(record.evidence(None).counters(), counters(10));
    record.forget(None);
    assert_eq!(record.evidence(None).counters(), counters(5));
    let other = Start { id: "other".to_owned(), ..before };
    assert_eq!(record.seen_before(other.clone()), Some(other));
}

#[test]
fn what_changed_is_stored_calls_arguments_losses_hours_and_profile() {
    let mut record = Record::new(id());
    told(&mut record);
    let slot = taken(&mut record, 0, true);
    record.counted(slot, counters(1), 0, at(2));
    assert_eq!(unkept(&mut record).len(), 1);
    record.counted(slot, counters(1), 0, at(4));
    assert!(unkept(&mut record).is_empty(), "nothing has changed");
    let mut arguments = ByFilter::default();
    arguments.filtered.calls.entry((Abi::NATIVE, SyscallNr(9))).or_default().seen.insert([1, 2], 3);
    record.called_with(slot, arguments.clone());
    assert_eq!(unkept(&mut record)[0].arguments, arguments.filtered);
    record.called_with(slot, arguments);
    assert!(unkept(&mut record).is_empty(), "the arguments are the same");
    record.counted(slot, counters(1), 1, at(6));
    assert_eq!(unkept(&mut record)[0].lost, 1);
    record.counted(slot, counters(1), 1, at(400));
    assert_eq!(unkept(&mut record)[0].seconds, 399);
    record.runtime = Runtime::Crun;
    assert_eq!(unkept(&mut record)[0].runtime, Runtime::Crun);
    assert!(unkept(&mut record).is_empty());
}

#[test]
fn starts_of_a_container_that_nobody_told_of_are_counted_as_lost() {
    let mut record = Record::new(id());
    let slot = taken(&mut record, 0, true);
    record.counted(slot, counters(1), 0, at(2));
    record.slot_released(slot, (u64::from(slot.0), 0), None);
    assert_eq!(record.starts_of_no_workload(), 1);
    told(&mut record);
    assert_eq!(record.starts_of_no_workload(), 0);
}

#[test]
fn a_start_up_that_another_daemon_saw_in_part_is_unknown() {
    for (second, known) in [(30, None), (70, Some(5))] {
        let mut first = Record::new(id());
        let slot = taken(&mut first, 0, true);
        first.counted(slot, counters(5), 0, at(30));
        first.counted(slot, counters(5), 0, at(second));
        let mut unfinished = first.evidence(None).starts.into_iter().map(|start| (start.id.clone(), start)).collect();
        let mut later = Record::new(id());
        let owner = owner(0, false);
        later.slot_taken(SlotNr(7), &owner, None, || Run::new(id(), &owner, "boot", &mut unfinished, false));
        later.counted(SlotNr(7), counters(2), 0, at(99));
        let seen = later.evidence(None).starts[0].calls[&(Abi::NATIVE, SyscallNr(39))];
        assert_eq!((seen.tally.calls, seen.startup_calls), (7, known));
    }
}

#[test]
fn a_loss_while_it_ran_makes_its_record_incomplete() {
    let mut record = Record::new(id());
    record.lost(1);
    let slot = taken(&mut record, 0, true);
    assert!(record.evidence(None).window().complete);
    record.lost(1);
    record.counted(slot, counters(1), 2, at(0));
    let window = record.evidence(None).window();
    assert_eq!((window.complete, window.lost), (false, 3));
    record.slot_released(slot, (u64::from(slot.0), 0), None);
    assert_eq!(record.evidence(None).window().lost, 3);
    assert_eq!(record.all_lost(), 3);
}

#[test]
fn calls_of_the_first_minute_are_the_start_up() {
    let mut record = Record::new(id());
    let slot = taken(&mut record, 0, true);
    for (second, calls) in [(2, 1), (60, 5), (62, 9)] {
        record.counted(slot, counters(calls), 0, at(second));
    }
    let start = &record.evidence(None).starts[0];
    let seen = start.calls[&(Abi::NATIVE, SyscallNr(39))];
    assert_eq!((seen.tally.calls, seen.startup_calls, start.seconds), (9, Some(5), 61));
}

#[test]
fn calls_are_first_and_last_seen_when_their_counter_grew() {
    let mut record = Record::new(id());
    let slot = taken(&mut record, 0, true);
    for (second, calls) in [(10, 1), (20, 2), (30, 2)] {
        record.counted(slot, counters(calls), 0, at(second));
    }
    let view = record.view(None, false, &Differing::new(tokio::sync::mpsc::channel(1).0));
    let rows = view.syscalls.unwrap();
    assert_eq!((rows[0].first_seen, rows[0].last_seen), (Some(at(10).wall), Some(at(20).wall)));
}
