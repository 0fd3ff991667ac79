//! Run by the daemon once after it gave slots to cgroups that existed before: walks all tasks, and notes for those in
//! tracked cgroups the call they are in and the filter they have. Their next exit is then no surprise. And they are no
//! runtime: those that were there before their slot count as having executed their program.

use auditor_ebpf::X32_BIT;
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::bpf_task_pt_regs;

use crate::cgroup_slot;
use crate::kernel::{PF_KTHREAD, Task, field, offset};
use crate::maps::{ENTERED, TASKS};
use crate::phase;
use crate::sys_enter::note_filter;

/// `struct bpf_iter__task` (`kernel/bpf/task_iter.c`).
#[repr(C)]
pub struct TaskIteration {
    meta: *const u8,
    task: *mut task_struct,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn seed(ctx: *const TaskIteration) -> i32 {
    // SAFETY: the kernel hands a valid context to the program.
    let task = unsafe { (*ctx).task };
    if !task.is_null() {
        note(Task::from_ptr(task));
    }
    0
}

#[inline(always)]
fn note(task: Task) {
    if task.flags() & PF_KTHREAD != 0 {
        return;
    }
    let Some(slot) = cgroup_slot::lookup(task.cgroup_id()) else { return };
    let filtered = task.is_filtered();
    if filtered {
        note_filter(slot, task);
    }
    let settles = phase::is_without_runtime(slot);
    if let Some(call) = TASKS.get(task.as_ptr()) {
        if settles {
            call.executed_in = slot + 1;
        }
        return;
    }
    let Some(call) = TASKS.get_or_create(task.as_ptr()) else { return };
    if settles {
        call.executed_in = slot + 1;
    }
    // SAFETY: a user task has user registers. A task that computes at this moment shows the number of its latest call:
    // its next enter replaces the record, and an exit with another number is not taken for its end.
    let nr: u32 = unsafe { field(bpf_task_pt_regs(task.as_ptr()) as *const u8, offset!(regs_nr)) };
    if nr & !X32_BIT < 1 << 16 && call.active == 0 {
        call.nr = nr;
        call.slot = slot;
        call.abi = u16::from(task.abi(nr));
        call.filtered = u16::from(filtered);
        call.active = ENTERED;
    }
}
