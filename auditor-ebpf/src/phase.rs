//! Whose calls they are: the runtime's, between the filter and the program, or the program's.
//!
//! A runtime enters the container's cgroup, sets the container up, puts the filter on itself and executes the program.
//! So a task is the runtime until it, or one that it descends from, has executed a program under a filter in this slot.
//! Programs that are executed without one do not count: a runtime executes itself while it sets up.
//!
//! systemd makes a service's process, has it enter the service's cgroup and set itself up, and puts the service's filter
//! on it last of all, if there is one; then the process executes the program. Since systemd 255 it first executes a
//! program of systemd's that does all this. So there a task sets a service up as long as it has executed nothing but that.

use auditor_ebpf::{ABI_X32, COMERS_PROGRAMS, COMERS_SERVICES, X32_BIT};

use crate::kernel::{Task, masked, read_constant};
use crate::maps::{CALLS, EXECUTOR, HAS_RUNTIME, TASKS, TaskCall};

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
    comers(slot) == COMERS_PROGRAMS
}

/// Whether who comes into the slot sets a service up.
#[inline(always)]
pub fn is_of_services(slot: u32) -> bool {
    comers(slot) == COMERS_SERVICES
}

#[inline(always)]
fn comers(slot: u32) -> u32 {
    // SAFETY: an array element, read at once.
    HAS_RUNTIME.get_ptr_mut(slot).map_or(COMERS_PROGRAMS, |comers| unsafe { comers.read_volatile() })
}

/// Whether the task of this record, in a slot of services and without a filter, sets a service up.
#[inline(always)]
pub fn sets_up(call: &mut TaskCall, task: Task, slot: u32) -> bool {
    if call.executed_in == slot + 1 {
        return false;
    }
    if task.has_executed_nothing() || runs_executor(task) {
        return true;
    }
    call.executed_in = slot + 1;
    false
}

#[inline(always)]
fn runs_executor(task: Task) -> bool {
    // SAFETY: a global. Volatile, because the loader replaces what is there.
    let executor = unsafe { (&raw const EXECUTOR).read_volatile() };
    executor.inode != 0 && task.runs(executor.inode, executor.device)
}

/// Whether a call of this ABI and number executes a program.
#[inline(always)]
pub fn executes(abi: u8, nr: u32) -> bool {
    let nr = if abi == ABI_X32 { nr & !X32_BIT } else { nr };
    let abi = masked!(abi as usize, 3);
    // SAFETY: the mask keeps it within the table.
    let [execve, execveat] = unsafe { &*(&raw const CALLS.executes).cast::<[u32; 2]>().add(abi) };
    nr == read_constant(execve) || nr == read_constant(execveat)
}

/// A call under a filter gave 0: if it executed a program, the task is that program from now on.
#[inline(always)]
pub fn ended_well(call: &mut TaskCall) {
    if call.executed_in == call.slot + 1 {
        return;
    }
    if executes(call.abi as u8, call.nr) {
        call.executed_in = call.slot + 1;
    }
}

/// What a child of the current task begins with: it is what its parent is, where it is born into the same slot.
#[inline(always)]
pub fn at_birth(slot: u32) -> u32 {
    let of_parent = TASKS.get(Task::current().as_ptr()).map_or(0, |call| call.executed_in);
    if of_parent == slot + 1 || is_without_runtime(slot) { slot + 1 } else { 0 }
}
