//! From the current task's cgroup to its slot.

use auditor_ebpf::LastCgroup;

use crate::kernel::Task;
use crate::maps::{CGROUPS, GENERATION, LAST_CGROUP};
use crate::{phase, watch};

/// What this CPU remembers about the current task's cgroup, looked up anew where it remembers another one.
#[inline(always)]
pub fn of(task: Task) -> Option<&'static mut LastCgroup> {
    let cgroup_id = task.cgroup_id();
    // SAFETY: a global of the programs that only the daemon writes, whole.
    let generation = unsafe { core::ptr::read_volatile(&raw const GENERATION) };
    let last = LAST_CGROUP.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element; tracepoint programs are not preempted by one another.
    let last = unsafe { &mut *last };
    if last.cgroup_id != cgroup_id || last.generation != generation {
        last.slot_plus_1 = lookup(cgroup_id).map_or(0, |slot| slot + 1);
        last.filter_seen = 0;
        last.watched = last.slot().map_or(0, watch::any);
        last.of_services = last.slot().map_or(0, |slot| u32::from(phase::is_of_services(slot)));
        last.generation = generation;
        last.cgroup_id = cgroup_id;
    }
    Some(last)
}

/// The slot of a cgroup, from the map itself.
#[inline(always)]
pub fn lookup(cgroup_id: u64) -> Option<u32> {
    // SAFETY: the value is read at once, and entries are only ever inserted and removed whole.
    unsafe { CGROUPS.get(cgroup_id).copied() }
}
