//! Stacks of filters that are held while somebody looks at them, and what `ptrace` says that they are.

use std::io::Write as _;
use std::ptr;
use std::sync::Barrier;

use anyhow::{Context as _, Result, bail};

use crate::filter::{self, LOAD_IMMEDIATE, RETURN};

/// `PTRACE_SECCOMP_GET_FILTER` (`include/uapi/linux/ptrace.h`).
const GET_FILTER: libc::c_uint = 0x420c;
/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// Puts filters of the first list's lengths on itself, and on a thread for each further list, which has the first
/// ones too. Says so in a line, and sleeps until it is killed.
pub fn hold(lists: &[String]) -> Result<()> {
    let (own, threads) = lists.split_first().context("hold LENGTH,... [LENGTH,...]...")?;
    stack(own, 0)?;
    let barrier = Barrier::new(threads.len() + 1);
    std::thread::scope(|scope| {
        for (list, number) in threads.iter().zip(1..) {
            let barrier = &barrier;
            scope.spawn(move || {
                stack(list, number).expect("stacking a thread's filters");
                barrier.wait();
                sleep();
            });
        }
        barrier.wait();
        println!("held by {}", std::process::id());
        std::io::stdout().flush().expect("saying so");
        sleep();
    });
    Ok(())
}

/// Installs filters of these lengths that allow everything, each unlike any other of this program.
fn stack(list: &str, thread: u32) -> Result<()> {
    for (length, number) in list.split(',').filter(|length| !length.is_empty()).zip(1..) {
        let length: usize = length.parse().with_context(|| format!("length in {list}"))?;
        let mark = thread << 16 | number;
        let mut program = vec![filter::statement(LOAD_IMMEDIATE, mark); length.saturating_sub(1)];
        program.push(filter::statement(RETURN, libc::SECCOMP_RET_ALLOW));
        filter::load(&mut program, 0)?;
    }
    Ok(())
}

fn sleep() {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Starts and ends threads and processes with stacks of their own, for so long.
pub fn churn(milliseconds: u64) -> Result<()> {
    stack("9,11", 0)?;
    let end = std::time::Instant::now() + std::time::Duration::from_millis(milliseconds);
    let mut number = 1;
    while std::time::Instant::now() < end {
        number += 1;
        // SAFETY: this process has one thread here, so the child may do anything.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // Of all lengths, so that the memory of one is used for another soon.
            let length = 5 + number % 90;
            let done = stack(&format!("{length},{length}"), number).and_then(|()| {
                std::thread::scope(|scope| {
                    let thread = scope.spawn(|| stack("7", number + 1000));
                    thread.join().expect("a thread's panic")
                })
            });
            // SAFETY: ends the forked child at once.
            unsafe { libc::_exit(i32::from(done.is_err())) };
        }
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } != child || status != 0 {
            bail!("a child ended with status {status:#x}");
        }
    }
    Ok(())
}

/// Prints the filters of a thread as `ptrace` has them, newest first, one line of hex digits each.
pub fn dump(tid: i32) -> Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, ptr::null_mut())?;
    request(libc::PTRACE_INTERRUPT, tid, 0, ptr::null_mut())?;
    let mut status = 0;
    // SAFETY: waits for the tracee's stop.
    if unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) } != tid {
        bail!("waiting for the tracee: {}", std::io::Error::last_os_error());
    }
    let mut lines = Vec::new();
    loop {
        let mut program = vec![filter::statement(0, 0); MAX_INSTRUCTIONS];
        // The oldest is number 0.
        match request(GET_FILTER, tid, lines.len(), program.as_mut_ptr().cast()) {
            Ok(length) => {
                let instructions = program[..usize::try_from(length)?].iter();
                let bytes = instructions
                    .flat_map(|at| [&at.code.to_ne_bytes()[..], &[at.jt, at.jf], &at.k.to_ne_bytes()].concat());
                lines.push(bytes.map(|byte| format!("{byte:02x}")).collect::<String>());
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
            Err(error) => return Err(error).context("reading a filter"),
        }
    }
    request(libc::PTRACE_DETACH, tid, 0, ptr::null_mut())?;
    lines.iter().rev().for_each(|line| println!("{line}"));
    Ok(())
}

fn request(what: libc::c_uint, tid: i32, at: usize, data: *mut libc::c_void) -> std::io::Result<i64> {
    // SAFETY: the kernel checks the thread; the data is null or has room for the longest filter.
    let result = unsafe { libc::ptrace(what, tid, ptr::without_provenance_mut::<u8>(at), data) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
