use super::*;
use crate::filter::Instruction;
use crate::golden::assert_recorded;
use crate::report::view::VerdictKind;
use crate::syscall::Abi;

const DOCKER_FILTER: &[u8] = include_bytes!("../../../tests/data/docker-default-20.10-oci.bpf");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers errno 5 to getsid, whatever the ABI.
fn sandbox() -> Vec<u8> {
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let instructions = vec![
        instruction(0x20, 0, 0, 0),
        instruction(0x15, 0, 1, 124),
        instruction(0x06, 0, 0, 0x0005_0005),
        instruction(0x06, 0, 0, 0x7fff_0000),
    ];
    Program::new(instructions).unwrap().to_bytes()
}

fn task(tid: u32, comm: &str) -> HeldTask {
    HeldTask { pid: tid, tid, comm: comm.to_owned() }
}

/// A shell under Docker's default profile, a program in it with a filter of its own and a nasty name, and a task that
/// has none.
fn answer() -> FilterAnswer {
    let stack = |filters: &[usize], tasks: Vec<HeldTask>| HeldStack { filters: filters.to_vec(), cut: false, tasks };
    FilterAnswer {
        id: "ab".repeat(32),
        name: Some("web".to_owned()),
        matches_declared: Some(false),
        reasons: vec![
            ReasonView { reason: "stacked-filter".to_owned(), alarming: true, text: "in words".to_owned() },
            ReasonView { reason: "runtime-stub".to_owned(), alarming: false, text: "as it should be".to_owned() },
        ],
        filters: vec![
            HeldFilter { instructions: Some(hex(DOCKER_FILTER)), is_declared: true },
            HeldFilter { instructions: Some(hex(&sandbox())), is_declared: false },
        ],
        stacks: vec![
            stack(&[0], vec![task(410, "sh")]),
            stack(&[1, 0], vec![task(411, "\u{1b}[2Jevil")]),
            stack(&[], vec![task(412, "bare")]),
        ],
    }
}

fn view(names: &[&str]) -> EnforcedView {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    EnforcedView::of(&Held::of(answer()).unwrap(), &names, None).unwrap()
}

#[test]
fn what_is_enforced_is_as_recorded() {
    assert_recorded("filter.txt", &view(&[]).table(&Style::default(), false));
}

#[test]
fn single_calls_are_as_recorded() {
    let view = view(&["getsid", "clone", "mkdir", "mount", "socketcall"]);
    assert_recorded("filter-calls.txt", &view.table(&Style::default(), true));
    assert_recorded("filter-calls.json", &crate::report::json::array(&[view]).unwrap());
}

#[test]
fn a_listing_is_as_recorded() {
    let held = Held::of(answer()).unwrap();
    assert_recorded("filter-listing.txt", &held.listing(Some(2), &Style::default()).unwrap());
    let both = held.listing(None, &Style::default()).unwrap();
    assert_eq!(both.matches("FILTER").count(), 2);
}

#[test]
fn one_filter_is_written_and_of_several_the_one_that_is_chosen() {
    let held = Held::of(answer()).unwrap();
    assert_eq!(held.bytes(Some(1)).unwrap(), DOCKER_FILTER);
    assert_eq!(held.bytes(Some(2)).unwrap(), sandbox());
    assert_eq!(held.bytes(None), Err(FilterError::Several { filters: 2 }));
    assert_eq!(held.bytes(Some(3)), Err(FilterError::NoSuchFilter { number: 3, filters: 2 }));
    assert_eq!(held.bytes(Some(0)), Err(FilterError::NoSuchFilter { number: 0, filters: 2 }));
}

#[test]
fn an_answer_that_makes_no_sense_is_refused() {
    for spoil in [
        (|answer| answer.stacks[0].filters = vec![7]) as fn(&mut FilterAnswer),
        |answer| answer.filters[0].instructions = Some("0g".to_owned()),
        |answer| answer.filters[0].instructions = Some("000".to_owned()),
        |answer| answer.filters[0].instructions = Some("00".repeat(8)),
    ] {
        let mut answer = answer();
        spoil(&mut answer);
        assert!(Held::of(answer).is_err());
    }
    let unknown = calls::wanted(&["mkdri".to_owned()]);
    assert!(matches!(unknown, Err(FilterError::NoSuchCall { near, .. }) if near == ["mkdir"]));
}

#[test]
fn a_filter_that_cannot_be_read_leaves_its_tasks_unknown() {
    let mut answer = answer();
    answer.filters[1].instructions = None;
    let view = EnforcedView::of(&Held::of(answer).unwrap(), &["mkdir".to_owned()], None).unwrap();
    assert!(view.stacks[0].syscalls.is_some());
    assert_eq!(view.stacks[1].syscalls, None);
    assert!(view.table(&Style::default(), true).contains("not known"));
}

#[test]
fn one_filter_can_be_looked_at_by_itself() {
    let held = Held::of(answer()).unwrap();
    let names = ["getsid".to_owned(), "mount".to_owned()];
    let alone = EnforcedView::of(&held, &names, Some(2)).unwrap();
    assert_eq!(alone.stacks.len(), 1);
    assert_eq!(alone.stacks[0].tasks.iter().map(|task| task.tid).collect::<Vec<_>>(), [411]);
    let calls = alone.stacks[0].syscalls.as_ref().unwrap();
    let verdict = |name: &str| calls.iter().find(|call| call.name == name && call.abi == Abi::X86_64).unwrap().verdict;
    assert_eq!((verdict("getsid"), verdict("mount")), (VerdictKind::Denied, VerdictKind::Allowed));
    assert_eq!(EnforcedView::of(&held, &names, Some(9)), Err(FilterError::NoSuchFilter { number: 9, filters: 2 }));
}
