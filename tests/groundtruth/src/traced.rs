//! Calls under a tracer that takes them away, or lets them pass.

use std::ptr;

use anyhow::{Result, bail};

use crate::filter::{Action, Reach, Rule, install};
use crate::raw::{self, Abi};
use crate::table::{Fate, Table};
use crate::work::Call;

/// What the tracer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracing {
    /// `PTRACE_SYSEMU`: the kernel skips the call.
    Emulate,
    /// At the call's entry it sets the number to -1.
    Cancel,
    /// At the stop that `SECCOMP_RET_TRACE` makes it sets the number to -1.
    Skip,
    /// At that stop it does nothing.
    Pass,
    /// `PTRACE_SYSEMU`, but it goes away at the entry of the last call.
    Lapse,
    /// It ends at the entry of the last call, and the tracee with it; the calls before that it lets pass.
    Abandon,
}

impl Tracing {
    const fn fate(self) -> Fate {
        if matches!(self, Self::Pass) { Fate::Reached } else { Fate::Cancelled }
    }
}

/// An argument that no call has.
const NEVER: u32 = 0x7654_3210;
const TGKILL: u32 = 234;
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;
const SECCOMP_STOP: i32 = libc::SIGTRAP | (libc::PTRACE_EVENT_SECCOMP << 8);
/// Word 15 of `struct user_regs_struct`: `orig_rax`.
const ORIG_RAX: usize = 15 * 8;

/// Makes the calls in a traced child.
pub fn run(tracing: Tracing, calls: &[Call], table: Table) -> Result<()> {
    let by_filter = matches!(tracing, Tracing::Skip | Tracing::Pass);
    let fate = tracing.fate();
    let mut left = 0;
    for call in calls {
        table.issued(call.abi, call.nr, true, fate, call.count);
        left += call.count;
    }
    if tracing == Tracing::Abandon {
        return abandon(calls, table, left);
    }
    // SAFETY: this process has one thread, so the child may do anything.
    let child = unsafe { libc::fork() };
    if child < 0 {
        bail!("forking a tracee: {}", std::io::Error::last_os_error());
    }
    if child == 0 {
        tracee(by_filter, calls, table, fate);
    }
    let mut status = wait(child)?;
    if !libc::WIFSTOPPED(status) {
        bail!("the tracee ended with status {status:#x} before its first call");
    }
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACESECCOMP | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, child, 0, usize::try_from(options)?)?;
    let go_on = match tracing {
        Tracing::Emulate | Tracing::Lapse => libc::PTRACE_SYSEMU,
        Tracing::Cancel | Tracing::Abandon => libc::PTRACE_SYSCALL,
        Tracing::Skip | Tracing::Pass => libc::PTRACE_CONT,
    };
    let mut entering = true;
    loop {
        request(go_on, child, 0, 0)?;
        status = wait(child)?;
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            break;
        }
        match status >> 8 {
            SYSCALL_STOP if tracing == Tracing::Emulate => {
                left -= 1;
                if left == 0 {
                    // Whatever it did next would be taken away too.
                    request(libc::PTRACE_KILL, child, 0, 0)?;
                    wait(child)?;
                    break;
                }
            }
            SYSCALL_STOP if tracing == Tracing::Lapse => {
                left -= 1;
                if left == 0 {
                    request(libc::PTRACE_DETACH, child, 0, 0)?;
                    status = wait(child)?;
                    if status != 0 {
                        bail!("the tracee ended with status {status:#x}");
                    }
                    break;
                }
            }
            SYSCALL_STOP => {
                let nr = request(libc::PTRACE_PEEKUSER, child, ORIG_RAX, 0)?;
                if entering && calls.iter().any(|call| i64::from(call.nr) == nr) {
                    left -= 1;
                    request(libc::PTRACE_POKEUSER, child, ORIG_RAX, usize::MAX)?;
                }
                entering = !entering;
            }
            SECCOMP_STOP => {
                left -= 1;
                if tracing == Tracing::Skip {
                    request(libc::PTRACE_POKEUSER, child, ORIG_RAX, usize::MAX)?;
                }
            }
            other => bail!("an unexpected stop {other:#x}"),
        }
    }
    if left != 0 {
        bail!("{left} calls were not seen by the tracer");
    }
    Ok(())
}

/// Lets a tracer of a tracee end at the entry of the last call.
fn abandon(calls: &[Call], table: Table, mut left: u64) -> Result<()> {
    // SAFETY: this process has one thread, so the child may do anything.
    let tracer = unsafe { libc::fork() };
    if tracer == 0 {
        // SAFETY: as above.
        let child = unsafe { libc::fork() };
        if child == 0 {
            tracee(false, calls, table, Fate::Cancelled);
        }
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        let mut traced = || -> Result<()> {
            wait(child)?;
            request(libc::PTRACE_SETOPTIONS, child, 0, usize::try_from(options)?)?;
            let mut entering = true;
            loop {
                request(libc::PTRACE_SYSCALL, child, 0, 0)?;
                if wait(child)? >> 8 != SYSCALL_STOP {
                    bail!("an unexpected stop");
                }
                let nr = request(libc::PTRACE_PEEKUSER, child, ORIG_RAX, 0)?;
                if entering && calls.iter().any(|call| i64::from(call.nr) == nr) {
                    left -= 1;
                    if left == 0 {
                        return Ok(());
                    }
                }
                entering = !entering;
            }
        };
        let outcome = traced();
        // SAFETY: ends the tracer, and with it the tracee.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let status = wait(tracer)?;
    if status != 0 {
        bail!("the tracer ended with status {status:#x}");
    }
    Ok(())
}

fn tracee(by_filter: bool, calls: &[Call], table: Table, fate: Fate) -> ! {
    // SAFETY: plain numbers.
    let traced = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    let rules: Vec<_> = calls
        .iter()
        .map(|call| Rule { abi: call.abi, nr: call.nr, arg: None, action: Action::Trace, text: String::new() })
        .collect();
    // The calls are ones that a filter may refuse, and does not refuse with these arguments.
    let others: Vec<_> = calls
        .iter()
        .map(|call| Rule {
            abi: call.abi,
            nr: call.nr,
            arg: Some(NEVER),
            action: Action::Errno(1),
            text: String::new(),
        })
        .collect();
    let ready = traced == 0 && install(if by_filter { &rules } else { &others }, Reach::Thread).is_ok();
    // SAFETY: asks for our own ids.
    let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
    if ready {
        // One bare call, with none of the library's own around it: from here on the tracer counts.
        raw::call3(Abi::X86_64, TGKILL, [i64::from(pid), i64::from(tid), i64::from(libc::SIGSTOP)]);
        for call in calls {
            for _ in 0..call.count {
                if raw::is_error(raw::call(call.abi, call.nr, call.arg)) {
                    table.failed(call.abi, call.nr, true, fate, 1);
                }
            }
        }
    }
    // SAFETY: ends the child.
    unsafe { libc::_exit(i32::from(!ready)) }
}

fn wait(child: i32) -> Result<i32> {
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    if unsafe { libc::waitpid(child, &raw mut status, libc::__WALL) } != child {
        bail!("waiting for the tracee: {}", std::io::Error::last_os_error());
    }
    Ok(status)
}

fn request(what: libc::c_uint, child: i32, at: usize, data: usize) -> Result<i64> {
    // SAFETY: errno is this thread's own; a peek's result alone does not tell an error.
    unsafe { *libc::__errno_location() = 0 };
    // SAFETY: a child that is stopped under us; the kernel checks place and data.
    let result = unsafe {
        libc::ptrace(what, child, ptr::without_provenance_mut::<u8>(at), ptr::without_provenance_mut::<u8>(data))
    };
    let error = std::io::Error::last_os_error();
    if result == -1 && error.raw_os_error() != Some(0) {
        bail!("ptrace request {what}: {error}");
    }
    Ok(result)
}
