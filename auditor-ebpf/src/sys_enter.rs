//! A call enters the kernel: seccomp, which runs before this tracepoint (`syscall_trace_enter` in
//! `kernel/entry/syscall-common.c`), let it through.

use auditor_ebpf::{BITMAP_WORDS, Filter, LOST_TASK_STORAGE};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::argument::{self, Made};
use crate::cgroup_slot;
use crate::counter::{What, count, count_runtime, lost_in};
use crate::kernel::{Task, offset};
use crate::maps::{ENTERED, FILTERS, TASKS, UNCOUNTED};
use crate::{phase, watch};

#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    let regs: *const u8 = ctx.arg(0);
    // The second argument is the number after a tracer may have changed it.
    let nr: u64 = ctx.arg(1);
    enter(regs, nr as u32);
    0
}

#[inline(always)]
fn enter(regs: *const u8, nr: u32) {
    let task = Task::current();
    let Some(cgroup) = cgroup_slot::of(task) else { return };
    if cgroup.slot_plus_1 == 0 {
        return;
    }
    let slot = cgroup.slot_plus_1 - 1;
    let abi = task.abi(nr);
    let filtered = task.is_filtered();
    if cgroup.of_services != 0 && !filtered && leave_out(task, slot, abi, nr) {
        return;
    }
    if filtered {
        count(slot, abi, nr, What::Call);
        if cgroup.filter_seen == 0 && note_filter(slot, task) {
            cgroup.filter_seen = 1;
        }
        if cgroup.watched != 0 {
            watch::look(task, regs, slot, abi, nr);
        }
    } else {
        count(slot, abi, nr, What::UnfilteredCall);
    }
    if let Some(noted) = argument::noted(abi, nr) {
        argument::note(regs, &Made { slot, abi, filtered, nr }, noted);
    }
    let Some(call) = TASKS.get_or_create(task.as_ptr()) else { return lost_in(slot, LOST_TASK_STORAGE) };
    call.nr = nr;
    call.slot = slot;
    call.abi = u16::from(abi);
    call.filtered = u16::from(filtered);
    call.active = ENTERED;
    if filtered && phase::is_runtime(call, slot) {
        count_runtime(slot, abi, nr);
    }
}

/// What a service's process calls before its program does not count, as long as it has no filter: the service's is put on
/// it last. The execution of the program is the first call that does. Returns whether the call is left out.
#[inline(never)]
fn leave_out(task: Task, slot: u32, abi: u8, nr: u32) -> bool {
    // Where there is no memory, the call is counted, and the loss as well.
    let Some(call) = TASKS.get_or_create(task.as_ptr()) else { return false };
    if !phase::sets_up(call, task, slot) || phase::executes(abi, nr) {
        return false;
    }
    call.active = UNCOUNTED;
    true
}

/// Keeps the always-allowed bitmaps of the first filter seen in the slot: a container's first filtered task is the
/// runtime's, with the container's profile and nothing stacked on it. Returns whether the slot's filter is known.
#[inline(always)]
pub fn note_filter(slot: u32, task: Task) -> bool {
    let Some(known) = FILTERS.get_ptr_mut(slot) else { return false };
    // SAFETY: an array element; two CPUs that come here at once write the same filter, or one of two that are equally
    // first.
    let known: &mut Filter = unsafe { &mut *known };
    if known.seen != 0 {
        return true;
    }
    let filter = task.filter();
    if filter.is_null() {
        return false;
    }
    const BYTES: u32 = (BITMAP_WORDS * 8) as u32;
    // SAFETY: the helper checks the source address; the destinations are as long as the size says.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut known.allow_native).cast(),
            BYTES,
            filter.add(offset!(filter_allow_native) as usize).cast(),
        ) | bpf_probe_read_kernel(
            (&raw mut known.allow_compat).cast(),
            BYTES,
            filter.add(offset!(filter_allow_compat) as usize).cast(),
        )
    };
    if failed == 0 {
        known.depth = task.filter_count();
        known.seen = 1;
    }
    failed == 0
}
