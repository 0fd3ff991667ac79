//! A call leaves the kernel. One that leaves without having entered was refused by seccomp, but for a few cases that
//! are told apart here.

use auditor_ebpf::{LOST_AMBIGUOUS, LOST_TASK_STORAGE, REFUSED_ERRNO, REFUSED_SIGNAL, REFUSED_SUPERVISED};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;

use crate::cgroup_slot;
use crate::counter::{What, count, lost_in};
use crate::kernel::{SIGKILL, SIGSYS, Task, field, offset};
use crate::maps::{EMULATED, ENTERED, NEWBORN, TASKS, TaskCall, UNCOUNTED};
use crate::phase;
use crate::refusal::{Refused, refused};

/// Results from -4095 to -1 are errors (`MAX_ERRNO` in `include/linux/err.h`).
const MAX_ERRNO: i64 = 4095;

/// What stands in a call's result before the call (`arch/*/entry`).
const ENOSYS: i64 = 38;

/// How many stacked filters are asked for a supervisor. The kernel itself allows some 4,000 small ones, but only one
/// of them may have a listener (`has_duplicate_listener` in `kernel/seccomp.c`).
const FILTER_CHAIN: u32 = 64;

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: *const u8 = ctx.arg(0);
    let ret: i64 = ctx.arg(1);
    exit(&ctx, regs, ret);
    0
}

#[inline(always)]
fn exit(ctx: &BtfTracePointContext, regs: *const u8, ret: i64) {
    let task = Task::current();
    // Most tasks of a host leave here: no container's, and no filter.
    let has_storage = task.has_storage();
    if !has_storage && !task.is_filtered() {
        return;
    }
    let call = if has_storage { TASKS.get(task.as_ptr()) } else { None };
    // SAFETY: the tracepoint's own argument.
    let nr: u32 = unsafe { field(regs, offset!(regs_nr)) };
    let Some(call) = call else {
        if task.is_filtered() {
            unknown(ctx, task, nr, ret);
        }
        return;
    };
    let active = call.active;
    if active == ENTERED {
        call.active = 0;
        if is_end_of(call, nr, ret) {
            // After `rt_sigreturn` the result is the interrupted code's register, and the number is -1.
            if (-MAX_ERRNO..0).contains(&ret) && nr == call.nr {
                let what = if call.filtered != 0 { What::Error } else { What::UnfilteredError };
                count(call.slot, call.abi as u8, call.nr, what);
            } else if ret == 0 && call.filtered != 0 {
                phase::ended_well(call);
            }
            return;
        }
    }
    if active == NEWBORN || active == UNCOUNTED {
        call.active = 0;
        return;
    }
    if task.is_filtered() {
        unpaired(task, regs, call, nr, ret);
    }
}

/// Whether an exit belongs to the call that the task entered: the number is the same, or `rt_sigreturn` has restored
/// other registers (-1), or `execve` has replaced the program and perhaps the ABI (it succeeded, so the result is 0).
/// Otherwise the record stems from before the programs were attached, when the task was not in a call at all.
#[inline(always)]
fn is_end_of(call: &TaskCall, nr: u32, ret: i64) -> bool {
    call.nr == nr || (nr as i32) < 0 || ret == 0
}

/// An exit of a filtered task of which nothing is known: it came into the cgroup from outside in the middle of a call,
/// or what should be known of it could not be recorded.
#[inline(never)]
fn unknown(ctx: &BtfTracePointContext, task: Task, nr: u32, ret: i64) {
    let Some(slot) = cgroup_slot::of(task).and_then(|cgroup| cgroup.slot()) else { return };
    if TASKS.get_or_create(task.as_ptr()).is_none() {
        lost_in(slot, LOST_TASK_STORAGE);
    }
    if !task.always_allows(nr) {
        lost_in(slot, LOST_AMBIGUOUS);
        debug!(ctx, "call {} ended with {} in a task of which nothing is known", nr, ret);
    }
}

/// An exit without an enter, in a task under seccomp.
#[inline(never)]
fn unpaired(task: Task, regs: *const u8, call: &mut TaskCall, nr: u32, ret: i64) {
    let Some(slot) = cgroup_slot::of(task).and_then(|cgroup| cgroup.slot()) else { return };
    // A tracer took the call away: `PTRACE_SYSEMU`, or a number of -1. One that stopped emulating at this very call was
    // seen to emulate the one before.
    let was_emulated = call.active == EMULATED;
    let is_emulated = task.is_emulated();
    call.active = if is_emulated { EMULATED } else { 0 };
    if was_emulated || is_emulated || (task.is_traced() && (nr as i32) < 0) || task.always_allows(nr) {
        return;
    }
    let signalled = task.has_pending(SIGSYS);
    let kind = if signalled {
        // `SECCOMP_RET_TRAP` and the `KILL`s: the result is the call's number again, and means nothing.
        REFUSED_SIGNAL
    } else if has_supervisor(task) {
        REFUSED_SUPERVISED
    } else if ret > 0 || (task.has_pending(SIGKILL) && (ret == -ENOSYS || task.is_traced())) {
        // No filter gives a result; and a tracee that is killed at a call's entry never makes the call: the result is
        // what stands there before a call, and the tracer that it dies with has gone already.
        return lost_in(slot, LOST_AMBIGUOUS);
    } else {
        REFUSED_ERRNO
    };
    call.refused = u16::from(signalled);
    refused(task, regs, &Refused { slot, nr, kind, result: ret });
}

/// Whether one of the task's filters has a listener (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
#[inline(always)]
fn has_supervisor(task: Task) -> bool {
    let mut filter = task.filter();
    for _ in 0..FILTER_CHAIN {
        if filter.is_null() {
            return false;
        }
        // SAFETY: `filter` comes from a typed structure.
        let listener: *const u8 = unsafe { field(filter, offset!(filter_notif)) };
        if !listener.is_null() {
            return true;
        }
        // SAFETY: as above.
        filter = unsafe { field(filter, offset!(filter_prev)) };
    }
    false
}
