//! A task is made. It begins with the exit of a call that it never entered: the record says so, and its exit is no
//! refusal.

use auditor_ebpf::LOST_TASK_STORAGE;
use aya_ebpf::bindings::task_struct;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::cgroup_slot;
use crate::counter::lost_in;
use crate::kernel::Task;
use crate::maps::{NEWBORN, TASKS};
use crate::phase;

#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let child: *mut task_struct = ctx.arg(1);
    made(Task::from_ptr(child));
    0
}

#[inline(always)]
fn made(child: Task) {
    let Some(slot) = cgroup_slot::lookup(child.cgroup_id()) else { return };
    match TASKS.get_or_create(child.as_ptr()) {
        Some(call) => {
            call.active = NEWBORN;
            call.executed_in = phase::at_birth(slot);
        }
        None => lost_in(slot, LOST_TASK_STORAGE),
    }
}
