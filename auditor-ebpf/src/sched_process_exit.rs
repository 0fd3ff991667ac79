//! A thread ends. `SECCOMP_RET_KILL_THREAD` in a process with more threads is seen nowhere else: the thread goes
//! straight to `do_exit(SIGSYS)` (`__seccomp_filter` in `kernel/seccomp.c`).

use auditor_ebpf::REFUSED_THREAD;
use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::cgroup_slot;
use crate::kernel::{SIGSYS, Task, field, offset};
use crate::maps::TASKS;
use crate::refusal::{Refused, refused};

/// `SIGNAL_GROUP_EXIT` (`include/linux/sched/signal.h`): the whole process ends, and all its threads with one code.
const SIGNAL_GROUP_EXIT: u32 = 0x4;

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(_ctx: BtfTracePointContext) -> i32 {
    let task = Task::current();
    if was_killed(task) {
        killed(task);
    }
    0
}

/// Whether a filter ended this thread alone, or may have: the kernel marks it (Linux 5.17 and newer). Before, the exit
/// code tells, but for a thread that dies together with its process.
#[inline(always)]
fn was_killed(task: Task) -> bool {
    task.is_sentenced()
        || (task.exit_code() == SIGSYS && task.is_filtered() && task.signal_flags() & SIGNAL_GROUP_EXIT == 0)
}

#[inline(always)]
fn killed(task: Task) {
    let Some(slot) = cgroup_slot::of(task).and_then(|cgroup| cgroup.slot()) else { return };
    // The last thread of a process, and `KILL_PROCESS`, came through `sys_exit`.
    if TASKS.get(task.as_ptr()).is_some_and(|call| call.refused != 0) {
        return;
    }
    // SAFETY: the current task is a user task, it has just made a system call.
    let regs = unsafe { bpf_task_pt_regs(task.as_ptr()) } as *const u8;
    // SAFETY: as above.
    let nr: u32 = unsafe { field(regs, offset!(regs_nr)) };
    refused(task, regs, &Refused { slot, nr, kind: REFUSED_THREAD, result: 0 });
}
