//! What can go wrong between a call's entry and its exit, made to happen; and losses, where they belong.
//! Needs root and a kernel that takes the programs; fails without.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auditor::kernel::Kernel;
use auditor::syscall::{Abi, SyscallNr};
use tests::cage::{Cage, output_of};
use tests::counting::{alone, any_denials, counted_exactly, counters_of, counting, slot_of};
use tests::groundtruth;
use tests::process::wait_for;

#[test]
fn a_tracer_that_stops_emulating_at_a_call_leaves_no_denial() -> Result<()> {
    let _alone = alone();
    let counters = counted_exactly(&["trace", "lapse", "124*6", "121*2"], &[("x86_64", 124), ("x86_64", 121)])?;
    assert_eq!(any_denials(&counters), []);
    Ok(())
}

#[test]
fn a_tracee_that_dies_with_its_tracer_is_a_loss_of_its_container_and_no_denial() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let (cage, other) = (Cage::new()?, Cage::new()?);
    for round in 1..=5 {
        cage.run(groundtruth::program()?, &["trace", "abandon", "124*3"])?;
        wait_for("the tracee to be gone", Duration::from_secs(5), || {
            Ok(std::fs::read_to_string(cage.path().join("cgroup.procs"))?.is_empty().then_some(()))
        })?;
        let counters = counters_of(&kernel, cage.id())?;
        assert_eq!(any_denials(&counters), []);
        assert_eq!(counters.tallies[&(Abi::X86_64, SyscallNr(124))].calls, 2 * round);
        assert_eq!(kernel.losses()?.ambiguous_exit, round);
        assert_eq!(kernel.lost_in(slot_of(&kernel, cage.id())?)?, round);
    }
    assert_eq!(kernel.lost_in(slot_of(&kernel, other.id())?)?, 0);
    Ok(())
}

#[test]
fn the_first_call_of_a_thread_is_refused_or_not_whenever_its_filter_came() -> Result<()> {
    let _alone = alone();
    let counters = counted_exactly(&["newborns", "400", "124"], &[("x86_64", 124)])?;
    let tally = counters.tallies[&(Abi::X86_64, SyscallNr(124))];
    assert_eq!(tally.unfiltered_calls + tally.denials.errno, 400 * 200);
    ensure!(tally.unfiltered_calls > 0 && tally.denials.errno > 0, "{tally:?}");
    Ok(())
}

#[test]
fn a_task_that_comes_in_the_middle_of_a_call_is_a_loss_where_it_came() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let (outside, cage, other) = (Cage::new()?, Cage::new()?, Cage::new()?);
    // A cgroup that is nobody's container, beside the cages.
    let nowhere = outside.path().parent().context("the cages' directory")?.join("nobody");
    std::fs::create_dir_all(&nowhere)?;
    let child = tests::cage::start_in(&nowhere, groundtruth::program()?, &["inflight", "3", "1500", "7@99=errno:1"])?;
    wait_for("the threads to sleep", Duration::from_secs(4), || {
        let threads = std::fs::read_to_string(nowhere.join("cgroup.threads"))?;
        let sleeps =
            |tid: &str| std::fs::read_to_string(format!("/proc/{tid}/wchan")).is_ok_and(|place| place.contains("poll"));
        Ok((threads.lines().filter(|tid| sleeps(tid)).count() == 3).then_some(()))
    })?;
    std::fs::write(cage.path().join("cgroup.procs"), child.id().to_string())?;
    output_of(child)?;
    std::fs::remove_dir(&nowhere)?;
    assert_eq!(any_denials(&counters_of(&kernel, cage.id())?), []);
    assert_eq!(kernel.lost_in(slot_of(&kernel, cage.id())?)?, 3);
    assert_eq!(kernel.losses()?.ambiguous_exit, 3);
    for cage in [&outside, &other] {
        assert_eq!(kernel.lost_in(slot_of(&kernel, cage.id())?)?, 0);
    }
    Ok(())
}

#[test]
fn cgroups_without_room_are_a_loss_of_the_container_that_made_them() -> Result<()> {
    let _alone = alone();
    // Room for 32 control groups.
    let mut kernel = Kernel::load(2)?;
    kernel.attach(Vec::new)?;
    let (cage, other) = (Cage::new()?, Cage::new()?);
    for number in 0..50 {
        cage.nested(&number.to_string())?;
    }
    let lost = kernel.losses()?.nested_cgroup;
    assert_eq!(lost, 20);
    assert_eq!(kernel.lost_in(slot_of(&kernel, cage.id())?)?, lost);
    assert_eq!(kernel.lost_in(slot_of(&kernel, other.id())?)?, 0);
    Ok(())
}
