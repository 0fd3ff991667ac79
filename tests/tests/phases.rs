//! Whose calls they are: the runtime's, from its filter to the program, or the program's. And slots for cgroups that are
//! no container's. Every number equal; programs without a library make calls that are known to the last one. Needs root
//! and a kernel that takes the programs; fails without.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auditor::container::CgroupId;
use auditor::counters::{Counters, Tally};
use auditor::kernel::{Comers, Executor, Existing, Kernel, KernelError, SlotState};
use auditor::syscall::{Abi, SyscallNr};
use tests::cage::{Cage, output_of};
use tests::counting::{alone, counters_of, counting, made, of_program, of_runtime};
use tests::groundtruth;
use tests::process::wait_for;
use tests::tiny::{self, Tiny};

const FILTER: &str = "100=errno:1";

fn native(counters: &Counters, nr: i32) -> Tally {
    counters.tallies.get(&(Abi::X86_64, SyscallNr(nr))).copied().unwrap_or_default()
}

fn of_i386(counters: &Counters, nr: i32) -> Tally {
    counters.tallies.get(&(Abi::I386, SyscallNr(nr))).copied().unwrap_or_default()
}

/// A task with a filter is the runtime until its `execve` succeeds: that is its last call.
#[test]
fn from_the_filter_to_the_program_is_the_runtime_s() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let tiny = Tiny::new()?;
    for (how, execs) in [("--", [(59, 2), (322, 0)]), ("--at", [(59, 1), (322, 1)])] {
        let cage = Cage::new()?;
        let line = ["args", FILTER, "140(0)*4", "i386:147(0)*2", "x32:124(0)*6", how, tiny.path()];
        cage.run(groundtruth::program()?, &line)?;
        let counters = counters_of(&kernel, cage.id())?;
        let mut expected = BTreeMap::from([((Abi::X86_64, 140), 4), ((Abi::I386, 147), 2), ((Abi::X32, 124), 6)]);
        expected.extend(execs.map(|(nr, count)| ((Abi::X86_64, nr), count)).into_iter().filter(|(_, n)| *n > 0));
        assert_eq!(of_runtime(&counters), expected, "{how}");
        assert_eq!(of_program(&counters), tiny::calls(1), "{how}");
        // The first try of an `execve` has failed, and made nobody a program.
        assert_eq!(native(&counters, 59).errors, 1, "{how}");
    }
    Ok(())
}

#[test]
fn children_are_what_their_parent_is() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    let program = groundtruth::program()?;
    let path = program.to_str().context("a plain path")?;
    // Itself and three children before the program; itself and four after it, of which the last executes another.
    let line = ["args", FILTER, "--forks=3", "124(0)*10", "--", path, "args", "--forks=4", "124(0)*10", "121(0)*2"];
    cage.run(program, &line)?;
    let counters = counters_of(&kernel, cage.id())?;
    let of_124 = native(&counters, 124);
    assert_eq!((of_124.runtime_calls, of_124.calls), (40, 90));
    let of_121 = native(&counters, 121);
    assert_eq!((of_121.runtime_calls, of_121.calls), (0, 10));
    assert_eq!(native(&counters, 57).runtime_calls, 3);
    Ok(())
}

/// A program of another ABI takes over: its own calls are a program's, its `execve` back as well.
#[test]
fn a_program_of_another_abi_is_a_program() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    cage.run(groundtruth::program()?, &["work", "--filter=100=errno:1", "--execs32=25", "--forks=5", "i386:147*3"])?;
    let counters = counters_of(&kernel, cage.id())?;
    let getsid = of_i386(&counters, 147);
    // The thread itself and its five children, none of which executed anything; then 25 programs.
    assert_eq!((getsid.runtime_calls, getsid.calls), (18, 18 + 75));
    let execve = of_i386(&counters, 11);
    assert_eq!((execve.runtime_calls, execve.calls), (0, 25));
    assert_eq!(native(&counters, 59).runtime_calls, 25);
    Ok(())
}

#[test]
fn who_was_there_before_the_slot_is_a_program_and_who_comes_later_is_not() -> Result<()> {
    let _alone = alone();
    let tiny = Tiny::new()?;
    let cage = Cage::new()?;
    let sleeps = |tid: &str| std::fs::read_to_string(format!("/proc/{tid}/wchan")).is_ok_and(|at| at.contains("poll"));
    let mut kernel = Kernel::load(4)?;
    let child = cage.start(groundtruth::program()?, &["inflight", "4", "3000", FILTER])?;
    wait_for("the threads to sleep", Duration::from_secs(2), || {
        let threads = std::fs::read_to_string(cage.path().join("cgroup.threads"))?;
        Ok((threads.lines().filter(|tid| sleeps(tid)).count() == 4).then_some(()))
    })?;
    kernel.attach(|| vec![Existing::nameless(cage.id())])?;
    output_of(child)?;
    let before = counters_of(&kernel, cage.id())?;
    assert_eq!(of_runtime(&before), BTreeMap::new());
    ensure!(!of_program(&before).is_empty(), "nothing was counted");
    cage.run(groundtruth::program()?, &["args", FILTER, "140(0)*4", "--", tiny.path()])?;
    let after = counters_of(&kernel, cage.id())?;
    assert_eq!(of_runtime(&after), BTreeMap::from([((Abi::X86_64, 140), 4), ((Abi::X86_64, 59), 2)]));
    Ok(())
}

/// Starts a program in a cgroup so that its `execve` is the first call there.
fn enter(cgroup: &Path, line: &[&str]) -> Result<()> {
    begin("enter", &cgroup.join("cgroup.procs"), line)
}

fn begin(how: &str, place: &Path, line: &[&str]) -> Result<()> {
    let output = std::process::Command::new(groundtruth::program()?).arg(how).arg(place).args(line).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn id_of(cgroup: &Path) -> Result<CgroupId> {
    Ok(CgroupId(std::fs::metadata(cgroup)?.ino()))
}

/// Every call of every task, and not one more: `execve` is the first.
#[test]
fn a_command_in_a_cgroup_of_its_own_is_counted_from_its_execution() -> Result<()> {
    let _alone = alone();
    let tiny = Tiny::new()?;
    let mut kernel = Kernel::load_without_containers(2, None)?;
    kernel.attach(Vec::new)?;
    let bystander = Cage::new()?;
    assert_eq!(kernel.owners()?, BTreeMap::new());
    for round in 0..4 {
        let cage = Cage::named("command.scope")?;
        let slot = kernel.follow_cgroup(cage.id(), &[], true, Comers::Programs)?;
        assert_eq!(kernel.follow_cgroup(cage.id(), &[], true, Comers::Programs)?, slot);
        let nested = cage.nested("inner")?;
        enter(cage.path(), &[tiny.path()])?;
        begin("born", &nested, &[tiny.path()])?;
        enter(bystander.path(), &[tiny.path()])?;
        let owner = kernel.owners()?[&slot].clone();
        assert!(owner.from_first_call && owner.state == SlotState::Live, "{owner:?}");
        let inside = kernel.follow_cgroup(id_of(&nested)?, &[], true, Comers::Programs);
        assert!(matches!(inside, Err(KernelError::CountedWithin(_))), "{inside:?}");
        let mut expected = tiny::calls(2);
        expected.insert((Abi::X86_64, 59), 2);
        let counters = counters_of(&kernel, cage.id())?;
        assert_eq!(made(&counters, |tally| tally.unfiltered_calls), expected, "round {round}");
        // A program with a filter of its own is no runtime: nobody is.
        enter(cage.path(), &[groundtruth::program()?.to_str().context("a plain path")?, "args", FILTER, "140(0)*4"])?;
        let counters = counters_of(&kernel, cage.id())?;
        assert_eq!(of_runtime(&counters), BTreeMap::new());
        assert_eq!(native(&counters, 140).calls, 4);
        // Half of them go before anybody stops following, and half are still there.
        if round % 2 == 0 {
            drop(cage);
            assert_eq!(kernel.owners()?[&slot].state, SlotState::Removed);
            kernel.release(&BTreeSet::from([slot]))?;
        } else {
            kernel.stop_following(slot)?;
            assert_eq!(kernel.owners()?[&slot].state, SlotState::Removed);
            enter(cage.path(), &[tiny.path()])?;
            enter(&nested, &[tiny.path()])?;
            assert_eq!(counters_of(&kernel, cage.id())?, counters);
            kernel.release(&BTreeSet::from([slot]))?;
            enter(cage.path(), &[tiny.path()])?;
        }
        assert_eq!(kernel.counters(&BTreeSet::from([slot]))?[&slot], Counters::default());
    }
    assert_eq!(kernel.losses()?.of_counts(), 0);
    Ok(())
}

/// What a service's process was seen to do under its filter before its program: two tries of `execve`, and getpriority.
fn under_the_filter(starts: u64) -> BTreeMap<(Abi, i32), u64> {
    BTreeMap::from([((Abi::X86_64, 140), 2 * starts), ((Abi::X86_64, 59), 2 * starts)])
}

/// As systemd starts a unit, when some of its processes run already.
#[test]
fn a_service_that_runs_is_followed_with_its_runtime() -> Result<()> {
    let _alone = alone();
    let tiny = Tiny::new()?;
    let cage = Cage::named("some.service")?;
    let nested = cage.nested("worker")?;
    let mut child = cage.start("sleep".as_ref(), &["100"])?;
    let mut kernel = Kernel::load_without_containers(2, None)?;
    kernel.attach(Vec::new)?;
    let slot = kernel.follow_cgroup(cage.id(), &[id_of(&nested)?], false, Comers::Services)?;
    assert!(!kernel.owners()?[&slot].from_first_call);
    for cgroup in [cage.path(), &nested] {
        begin("serve", cgroup, &[FILTER, "--", tiny.path()])?;
    }
    let counters = kernel.counters(&BTreeSet::from([slot]))?.remove(&slot).context("the slot")?;
    assert_eq!(of_runtime(&counters), under_the_filter(2));
    assert_eq!(of_program(&counters), tiny::calls(2));
    assert_eq!(made(&counters, |tally| tally.unfiltered_calls), BTreeMap::new());
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// What systemd does in the unit's cgroup before the program is executed is not counted where there is no filter yet,
/// whether the manager's child does it or a program of its own; from the execution on every call is.
#[test]
fn a_service_is_counted_from_the_execution_of_its_program() -> Result<()> {
    let _alone = alone();
    let tiny = Tiny::new()?;
    // A file system that gives a file one number: that of the kernel's inode.
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let manager = directory.path().join("systemd-executor");
    std::fs::copy(groundtruth::program()?, &manager)?;
    let file = std::fs::metadata(&manager)?;
    let executor = Executor { inode: file.ino(), device: file.dev() };
    let manager = manager.to_str().context("a plain path")?;
    for (executor, how) in [(None, &[][..]), (Some(executor), &[][..]), (Some(executor), &["--executor", manager])] {
        let mut kernel = Kernel::load_without_containers(2, executor)?;
        kernel.attach(Vec::new)?;
        let cage = Cage::named("some.service")?;
        kernel.follow_cgroup(cage.id(), &[], true, Comers::Services)?;
        let nested = cage.nested("control")?;
        // The try that fails and the one that does not, for each start; and the manager's own program.
        let execs = 2 + how.len() as u64 / 2;
        for cgroup in [cage.path(), &nested] {
            begin("serve", cgroup, &[how, &["--", tiny.path()]].concat())?;
        }
        let counters = counters_of(&kernel, cage.id())?;
        let mut expected = tiny::calls(2);
        expected.insert((Abi::X86_64, 59), 2 * execs);
        assert_eq!(made(&counters, |tally| tally.unfiltered_calls), expected, "{how:?}");
        assert_eq!(native(&counters, 59).unfiltered_errors, 2, "{how:?}");
        assert_eq!(made(&counters, |tally| tally.calls), BTreeMap::new());
        // With a filter of its own, what is called under that is a runtime's.
        begin("serve", cage.path(), &[how, &[FILTER, "--", tiny.path()]].concat())?;
        let counters = counters_of(&kernel, cage.id())?;
        assert_eq!(of_runtime(&counters), under_the_filter(1), "{how:?}");
        assert_eq!(of_program(&counters), tiny::calls(1), "{how:?}");
        // A program that makes others: its children are it, whatever they execute.
        let program = groundtruth::program()?.to_str().context("a plain path")?;
        let line = [how, &["--", program, "args", "--forks=4", "147(0)*10", "--", tiny.path()]].concat();
        begin("serve", cage.path(), &line)?;
        let counters = counters_of(&kernel, cage.id())?;
        assert_eq!(native(&counters, 147).unfiltered_calls, 50, "{how:?}");
        // Who comes from elsewhere as a program is one.
        enter(cage.path(), &[tiny.path()])?;
        let before = native(&counters, 124).unfiltered_calls;
        assert_eq!(native(&counters_of(&kernel, cage.id())?, 124).unfiltered_calls, before + 5, "{how:?}");
        assert_eq!(kernel.losses()?.of_counts(), 0);
    }
    Ok(())
}
