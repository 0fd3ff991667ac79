//! The kernel programs against a program that says what it did: every count equal, in control groups of our own.
//! Needs root and a kernel that takes the programs; fails without.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auditor::container::CgroupId;
use auditor::counters::Counters;
use auditor::kernel::{Existing, Kernel, KernelEvent, SlotState};
use auditor::syscall::{Abi, SyscallNr};
use tests::cage::{Cage, output_of, start_in};
use tests::counting::{alone, any_denials, assert_equal, counted_exactly, counters_of, counting, slot_of, tally};
use tests::groundtruth;
use tests::process::wait_for;

fn denials(counters: &Counters, abi: Abi, nr: i32) -> auditor::counters::Denials {
    counters.tallies.get(&(abi, SyscallNr(nr))).map(|tally| tally.denials).unwrap_or_default()
}

#[test]
fn calls_and_errors_without_a_filter_are_counted_by_abi() -> Result<()> {
    let _alone = alone();
    let calls = ["124*1000", "121@999999*500", "100*300", "i386:147*200", "i386:132@999999*50", "x32:124*70"];
    let options = ["work", "--threads=4", "--forks=20", "--vforks=20", "--clones=20", "--execs=10", "--signals=50"];
    let expected = [("x86_64", 124), ("x86_64", 121), ("x86_64", 100), ("i386", 147), ("i386", 132), ("x32", 124)];
    let counters = counted_exactly(&[&options[..], &calls[..]].concat(), &expected)?;
    assert_eq!(any_denials(&counters), []);
    Ok(())
}

#[test]
fn refusals_by_errno_are_counted_whatever_the_errno() -> Result<()> {
    let _alone = alone();
    let scenario = [
        "work",
        "--filter=124=errno:1",
        "--filter=121=errno:0",
        "--filter=100=errno:38",
        "--filter=i386:147=errno:13",
        "--filter=140@5=errno:7",
        "--filter=146=log",
        "--threads=3",
        "--forks=5",
        "--vforks=5",
        "--clones=5",
        "--signals=20",
        "124*10",
        "121*20",
        "100*30",
        "i386:147*40",
        "140@5*50",
        "140@0*60",
        "146*70",
    ];
    let expected = [("x86_64", 124), ("x86_64", 121), ("x86_64", 100), ("i386", 147), ("x86_64", 140), ("x86_64", 146)];
    let counters = counted_exactly(&scenario, &expected)?;
    assert_eq!(denials(&counters, Abi::X86_64, 124).last_errno, Some(1));
    assert_eq!(denials(&counters, Abi::X86_64, 121).last_errno, Some(0));
    assert_eq!(denials(&counters, Abi::I386, 147).last_errno, Some(13));
    let refused = [(Abi::X86_64, 100), (Abi::X86_64, 121), (Abi::X86_64, 124), (Abi::X86_64, 140), (Abi::I386, 147)];
    assert_eq!(any_denials(&counters), refused.map(|(abi, nr)| (abi, SyscallNr(nr))));
    Ok(())
}

#[test]
fn trap_is_a_refusal_by_signal_and_its_handler_s_return_is_not() -> Result<()> {
    let _alone = alone();
    let scenario = ["work", "--filter=124=trap", "--threads=2", "--signals=30", "124*25", "121*5"];
    let counters = counted_exactly(&scenario, &[("x86_64", 124), ("x86_64", 121), ("x86_64", 15)])?;
    assert_eq!(denials(&counters, Abi::X86_64, 124).signalled, 50);
    assert_eq!(any_denials(&counters), [(Abi::X86_64, SyscallNr(124))]);
    Ok(())
}

#[test]
fn trace_without_a_tracer_is_a_refusal() -> Result<()> {
    let _alone = alone();
    let counters = counted_exactly(&["work", "--filter=124=trace", "124*17"], &[("x86_64", 124)])?;
    assert_eq!(denials(&counters, Abi::X86_64, 124).last_errno, Some(38));
    Ok(())
}

#[test]
fn kill_process_and_kill_thread_are_counted_alone_and_in_company() -> Result<()> {
    let _alone = alone();
    for (action, company) in [("kill_process", false), ("kill_process", true), ("kill_thread", false), ("trap", false)]
    {
        let mut scenario = vec!["die", action, "12"];
        scenario.extend(company.then_some("company"));
        scenario.push("124");
        let counters = counted_exactly(&scenario, &[("x86_64", 124)])?;
        assert_eq!(denials(&counters, Abi::X86_64, 124).signalled, 12, "{action} {company}");
    }
    let counters = counted_exactly(
        &["die", "kill_thread", "12", "company", "124", "i386:147"],
        &[("x86_64", 124), ("i386", 147)],
    )?;
    assert_eq!(denials(&counters, Abi::X86_64, 124).thread_killed, 12);
    assert_eq!(denials(&counters, Abi::I386, 147).thread_killed, 12);
    assert_eq!(any_denials(&counters).len(), 2);
    Ok(())
}

#[test]
fn threads_that_are_killed_at_one_moment_are_all_counted() -> Result<()> {
    let _alone = alone();
    let counters = counted_exactly(&["die_together", "200", "124"], &[("x86_64", 124)])?;
    let denials = denials(&counters, Abi::X86_64, 124);
    assert_eq!(denials.signalled + denials.thread_killed, 800, "{denials:?}");
    Ok(())
}

#[test]
fn what_a_supervisor_answers_is_no_denial() -> Result<()> {
    let _alone = alone();
    for answer in ["errno:13", "value:7", "errno:0"] {
        let counters = counted_exactly(&["supervise", answer, "124*9"], &[("x86_64", 124)])?;
        assert_eq!(denials(&counters, Abi::X86_64, 124).supervised, 9, "{answer}");
    }
    let counters = counted_exactly(&["supervise", "continue", "124*9"], &[("x86_64", 124)])?;
    assert_eq!(any_denials(&counters), []);
    Ok(())
}

#[test]
fn calls_that_a_tracer_takes_away_are_no_denials() -> Result<()> {
    let _alone = alone();
    for how in ["emulate", "cancel", "skip", "pass"] {
        let counters = counted_exactly(&["trace", how, "124*6", "121*3"], &[("x86_64", 124), ("x86_64", 121)])
            .with_context(|| how.to_owned())?;
        assert_eq!(any_denials(&counters), [], "{how}");
    }
    Ok(())
}

#[test]
fn calls_dispatched_to_user_space_are_no_denials() -> Result<()> {
    let _alone = alone();
    let counters = counted_exactly(&["dispatch", "124*11", "121*4"], &[("x86_64", 124), ("x86_64", 121)])?;
    assert_eq!(any_denials(&counters), []);
    Ok(())
}

#[test]
fn a_program_of_another_abi_takes_over_without_a_denial() -> Result<()> {
    let _alone = alone();
    // i386 59 (oldolduname) has the number of the 64-bit execve, and is refused: the exit of an execve that changed
    // the ABI carries that number.
    let scenario = [
        "work",
        "--filter=i386:59=errno:1",
        "--filter=i386:132=errno:1",
        "--execs32=25",
        "--forks=5",
        "i386:147*3",
        "i386:132*2",
    ];
    let counters = counted_exactly(&scenario, &[("i386", 147), ("i386", 132)])?;
    assert_eq!(any_denials(&counters), [(Abi::I386, SyscallNr(132))]);
    Ok(())
}

#[test]
fn a_filter_put_on_all_threads_at_once_refuses_nothing_that_was_under_way() -> Result<()> {
    let _alone = alone();
    let scenario =
        ["work", "--tsync", "--filter=124=errno:1", "--filter=202@77=errno:1", "--threads=8", "124*5", "121*5"];
    let counters = counted_exactly(&scenario, &[("x86_64", 124), ("x86_64", 121)])?;
    assert_eq!(any_denials(&counters), [(Abi::X86_64, SyscallNr(124))]);
    Ok(())
}

#[test]
fn numbers_outside_the_table_are_counted_together() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    cage.run("perl".as_ref(), &["-e", "syscall($_) for 511, 512, 600, 100000, -5"])?;
    let counters = counters_of(&kernel, cage.id())?;
    let outside = counters.tallies[&(Abi::X86_64, SyscallNr::OUTSIDE)];
    assert_eq!((outside.unfiltered_calls, outside.unfiltered_errors), (4, 4));
    assert_eq!(counters.tallies[&(Abi::X86_64, SyscallNr(511))].unfiltered_calls, 1);
    Ok(())
}

#[test]
fn calls_in_flight_when_the_programs_attach_are_no_denials() -> Result<()> {
    let _alone = alone();
    let cage = Cage::new()?;
    // `poll` is refused for one first argument only, so its bit in the kernel's bitmap is not set.
    let mut kernel = Kernel::load(4)?;
    let child = cage.start(groundtruth::program()?, &["inflight", "16", "5000", "7@99=errno:1"])?;
    wait_for("the threads to sleep", Duration::from_secs(4), || {
        let threads = std::fs::read_to_string(cage.path().join("cgroup.threads"))?;
        let sleeps =
            |tid: &str| std::fs::read_to_string(format!("/proc/{tid}/wchan")).is_ok_and(|place| place.contains("poll"));
        Ok((threads.lines().filter(|tid| sleeps(tid)).count() == 16).then_some(()))
    })?;
    let refused = kernel.attach(|| vec![Existing::nameless(cage.id())])?;
    assert_eq!(refused, []);
    output_of(child)?;
    let counters = counters_of(&kernel, cage.id())?;
    assert_eq!(any_denials(&counters), []);
    assert_eq!(kernel.losses()?.of_counts(), 0);
    let filter = kernel.always_allowed(slot_of(&kernel, cage.id())?)?.context("the sleeping threads' filter")?;
    assert_eq!(filter.native.allows(SyscallNr(7)), Some(false));
    assert_eq!(filter.native.allows(SyscallNr(8)), Some(true));
    Ok(())
}

#[test]
fn a_cgroup_that_was_there_before_is_counted_from_its_adoption() -> Result<()> {
    let _alone = alone();
    let cage = Cage::new()?;
    let nested = cage.nested("inner")?;
    let id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&nested)?);
    let mut kernel = counting()?;
    // What CPUs remember of the cgroup must be forgotten when it is adopted.
    cage.run(groundtruth::program()?, &["work", "124*100"])?;
    kernel.adopt(&[Existing { nested: vec![CgroupId(id)], ..Existing::nameless(cage.id()) }])?;
    let mut total = 0;
    for cgroup in [cage.path(), &nested] {
        let issued = groundtruth::parse(&output_of(start_in(
            cgroup,
            groundtruth::program()?,
            &["work", "--threads=2", "124*100"],
        )?)?)?;
        total += issued[&("x86_64".to_owned(), 124)].before;
    }
    assert_eq!(tally(&counters_of(&kernel, cage.id())?, &("x86_64".to_owned(), 124))?.unfiltered_calls, total);
    assert!(!kernel.owners()?[&slot_of(&kernel, cage.id())?].from_first_call);
    Ok(())
}

#[test]
fn nested_cgroups_count_in_their_container_s_slot() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    let outer = cage.nested("init.scope")?;
    // A Docker in the container names its cgroups the same way.
    let inner = outer.join("f".repeat(64));
    std::fs::create_dir(&inner)?;
    for cgroup in [cage.path(), &outer, &inner] {
        output_of(start_in(cgroup, groundtruth::program()?, &["work", "124*10"])?)?;
    }
    assert_eq!(tally(&counters_of(&kernel, cage.id())?, &("x86_64".to_owned(), 124))?.unfiltered_calls, 30);
    assert_eq!(kernel.owners()?.values().filter(|owner| owner.name == "f".repeat(64)).count(), 0);
    Ok(())
}

#[test]
fn what_only_looks_like_a_container_takes_no_slot() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let before = kernel.owners()?.len();
    let cage = Cage::new()?;
    let nest = cage.path().parent().context("the cage's parent")?;
    let id = "c".repeat(64);
    for name in [format!("libpod-conmon-{id}.scope"), format!("-{id}.scope"), id[1..].to_owned(), id.to_uppercase()] {
        let directory = nest.join(&name);
        std::fs::create_dir(&directory)?;
        let owners = kernel.owners()?;
        std::fs::remove_dir(&directory)?;
        assert_eq!(owners.len(), before + 1, "{name}");
    }
    let scope = nest.join(format!("docker-{id}.scope"));
    std::fs::create_dir(&scope)?;
    let owners = kernel.owners()?;
    std::fs::remove_dir(&scope)?;
    assert_eq!(owners.len(), before + 2);
    Ok(())
}

#[test]
fn slots_come_back_after_a_last_read_and_run_out_loudly() -> Result<()> {
    let _alone = alone();
    let mut kernel = Kernel::load(2)?;
    kernel.attach(Vec::new)?;
    for round in 0..5 {
        let cage = Cage::new()?;
        let id = cage.id();
        cage.run(groundtruth::program()?, &["work", "124*7"])?;
        drop(cage);
        let slot = slot_of(&kernel, id)?;
        assert_eq!(kernel.owners()?[&slot].state, SlotState::Removed, "round {round}");
        assert_eq!(tally(&counters_of(&kernel, id)?, &("x86_64".to_owned(), 124))?.unfiltered_calls, 7);
        kernel.release(&BTreeSet::from([slot]))?;
        assert!(!kernel.owners()?.contains_key(&slot));
    }
    while kernel.next_event().is_some() {}
    let cages = [Cage::new()?, Cage::new()?, Cage::new()?];
    assert_eq!(kernel.losses()?.untracked_cgroup, 1);
    let events: Vec<KernelEvent> = std::iter::from_fn(|| kernel.next_event()).collect();
    assert!(events.contains(&KernelEvent::NoSlot(cages[2].id(), cages[2].name())), "{events:?}");
    let refused = kernel.adopt(&[Existing::nameless(cages[2].id())])?;
    assert_eq!(refused, [cages[2].id()]);
    Ok(())
}

/// Ten million calls and a thousand short-lived processes on all CPUs, while two hundred short-lived control groups
/// come and go: all of it equal.
#[test]
fn ten_million_calls_are_ten_million() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    // Every one of the 4 x 190 processes makes all the calls, as do the threads themselves; the vforked ones one each.
    let scenario = [
        "work",
        "--filter=100=errno:1",
        "--threads=4",
        "--forks=100",
        "--vforks=20",
        "--clones=60",
        "--execs=30",
        "--signals=200",
        "124*9000",
        "100*2500",
        "121@999999*1000",
        "i386:147*800",
    ];
    let big = cage.start(groundtruth::program()?, &scenario)?;
    for _ in 0..200 {
        let cage = Cage::new()?;
        let issued = groundtruth::parse(&cage.run(groundtruth::program()?, &["work", "--forks=2", "124*10"])?)?;
        let id = cage.id();
        drop(cage);
        let slot = slot_of(&kernel, id)?;
        let counted = tally(&counters_of(&kernel, id)?, &("x86_64".to_owned(), 124))?;
        // The program itself and its two children make ten calls each.
        assert_eq!((counted.unfiltered_calls, issued[&("x86_64".to_owned(), 124)].before), (30, 30));
        kernel.release(&BTreeSet::from([slot]))?;
    }
    let issued = groundtruth::parse(&output_of(big)?)?;
    let total: u64 = issued.values().map(|issued| issued.before + issued.under + issued.denied).sum();
    ensure!(total >= 10_000_000, "only {total} calls were issued");
    let calls = [("x86_64", 124), ("x86_64", 100), ("x86_64", 121), ("i386", 147)];
    assert_equal(&issued, &counters_of(&kernel, cage.id())?, &calls)?;
    assert_eq!(kernel.losses()?.of_counts(), 0);
    Ok(())
}
