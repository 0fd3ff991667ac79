//! The contract between the kernel programs and the daemon: keys, values and limits of the maps they share.
//!
//! Every type here is plain old data in C layout; the asserts at the end pin the sizes, because a map that one half
//! reads differently from the other would give plausible numbers instead of an error.
#![no_std]

mod offsets;

pub use offsets::{ABSENT, Offsets};

/// Of the maps: their number, names, keys and values, and what they mean. Whoever changes one raises it: a daemon reads
/// what an older one's programs have counted only where the number is its own.
pub const LAYOUT: u32 = 1;

/// Numbers that have a counter of their own in the native table: 0..512. Linux 6.18 ends at 470, and architectures
/// share the numbers above 403 (`scripts/syscall.tbl`).
pub const NATIVE_NRS: usize = 512;

/// Index in the native table for every number that is not in 0..512.
pub const NATIVE_OUTSIDE: usize = NATIVE_NRS;

/// Numbers that have an entry of their own in a foreign table (x32 has its own calls at 512..548).
pub const FOREIGN_NRS: u32 = 1024;

/// Stands for every other number in [`ForeignKey`] and [`DenialKey`].
pub const NR_OUTSIDE: u16 = u16::MAX;

/// `__X32_SYSCALL_BIT` (`arch/x86/include/uapi/asm/unistd.h`).
pub const X32_BIT: u32 = 0x4000_0000;

/// Bytes kept of a cgroup's directory name: `<prefix>-<64 hex digits>.scope` and room for a long prefix.
pub const CGROUP_NAME_LEN: usize = 128;

/// 64-bit words of the kernel's always-allowed bitmaps (`struct action_cache` in `kernel/seccomp.c`).
pub const BITMAP_WORDS: usize = 8;

/// Size of the ring of [`Event`]s, in bytes.
pub const EVENT_RING_BYTES: u32 = 256 * 1024;

/// The 64-bit ABI of the machine.
pub const ABI_NATIVE: u8 = 0;
/// The 32-bit ABI of the machine (i386, arm).
pub const ABI_COMPAT: u8 = 1;
/// x86-64 with 32-bit pointers.
pub const ABI_X32: u8 = 2;

/// Counters of the native ABI, one copy per CPU and slot. Indexed by number; the last entry is [`NATIVE_OUTSIDE`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NativeCounts {
    /// Calls that passed a filter.
    pub calls: [u64; NATIVE_NRS + 1],
    /// Calls of tasks without a filter.
    pub unfiltered: [u64; NATIVE_NRS + 1],
    /// Calls that passed a filter and returned -4095..=-1.
    pub errors: [u64; NATIVE_NRS + 1],
    /// Calls of tasks without a filter that did.
    pub unfiltered_errors: [u64; NATIVE_NRS + 1],
}

impl NativeCounts {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        calls: [0; NATIVE_NRS + 1],
        unfiltered: [0; NATIVE_NRS + 1],
        errors: [0; NATIVE_NRS + 1],
        unfiltered_errors: [0; NATIVE_NRS + 1],
    };
}

/// Key of a call by a foreign ABI.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ForeignKey {
    /// Slot.
    pub slot: u32,
    /// [`ABI_COMPAT`] or [`ABI_X32`].
    pub abi: u16,
    /// Number without the x32 bit, or [`NR_OUTSIDE`].
    pub nr: u16,
}

/// Counters of one call by a foreign ABI.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ForeignCounts {
    /// Calls that passed a filter.
    pub calls: u64,
    /// Calls of tasks without a filter.
    pub unfiltered: u64,
    /// Calls that passed a filter and returned -4095..=-1.
    pub errors: u64,
    /// Calls of tasks without a filter that did.
    pub unfiltered_errors: u64,
    /// Those of `calls` that a container's runtime made.
    pub runtime: u64,
}

/// Those of [`NativeCounts::calls`] that a container's runtime made, one copy per slot. Indexed like them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RuntimeCounts {
    /// Calls under a filter by tasks that have not executed a program under it since they came into the container.
    pub calls: [u64; NATIVE_NRS + 1],
}

impl RuntimeCounts {
    /// Nothing counted.
    pub const ZERO: Self = Self { calls: [0; NATIVE_NRS + 1] };
}

/// Calls of which arguments can be noted, all ABIs together. A power of two.
pub const NOTED_CALLS: usize = 64;
/// Numbers of an ABI that can be noted: those below this. A power of two.
pub const NOTED_NRS: u32 = 1024;
/// Distinct arguments that are kept of one slot: more are counted as overflowed.
pub const ARGUMENTS_PER_SLOT: u32 = 512;

/// What is noted of one call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NotedCall {
    /// Which argument is noted first, or points to it: 0 to 5.
    pub first: u8,
    /// Which is noted second; [`NO_ARGUMENT`] for none.
    pub second: u8,
    /// 0 where the register itself is noted; else bytes of memory behind it, 4 or 8.
    pub bytes: u8,
    /// How far behind it.
    pub offset: u8,
}

/// [`NotedCall::second`] where one argument is noted.
pub const NO_ARGUMENT: u8 = u8::MAX;

/// Of which calls which arguments are noted, and which calls execute programs. Written by the loader, and constant from
/// then on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Calls {
    /// By [`NOTED_NRS`] times an `ABI_` constant, plus the number without the x32 bit: index in `noted` and one; 0 where
    /// nothing is noted.
    pub index: [u8; 4 * NOTED_NRS as usize],
    /// Some of them may be unused.
    pub noted: [NotedCall; NOTED_CALLS],
    /// By an `ABI_` constant: the numbers of `execve` and `execveat`, without the x32 bit.
    pub executes: [[u32; 2]; 4],
}

impl Calls {
    /// None at all.
    pub const NONE: Self = Self {
        index: [0; 4 * NOTED_NRS as usize],
        noted: [NotedCall { first: 0, second: NO_ARGUMENT, bytes: 0, offset: 0 }; NOTED_CALLS],
        executes: [[u32::MAX; 2]; 4],
    };
}

/// Made by a task under a filter.
pub const CLASS_FILTERED: u8 = 0;
/// Made by a task without one.
pub const CLASS_UNFILTERED: u8 = 1;

/// Key of what a call was made with.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ArgumentKey {
    /// Slot.
    pub slot: u32,
    /// One of the `ABI_` constants.
    pub abi: u8,
    /// One of the `CLASS_` constants.
    pub class: u8,
    /// Number without the x32 bit.
    pub nr: u16,
    /// What was noted: whole registers, or what was in memory. 0 where only one is noted.
    pub values: [u64; 2],
}

/// How much of [`ARGUMENTS_PER_SLOT`] a slot has used, shared by all CPUs.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct ArgumentShare {
    /// Entries that it has.
    pub entries: u64,
    /// Calls that were made with arguments that nobody kept, by a `CLASS_` constant and the call's index in
    /// [`Calls::noted`].
    pub overflowed: [[u64; NOTED_CALLS]; 2],
}

impl ArgumentShare {
    /// Nothing noted.
    pub const ZERO: Self = Self { entries: 0, overflowed: [[0; NOTED_CALLS]; 2] };
}

/// An errno was returned in place of the call (0 included).
pub const REFUSED_ERRNO: u8 = 0;
/// The call was rolled back; a SIGSYS is on its way.
pub const REFUSED_SIGNAL: u8 = 1;
/// The thread, one of many, was ended.
pub const REFUSED_THREAD: u8 = 2;
/// The call never ran, in a task one of whose filters has a supervisor.
pub const REFUSED_SUPERVISED: u8 = 3;

/// The call was made, and is one that the daemon asked to watch: a filter logs it and lets it through.
pub const LOGGED: u8 = 4;

/// Key of a refused or watched call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DenialKey {
    /// Slot.
    pub slot: u32,
    /// One of the `ABI_` constants.
    pub abi: u8,
    /// One of the `REFUSED_` constants, or [`LOGGED`].
    pub kind: u8,
    /// Number without the x32 bit, or [`NR_OUTSIDE`].
    pub nr: u16,
}

/// How often a call was refused.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct DenialCount {
    /// Refusals.
    pub count: u64,
    /// Errno of the latest one; 0 where there is none.
    pub last_errno: u64,
    /// When that was: `CLOCK_MONOTONIC` in nanoseconds. Each CPU has its own latest.
    pub last_ns: u64,
}

/// Bytes of a task's name (`TASK_COMM_LEN` in `include/linux/sched.h`), NUL-terminated.
pub const COMM_LEN: usize = 16;

/// One refused call, or one that a filter logged: what the program wanted. The counters are exact without it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Refusal {
    /// When: `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// The container's outermost cgroup, as in [`Slot::cgroup_id`].
    pub cgroup_id: u64,
    /// Where the program was: seccomp's `instruction_pointer`.
    pub instruction_pointer: u64,
    /// The arguments; the lower halves alone by the 32-bit ABI.
    pub args: [u64; 6],
    /// What the call gave the program. With [`REFUSED_SIGNAL`] the call's number, and with [`REFUSED_THREAD`] and
    /// [`LOGGED`] 0: neither means anything.
    pub result: i64,
    /// Events of this slot so far that were not sent: [`Flow::suppressed`] and [`Flow::lost`].
    pub unsent: u64,
    /// Slot.
    pub slot: u32,
    /// Process, in the host's numbers.
    pub pid: u32,
    /// Thread, in the host's numbers.
    pub tid: u32,
    /// Process, in the numbers of the innermost pid namespace that it is in.
    pub inner_pid: u32,
    /// Thread, in the same numbers.
    pub inner_tid: u32,
    /// Number as seccomp has it, x32 bit included.
    pub nr: u32,
    /// The thread's name, NUL-terminated.
    pub comm: [u8; COMM_LEN],
    /// One of the `ABI_` constants.
    pub abi: u8,
    /// One of the `REFUSED_` constants, or [`LOGGED`].
    pub kind: u8,
    /// Keeps the size a multiple of 8.
    pub padding: [u8; 6],
}

/// The smallest ring of [`Refusal`]s, in bytes; the loader makes it larger for more slots.
pub const REFUSAL_RING_BYTES: u32 = 256 * 1024;

/// Length of a slot's window, in nanoseconds of `CLOCK_BOOTTIME`.
pub const FLOW_WINDOW_NS: u64 = 250_000_000;
/// Events that a slot may send in a window, besides the first one of each kind, ABI and number.
pub const FLOW_PER_WINDOW: u64 = 32;
/// Events that a slot may send in a window while the ring is more than half full: that half is for the quiet slots.
pub const FLOW_WHEN_CROWDED: u64 = 4;

/// How a slot's events fare, shared by all CPUs. What was sent, suppressed and lost adds up to what was counted.
#[repr(C, align(64))]
#[derive(Clone, Copy, Default)]
pub struct Flow {
    /// `CLOCK_BOOTTIME` in nanoseconds when the window began.
    pub window_ns: u64,
    /// Events in the window, sent or not.
    pub in_window: u64,
    /// Sent.
    pub sent: u64,
    /// Held back, because the slot had sent so many already.
    pub suppressed: u64,
    /// Not sent because the ring was full, or too full for a slot that had sent some already.
    pub lost: u64,
}

/// Numbers that have a bit of their own in [`Watch::bits`], for each ABI. A power of two.
pub const WATCHED_NRS: u32 = 1024;

/// Calls of a slot that are counted and told of as [`LOGGED`] when a task under a filter makes them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Watch {
    /// A bit for each number, without the x32 bit: 16 words for each `ABI_` constant, and 16 that nobody uses.
    pub bits: [u64; 64],
    /// A bit for each `ABI_` constant: all numbers of it that are not below [`WATCHED_NRS`].
    pub outside: u32,
    /// 1 where any bit is set.
    pub any: u32,
}

impl Watch {
    /// No call.
    pub const NONE: Self = Self { bits: [0; 64], outside: 0, any: 0 };
}

/// Instructions of the longest filter (`BPF_MAXINSNS` in `include/uapi/linux/bpf_common.h`).
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Filters of a chain that are read, newest first. That there are more is told.
pub const CHAIN_DEPTH: u32 = 64;
/// Filters that are copied for one slot in one reading. That there are more is told.
pub const READ_SHARE_FILTERS: u32 = 512;
/// Instructions that are copied for one slot in one reading, but for the filter that exceeds them. The kernel allows a
/// chain 32,768 (`MAX_INSNS_PER_PATH` in `kernel/seccomp.c`).
pub const READ_SHARE_INSTRUCTIONS: u32 = 131_072;
/// Size of the ring of [`FilterCopy`]s, in bytes: the longest chain of all fits four times.
pub const COPY_RING_BYTES: u32 = 1024 * 1024;

/// What the daemon wants read.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Reading {
    /// Number of this reading, never the one before.
    pub nr: u32,
    /// The slot whose tasks are asked for, and one; 0 for all.
    pub only_slot_plus_1: u32,
}

/// How much of a reading a slot has had.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ReadShare {
    /// The reading that the rest is about.
    pub reading: u32,
    /// Filters copied.
    pub filters: u32,
    /// Their instructions.
    pub instructions: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

/// Bit of [`TaskFilters::state`]: the task got or lost a filter while it was read.
pub const READ_CHANGED: u32 = 1;
/// Bit of [`TaskFilters::state`]: there was no room for one of its filters; there may be at the next attempt.
pub const READ_NO_ROOM: u32 = 2;
/// Bit of [`TaskFilters::state`]: enough has been copied for its slot, and one of its filters was not.
pub const READ_OUT_OF_SHARE: u32 = 4;

/// One task, and which filters it has.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TaskFilters {
    /// The container's outermost cgroup, as in [`Slot::cgroup_id`].
    pub cgroup_id: u64,
    /// `task_struct.start_boottime`: with the thread's number it names a task.
    pub start_ns: u64,
    /// Address of its newest filter; 0 for none.
    pub head: u64,
    /// Slot.
    pub slot: u32,
    /// Process, in the host's numbers.
    pub pid: u32,
    /// Thread, in the host's numbers.
    pub tid: u32,
    /// Process, in the numbers of the innermost pid namespace that it is in.
    pub inner_pid: u32,
    /// Thread, in the same numbers.
    pub inner_tid: u32,
    /// `task_struct.seccomp.mode`.
    pub mode: u32,
    /// `task_struct.seccomp.filter_count`.
    pub filter_count: u32,
    /// The `READ_` bits.
    pub state: u32,
    /// The thread's name, NUL-terminated.
    pub comm: [u8; COMM_LEN],
}

/// Bit of [`FilterCopy::flags`]: the kernel keeps the program as it was installed, and it follows.
pub const FILTER_HAS_PROGRAM: u32 = 1;
/// Bit of [`FilterCopy::flags`]: it has a supervisor (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
pub const FILTER_HAS_LISTENER: u32 = 2;

/// One filter. Its instructions, 8 bytes each (`struct sock_filter`), follow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FilterCopy {
    /// Where the kernel has it.
    pub address: u64,
    /// Address of the filter before it; 0 for none.
    pub prev: u64,
    /// [`TaskFilters::start_ns`] of the task that it was copied from.
    pub anchor_start_ns: u64,
    /// The thread of that task.
    pub anchor_tid: u32,
    /// Instructions.
    pub len: u32,
    /// The `FILTER_HAS_` bits.
    pub flags: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

/// Who comes into a slot's cgroup are programs: whatever they call is theirs.
pub const COMERS_PROGRAMS: u32 = 0;
/// They are runtimes, until they execute a program under a filter.
pub const COMERS_RUNTIMES: u32 = 1;
/// They are service managers' processes, until they execute a program: what they call without a filter is not counted.
pub const COMERS_SERVICES: u32 = 2;

/// A file, as the kernel tells it from all others. Written by the loader, and constant from then on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FileId {
    /// `inode.i_ino`; 0 for no file at all.
    pub inode: u64,
    /// `super_block.s_dev`: the major number in the upper 12 bits, the minor one below.
    pub device: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

impl FileId {
    /// No file at all.
    pub const NONE: Self = Self { inode: 0, device: 0, padding: 0 };
}

/// The slot is in nobody's hands, or in the queue of free slots.
pub const SLOT_FREE: u32 = 0;
/// A container is counted in it.
pub const SLOT_LIVE: u32 = 1;
/// The container's cgroup is gone; the daemon reads the slot a last time and gives it back.
pub const SLOT_REMOVED: u32 = 2;
/// The daemon has read the slot a last time and kept what it read; its counters are being cleared.
pub const SLOT_CLEARING: u32 = 3;

/// Value of the programs' global `ATTACHED` once all of them are.
pub const ALL_ATTACHED: u32 = 1;

/// What a CPU remembers of the cgroup that it counted last, and the generation in which that is valid.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LastCgroup {
    /// The cgroup asked for; 0 before the first question.
    pub cgroup_id: u64,
    /// The programs' global `GENERATION` before the question.
    pub generation: u32,
    /// Slot + 1; 0 for a cgroup without a slot.
    pub slot_plus_1: u32,
    /// 1 once the slot's filter is known.
    pub filter_seen: u32,
    /// 1 where calls of the slot are watched.
    pub watched: u32,
    /// 1 where who comes into the slot sets a service up.
    pub of_services: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

impl LastCgroup {
    /// The slot, where there is one.
    #[inline(always)]
    pub const fn slot(&self) -> Option<u32> {
        self.slot_plus_1.checked_sub(1)
    }
}

/// Who a slot belongs to. Written by `cgroup_mkdir`, or by the daemon for a cgroup that was there before it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slot {
    /// Id of the container's outermost cgroup in the default hierarchy; never 0 in a slot that is taken.
    pub cgroup_id: u64,
    /// `CLOCK_BOOTTIME` in nanoseconds when the slot was taken.
    pub since_ns: u64,
    /// One of the `SLOT_` constants.
    pub state: u32,
    /// 1 when the slot was taken before any task could enter the cgroup.
    pub from_first_call: u32,
    /// The cgroup directory's name, NUL-terminated; all zero where it is no container's.
    pub name: [u8; CGROUP_NAME_LEN],
}

/// The first seccomp filter that was seen on a task of a slot.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Filter {
    /// 0 as long as no filtered task was seen.
    pub seen: u32,
    /// Filters stacked on that task (`task->seccomp.filter_count`).
    pub depth: u32,
    /// `filter->cache.allow_native`: calls the kernel lets through without running the filter.
    pub allow_native: [u64; BITMAP_WORDS],
    /// `filter->cache.allow_compat`.
    pub allow_compat: [u64; BITMAP_WORDS],
}

/// A slot was taken by `cgroup_mkdir`.
pub const EVENT_SLOT_TAKEN: u32 = 1;
/// A slot's container cgroup was removed.
pub const EVENT_SLOT_REMOVED: u32 = 2;
/// A container's cgroup was created and no slot was free.
pub const EVENT_NO_SLOT: u32 = 3;

/// A rare thing that the daemon should look at soon. Losing one loses no count: the daemon scans the slots as well.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// One of the `EVENT_` constants.
    pub kind: u32,
    /// The slot, where there is one.
    pub slot: u32,
    /// Id of the cgroup.
    pub cgroup_id: u64,
    /// The cgroup directory's name, NUL-terminated.
    pub name: [u8; CGROUP_NAME_LEN],
}

/// Index of calls that could not be paired because the task had no storage and none could be had.
pub const LOST_TASK_STORAGE: u32 = 0;
/// Index of foreign calls that found no room in their map.
pub const LOST_FOREIGN: u32 = 1;
/// Index of denials that found no room in their map.
pub const LOST_DENIAL: u32 = 2;
/// Index of exits of which it cannot be said whether they were denials.
pub const LOST_AMBIGUOUS: u32 = 3;
/// Index of container cgroups that found no free slot.
pub const LOST_CGROUP: u32 = 4;
/// Index of cgroups inside a container that found no room in the map: what runs in them is not counted.
pub const LOST_NESTED: u32 = 5;
/// Index of events that found the ring full.
pub const LOST_EVENT: u32 = 6;
/// Length of the table of losses.
pub const LOST_KINDS: u32 = 7;

/// Numbers below this exist in every kernel that the programs run on (Linux 5.15 ends at 448). The kernel's bitmaps of
/// always-allowed calls have meaningless ones behind its last call (`seccomp_cache_prepare_bitmap`).
pub const NRS_IN_EVERY_KERNEL: u32 = 449;

const _: () = {
    assert!(size_of::<NativeCounts>() == 4 * 513 * 8);
    assert!(size_of::<ForeignKey>() == 8);
    assert!(size_of::<ForeignCounts>() == 40);
    assert!(size_of::<RuntimeCounts>() == 513 * 8);
    assert!(size_of::<NotedCall>() == 4);
    assert!(size_of::<Calls>() == 4096 + 256 + 32);
    assert!(size_of::<ArgumentKey>() == 24);
    assert!(size_of::<ArgumentShare>() == 1088);
    assert!(size_of::<DenialKey>() == 8);
    assert!(size_of::<DenialCount>() == 24);
    assert!(size_of::<FileId>() == 16);
    assert!(size_of::<Slot>() == 24 + CGROUP_NAME_LEN);
    assert!(size_of::<LastCgroup>() == 32);
    assert!(size_of::<Filter>() == 8 + 2 * BITMAP_WORDS * 8);
    assert!(size_of::<Refusal>() == 136);
    assert!(size_of::<Flow>() == 64);
    assert!(size_of::<Watch>() == 520);
    assert!(4 * WATCHED_NRS == 64 * 64);
    assert!(size_of::<Reading>() == 8);
    assert!(size_of::<ReadShare>() == 16);
    assert!(size_of::<TaskFilters>() == 72);
    assert!(size_of::<FilterCopy>() == 40);
    assert!(size_of::<Event>() == 16 + CGROUP_NAME_LEN);
};
