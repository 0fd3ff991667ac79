//! Programs of ours that start engines and daemons, and the wait until the last process of theirs is gone.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};

/// Seconds that what a program leaves behind may take to end: wardens clean up within a few.
const PATIENCE: u32 = 180;

/// Runs a program and hands signals on to it; returns when all that it left has ended too.
pub fn supervise(mut program: Command) -> Result<WaitStatus> {
    // Those who clean up after a program that was killed become our children, and can be waited for.
    nix::sys::prctl::set_child_subreaper(true).context("becoming the parent of orphans")?;
    // A group of its own: what cargo starts for it hears the signals as well, and each of them once.
    let child =
        program.process_group(0).spawn().with_context(|| format!("starting {}", program.get_program().display()))?;
    let first = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
    // Not before: programs inherit what is held back, and would not hear any of these either.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD, Signal::SIGALRM] {
        signals.add(signal);
    }
    signals.thread_block().context("holding signals back")?;
    let status = wait(&signals, first);
    // Nor would what is started after this one.
    signals.thread_unblock().context("letting signals through")?;
    status
}

/// Hands signals on to the group of the first program until that has ended, and all that became ours.
fn wait(signals: &SigSet, first: Pid) -> Result<WaitStatus> {
    let mut ended = None;
    loop {
        // First of all: it may have ended before the signals were held back.
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(status) if status.pid() == Some(first) => {
                    ended = Some(status);
                    alarm::set(PATIENCE);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => {
                    alarm::cancel();
                    return ended.context("the program is gone without a word");
                }
            }
        }
        match signals.wait().context("waiting for a program")? {
            Signal::SIGCHLD => {}
            Signal::SIGALRM => {
                eprintln!(
                    "xtask: something that the program started still runs after {PATIENCE} s; not waiting for it"
                );
                return ended.context("an alarm that nobody set");
            }
            signal => {
                eprintln!("xtask: {signal}: cleaning up");
                // Nobody may be left in it to hear.
                _ = killpg(first, signal);
            }
        }
    }
}
