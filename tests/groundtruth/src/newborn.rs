//! Threads that are made while a filter is put on all threads: some get it between their making and their first call.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::filter::{Action, Reach, Rule, install};
use crate::raw;
use crate::table::{Fate, Table};
use crate::work::{Call, pin};

/// Threads that each process makes one after the other.
const NEWBORNS: usize = 200;
/// No result of a call.
const NOT_YET: i64 = i64::MIN;
/// What the filter answers.
const REFUSED: i64 = -99;

/// Lets each of a number of processes make threads on one CPU and install a filter on another.
pub fn run(processes: u64, call: Call, table: Table) -> Result<()> {
    for process in 0..processes {
        // SAFETY: this process has one thread here, so the child may do anything.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let outcome = bear(usize::try_from(process).unwrap_or(0) % NEWBORNS, call, table);
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(outcome.is_err())) };
        }
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
            return Err(std::io::Error::last_os_error()).context("forking");
        }
        if status != 0 {
            bail!("a child ended with status {status:#x}");
        }
    }
    Ok(())
}

/// Installs the filter when so many threads have been made, at about the time of the next one's making.
fn bear(before: usize, call: Call, table: Table) -> Result<()> {
    let rule = Rule { abi: call.abi, nr: call.nr, arg: None, action: Action::Errno(99), text: String::new() };
    let go = AtomicBool::new(false);
    let results: Vec<_> = (0..NEWBORNS).map(|_| AtomicI64::new(NOT_YET)).collect();
    std::thread::scope(|scope| -> Result<()> {
        let installer = scope.spawn(|| {
            pin(1);
            while !go.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            install(std::slice::from_ref(&rule), Reach::Process)
        });
        pin(0);
        for (number, place) in results.iter().enumerate() {
            if number == before {
                go.store(true, Ordering::Relaxed);
            }
            // SAFETY: the place lives until all threads are done.
            if unsafe { raw::thread_calling(call.nr, place) } < 0 {
                bail!("a thread was not made");
            }
        }
        for place in &results {
            while place.load(Ordering::Relaxed) == NOT_YET {
                std::thread::yield_now();
            }
        }
        installer.join().expect("the installer's panic")
    })?;
    for place in &results {
        let refused = place.load(Ordering::Relaxed) == REFUSED;
        let fate = if refused { Fate::Errno } else { Fate::Reached };
        table.issued(call.abi, call.nr, refused, fate, 1);
    }
    Ok(())
}
