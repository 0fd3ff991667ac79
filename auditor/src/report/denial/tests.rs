use super::*;
use crate::denial::decision::{Call, Seen};
use crate::denial::{Kind, Log, Task};
use crate::golden::assert_recorded;
use crate::profile::{HostArch, oci};
use crate::syscall::number;

const PROFILE: &[u8] = br#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
    {"names": ["read", "futex_waitv"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["unlink"], "action": "SCMP_ACT_KILL_PROCESS"},
    {"names": ["sync"], "action": "SCMP_ACT_LOG"}, {"names": ["chdir"], "action": "SCMP_ACT_NOTIFY"},
    {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]}"#;

fn refusal(second: i64, comm: &str, abi: Abi, name: &str, args: &[u64], seen: Seen) -> Refusal {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let call = Call { abi, nr: number(abi, name).unwrap(), args: all };
    let task = Task { pid: 4711, tid: 4712, container_pid: 7, container_tid: 8, comm: comm.to_owned() };
    Refusal { time: Timestamp::from_second(1_795_460_400 + second).unwrap(), call, seen, task }
}

/// Everything that can be refused, and more that was only counted.
fn views() -> Vec<DenialView> {
    let profile = oci::parse_seccomp(PROFILE).unwrap();
    let policy = profile.evaluate(HostArch::of(Abi::X86_64));
    let id = "ab".repeat(32);
    let declared = Some(Declared { profile: &profile, policy: &policy });
    let container = Container { name: Some("shell"), id: &id, declared, docker_default: false, effective: None };
    let x86 = Abi::X86_64;
    let mut log = Log::default();
    for refusal in [
        refusal(1, "sh", x86, "mkdir", &[0x7ffd_1000, 0o755], Seen::Errno(1)),
        refusal(2, "sh", x86, "mkdir", &[0x7ffd_2000, 0o755], Seen::Errno(1)),
        refusal(3, "\x1b[2Jevil\nname", x86, "ptrace", &[16, 1], Seen::Errno(1)),
        refusal(4, "nginx", x86, "socket", &[38, 0x80005], Seen::Errno(1)),
        refusal(5, "worker", x86, "clone3", &[0x1000, 88], Seen::Errno(38)),
        refusal(6, "worker", x86, "unlink", &[0x1000], Seen::Signal),
        refusal(7, "worker", x86, "sync", &[], Seen::Logged),
        refusal(8, "worker", x86, "chdir", &[0x1000], Seen::Supervised(0)),
        refusal(9, "worker", x86, "rmdir", &[0x1000], Seen::Errno(0)),
        refusal(10, "old", Abi::I386, "socketcall", &[1, 0xff00], Seen::ThreadKilled),
        refusal(11, "worker", x86, "read", &[3, 0x1000, 10], Seen::Errno(13)),
    ] {
        let nr = refusal.call.nr;
        log.add(refusal, nr, [false; 6]);
    }
    let counter = Counter { abi: x86, nr: number(x86, "mkdir").unwrap(), kind: Kind::Errno };
    let findings = Findings::of_counter(counter, Seen::Errno(1), declared, false);
    let time = Timestamp::from_second(1_795_460_420).unwrap();
    let mut views = vec![DenialView::of_counter(time, counter, 12_345, &findings, &container)];
    let nameless = Container { name: None, declared: None, ..container };
    let findings = Findings::of_counter(counter, Seen::Errno(1), None, false);
    views.push(DenialView::of_counter(time, counter, 1, &findings, &nameless));
    let mut seen: Vec<DenialView> = log.entries_mut().map(|entry| DenialView::of_entry(entry, &container)).collect();
    seen.sort_by_key(|view| view.time);
    views.extend(seen);
    views
}

#[test]
fn denials_are_as_recorded() {
    assert_recorded("denials.txt", &list(&views(), &Style::default()));
}

#[test]
fn untruncated_denials_are_as_recorded() {
    assert_recorded("denials-no-trunc.txt", &list(&views(), &Style { truncate: false, ..Style::default() }));
}

#[test]
fn json_of_denials_is_as_recorded() {
    assert_recorded("denials.json", &crate::report::json::lines(&views()).unwrap());
}

#[test]
fn denials_below_show_are_as_recorded() {
    assert_recorded("denials-of-show.txt", &last_of(&views(), &Style::default()));
}

#[test]
fn nothing_that_a_program_says_reaches_the_terminal() {
    for style in [Style::default(), Style { truncate: false, ..Style::default() }] {
        let text = list(&views(), &style) + &last_of(&views(), &style);
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
        assert!(text.contains("\\u{1b}[2Jevil\\nname"), "{text}");
    }
}

#[test]
fn a_filter_that_a_program_put_on_top_is_named_where_it_is_known() {
    use crate::effective::{Effective, Held, Stacked};
    use crate::filter::{Instruction, Program};
    let one = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let answer = |nr, errno: u32| {
        let instructions = vec![
            one(0x20, 0, 0, 0),
            one(0x15, 0, 1, nr),
            one(0x06, 0, 0, 0x0005_0000 | errno),
            one(0x06, 0, 0, 0x7fff_0000),
        ];
        Held::Program(Program::new(instructions).unwrap())
    };
    let task = |tid| crate::effective::Task { pid: tid, tid, comm: "worker".to_owned() };
    let stack = |filters: &[usize], tid| Stacked { filters: filters.to_vec(), cut: false, tasks: vec![task(tid)] };
    // Read is refused with 13 by the second, and by the third with another errno.
    let filters = vec![answer(83, 1), answer(0, 13), answer(0, 5)];
    let mut effective = Effective { filters, stacks: vec![stack(&[0], 1), stack(&[1, 0], 2), stack(&[2, 0], 3)] };
    let profile = oci::parse_seccomp(PROFILE).unwrap();
    let policy = profile.evaluate(HostArch::of(Abi::X86_64));
    let declared = Some(Declared { profile: &profile, policy: &policy });
    let named = |effective: &Effective, tid| {
        let mut refusal = refusal(1, "worker", Abi::X86_64, "read", &[3], Seen::Errno(13));
        refusal.task.tid = tid;
        let mut log = Log::default();
        log.add(refusal, SyscallNr(0), [false; 6]);
        let container = Container { name: None, id: "ab", declared, docker_default: false, effective: Some(effective) };
        log.entries_mut().map(|entry| DenialView::of_entry(entry, &container).decided_by.filter).collect::<Vec<_>>()
    };
    assert_eq!(named(&effective, 2), [Some(2)], "by its own filters");
    assert_eq!(named(&effective, 3), [None], "its own filters do something else");
    assert_eq!(named(&effective, 99), [Some(2)], "only one filter does this");
    effective.filters.push(answer(0, 13));
    effective.stacks.push(stack(&[3, 0], 4));
    assert_eq!(named(&effective, 99), [None], "two do");
}
