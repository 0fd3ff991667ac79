//! A cgroup is removed; no task is left in it. The daemon reads its slot a last time before anybody gets it again.

use auditor_ebpf::{EVENT_SLOT_REMOVED, SLOT_REMOVED};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::cgroup_mkdir::send;
use crate::cgroup_slot;
use crate::kernel::{field, offset};
use crate::maps::{CGROUPS, NESTED, SLOTS};

#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    removed(cgroup);
    0
}

#[inline(always)]
fn removed(cgroup: *const u8) {
    // SAFETY: the tracepoint's own argument, and pointers read from it.
    let (hierarchy, cgroup_id) = unsafe {
        let root: *const u8 = field(cgroup, offset!(cgroup_root));
        let node: *const u8 = field(cgroup, offset!(cgroup_kn));
        (field::<i32>(root, offset!(root_hierarchy_id)), field::<u64>(node, offset!(kn_id)))
    };
    if hierarchy != 0 {
        return;
    }
    let Some(slot) = cgroup_slot::lookup(cgroup_id) else { return };
    let _ = CGROUPS.remove(cgroup_id);
    let Some(entry) = SLOTS.get_ptr_mut(slot) else { return };
    // SAFETY: an array element; only this program changes a live slot's state.
    unsafe {
        // A nested cgroup goes before the container's own.
        if (*entry).cgroup_id == cgroup_id {
            (*entry).state = SLOT_REMOVED;
            send(EVENT_SLOT_REMOVED, slot, cgroup_id, &(*entry).name);
        } else if let Some(nested) = NESTED.get_ptr_mut(slot) {
            *nested = (*nested).saturating_sub(1);
        }
    }
}
