//! One event for a refused call: who wanted what.
//!
//! Events have bounds, counters have none. A slot may send so many in a window of time, so that a container which is
//! refused a hundred thousand calls a second costs the daemon no more than one which is refused a hundred; and while
//! the ring is more than half full each slot may send only a few, so that a loud container leaves room for a quiet one.
//! What is not sent is counted.

use auditor_ebpf::{
    ABI_COMPAT, FLOW_PER_WINDOW, FLOW_WHEN_CROWDED, FLOW_WINDOW_NS, Flow, REFUSED_SIGNAL, REFUSED_THREAD, Refusal,
};
use aya_ebpf::bindings::BPF_RB_AVAIL_DATA;
use aya_ebpf::bindings::BPF_RB_RING_SIZE;
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_query};

use crate::counter::{add, count_denial, read};
use crate::kernel::{Task, field, offset};
use crate::maps::{FLOWS, REFUSALS, SLOTS};

/// What is known of a refused call besides its task and registers.
#[derive(Clone, Copy)]
pub struct Refused {
    pub slot: u32,
    pub nr: u32,
    /// One of the `REFUSED_` constants, or `LOGGED`.
    pub kind: u8,
    /// What the call gave the program.
    pub result: i64,
}

/// Counts a refused call of the current task, and tells the daemon of it where there is room for that.
#[inline(never)]
pub fn refused(task: Task, regs: *const u8, what: &Refused) {
    let errno = if what.kind == auditor_ebpf::REFUSED_ERRNO { what.result.unsigned_abs() as u32 } else { 0 };
    let abi = task.abi(what.nr);
    let first = count_denial(what.slot, abi, what.nr, what.kind, errno);
    let Some(flow) = FLOWS.get_ptr_mut(what.slot) else { return };
    let now = now();
    // SAFETY: an array element.
    if !unsafe { may_send(flow, now, first) } {
        return;
    }
    let Some(mut entry) = REFUSALS.reserve(0) else {
        // SAFETY: as above.
        return unsafe { add(&raw mut (*flow).lost, 1) };
    };
    // SAFETY: as above; the fields of the entry are written before it is submitted, all of them.
    unsafe {
        let event = entry.as_mut_ptr();
        (*event).boot_ns = now;
        (*event).cgroup_id = SLOTS.get_ptr_mut(what.slot).map_or(0, |slot| (*slot).cgroup_id);
        (*event).instruction_pointer = field(regs, offset!(regs_ip));
        write_args(event, regs, abi);
        (*event).result = if matches!(what.kind, REFUSED_SIGNAL | REFUSED_THREAD) { 0 } else { what.result };
        (*event).unsent = read(&raw const (*flow).suppressed) + read(&raw const (*flow).lost);
        (*event).slot = what.slot;
        (*event).pid = task.process();
        (*event).tid = task.thread();
        let (inner_pid, inner_tid) = task.innermost_ids();
        (*event).inner_pid = inner_pid;
        (*event).inner_tid = inner_tid;
        (*event).nr = what.nr;
        (*event).comm = task.comm();
        (*event).abi = abi;
        (*event).kind = what.kind;
        (*event).padding = [0; 6];
        add(&raw mut (*flow).sent, 1);
    }
    entry.submit(0);
}

/// Whether the slot may send an event now; where it may not, that is counted.
///
/// Two CPUs that begin a window at once may let through one event more; two that add at once may hold one back. Both
/// are within what the bounds are for.
///
/// # Safety
/// `flow` must point to an element of [`FLOWS`].
#[inline(always)]
unsafe fn may_send(flow: *mut Flow, now: u64, first: bool) -> bool {
    // SAFETY: see above.
    unsafe {
        if now.wrapping_sub(read(&raw const (*flow).window_ns)) > FLOW_WINDOW_NS {
            (&raw mut (*flow).window_ns).write_volatile(now);
            (&raw mut (*flow).in_window).write_volatile(0);
        }
        add(&raw mut (*flow).in_window, 1);
        let in_window = read(&raw const (*flow).in_window);
        if in_window > FLOW_PER_WINDOW && !first {
            add(&raw mut (*flow).suppressed, 1);
            return false;
        }
        if in_window > FLOW_WHEN_CROWDED && is_crowded() {
            add(&raw mut (*flow).lost, 1);
            return false;
        }
    }
    true
}

/// Whether the ring is more than half full.
#[inline(always)]
fn is_crowded() -> bool {
    let ring = (&raw const REFUSALS).cast_mut().cast();
    // SAFETY: the helper reads two numbers of the ring.
    unsafe {
        bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) > bpf_ringbuf_query(ring, u64::from(BPF_RB_RING_SIZE)) / 2
    }
}

/// Writes the arguments as seccomp has them (`populate_seccomp_data` in `kernel/seccomp.c`): nothing ran that could
/// have changed the registers.
///
/// # Safety
/// `event` must be writable, and `regs` typed registers of a user task.
#[inline(always)]
unsafe fn write_args(event: *mut Refusal, regs: *const u8, abi: u8) {
    macro_rules! each {
        ($($at:literal),+) => {$(
            // SAFETY: see above.
            unsafe {
                (*event).args[$at] = if abi == ABI_COMPAT {
                    field::<u64>(regs, offset!(regs_compat_args[$at])) & 0xffff_ffff
                } else {
                    field(regs, offset!(regs_args[$at]))
                };
            }
        )+};
    }
    each!(0, 1, 2, 3, 4, 5);
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}
