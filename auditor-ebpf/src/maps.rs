//! The maps, and nothing else. Sizes of 1 are replaced at load time by what the daemon was told to hold.

use core::ffi::c_void;
use core::ptr;

use auditor_ebpf::{
    ArgumentKey, ArgumentShare, Calls, DenialCount, DenialKey, Event, FileId, Filter, FilterCopy, Flow, ForeignCounts,
    ForeignKey, LOST_KINDS, LastCgroup, MAX_INSTRUCTIONS, NativeCounts, Offsets, ReadShare, Reading, Refusal,
    RuntimeCounts, Slot, Watch,
};
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, task_struct};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, PerCpuHashMap, Queue, RingBuf};
use aya_ebpf::helpers::generated::bpf_task_storage_get;
use aya_ebpf::macros::btf_map;

/// Cgroup id -> slot. A container's nested cgroups lead to its slot.
#[btf_map]
pub static CGROUPS: HashMap<u64, u32, 1> = HashMap::new();

/// Slot -> cgroups inside its container that are in [`CGROUPS`]: who makes many has a share and not the whole map. Changed
/// by `cgroup_mkdir` and `cgroup_rmdir` alone, which the kernel lets run one at a time (`cgroup_mutex`), and by the daemon
/// for a slot that it gives or takes back.
#[btf_map]
pub static NESTED: Array<u32, 1> = Array::new();

/// Numbers of slots that nobody uses.
#[btf_map]
pub static FREE_SLOTS: Queue<u32, 1> = Queue::new();

/// Who has which slot.
#[btf_map]
pub static SLOTS: Array<Slot, 1> = Array::new();

/// Slot -> counters of the native ABI.
#[btf_map]
pub static NATIVE: PerCpuArray<NativeCounts, 1> = PerCpuArray::new();

/// Counters of the other ABIs: rare, so they share a map that grows with use.
#[btf_map]
pub static FOREIGN: PerCpuHashMap<ForeignKey, ForeignCounts, 1, { BPF_F_NO_PREALLOC as usize }> = PerCpuHashMap::new();

/// Slot -> who comes into the cgroup, by the `COMERS_` constants. Programs also while the tasks that were there before the
/// slot are looked at.
#[btf_map]
pub static HAS_RUNTIME: Array<u32, 1> = Array::new();

/// Slot -> which of the native counters are a runtime's.
#[btf_map]
pub static RUNTIME: Array<RuntimeCounts, 1> = Array::new();

/// What calls were made with, and how often.
#[btf_map]
pub static ARGUMENTS: HashMap<ArgumentKey, u64, 1, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Slot -> how much of them is its.
#[btf_map]
pub static ARGUMENT_SHARES: Array<ArgumentShare, 1> = Array::new();

/// Refused calls.
#[btf_map]
pub static DENIALS: PerCpuHashMap<DenialKey, DenialCount, 1, { BPF_F_NO_PREALLOC as usize }> = PerCpuHashMap::new();

/// Slot -> the first filter seen in it.
#[btf_map]
pub static FILTERS: Array<Filter, 1> = Array::new();

/// What could not be counted, by the `LOST_` constants.
#[btf_map]
pub static LOST: PerCpuArray<u64, { LOST_KINDS as usize }> = PerCpuArray::new();

/// Slot -> calls, exits and cgroups of it that could not be counted.
#[btf_map]
pub static SLOT_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Rare things for the daemon to look at soon.
#[btf_map]
pub static EVENTS: RingBuf<Event, { auditor_ebpf::EVENT_RING_BYTES as usize }> = RingBuf::new();

/// Refused calls one by one, as far as there is room. Apart from the other events, which they can so never delay.
#[btf_map]
pub static REFUSALS: RingBuf<Refusal, { auditor_ebpf::REFUSAL_RING_BYTES as usize }> = RingBuf::new();

/// Slot -> how its events fare.
#[btf_map]
pub static FLOWS: Array<Flow, 1> = Array::new();

/// Slot -> calls to watch.
#[btf_map]
pub static WATCHES: Array<Watch, 1> = Array::new();

/// What `read_filters` is to read.
#[btf_map]
pub static READING: Array<Reading, 1> = Array::new();

/// Addresses of the filters that were copied in this reading. Emptied by the daemon.
#[btf_map]
pub static KNOWN_FILTERS: HashMap<u64, u8, 1, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Slot -> how much of a reading it has had.
#[btf_map]
pub static SHARES: Array<ReadShare, 1> = Array::new();

/// Where a filter is put together before it is sent.
#[btf_map]
pub static COPY: Array<FilterBuffer, 1> = Array::new();

/// Filters on their way to the daemon, which empties the ring while the iterator stands.
#[btf_map]
pub static COPIES: RingBuf<FilterBuffer, { auditor_ebpf::COPY_RING_BYTES as usize }> = RingBuf::new();

/// The slot of the cgroup that this CPU counted last.
#[btf_map]
pub static LAST_CGROUP: PerCpuArray<LastCgroup, 1> = PerCpuArray::new();

/// Raised by the daemon whenever a cgroup that exists already gets a slot: what CPUs remember is stale from then on.
/// A global and not a map of its own: it is read at every call, and so takes one load.
#[unsafe(no_mangle)]
pub static mut GENERATION: u32 = 0;

/// [`auditor_ebpf::ALL_ATTACHED`] once all programs are attached: a container whose cgroup is made from then on is counted
/// from its first call. Written by the daemon. It begins with another value than 0 so that it has a section of its own.
#[unsafe(no_mangle)]
pub static mut ATTACHED: u32 = !auditor_ebpf::ALL_ATTACHED;

/// Per task: the call it is in.
#[btf_map]
pub static TASKS: TaskStorage<TaskCall> = TaskStorage::new();

/// Offsets of kernel fields, constant from the verifier's point of view.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::UNKNOWN;

/// Calls that are treated apart, constant from the verifier's point of view.
#[unsafe(no_mangle)]
pub static CALLS: Calls = Calls::NONE;

/// 1 where every cgroup that is named as a container's is counted; 0 where only those are that the daemon names.
#[unsafe(no_mangle)]
pub static COUNT_CONTAINERS: u32 = 1;

/// How many cgroups inside it one container may have in [`CGROUPS`].
#[unsafe(no_mangle)]
pub static NESTED_LIMIT: u32 = u32::MAX;

/// The program that systemd executes to set a service up (`systemd-executor`, 255 and newer), where there is one.
#[unsafe(no_mangle)]
pub static EXECUTOR: FileId = FileId::NONE;

/// Room for the longest filter.
#[repr(C)]
pub struct FilterBuffer {
    /// What is known of it.
    pub filter: FilterCopy,
    /// Its instructions.
    pub instructions: [u64; MAX_INSTRUCTIONS],
}

/// The call that a task is in.
#[repr(C)]
pub struct TaskCall {
    /// [`ENTERED`] or [`UNCOUNTED`] between enter and exit; [`NEWBORN`] from a task's creation to its first exit;
    /// [`EMULATED`] after the exit of a call that a tracer emulated; else 0.
    pub active: u16,
    /// 1 when a refusal of this task was counted that ends it.
    pub refused: u16,
    /// The number as the kernel has it, x32 bit included.
    pub nr: u32,
    /// The slot that the call was counted in.
    pub slot: u32,
    /// One of the `ABI_` constants.
    pub abi: u16,
    /// 1 when the task had a filter as it entered.
    pub filtered: u16,
    /// The slot in which the task, or one that it descends from, has executed a program (in a container's under a filter),
    /// and one; 0 for none.
    pub executed_in: u32,
}

/// [`TaskCall::active`] of a task in a call.
pub const ENTERED: u16 = 1;

/// [`TaskCall::active`] of a task in a call that is not counted: the end of it is nobody's.
pub const UNCOUNTED: u16 = 4;

/// [`TaskCall::active`] of a task whose next call a tracer emulates as well: whoever lets it go on says at that moment
/// what becomes of the call after the one that it stands in.
pub const EMULATED: u16 = 3;

/// [`TaskCall::active`] of a task that was just made: it begins with the exit of the fork, vfork, clone or clone3 that
/// made it.
pub const NEWBORN: u16 = 2;

/// `BPF_MAP_TYPE_TASK_STORAGE`: a value per task that goes when the task goes.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields are a description for the loader and are never followed.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    /// The task's value, if it has one.
    #[inline(always)]
    pub fn get(&self, task: *mut task_struct) -> Option<&mut T> {
        self.lookup(task, 0)
    }

    /// The task's value; a zeroed one where it had none. `None` when the kernel has no memory for it right now.
    #[inline(always)]
    pub fn get_or_create(&self, task: *mut task_struct) -> Option<&mut T> {
        self.lookup(task, u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE))
    }

    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the value lives in the kernel, and only its own task's programs use it")]
    fn lookup(&self, task: *mut task_struct, flags: u64) -> Option<&mut T> {
        let map = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: `task` is a pointer that the kernel handed out; the helper gives null or a value that lives as long
        // as the task.
        unsafe { bpf_task_storage_get(map, task, ptr::null_mut(), flags).cast::<T>().as_mut() }
    }
}
