//! The filters that tasks have, read out of the kernel's memory: byte for byte what `ptrace` reads.
//! Needs root (`ptrace` shows filters to `CAP_SYS_ADMIN` without a filter of its own); fails without.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use auditor::kernel::{Chain, Existing, FilterReading, FilterScope, Kernel, SeccompMode, TaskFilters};
use tests::cage::{Cage, output_of};
use tests::counting::{alone, counting, slot_of};
use tests::groundtruth;

/// Starts a program that puts filters on itself and sleeps; its process id.
fn hold(cage: &Cage, lists: &[&str]) -> Result<(Child, u32)> {
    let mut child = cage.start(groundtruth::program()?, &[&["hold"], lists].concat())?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
    let Some(pid) = line.trim().strip_prefix("held by ") else {
        let output = child.wait_with_output()?;
        bail!("groundtruth said {line:?} and {}", String::from_utf8_lossy(&output.stderr));
    };
    let pid = pid.parse()?;
    Ok((child, pid))
}

/// A thread's filters as `ptrace` has them, newest first.
fn by_ptrace(tid: u32) -> Result<Vec<Vec<u8>>> {
    let output = Command::new(groundtruth::program()?).args(["dump", &tid.to_string()]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    String::from_utf8(output.stdout)?.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// A task's filters as they were read, newest first, and how many older ones there are.
fn programs(reading: &FilterReading, task: &TaskFilters) -> Result<(Vec<Vec<u8>>, u32)> {
    let Chain::Known { filters, older } = &task.chain else { bail!("the filters of {task:?} are unknown") };
    let program = |id: &auditor::kernel::FilterId| reading.filters[id.0].program.clone().context("a program");
    Ok((filters.iter().map(program).collect::<Result<_>>()?, *older))
}

fn read(kernel: &mut Kernel, cage: &Cage) -> Result<FilterReading> {
    let slot = slot_of(kernel, cage.id())?;
    Ok(kernel.read_filters(FilterScope::Slot(slot))?)
}

fn tids(pid: u32) -> Result<Vec<u32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    let mut tids: Vec<u32> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?)).collect::<Result<_>>()?;
    tids.sort_unstable();
    Ok(tids)
}

#[test]
fn every_filter_of_a_stack_is_what_ptrace_reads() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    // Threads share what the process had, and have filters of their own besides, the longest that there can be among
    // them; one has none of its own.
    let (_child, pid) = hold(&cage, &["974,1,40", "3", "4096,7", "", "4096,4096,12", "5,5,5,5,5,5,5,5"])?;
    let reading = read(&mut kernel, &cage)?;
    let all = tids(pid)?;
    assert_eq!(reading.tasks.iter().map(|task| task.tid).collect::<Vec<_>>(), all);
    assert_eq!(all.len(), 6);
    for task in &reading.tasks {
        let (read, older) = programs(&reading, task)?;
        assert_eq!(older, 0);
        assert!(read == by_ptrace(task.tid)?, "thread {}", task.tid);
        assert_eq!((task.pid, task.cgroup, task.mode), (pid, cage.id(), SeccompMode::Filter));
        assert_eq!((task.inner_pid, task.inner_tid), (task.pid, task.tid));
        assert_eq!(task.comm, "groundtruth");
    }
    // Each filter once, whoever has it.
    assert_eq!(reading.filters.len(), 3 + 1 + 2 + 3 + 8);
    assert_eq!(kernel.read_filters(FilterScope::All)?.tasks.len(), 6);
    Ok(())
}

#[test]
fn a_task_without_a_filter_is_told_from_one_whose_filters_are_unknown() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    let _bare = cage.start("sleep".as_ref(), &["1000"])?;
    let (_child, confined) = hold(&cage, &["12"])?;
    let deadline = Instant::now() + Duration::from_secs(5);
    let bare = loop {
        let reading = read(&mut kernel, &cage)?;
        ensure!(Instant::now() < deadline, "{reading:?}");
        if let Some(task) = reading.tasks.into_iter().find(|task| task.comm == "sleep") {
            break task;
        }
    };
    assert_ne!(bare.pid, confined);
    assert_eq!((bare.mode, bare.chain), (SeccompMode::Disabled, Chain::Known { filters: Vec::new(), older: 0 }));
    Ok(())
}

#[test]
fn a_container_from_before_the_programs_is_read_like_any_other() -> Result<()> {
    let _alone = alone();
    let cage = Cage::new()?;
    let (_child, pid) = hold(&cage, &["974,30"])?;
    let mut kernel = Kernel::load(4)?;
    kernel.attach(|| vec![Existing::nameless(cage.id())])?;
    let reading = read(&mut kernel, &cage)?;
    assert_eq!(reading.tasks.len(), 1);
    assert!(programs(&reading, &reading.tasks[0])?.0 == by_ptrace(pid)?);
    Ok(())
}

#[test]
fn of_a_longer_chain_the_newest_64_are_read_and_the_rest_is_told() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cage = Cage::new()?;
    let lengths: Vec<_> = (0..64).map(|number| (5 + number).to_string()).collect();
    let (_child, pid) = hold(&cage, &[&lengths.join(","), "", "9", "9,9,9"])?;
    let reading = read(&mut kernel, &cage)?;
    let mut seen = Vec::new();
    for task in &reading.tasks {
        let (read, older) = programs(&reading, task)?;
        assert_eq!(read.len(), 64);
        assert!(read == by_ptrace(task.tid)?[..64], "thread {}", task.tid);
        seen.push(older);
    }
    assert_eq!(reading.tasks[0].pid, pid);
    assert_eq!(seen, [0, 0, 1, 3]);
    Ok(())
}

/// The mark that a program of `groundtruth churn` has in all its instructions, if it is one of those at all.
fn mark_of(program: &[u8]) -> Result<(u32, usize)> {
    let instructions: Vec<(u16, u32)> = program
        .chunks(8)
        .map(|at| Ok((u16::from_ne_bytes(at[..2].try_into()?), u32::from_ne_bytes(at[4..].try_into()?))))
        .collect::<Result<_>>()?;
    let (last, rest) = instructions.split_last().context("an empty program")?;
    ensure!(*last == (0x06, 0x7fff_0000), "a program that ends with {last:x?}");
    let (_, mark) = rest.first().context("a program without a mark")?;
    ensure!(rest.iter().all(|instruction| *instruction == (0, *mark)), "a mixture of programs: {rest:x?}");
    Ok((*mark, instructions.len()))
}

#[test]
fn tasks_that_end_meanwhile_give_nothing_or_what_they_had() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let cages = [Cage::new()?, Cage::new()?];
    let mut children = Vec::new();
    for cage in &cages {
        children.push(cage.start(groundtruth::program()?, &["churn", "6000"])?);
        children.push(cage.start(groundtruth::program()?, &["churn", "6000"])?);
    }
    let end = Instant::now() + Duration::from_secs(5);
    let mut seen = BTreeMap::<usize, usize>::new();
    let (mut unknown, mut readings) = (0, 0);
    while Instant::now() < end {
        let reading = kernel.read_filters(FilterScope::All)?;
        readings += 1;
        for task in reading.tasks.iter().filter(|task| task.comm == "groundtruth") {
            if task.chain == Chain::Unknown {
                unknown += 1;
                continue;
            }
            let (mut programs, older) = programs(&reading, task)?;
            assert_eq!(older, 0);
            programs.reverse();
            let marks = programs.iter().map(|program| mark_of(program)).collect::<Result<Vec<_>>>()?;
            let child = marks.get(2).map_or(0, |(mark, _)| mark >> 16);
            let length = 5 + child as usize % 90;
            let whole =
                [(1, 9), (2, 11), (child << 16 | 1, length), (child << 16 | 2, length), ((child + 1000) << 16 | 1, 7)];
            assert_eq!(marks, whole[..marks.len()], "{task:?}");
            *seen.entry(marks.len()).or_default() += 1;
        }
    }
    for child in children {
        output_of(child)?;
    }
    println!("{readings} readings; tasks by their number of filters: {seen:?}; {unknown} unknown");
    ensure!(readings > 20 && (2..=5).all(|length| seen.contains_key(&length)), "{readings} readings, {seen:?}");
    Ok(())
}

#[test]
fn enough_is_read_of_a_container_with_more_filters_than_anybody_needs() -> Result<()> {
    let _alone = alone();
    let mut kernel = counting()?;
    let (greedy, modest) = (Cage::new()?, Cage::new()?);
    // Ninety threads, each with filters of its own.
    let lists = vec!["2000,2000"; 90];
    let (_greedy, _) = hold(&greedy, &[&["20"], &lists[..]].concat())?;
    let (_modest, pid) = hold(&modest, &["33,44"])?;
    let reading = kernel.read_filters(FilterScope::All)?;
    let mine = reading.tasks.iter().find(|task| task.pid == pid).context("the modest one")?;
    assert!(programs(&reading, mine)?.0 == by_ptrace(pid)?);
    let of_greedy: Vec<_> = reading.tasks.iter().filter(|task| task.cgroup == greedy.id()).collect();
    let unknown = of_greedy.iter().filter(|task| task.chain == Chain::Unknown).count();
    assert_eq!(of_greedy.len(), 91);
    ensure!((50..70).contains(&unknown), "{unknown} unknown");
    Ok(())
}
