//! Calls that the daemon asked to watch: a filter logs them, and only the daemon can know that.

use auditor_ebpf::{ABI_X32, LOGGED, WATCHED_NRS, X32_BIT};

use crate::kernel::Task;
use crate::maps::WATCHES;
use crate::refusal::{Refused, refused};

/// Whether any call of a slot is watched.
#[inline(always)]
pub fn any(slot: u32) -> u32 {
    // SAFETY: an array element, read at once.
    WATCHES.get_ptr_mut(slot).map_or(0, |watch| unsafe { (*watch).any })
}

/// Counts and tells of a call if it is watched.
#[inline(never)]
pub fn look(task: Task, regs: *const u8, slot: u32, abi: u8, nr: u32) {
    if is_watched(slot, abi, nr) {
        refused(task, regs, &Refused { slot, nr, kind: LOGGED, result: 0 });
    }
}

#[inline(always)]
fn is_watched(slot: u32, abi: u8, nr: u32) -> bool {
    let Some(watch) = WATCHES.get_ptr_mut(slot) else { return false };
    let nr = if abi == ABI_X32 { nr & !X32_BIT } else { nr };
    // SAFETY: an array element; the index is within the bits.
    unsafe {
        if nr >= WATCHED_NRS {
            return (*watch).outside >> abi & 1 != 0;
        }
        let word = abi as usize * (WATCHED_NRS as usize / 64) + nr as usize / 64;
        *(&raw const (*watch).bits).cast::<u64>().add(below_64(word)) >> (nr % 64) & 1 != 0
    }
}

/// A number below 64 as the verifier sees it. In assembly: the compiler would leave out a mask that it can prove to be
/// needless, and the verifier cannot.
#[inline(always)]
fn below_64(mut number: usize) -> usize {
    // SAFETY: it touches nothing but the number.
    unsafe { core::arch::asm!("{0} &= 63", inout(reg) number, options(nomem, nostack, pure)) };
    number
}
