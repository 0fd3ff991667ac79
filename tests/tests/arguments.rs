//! The noted arguments against a program that says which it used: every value and every count equal, nothing more and
//! nothing less. Needs root and a kernel that takes the programs; fails without.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use auditor::container::CgroupId;
use auditor::evidence::argument::table;
use auditor::evidence::{Arguments, ByFilter, Values};
use auditor::kernel::{Kernel, SlotState};
use auditor::syscall::{self, Abi, SyscallNr};
use tests::cage::Cage;
use tests::counting::{alone, counting, slot_of};
use tests::groundtruth;

/// A rule that refuses a call which nobody makes: the filter is what matters.
const FILTER: &str = "124=errno:1";

fn arguments_of(kernel: &Kernel, cgroup: CgroupId) -> Result<ByFilter> {
    Ok(kernel.arguments(slot_of(kernel, cgroup)?)?)
}

fn key(abi: Abi, name: &str) -> Result<(Abi, SyscallNr)> {
    Ok((abi, syscall::number(abi, name).with_context(|| format!("the number of {name}"))?))
}

/// What a call is made with, as the program is told, and what is to be noted of it.
type Row = (Abi, &'static str, &'static str, [u64; 2]);

/// Makes the calls so many times, and gives what must be noted.
fn told(rows: &[Row], count: u64) -> Result<(Vec<String>, Arguments)> {
    let mut expected = Arguments::default();
    let mut calls = Vec::new();
    for (abi, name, args, values) in rows {
        let key = key(*abi, name)?;
        calls.push(format!("{abi}:{}({args})*{count}", key.1.0));
        *expected.calls.entry(key).or_default().seen.entry(*values).or_default() += count;
    }
    Ok((calls, expected))
}

fn run(cage: &Cage, options: &[&str], calls: &[String]) -> Result<()> {
    let line: Vec<&str> = ["args"].iter().chain(options).copied().chain(calls.iter().map(String::as_str)).collect();
    cage.run(groundtruth::program()?, &line)?;
    Ok(())
}

/// Calls that do nothing but fail, of every kind that is noted, in each calling convention.
fn every_call(abi: Abi) -> Vec<Row> {
    const BAD: u64 = 0x7777_7777;
    let mut rows = vec![
        (abi, "bpf", "63", [0x63, 0]),
        // CLONE_SIGHAND alone makes no process.
        (abi, "clone", "800", [0x800, 0]),
        (abi, "ioctl", "ffffffff,5401", [0x5401, 0]),
        (abi, "ioctl", "ffffffff,c0045878", [0xc004_5878, 0]),
        (abi, "keyctl", "77777777", [BAD, 0]),
        (abi, "mprotect", "1,1,5", [5, 0]),
        (abi, "mprotect", "1,1,3", [3, 0]),
        (abi, "personality", "ffffffff", [0xffff_ffff, 0]),
        (abi, "pkey_mprotect", "1,1,7,ffffffff", [7, 0]),
        (abi, "prctl", "77777777", [BAD, 0]),
        (abi, "ptrace", "77777777,7fffffff", [BAD, 0]),
        (abi, "setns", "ffffffff,40000000", [0x4000_0000, 0]),
        (abi, "setsockopt", "ffffffff,1,2", [1, 2]),
        (abi, "setsockopt", "ffffffff,29,1a", [0x29, 0x1a]),
        (abi, "socket", "777,80001", [0x777, 0x8_0001]),
        (abi, "socket", "777,2", [0x777, 2]),
        (abi, "socketpair", "777,5", [0x777, 5]),
        (abi, "unshare", "1", [1, 0]),
        // A structure of one byte is refused after the look at it.
        (abi, "clone3", "&10000000,1", [0x1000_0000, 0]),
        (abi, "clone3", "&ffffffffffffffff,1", [u64::MAX, 0]),
    ];
    if abi == Abi::I386 {
        rows.push((abi, "mmap", "&5@8", [5, 0]));
        rows.push((abi, "mmap2", "0,0,6", [6, 0]));
        rows.push((abi, "socketcall", "777", [0x777, 0]));
    } else {
        rows.push((abi, "mmap", "0,0,6", [6, 0]));
    }
    rows
}

#[test]
fn every_noted_call_is_noted_with_its_values_by_every_abi() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        let rows = every_call(abi);
        let all: BTreeSet<_> = table::all().filter(|(of, ..)| *of == abi).map(|(.., noted)| noted.name).collect();
        assert_eq!(rows.iter().map(|row| row.1).collect::<BTreeSet<_>>(), all, "{abi}");
        let (calls, expected) = told(&rows, 3)?;
        let cage = Cage::new()?;
        run(&cage, &[FILTER], &calls)?;
        assert_eq!(arguments_of(&kernel, cage.id())?.filtered, expected, "{abi}");
    }
    Ok(())
}

/// A filter sees the whole register, and so does who notes it: what the kernel does not take of it as well.
#[test]
fn negative_numbers_and_what_is_left_in_the_upper_half_are_noted_as_a_filter_sees_them() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let rows: [Row; 11] = [
        (Abi::X86_64, "keyctl", "ffffffffffffffff", [u64::MAX, 0]),
        (Abi::X86_64, "keyctl", "ffffffff", [0xffff_ffff, 0]),
        (Abi::X86_64, "personality", "deadbeefffffffff", [0xdead_beef_ffff_ffff, 0]),
        (Abi::X86_64, "socket", "abcd00000777,123400000002", [0xabcd_0000_0777, 0x1234_0000_0002]),
        (Abi::X86_64, "clone", "dead000000000800", [0xdead_0000_0000_0800, 0]),
        (Abi::X86_64, "unshare", "100000000", [0x1_0000_0000, 0]),
        (Abi::X86_64, "ptrace", "ffffffffffffff00", [0xffff_ffff_ffff_ff00, 0]),
        (Abi::I386, "socket", "abcd00000777,123400000002", [0xabcd_0000_0777, 0x1234_0000_0002]),
        (Abi::I386, "keyctl", "ffffffff", [0xffff_ffff, 0]),
        (Abi::X32, "setsockopt", "0,ffffffffffffffff,8000000000000001", [u64::MAX, 0x8000_0000_0000_0001]),
        (Abi::X32, "prctl", "fffffffe", [0xffff_fffe, 0]),
    ];
    let (calls, expected) = told(&rows, 7)?;
    let cage = Cage::new()?;
    run(&cage, &[FILTER], &calls)?;
    assert_eq!(arguments_of(&kernel, cage.id())?.filtered, expected);
    Ok(())
}

#[test]
fn what_cannot_be_read_behind_a_pointer_is_counted_as_unknown() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    let calls = [
        "x86_64:435(0,40)*4",
        "x86_64:435(ffff888000000000,40)*2",
        "x86_64:435(&8000,1)*3",
        "i386:90(10)*5",
        "i386:90(&1@8)*6",
    ];
    run(&cage, &[FILTER], &calls.map(str::to_owned))?;
    let clone3 = Values { seen: BTreeMap::from([([0x8000, 0], 3)]), overflowed: 6 };
    let mmap = Values { seen: BTreeMap::from([([1, 0], 6)]), overflowed: 5 };
    let calls = BTreeMap::from([(key(Abi::X86_64, "clone3")?, clone3), (key(Abi::I386, "mmap")?, mmap)]);
    assert_eq!(arguments_of(&kernel, cage.id())?.filtered, Arguments { calls });
    Ok(())
}

#[test]
fn what_many_threads_do_at_once_is_counted_to_the_last_call() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    let rows: [Row; 4] = [
        (Abi::X86_64, "setsockopt", "ffffffff,1,2", [1, 2]),
        (Abi::X86_64, "ptrace", "77777777,7fffffff", [0x7777_7777, 0]),
        (Abi::I386, "keyctl", "77777777", [0x7777_7777, 0]),
        (Abi::X32, "socketpair", "777,5", [0x777, 5]),
    ];
    const EACH: u64 = 20_000;
    let (calls, expected) = told(&rows, EACH)?;
    run(&cage, &["--threads=8", FILTER], &calls)?;
    let seen = arguments_of(&kernel, cage.id())?.filtered;
    for (key, values) in &expected.calls {
        let all = Values { seen: values.seen.keys().map(|value| (*value, 8 * EACH)).collect(), overflowed: 0 };
        assert_eq!(seen.calls.get(key), Some(&all), "{key:?}");
    }
    Ok(())
}

#[test]
fn without_a_filter_they_are_noted_apart() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    let ioctl = key(Abi::I386, "ioctl")?;
    run(&cage, &[], &["i386:54(ffffffff,77)*5".to_owned()])?;
    run(&cage, &[FILTER], &["i386:54(ffffffff,77)*2".to_owned(), "i386:54(ffffffff,78)".to_owned()])?;
    let seen = arguments_of(&kernel, cage.id())?;
    assert_eq!(seen.unfiltered.calls[&ioctl].seen, BTreeMap::from([([0x77, 0], 5)]));
    assert_eq!(seen.filtered.calls[&ioctl].seen, BTreeMap::from([([0x77, 0], 2), ([0x78, 0], 1)]));
    let workload = |confined| seen.of_workload(confined).calls[&ioctl].seen[&[0x77, 0]];
    assert_eq!([Some(true), None, Some(false)].map(workload), [2, 2, 7]);
    Ok(())
}

/// As many as a slot may have.
const ROOM: usize = 512;

#[test]
fn one_that_makes_up_arguments_fills_its_own_slot_alone() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let (loud, quiet) = (Cage::new()?, Cage::new()?);
    let flood = loud.start(groundtruth::program()?, &["args", FILTER, "16(ffffffff,100000+)*300000"])?;
    let rows: [Row; 2] =
        [(Abi::X86_64, "socket", "777,2", [0x777, 2]), (Abi::X86_64, "setsockopt", "ffffffff,29,1a", [0x29, 0x1a])];
    let (calls, expected) = told(&rows, 1_000)?;
    run(&quiet, &[FILTER], &calls)?;
    tests::cage::output_of(flood)?;
    assert_eq!(arguments_of(&kernel, quiet.id())?.filtered, expected);
    let seen = arguments_of(&kernel, loud.id())?;
    let ioctl = &seen.filtered.calls[&key(Abi::X86_64, "ioctl")?];
    let entries = |arguments: &Arguments| arguments.calls.values().map(|values| values.seen.len()).sum::<usize>();
    // The program's start without a filter has used some of the room.
    assert_eq!(entries(&seen.filtered) + entries(&seen.unfiltered), ROOM);
    let first = (0x10_0000..).take(ioctl.seen.len()).map(|value| ([value, 0], 1)).collect();
    assert_eq!(ioctl.seen, first);
    assert_eq!(ioctl.overflowed, 300_000 - ioctl.seen.len() as u64);
    Ok(())
}

/// Where several processors fight for the last of the room, no more get it than there is, and nothing goes uncounted.
#[test]
fn room_that_many_threads_want_at_once_is_given_once() -> Result<()> {
    let _alone = alone();
    let kernel = counting()?;
    let cage = Cage::new()?;
    const EACH: u64 = 50_000;
    run(&cage, &["--threads=8", FILTER], &[format!("16(ffffffff,100000+)*{EACH}"), format!("i386:54(0,9+)*{EACH}")])?;
    let seen = arguments_of(&kernel, cage.id())?;
    let entries = |arguments: &Arguments| arguments.calls.values().map(|values| values.seen.len()).sum::<usize>();
    assert_eq!(entries(&seen.filtered) + entries(&seen.unfiltered), ROOM);
    for key in [key(Abi::X86_64, "ioctl")?, key(Abi::I386, "ioctl")?] {
        let values = &seen.filtered.calls[&key];
        assert_eq!(values.seen.values().sum::<u64>() + values.overflowed, 8 * EACH, "{key:?}");
    }
    Ok(())
}

/// The map has room for two slots' entries. If any stayed, a later round would find less.
#[test]
fn a_slot_that_is_given_back_leaves_nothing() -> Result<()> {
    let _alone = alone();
    let mut kernel = Kernel::load(2)?;
    kernel.attach(Vec::new)?;
    let ioctl = key(Abi::X86_64, "ioctl")?;
    let mut rounds = BTreeSet::new();
    for round in 0..6 {
        let cage = Cage::new()?;
        let id = cage.id();
        cage.run(groundtruth::program()?, &["args", FILTER, "16(ffffffff,100000+)*1000", "i386:54(ffffffff,9)"])?;
        drop(cage);
        let slot = slot_of(&kernel, id)?;
        assert_eq!(kernel.owners()?[&slot].state, SlotState::Removed, "round {round}");
        let seen = kernel.arguments(slot)?;
        let values = &seen.filtered.calls[&ioctl];
        rounds.insert((values.seen.len(), values.overflowed));
        kernel.release(&BTreeSet::from([slot]))?;
        assert_eq!(kernel.arguments(slot)?, ByFilter::default(), "round {round}");
    }
    assert_eq!(rounds.len(), 1, "{rounds:?}");
    assert!(rounds.iter().all(|(seen, overflowed)| *seen > 400 && *seen as u64 + overflowed == 1_000), "{rounds:?}");
    Ok(())
}
