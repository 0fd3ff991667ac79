//! Whose calls they are: the runtime's, between the filter and the program, or the program's.
//!
//! A runtime enters the container's cgroup, sets the container up, puts the filter on itself and executes the program.
//! So a task is the runtime until it, or one that it descends from, has executed a program under a filter in this slot.
//! Programs that are executed without one do not count: a runtime executes itself while it sets up.

use auditor_ebpf::{ABI_X32, X32_BIT};

use crate::kernel::{Task, masked, read_constant};
use crate::maps::{CALLS, HAS_RUNTIME, TASKS, TaskCall};

/// Whether the task of this record, in a call under a filter, is a runtime.
#[inline(always)]
pub fn is_runtime(call: &mut TaskCall, slot: u32) -> bool {
    call.executed_in != slot + 1 && !settled(call, slot)
}

#[inline(never)]
fn settled(call: &mut TaskCall, slot: u32) -> bool {
    let settled = is_without_runtime(slot);
    if settled {
        call.executed_in = slot + 1;
    }
    settled
}

/// Whether whatever runs in the slot now counts as a program.
#[inline(always)]
pub fn is_without_runtime(slot: u32) -> bool {
    // SAFETY: an array element, read at once.
    HAS_RUNTIME.get_ptr_mut(slot).is_none_or(|has_runtime| unsafe { has_runtime.read_volatile() } == 0)
}

/// A call under a filter gave 0: if it executed a program, the task is that program from now on.
#[inline(always)]
pub fn ended_well(call: &mut TaskCall) {
    if call.executed_in == call.slot + 1 {
        return;
    }
    let nr = if call.abi as u8 == ABI_X32 { call.nr & !X32_BIT } else { call.nr };
    let abi = masked!(call.abi as usize, 3);
    // SAFETY: the mask keeps it within the table.
    let [execve, execveat] = unsafe { &*(&raw const CALLS.executes).cast::<[u32; 2]>().add(abi) };
    if nr == read_constant(execve) || nr == read_constant(execveat) {
        call.executed_in = call.slot + 1;
    }
}

/// What a child of the current task begins with: it is what its parent is, where it is born into the same slot.
#[inline(always)]
pub fn at_birth(slot: u32) -> u32 {
    let of_parent = TASKS.get(Task::current().as_ptr()).map_or(0, |call| call.executed_in);
    if of_parent == slot + 1 || is_without_runtime(slot) { slot + 1 } else { 0 }
}
