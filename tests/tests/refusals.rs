//! Refused calls one by one: who wanted what, and how much of that is told.
//! Needs root and a kernel that takes the programs; fails without.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auditor::kernel::{Kernel, Refusal, RefusalKind};
use auditor::syscall::{Abi, SyscallNr};
use serde_json::Value;
use tests::cage::{Cage, output_of};
use tests::counting::{alone, counters_of, counting, slot_of};
use tests::groundtruth;

/// Everything that was sent.
fn sent(kernel: &mut Kernel) -> Vec<Refusal> {
    std::iter::from_fn(|| kernel.next_refusal()).collect()
}

/// `CLOCK_BOOTTIME` in nanoseconds.
fn boot_ns() -> Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(Duration::from(now).as_nanos())?)
}

/// Runs `groundtruth wants` and gives what it says of each call.
fn wants(cage: &Cage, program: &[&str], args: &[&str]) -> Result<Vec<Value>> {
    let own = groundtruth::program()?.to_str().context("the program's path")?;
    let line = [program, &[own, "wants"], args].concat();
    let output = cage.run(line[0].as_ref(), &line[1..])?;
    output.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[test]
fn an_event_says_who_wanted_what() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    let calls = [
        ("124", "errno:13", Abi::X86_64, 124, RefusalKind::Errno(13)),
        ("124", "errno:0", Abi::X86_64, 124, RefusalKind::Errno(0)),
        ("124", "trace", Abi::X86_64, 124, RefusalKind::Errno(38)),
        ("124", "trap", Abi::X86_64, 124, RefusalKind::Signal),
        ("124", "kill_thread", Abi::X86_64, 124, RefusalKind::Thread),
        ("i386:147", "errno:1", Abi::I386, 147, RefusalKind::Errno(1)),
        ("i386:147", "trap", Abi::I386, 147, RefusalKind::Signal),
        ("i386:147", "kill_thread", Abi::I386, 147, RefusalKind::Thread),
        ("x32:124", "errno:22", Abi::X32, 124, RefusalKind::Errno(22)),
        ("x32:124", "kill_thread", Abi::X32, 124, RefusalKind::Thread),
        ("100000", "errno:7", Abi::X86_64, 100_000, RefusalKind::Errno(7)),
    ];
    for (call, action, abi, nr, kind) in calls {
        let rule = format!("{call}={action}");
        let wish = format!("{call}(1122334455667788,ffffffff80000001,3,fffffffffffffff4,5,7fffffffffffffff)");
        let started = boot_ns()?;
        let said = wants(&cage, &[], &[&rule, &wish])?;
        let ended = boot_ns()?;
        // Other containers on the machine are refused calls as well.
        let events: Vec<_> = sent(&mut kernel).into_iter().filter(|event| event.cgroup == cage.id()).collect();
        assert_eq!(events.len(), 1, "{rule}: {events:?}");
        let (event, said) = (&events[0], &said[0]);
        let mut args =
            [0x1122_3344_5566_7788, 0xffff_ffff_8000_0001, 3, 0xffff_ffff_ffff_fff4, 5, 0x7fff_ffff_ffff_ffff];
        if abi == Abi::I386 {
            args = args.map(|arg| arg & 0xffff_ffff);
        }
        assert_eq!((event.abi, event.nr, event.kind), (abi, SyscallNr(nr), kind), "{rule}");
        assert_eq!(event.args, args, "{rule}");
        assert_eq!(Some(u64::from(event.pid)), said["pid"].as_u64(), "{rule}");
        assert_eq!(Some(u64::from(event.tid)), said["tid"].as_u64(), "{rule}");
        assert_eq!((event.inner_pid, event.inner_tid), (event.pid, event.tid), "{rule}");
        assert_eq!(Some(event.comm.as_str()), said["comm"].as_str(), "{rule}");
        assert_eq!(Some(event.instruction_pointer), said["place"].as_u64(), "{rule}");
        assert_eq!((event.cgroup, event.slot, event.unsent), (cage.id(), slot_of(&kernel, cage.id())?, 0));
        ensure!((started..ended).contains(&event.boot_ns), "{rule}: {} is not in {started}..{ended}", event.boot_ns);
    }
    Ok(())
}

#[test]
fn ids_are_those_of_the_host_and_of_the_innermost_namespace() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    let nested = ["unshare", "--pid", "--fork", "unshare", "--pid", "--fork"];
    for action in ["errno:1", "kill_thread"] {
        let said = wants(&cage, &nested, &[&format!("124={action}"), "124(1)", "124(2)"])?;
        let events = sent(&mut kernel);
        assert_eq!(events.len(), 2);
        for (event, said) in events.iter().zip(&said) {
            // The first process of its namespace.
            assert_eq!((event.inner_pid, said["pid"].as_u64()), (1, Some(1)));
            assert_eq!(Some(u64::from(event.inner_tid)), said["tid"].as_u64());
            ensure!(event.pid > 3 && event.tid > event.pid, "{event:?}");
        }
        assert_eq!(events[0].pid, events[1].pid);
    }
    Ok(())
}

#[test]
fn what_a_supervisor_answers_is_told_as_that() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    for (answer, result) in [("errno:13", -13), ("value:7", 7), ("errno:0", 0)] {
        cage.run(groundtruth::program()?, &["supervise", answer, "124@99*3"])?;
        let events = sent(&mut kernel);
        assert_eq!(events.len(), 3, "{answer}");
        for event in &events {
            assert_eq!((event.kind, event.args[0]), (RefusalKind::Supervised(result), 99), "{answer}");
        }
    }
    Ok(())
}

#[test]
fn nothing_is_told_of_calls_that_were_made() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    let calls = ["121@99999999*50", "i386:147*20", "124*20", "146*5"];
    let scenario = ["work", "--filter=100=errno:1", "--filter=146=log", "--forks=5", "--signals=5", "--execs=3"];
    cage.run(groundtruth::program()?, &[&scenario[..], &calls[..]].concat())?;
    assert_eq!(sent(&mut kernel), []);
    Ok(())
}

#[test]
fn a_storm_is_held_back_and_drowns_nobody_else() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let (storm, quiet) = (Cage::new()?, Cage::new()?);
    let started = Instant::now();
    let loud = storm.start(
        groundtruth::program()?,
        &["work", "--threads=4", "--filter=124=errno:1", "--filter=121=errno:2", "124*500000", "121@5*1"],
    )?;
    // Meanwhile nobody reads the ring.
    std::thread::sleep(Duration::from_millis(300));
    wants(&quiet, &[], &["100=errno:3", "100(abc)"])?;
    output_of(loud)?;
    let windows = started.elapsed().as_millis() / 250 + 2;
    let events = sent(&mut kernel);
    let of = |cage: &Cage| events.iter().filter(|event| event.cgroup == cage.id()).collect::<Vec<_>>();
    let single = of(&quiet);
    assert_eq!(single.len(), 1);
    assert_eq!((single[0].nr, single[0].args[0], single[0].unsent), (SyscallNr(100), 0xabc, 0));

    let slot = slot_of(&kernel, storm.id())?;
    let counted = counters_of(&kernel, storm.id())?;
    let denials = |nr| counted.tallies[&(Abi::X86_64, SyscallNr(nr))].denials.errno;
    assert_eq!((denials(124), denials(121)), (2_000_000, 4));
    let counts = kernel.event_counts(slot)?;
    assert_eq!(counts.sent + counts.suppressed + counts.lost, 2_000_004, "{counts:?}");
    let of_storm = of(&storm);
    assert_eq!(counts.sent, of_storm.len() as u64);
    assert_eq!(counts.lost, 0, "{counts:?}");
    // Two CPUs that begin a window at once may send one event more.
    ensure!(u128::from(counts.sent) <= windows * 34, "{} in {windows} windows", counts.sent);
    // The rare call is told of, however deep in the flood.
    assert!(of_storm.iter().any(|event| event.nr == SyscallNr(121)));
    let unsent: u64 = of_storm.iter().map(|event| event.unsent).sum();
    ensure!(unsent > 0 && unsent <= counts.suppressed, "{unsent} of {counts:?}");
    assert_eq!(kernel.losses()?.of_counts(), 0);
    Ok(())
}

#[test]
fn the_first_of_its_kind_is_told_whatever_came_before() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    // Calls that are refused for the first time after the window has been used up.
    let rules: Vec<String> = (300..325).map(|nr| format!("--filter={nr}=errno:1")).collect();
    let calls: Vec<String> = (300..325).map(|nr| format!("{nr}*3")).collect();
    let mut scenario = vec!["work", "--filter=124=errno:1", "124*1000"];
    scenario.extend(rules.iter().chain(&calls).map(String::as_str));
    cage.run(groundtruth::program()?, &scenario)?;
    let mut of_each = BTreeMap::<SyscallNr, usize>::new();
    for event in sent(&mut kernel) {
        *of_each.entry(event.nr).or_default() += 1;
    }
    for nr in 300..325 {
        ensure!(of_each.contains_key(&SyscallNr(nr)), "nothing was told of {nr}: {of_each:?}");
    }
    let counts = kernel.event_counts(slot_of(&kernel, cage.id())?)?;
    assert_eq!(counts.sent + counts.suppressed + counts.lost, 1075, "{counts:?}");
    ensure!(counts.suppressed > 900, "{counts:?}");
    Ok(())
}

#[test]
fn a_ring_that_nobody_empties_keeps_room_for_the_quiet() -> Result<()> {
    let _alone = alone();
    // The smallest ring: room for some 1,800 events, half of which the loud ones may have.
    let mut kernel = Kernel::load(4)?;
    kernel.attach(Vec::new)?;
    let (loud, quiet) = (Cage::new()?, Cage::new()?);
    // Each of these is the first of its kind, so that the limit holds none of them back.
    let mut total = 0;
    for (prefix, last) in [("", 511), ("i386:", 511), ("x32:", 511)] {
        for from in (0..last).step_by(25) {
            let numbers: Vec<i32> = (from..last.min(from + 25)).filter(|nr| !prefix.is_empty() || *nr > 470).collect();
            for action in ["errno:1", "trap"] {
                let rules: Vec<String> = numbers.iter().map(|nr| format!("{prefix}{nr}={action}")).collect();
                let calls: Vec<String> = numbers.iter().map(|nr| format!("{prefix}{nr}(1)")).collect();
                let args: Vec<&str> = rules.iter().chain(&calls).map(String::as_str).collect();
                if !args.is_empty() {
                    wants(&loud, &[], &args)?;
                    total += numbers.len() as u64;
                }
            }
        }
    }
    let slot = slot_of(&kernel, loud.id())?;
    let counts = kernel.event_counts(slot)?;
    assert_eq!(counts.sent + counts.suppressed + counts.lost, total, "{counts:?}");
    ensure!(counts.lost > 0, "the ring never was half full: {counts:?}");
    wants(&quiet, &[], &["100=errno:3", "100(1)", "100(2)", "100(3)"])?;
    let events = sent(&mut kernel);
    assert_eq!(events.iter().filter(|event| event.cgroup == quiet.id()).count(), 3);
    Ok(())
}

#[test]
fn a_waiting_reader_is_woken_within_100_ms() -> Result<()> {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(wait_for_events())
}

async fn wait_for_events() -> Result<()> {
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    let watch = kernel.watch_refusals()?;
    let mut slowest = 0;
    for _ in 0..5 {
        let child = cage.start(groundtruth::program()?, &["wants", "124=errno:1", "124(1)"])?;
        let mut ready = tokio::time::timeout(Duration::from_secs(5), watch.readable()).await??;
        ready.clear_ready();
        let event = kernel.next_refusal().context("an event to wake up for")?;
        slowest = slowest.max(boot_ns()? - event.boot_ns);
        assert_eq!(kernel.next_refusal(), None);
        output_of(child)?;
    }
    ensure!(slowest < 100_000_000, "{slowest} ns");
    Ok(())
}

#[test]
fn a_slot_s_next_owner_starts_afresh() -> Result<()> {
    let _alone = alone();
    let mut kernel = Kernel::load(1)?;
    kernel.attach(Vec::new)?;
    for _ in 0..3 {
        let cage = Cage::new()?;
        let id = cage.id();
        cage.run(groundtruth::program()?, &["work", "--filter=124=errno:1", "124*100"])?;
        let slot = slot_of(&kernel, id)?;
        let counts = kernel.event_counts(slot)?;
        assert_eq!(counts.sent + counts.suppressed, 100, "{counts:?}");
        let events = sent(&mut kernel);
        assert_eq!(events.len() as u64, counts.sent);
        assert!(events.iter().all(|event| event.cgroup == id));
        drop(cage);
        kernel.release(&std::collections::BTreeSet::from([slot]))?;
    }
    Ok(())
}

/// What is watched of the ABIs: 146, 147 and 148, all numbers that no kernel has, and those of x32 from 1024 on.
fn watched() -> std::collections::BTreeSet<(Abi, SyscallNr)> {
    let outside = (Abi::X86_64, SyscallNr::OUTSIDE);
    let calls = [(Abi::X86_64, 146), (Abi::I386, 147), (Abi::X32, 124)].map(|(abi, nr)| (abi, SyscallNr(nr)));
    calls.into_iter().chain([outside]).collect()
}

#[test]
fn watched_calls_are_counted_and_told_of_and_others_are_not() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let (cage, other) = (Cage::new()?, Cage::new()?);
    let scenario = [
        "work",
        "--filter=146=log",
        "--filter=i386:147=log",
        "--threads=3",
        "--forks=4",
        "146@7*9",
        "i386:147@8*3",
        "x32:124@9*5",
        "124*6",
        "147*6",
        "i386:146*6",
    ];
    let before = groundtruth::parse(&cage.run(groundtruth::program()?, &scenario)?)?;
    assert_eq!(sent(&mut kernel), []);
    let slot = slot_of(&kernel, cage.id())?;
    kernel.watch_calls(slot, &watched())?;
    let issued = groundtruth::parse(&cage.run(groundtruth::program()?, &scenario)?)?;
    other.run(groundtruth::program()?, &scenario)?;
    // Without a filter nothing is logged.
    cage.run(groundtruth::program()?, &["work", "146*5"])?;
    wants(&cage, &[], &["100=errno:1", "100000(11,22,33,44,55,66)", "1023(1)"])?;

    let counters = counters_of(&kernel, cage.id())?;
    for (key, tally) in &counters.tallies {
        let call = (key.0.to_string(), u64::try_from(key.1.0).unwrap_or(u64::MAX));
        let expected = match key {
            (Abi::X86_64, SyscallNr::OUTSIDE) => 1,
            key if watched().contains(key) => issued[&call].under,
            _ => 0,
        };
        assert_eq!(tally.denials.logged, expected, "{key:?}");
        assert_eq!(tally.denials.certain() + tally.denials.supervised, 0, "{key:?}");
        if expected > 1 {
            assert_eq!(tally.calls, before[&call].under + issued[&call].under, "{key:?}: logged calls are calls");
        }
    }
    let events = sent(&mut kernel);
    let counts = kernel.event_counts(slot)?;
    let logged: u64 = counters.tallies.values().map(|tally| tally.denials.logged).sum();
    assert_eq!(counts.sent + counts.suppressed + counts.lost, logged);
    assert_eq!(events.len() as u64, counts.sent);
    for event in &events {
        let expected = match (event.abi, event.nr.0) {
            (Abi::X86_64, 146) => [7, 0, 0, 0, 0, 0],
            (Abi::I386, 147) => [8, 0, 0, 0, 0, 0],
            (Abi::X32, 124) => [9, 0, 0, 0, 0, 0],
            (Abi::X86_64, 100_000) => [0x11, 0x22, 0x33, 0x44, 0x55, 0x66],
            _ => anyhow::bail!("an event of {event:?}"),
        };
        if event.abi == Abi::X86_64 {
            assert_eq!(event.args, expected);
        } else {
            assert_eq!(event.args[0], expected[0]);
        }
        assert_eq!((event.kind, event.cgroup), (RefusalKind::Logged, cage.id()));
    }

    kernel.watch_calls(slot, &std::collections::BTreeSet::new())?;
    cage.run(groundtruth::program()?, &scenario)?;
    assert_eq!(sent(&mut kernel), []);
    Ok(())
}
