//! Adding one. Per-CPU counters need no atomic instruction: the kernel keeps tracepoint programs from being preempted
//! (`__BPF_DECLARE_TRACE` in `include/trace/bpf_probe.h`), and interrupts make no system calls.

use auditor_ebpf::{
    ABI_NATIVE, ABI_X32, DenialCount, DenialKey, FOREIGN_NRS, ForeignCounts, ForeignKey, LOST_DENIAL, LOST_FOREIGN,
    NATIVE_NRS, NATIVE_OUTSIDE, NR_OUTSIDE, X32_BIT,
};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use crate::kernel::masked;
use crate::maps::{DENIALS, FOREIGN, LOST, NATIVE, RUNTIME, SLOT_LOST};

/// What happened to a call that reached the kernel.
#[derive(Clone, Copy)]
pub enum What {
    Call,
    UnfilteredCall,
    Error,
    UnfilteredError,
}

/// Counts that a call, counted already, was a runtime's.
#[inline(never)]
pub fn count_runtime(slot: u32, abi: u8, nr: u32) {
    if abi != ABI_NATIVE {
        let Some(counts) = FOREIGN.get_ptr_mut(foreign_key(slot, abi, nr)) else { return };
        // SAFETY: as for the other foreign counts.
        return unsafe { (*counts).runtime += 1 };
    }
    let Some(counts) = RUNTIME.get_ptr_mut(slot) else { return };
    // SAFETY: an array element, and the index is within the table.
    unsafe { add((&raw mut (*counts).calls).cast::<u64>().add(native_index(nr)), 1) };
}

/// Adds at once for all CPUs. In assembly, because for this target the core library has no atomic addition; the
/// instruction is as old as eBPF.
///
/// # Safety
/// `counter` must be in a map's value.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: see above; map values are aligned to 8 bytes.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) amount, options(nostack)) };
}

/// Reads what other CPUs add to.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub unsafe fn read(counter: *const u64) -> u64 {
    // SAFETY: see above.
    unsafe { counter.read_volatile() }
}

/// Where a native number is in a table.
#[inline(always)]
fn native_index(nr: u32) -> usize {
    const { assert!(NATIVE_NRS == 512) };
    if (nr as usize) < NATIVE_NRS { masked!(nr as usize, 511) } else { NATIVE_OUTSIDE }
}

#[inline(always)]
fn foreign_key(slot: u32, abi: u8, nr: u32) -> ForeignKey {
    ForeignKey { slot, abi: u16::from(abi), nr: table_nr(abi, nr) }
}

/// Counts what happened to a call of the given ABI and number, the x32 bit included.
#[inline(always)]
pub fn count(slot: u32, abi: u8, nr: u32, what: What) {
    if abi != ABI_NATIVE {
        return count_foreign(slot, abi, nr, what);
    }
    let Some(counts) = NATIVE.get_ptr_mut(slot) else { return };
    let index = native_index(nr);
    // SAFETY: this CPU's own element, and the index is within the tables.
    unsafe {
        let counter = match what {
            What::Call => &raw mut (*counts).calls,
            What::UnfilteredCall => &raw mut (*counts).unfiltered,
            What::Error => &raw mut (*counts).errors,
            What::UnfilteredError => &raw mut (*counts).unfiltered_errors,
        };
        *counter.cast::<u64>().add(index) += 1;
    }
}

#[inline(never)]
fn count_foreign(slot: u32, abi: u8, nr: u32, what: What) {
    let key = foreign_key(slot, abi, nr);
    if FOREIGN.get_ptr_mut(key).is_none() {
        // Another CPU may be quicker; then its entry is there for this one too.
        let _ = FOREIGN.insert(
            key,
            ForeignCounts { calls: 0, unfiltered: 0, errors: 0, unfiltered_errors: 0, runtime: 0 },
            u64::from(BPF_NOEXIST),
        );
    }
    let Some(counts) = FOREIGN.get_ptr_mut(key) else { return lost_in(slot, LOST_FOREIGN) };
    // SAFETY: this CPU's own value, and entries are removed only by the daemon, for slots that no task can be in.
    unsafe {
        *match what {
            What::Call => &raw mut (*counts).calls,
            What::UnfilteredCall => &raw mut (*counts).unfiltered,
            What::Error => &raw mut (*counts).errors,
            What::UnfilteredError => &raw mut (*counts).unfiltered_errors,
        } += 1;
    }
}

/// Counts a refused call. Returns whether it is the first of its slot, ABI, number and kind: of CPUs that come here at
/// once, one gets to make the entry.
#[inline(always)]
pub fn count_denial(slot: u32, abi: u8, nr: u32, kind: u8, errno: u32) -> bool {
    let key = DenialKey { slot, abi, kind, nr: table_nr(abi, nr) };
    let first = DENIALS.get_ptr_mut(key).is_none()
        && DENIALS.insert(key, DenialCount { count: 0, last_errno: 0, last_ns: 0 }, u64::from(BPF_NOEXIST)).is_ok();
    let Some(denials) = DENIALS.get_ptr_mut(key) else {
        lost_in(slot, LOST_DENIAL);
        return false;
    };
    // SAFETY: as for foreign counts.
    unsafe {
        (*denials).count += 1;
        (*denials).last_errno = u64::from(errno);
        (*denials).last_ns = bpf_ktime_get_ns();
    }
    first
}

/// Counts something of a slot that could not be counted.
#[inline(always)]
pub fn lost_in(slot: u32, kind: u32) {
    lost(kind);
    if let Some(counter) = SLOT_LOST.get_ptr_mut(slot) {
        // SAFETY: this CPU's own element.
        unsafe { *counter += 1 };
    }
}

/// Counts something that could not be counted.
#[inline(always)]
pub fn lost(kind: u32) {
    if let Some(counter) = LOST.get_ptr_mut(kind) {
        // SAFETY: this CPU's own element.
        unsafe { *counter += 1 };
    }
}

/// The number as keys have it.
#[inline(always)]
fn table_nr(abi: u8, nr: u32) -> u16 {
    let nr = if abi == ABI_X32 { nr & !X32_BIT } else { nr };
    let end = if abi == ABI_NATIVE { NATIVE_NRS as u32 } else { FOREIGN_NRS };
    if nr < end { nr as u16 } else { NR_OUTSIDE }
}
