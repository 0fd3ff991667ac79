//! Calls that the daemon asked to watch: a filter logs them, and only the daemon can know that.

use auditor_ebpf::{ABI_X32, LOGGED, WATCHED_NRS, X32_BIT};

use crate::kernel::{Task, masked};
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
    let word = masked!(abi as usize * (WATCHED_NRS as usize / 64) + (nr % WATCHED_NRS) as usize / 64, 63);
    // SAFETY: an array element; the index is within the bits.
    unsafe {
        if nr >= WATCHED_NRS {
            return (*watch).outside >> abi & 1 != 0;
        }
        *(&raw const (*watch).bits).cast::<u64>().add(word) >> (nr % 64) & 1 != 0
    }
}
