//! A cgroup is created, before any task can enter it: a container's takes a slot, one inside a container shares it.

use auditor_ebpf::{
    ALL_ATTACHED, CGROUP_NAME_LEN, COMERS_RUNTIMES, EVENT_NO_SLOT, EVENT_SLOT_TAKEN, Event, LOST_CGROUP, LOST_EVENT,
    LOST_NESTED, SLOT_LIVE, Slot,
};
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::warn;

use crate::cgroup_slot;
use crate::counter::{lost, lost_in};
use crate::kernel::{field, masked, offset, read_constant};
use crate::maps::{ATTACHED, CGROUPS, COUNT_CONTAINERS, EVENTS, FREE_SLOTS, HAS_RUNTIME, NESTED, NESTED_LIMIT, SLOTS};

/// Hex digits of a container's id.
const ID_LEN: usize = 64;
/// What the systemd driver puts behind it.
const SCOPE: &[u8; 6] = b".scope";

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    created(&ctx, cgroup);
    0
}

#[inline(always)]
fn created(ctx: &BtfTracePointContext, cgroup: *const u8) {
    // SAFETY: the tracepoint's own argument, and pointers read from it.
    let (hierarchy, node, parent_id) = unsafe {
        let root: *const u8 = field(cgroup, offset!(cgroup_root));
        let parent_css: *const u8 = field(cgroup, offset!(cgroup_parent_css));
        let parent: *const u8 = field(parent_css, offset!(css_cgroup));
        let parent_node: *const u8 = field(parent, offset!(cgroup_kn));
        let node: *const u8 = field(cgroup, offset!(cgroup_kn));
        (field::<i32>(root, offset!(root_hierarchy_id)), node, field::<u64>(parent_node, offset!(kn_id)))
    };
    // On a hybrid host the tracepoint fires for every hierarchy, and ids are unique only within one; the default
    // hierarchy has id 0 (`cgroup_init` in `kernel/cgroup/cgroup.c`).
    if hierarchy != 0 {
        return;
    }
    // SAFETY: `node` comes from a typed structure.
    let cgroup_id: u64 = unsafe { field(node, offset!(kn_id)) };
    if let Some(slot) = cgroup_slot::lookup(parent_id) {
        nest(slot, cgroup_id);
        return;
    }
    if read_constant(&COUNT_CONTAINERS) != 0 {
        take_slot(ctx, cgroup_id, node);
    }
}

/// A cgroup inside a container counts in the container's slot, as long as the container has not too many.
#[inline(always)]
fn nest(slot: u32, cgroup_id: u64) {
    let Some(nested) = NESTED.get_ptr_mut(slot) else { return };
    // SAFETY: an array element, and no other program makes or removes a cgroup meanwhile.
    let nested: &mut u32 = unsafe { &mut *nested };
    if *nested >= read_constant(&NESTED_LIMIT) || CGROUPS.insert(cgroup_id, slot, u64::from(BPF_ANY)).is_err() {
        return lost_in(slot, LOST_NESTED);
    }
    *nested += 1;
}

#[inline(always)]
fn take_slot(ctx: &BtfTracePointContext, cgroup_id: u64, node: *const u8) {
    let mut name = [0u8; CGROUP_NAME_LEN];
    // SAFETY: the helper checks the source; the destination is as long as the size says.
    let len = unsafe {
        let source: *const u8 = field(node, offset!(kn_name));
        bpf_probe_read_kernel_str(name.as_mut_ptr().cast(), CGROUP_NAME_LEN as u32, source.cast())
    };
    // The length counts the terminating zero.
    if len <= ID_LEN as i64 || !is_container(&name, len as usize - 1) {
        return;
    }
    let Ok(Some(slot)) = FREE_SLOTS.pop() else {
        lost(LOST_CGROUP);
        warn!(ctx, "no free slot for the container of cgroup {}", cgroup_id);
        return send(EVENT_NO_SLOT, 0, cgroup_id, &name);
    };
    let Some(entry) = SLOTS.get_ptr_mut(slot) else { return lost(LOST_CGROUP) };
    // SAFETY: the slot came out of the queue, so nobody else has it.
    unsafe {
        let entry: &mut Slot = &mut *entry;
        entry.cgroup_id = cgroup_id;
        entry.since_ns = bpf_ktime_get_boot_ns();
        entry.from_first_call = u32::from(core::ptr::read_volatile(&raw const ATTACHED) == ALL_ATTACHED);
        entry.name = name;
        entry.state = SLOT_LIVE;
    }
    if let Some(has_runtime) = HAS_RUNTIME.get_ptr_mut(slot) {
        // SAFETY: as above.
        unsafe { *has_runtime = COMERS_RUNTIMES };
    }
    if CGROUPS.insert(cgroup_id, slot, u64::from(BPF_ANY)).is_err() {
        // SAFETY: as above. The daemon finds the slot removed, and takes it back.
        unsafe {
            (*entry).from_first_call = 0;
            (*entry).state = auditor_ebpf::SLOT_REMOVED;
        }
        return lost(LOST_CGROUP);
    }
    send(EVENT_SLOT_TAKEN, slot, cgroup_id, &name);
}

/// What Podman and CRI-O call the scope of a container's monitor, which is not the container: `...conmon-<id>.scope`.
const MONITOR: &[u8; 6] = b"conmon";

/// Whether a directory name is `<64 hex digits>`, or `<engine>-<64 hex digits>.scope`: the rule of
/// `auditor::cgroupfs`.
#[inline(always)]
fn is_container(name: &[u8; CGROUP_NAME_LEN], len: usize) -> bool {
    let start = if len == ID_LEN {
        0
    } else if len > ID_LEN + SCOPE.len() + 1 && len < CGROUP_NAME_LEN {
        let scope = len - SCOPE.len();
        let mut at = 0;
        while at < SCOPE.len() {
            if byte(name, scope + at) != SCOPE[at] {
                return false;
            }
            at += 1;
        }
        if byte(name, scope - ID_LEN - 1) != b'-' {
            return false;
        }
        if ends_with_monitor(name, scope - ID_LEN - 1) {
            return false;
        }
        scope - ID_LEN
    } else {
        return false;
    };
    let mut at = 0;
    while at < ID_LEN {
        let digit = byte(name, start + at);
        if !digit.is_ascii_digit() && !(b'a'..=b'f').contains(&digit) {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether the part of a name before `end` ends with [`MONITOR`].
#[inline(always)]
fn ends_with_monitor(name: &[u8; CGROUP_NAME_LEN], end: usize) -> bool {
    if end < MONITOR.len() {
        return false;
    }
    let mut at = 0;
    while at < MONITOR.len() {
        if byte(name, end - MONITOR.len() + at) != MONITOR[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A byte of the name.
#[inline(always)]
fn byte(name: &[u8; CGROUP_NAME_LEN], at: usize) -> u8 {
    const { assert!(CGROUP_NAME_LEN == 128) };
    let at = masked!(at, 127);
    // SAFETY: the mask keeps it within the name.
    unsafe { *name.as_ptr().add(at) }
}

/// Tells the daemon.
#[inline(always)]
pub fn send(kind: u32, slot: u32, cgroup_id: u64, name: &[u8; CGROUP_NAME_LEN]) {
    match EVENTS.reserve(0) {
        Some(mut entry) => {
            entry.write(Event { kind, slot, cgroup_id, name: *name });
            entry.submit(0);
        }
        None => lost(LOST_EVENT),
    }
}
