//! Reading kernel structures: every offset comes from [`OFFSETS`], never from this source.
//!
//! The programs are BTF-typed (`tp_btf`), so the verifier knows the type behind every pointer and a field is one load
//! instruction instead of a call of `bpf_probe_read_kernel`. It accepts that only while it knows the offset as a
//! constant, which a frozen `.rodata` gives it.

use auditor_ebpf::{ABI_COMPAT, ABI_NATIVE, ABI_X32, COMM_LEN, NRS_IN_EVERY_KERNEL, X32_BIT};
use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel};

/// One of the [`Offsets`](auditor_ebpf::Offsets), by its field's name.
macro_rules! offset {
    ($field:ident $([$at:literal])?) => {
        $crate::kernel::read_constant(&$crate::maps::OFFSETS.$field $([$at])?)
    };
}
pub(crate) use offset;

/// A number with a mask put on it that the verifier sees. In assembly, because the compiler leaves out a mask that it can
/// prove to be needless, and the verifier cannot always; least of all before Linux 6.3.
macro_rules! masked {
    ($number:expr, $mask:literal) => {{
        let mut number: usize = $number;
        // SAFETY: it touches nothing but the number.
        unsafe {
            core::arch::asm!(concat!("{0} &= ", $mask), inout(reg) number, options(nomem, nostack, pure));
        }
        number
    }};
}
pub(crate) use masked;

/// Reads a constant in a way that the compiler cannot fold: the loader replaces its value.
#[inline(always)]
pub fn read_constant(constant: &u32) -> u32 {
    // SAFETY: a reference is always readable.
    unsafe { core::ptr::read_volatile(constant) }
}

/// Reads the field of type `T` that lies `offset` bytes into the kernel object at `base`.
///
/// # Safety
/// `base` must be a pointer that the verifier knows the type of. A bad or null pointer reads as zero: the kernel
/// catches the fault.
#[inline(always)]
pub unsafe fn field<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: see above; the verifier checks the bounds.
    unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// `SECCOMP_MODE_DISABLED` (`include/uapi/linux/seccomp.h`).
const SECCOMP_MODE_DISABLED: i32 = 0;
/// `SECCOMP_MODE_DEAD` (`kernel/seccomp.c`): internal to the kernel.
const SECCOMP_MODE_DEAD: i32 = 3;
/// SIGKILL on every architecture.
pub const SIGKILL: i32 = 9;

/// SIGSYS on every architecture that is counted here.
pub const SIGSYS: i32 = 31;

/// `PF_KTHREAD` (`include/linux/sched.h`): such a task has no user registers.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// `PF_FORKNOEXEC` (`include/linux/sched.h`): made by fork or clone, and has executed nothing since.
const PF_FORKNOEXEC: u32 = 0x40;

/// A task, with the questions that the programs ask about it.
#[derive(Clone, Copy)]
pub struct Task(*mut task_struct);

impl Task {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper has no preconditions.
        Self(unsafe { bpf_get_current_task_btf() })
    }

    /// Wraps a pointer that the kernel handed to a program.
    #[inline(always)]
    pub const fn from_ptr(task: *mut task_struct) -> Self {
        Self(task)
    }

    #[inline(always)]
    pub const fn as_ptr(self) -> *mut task_struct {
        self.0
    }

    #[inline(always)]
    fn field<T: Copy>(self, offset: u32) -> T {
        // SAFETY: a task pointer from the kernel.
        unsafe { field(self.0.cast(), offset) }
    }

    /// Whether seccomp looks at this task's calls.
    #[inline(always)]
    pub fn is_filtered(self) -> bool {
        self.seccomp_mode() != SECCOMP_MODE_DISABLED
    }

    #[inline(always)]
    pub fn seccomp_mode(self) -> i32 {
        self.field(offset!(task_seccomp_mode))
    }

    /// When it was made: `CLOCK_BOOTTIME` in nanoseconds.
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        self.field(offset!(task_start_boottime))
    }

    #[inline(always)]
    pub fn filter_count(self) -> u32 {
        self.field(offset!(task_filter_count))
    }

    #[inline(always)]
    pub fn filter(self) -> *const u8 {
        self.field(offset!(task_filter))
    }

    /// Whether any eBPF program keeps a value for this task: a load instead of a helper call.
    #[inline(always)]
    pub fn has_storage(self) -> bool {
        !self.field::<*const u8>(offset!(task_bpf_storage)).is_null()
    }

    /// Whether a tracer is attached (`PT_PTRACED`).
    #[inline(always)]
    pub fn is_traced(self) -> bool {
        self.field::<u32>(offset!(task_ptrace)) != 0
    }

    /// Whether its tracer emulates its calls (`PTRACE_SYSEMU`): they end without having begun.
    #[inline(always)]
    pub fn is_emulated(self) -> bool {
        self.field::<u32>(offset!(task_sysemu_word)) & offset!(sysemu_bit) != 0
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.field(offset!(task_flags))
    }

    /// Whether it is still running what its parent ran when it was made.
    #[inline(always)]
    pub fn has_executed_nothing(self) -> bool {
        self.flags() & PF_FORKNOEXEC != 0
    }

    /// Whether it runs this file: its inode number, and its device's number.
    #[inline(always)]
    pub fn runs(self, inode: u64, device: u32) -> bool {
        let mm: *const u8 = self.field(offset!(task_mm));
        if mm.is_null() {
            return false;
        }
        // SAFETY: each pointer comes from a typed structure. The kernel itself says which of them may be null, and has
        // the verifier demand that they be looked at.
        unsafe {
            let file: *const u8 = field(mm, offset!(mm_exe_file));
            if file.is_null() {
                return false;
            }
            let node: *const u8 = field(file, offset!(file_inode));
            if node.is_null() {
                return false;
            }
            let super_block: *const u8 = field(node, offset!(inode_sb));
            if super_block.is_null() {
                return false;
            }
            field::<u64>(node, offset!(inode_ino)) == inode && field::<u32>(super_block, offset!(sb_dev)) == device
        }
    }

    /// Whether a signal of its own waits for it (`task->pending`): SIGSYS is what `SECCOMP_RET_TRAP` and the `KILL`s
    /// leave behind (`force_sig_seccomp` in `kernel/signal.c`).
    #[inline(always)]
    pub fn has_pending(self, signal: i32) -> bool {
        self.field::<u64>(offset!(task_pending)) & (1 << (signal - 1)) != 0
    }

    /// Whether its filters let the call through whatever its arguments: then seccomp has not refused it.
    #[inline(always)]
    pub fn always_allows(self, nr: u32) -> bool {
        let bitmap = match self.abi(nr) {
            ABI_NATIVE => offset!(filter_allow_native),
            ABI_COMPAT => offset!(filter_allow_compat),
            _ => return false,
        };
        let filter = self.filter();
        if filter.is_null() || nr >= NRS_IN_EVERY_KERNEL {
            return false;
        }
        let mut word = 0u64;
        let at = bitmap + nr / 64 * 8;
        // SAFETY: the helper checks the source address; the destination is as long as the size says.
        let failed =
            unsafe { bpf_probe_read_kernel((&raw mut word).cast(), 8, filter.wrapping_add(at as usize).cast()) };
        failed == 0 && word >> (nr % 64) & 1 != 0
    }

    /// Whether a filter has sentenced it: `SECCOMP_MODE_DEAD` (`kernel/seccomp.c`, Linux 5.17 and newer).
    #[inline(always)]
    pub fn is_sentenced(self) -> bool {
        self.seccomp_mode() == SECCOMP_MODE_DEAD
    }

    #[inline(always)]
    pub fn exit_code(self) -> i32 {
        self.field(offset!(task_exit_code))
    }

    /// `signal->flags`.
    #[inline(always)]
    pub fn signal_flags(self) -> u32 {
        let signal: *const u8 = self.field(offset!(task_signal));
        // SAFETY: `signal` comes from a typed task.
        unsafe { field(signal, offset!(signal_flags)) }
    }

    /// Its process, in the host's numbers.
    #[inline(always)]
    pub fn process(self) -> u32 {
        self.field(offset!(task_tgid))
    }

    /// Itself, in the host's numbers.
    #[inline(always)]
    pub fn thread(self) -> u32 {
        self.field(offset!(task_pid))
    }

    /// Its process and itself in the numbers of the innermost pid namespace that it is in (`task_active_pid_ns` in
    /// `kernel/pid.c`).
    #[inline(always)]
    pub fn innermost_ids(self) -> (u32, u32) {
        let signal: *const u8 = self.field(offset!(task_signal));
        let thread: *const u8 = self.field(offset!(task_thread_pid));
        // SAFETY: pointers that come from a typed task.
        let (process, level): (*const u8, u32) =
            unsafe { (field(signal, offset!(signal_tgid_pid)), field(thread, offset!(pid_level))) };
        (number_at(process, level), number_at(thread, level))
    }

    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        self.field(offset!(task_comm))
    }

    /// The id of its cgroup in the default hierarchy.
    #[inline(always)]
    pub fn cgroup_id(self) -> u64 {
        let css_set: *const u8 = self.field(offset!(task_cgroups));
        // SAFETY: each pointer comes from a typed structure.
        unsafe {
            let cgroup: *const u8 = field(css_set, offset!(css_set_dfl_cgrp));
            let node: *const u8 = field(cgroup, offset!(cgroup_kn));
            field(node, offset!(kn_id))
        }
    }

    /// The ABI by which its current call with this number was made.
    #[inline(always)]
    pub fn abi(self, nr: u32) -> u8 {
        if self.field::<u32>(offset!(task_compat_word)) & offset!(compat_bit) != 0 {
            ABI_COMPAT
        } else if nr & X32_BIT == 0 || nr >> 31 != 0 {
            ABI_NATIVE
        } else {
            ABI_X32
        }
    }
}

/// The number of a `struct pid` in the namespace of that level.
#[inline(always)]
fn number_at(pid: *const u8, level: u32) -> u32 {
    let mut number = 0u32;
    let at = offset!(pid_numbers_nr) + level * offset!(upid_size);
    // SAFETY: the helper checks the source address; the destination is as long as the size says.
    unsafe { bpf_probe_read_kernel((&raw mut number).cast(), 4, pid.wrapping_add(at as usize).cast()) };
    number
}
