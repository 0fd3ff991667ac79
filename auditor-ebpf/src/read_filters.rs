//! Run by the daemon on demand: walks all tasks, says for each in a tracked cgroup which filters it has, and copies
//! each filter once.
//!
//! A copy is whole and of one filter because of what keeps a filter alive. A task holds a reference to its newest
//! filter, and each filter one to the filter before it; neither a filter nor its program changes once it is in force.
//! A task gives its reference up when it exits, and sets its pointer to null before that (`seccomp_filter_release` in
//! `kernel/seccomp.c`). So a copy that was made before the task's pointer was found unchanged was made of living
//! memory. A filter that is known already is not copied again; that its address still means the same filter is
//! proven by the daemon, which looks whether the task that it was copied from is still there.

use auditor_ebpf::{
    ABSENT, CHAIN_DEPTH, FILTER_HAS_LISTENER, FILTER_HAS_PROGRAM, FilterCopy, MAX_INSTRUCTIONS, READ_CHANGED,
    READ_NO_ROOM, READ_OUT_OF_SHARE, READ_SHARE_FILTERS, READ_SHARE_INSTRUCTIONS, ReadShare, TaskFilters,
};
use aya_ebpf::bindings::{BPF_ANY, BPF_RB_NO_WAKEUP, seq_file, task_struct};
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_ringbuf_output, bpf_seq_write};

use crate::cgroup_slot;
use crate::kernel::{PF_KTHREAD, Task, field, masked, offset};
use crate::maps::{COPIES, COPY, KNOWN_FILTERS, READING, SHARES, SLOTS};

/// `struct bpf_iter__task` (`kernel/bpf/task_iter.c`).
#[repr(C)]
pub struct TaskIteration {
    meta: *const IterationMeta,
    task: *mut task_struct,
}

/// `struct bpf_iter_meta` (`include/linux/bpf.h`): the part that is read.
#[repr(C)]
pub struct IterationMeta {
    seq: *mut seq_file,
}

/// `PF_EXITING` (`include/linux/sched.h`).
const PF_EXITING: u32 = 0x4;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn read_filters(ctx: *const TaskIteration) -> i32 {
    // SAFETY: the kernel hands a valid context to the program.
    let (seq, task) = unsafe { ((*(*ctx).meta).seq, (*ctx).task) };
    if !task.is_null() {
        tell(seq, Task::from_ptr(task));
    }
    0
}

#[inline(always)]
fn tell(seq: *mut seq_file, task: Task) {
    if task.flags() & (PF_KTHREAD | PF_EXITING) != 0 {
        return;
    }
    let Some(slot) = cgroup_slot::lookup(task.cgroup_id()) else { return };
    let Some(reading) = READING.get_ptr_mut(0) else { return };
    // SAFETY: array elements, and only the daemon writes them while nothing is read.
    let (nr, only_slot, cgroup_id) = unsafe {
        let cgroup_id = SLOTS.get_ptr_mut(slot).map_or(0, |slot| (*slot).cgroup_id);
        ((*reading).nr, (*reading).only_slot_plus_1, cgroup_id)
    };
    if only_slot != 0 && only_slot != slot + 1 {
        return;
    }
    let head = task.filter();
    let state = if head.is_null() { 0 } else { copy_chain(task, head, slot, nr) };
    let (inner_pid, inner_tid) = task.innermost_ids();
    let record = TaskFilters {
        cgroup_id,
        start_ns: task.start_ns(),
        head: head as u64,
        slot,
        pid: task.process(),
        tid: task.thread(),
        inner_pid,
        inner_tid,
        mode: task.seccomp_mode() as u32,
        filter_count: task.filter_count(),
        state,
        comm: task.comm(),
    };
    // SAFETY: the record is as long as the size says. Where there is no room the kernel calls again for this task.
    unsafe { bpf_seq_write(seq, (&raw const record).cast(), size_of::<TaskFilters>() as u32) };
}

/// Copies the filters of a chain that are not known yet. Returns what went wrong.
#[inline(always)]
fn copy_chain(task: Task, head: *const u8, slot: u32, reading: u32) -> u32 {
    let mut filter = head;
    let mut state = 0;
    for _ in 0..CHAIN_DEPTH {
        if filter.is_null() {
            break;
        }
        // SAFETY: `filter` comes from a typed task.
        let prev: *const u8 = unsafe { field(filter, offset!(filter_prev)) };
        let address = filter as u64;
        if KNOWN_FILTERS.get_ptr_mut(address).is_none() {
            state |= copy(task, head, filter, prev, slot, reading);
        }
        filter = prev;
    }
    // What was walked along was the task's all the time.
    if task.filter() as u64 != head as u64 { READ_CHANGED } else { state }
}

#[inline(always)]
fn copy(task: Task, head: *const u8, filter: *const u8, prev: *const u8, slot: u32, reading: u32) -> u32 {
    let Some(copy) = COPY.get_ptr_mut(0) else { return READ_NO_ROOM };
    // SAFETY: one reader at a time uses the element, and it runs the iterator.
    let copy = unsafe { &mut *copy };
    let len = copy_program(copy, filter);
    let Some(len) = len else { return READ_CHANGED };
    if !take_share(slot, reading, len) {
        return READ_OUT_OF_SHARE;
    }
    copy.filter = FilterCopy {
        address: filter as u64,
        prev: prev as u64,
        anchor_start_ns: task.start_ns(),
        anchor_tid: task.thread(),
        len,
        flags: copy.filter.flags | listener(filter),
        padding: 0,
    };
    if task.filter() as u64 != head as u64 {
        return READ_CHANGED;
    }
    let address = filter as u64;
    if KNOWN_FILTERS.insert(address, 1, u64::from(BPF_ANY)).is_err() {
        return READ_NO_ROOM;
    }
    let size = size_of::<FilterCopy>() as u64 + u64::from(len) * 8;
    // SAFETY: the size is within the element: the length has been checked.
    let sent = unsafe {
        bpf_ringbuf_output(
            (&raw const COPIES).cast_mut().cast(),
            core::ptr::from_mut(copy).cast(),
            size,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    if sent < 0 {
        let _ = KNOWN_FILTERS.remove(address);
        return READ_NO_ROOM;
    }
    0
}

/// Copies a filter's program as it was installed (`bpf_prog.orig_prog`, which `seccomp_prepare_filter` has saved).
/// Returns its instructions; 0 where the kernel does not keep it.
#[inline(always)]
fn copy_program(copy: &mut crate::maps::FilterBuffer, filter: *const u8) -> Option<u32> {
    copy.filter.flags = 0;
    if offset!(filter_prog) == ABSENT || offset!(prog_orig_prog) == ABSENT || offset!(fprog_filter) == ABSENT {
        return Some(0);
    }
    // SAFETY: `filter` comes from a typed task, and each pointer from a typed structure.
    let (len, instructions): (u16, *const u8) = unsafe {
        let program: *const u8 = field(filter, offset!(filter_prog));
        let original: *const u8 = field(program, offset!(prog_orig_prog));
        if original.is_null() {
            return Some(0);
        }
        (field(original, offset!(fprog_len)), field(original, offset!(fprog_filter)))
    };
    // No filter is empty, and none is longer (`seccomp_prepare_filter`).
    if len == 0 || usize::from(len) > MAX_INSTRUCTIONS {
        return None;
    }
    const { assert!(MAX_INSTRUCTIONS == 4096) };
    let len = masked!(usize::from(len) - 1, 4095) as u32 + 1;
    // SAFETY: the helper checks the source; the destination is long enough for the largest filter.
    let failed = unsafe { bpf_probe_read_kernel((&raw mut copy.instructions).cast(), len * 8, instructions.cast()) };
    if failed != 0 {
        return None;
    }
    copy.filter.flags = FILTER_HAS_PROGRAM;
    Some(len)
}

#[inline(always)]
fn listener(filter: *const u8) -> u32 {
    // SAFETY: `filter` comes from a typed task.
    let listener: *const u8 = unsafe { field(filter, offset!(filter_notif)) };
    if listener.is_null() { 0 } else { FILTER_HAS_LISTENER }
}

/// Whether a slot may have so many instructions more copied in this reading.
#[inline(always)]
fn take_share(slot: u32, reading: u32, instructions: u32) -> bool {
    let Some(share) = SHARES.get_ptr_mut(slot) else { return false };
    // SAFETY: one reader at a time.
    let share = unsafe { &mut *share };
    if share.reading != reading {
        *share = ReadShare { reading, filters: 0, instructions: 0, padding: 0 };
    }
    if share.filters >= READ_SHARE_FILTERS || share.instructions >= READ_SHARE_INSTRUCTIONS {
        return false;
    }
    share.filters += 1;
    share.instructions += instructions;
    true
}
