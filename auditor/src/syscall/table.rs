//! The tables of names and numbers, one per ABI.
//!
//! The `syscalls` crate gives what the kernel's own tables give; what it lacks, and where x32 and arm64 differ from
//! the tables they share, is added here. Source of the differences: `arch/x86/entry/syscalls/syscall_64.tbl`,
//! `arch/x86/entry/syscalls/syscall_32.tbl`, `scripts/syscall.tbl` and libseccomp's `src/syscalls.csv`.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::{Abi, SyscallNr};

/// One ABI's calls, by number and by name.
pub(super) struct Table {
    by_nr: BTreeMap<SyscallNr, &'static str>,
    by_name: HashMap<&'static str, SyscallNr>,
}

impl Table {
    fn new(rows: impl Iterator<Item = (i32, &'static str)>) -> Self {
        let by_nr: BTreeMap<_, _> = rows.map(|(nr, name)| (SyscallNr(nr), name)).collect();
        let by_name = by_nr.iter().map(|(nr, name)| (*name, *nr)).collect();
        Self { by_nr, by_name }
    }

    pub(super) fn of(abi: Abi) -> &'static Self {
        static X86_64: LazyLock<Table> = LazyLock::new(|| Table::new(x86_64()));
        static I386: LazyLock<Table> = LazyLock::new(|| Table::new(i386()));
        static X32: LazyLock<Table> = LazyLock::new(|| Table::new(x32()));
        static AARCH64: LazyLock<Table> = LazyLock::new(|| Table::new(aarch64()));
        static ARM: LazyLock<Table> = LazyLock::new(|| Table::new(arm()));
        match abi {
            Abi::X86_64 => &X86_64,
            Abi::I386 => &I386,
            Abi::X32 => &X32,
            Abi::Aarch64 => &AARCH64,
            Abi::Arm => &ARM,
        }
    }

    pub(super) fn name(&self, nr: SyscallNr) -> Option<&'static str> {
        self.by_nr.get(&nr).copied()
    }

    pub(super) fn number(&self, name: &str) -> Option<SyscallNr> {
        self.by_name.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SyscallNr, &'static str)> + '_ {
        self.by_nr.iter().map(|(nr, name)| (*nr, *name))
    }
}

/// Calls newer than the crate's tables; since 5.0 a new call has one number everywhere.
const NEWER: [(i32, &str); 2] = [(470, "listns"), (471, "rseq_slice_yield")];

/// The rows of one of the crate's tables. Its own iterator leaves out the last call, hence the walk over numbers.
macro_rules! rows {
    ($module:ident) => {
        (0..=syscalls::$module::Sysno::last().id())
            .filter_map(|nr| usize::try_from(nr).ok().and_then(syscalls::$module::Sysno::new))
            .map(|sysno| (sysno.id(), sysno.name()))
            .chain(NEWER)
    };
}

fn x86_64() -> impl Iterator<Item = (i32, &'static str)> {
    rows!(x86_64)
}

fn i386() -> impl Iterator<Item = (i32, &'static str)> {
    // `break` is a keyword of Rust, so the crate cannot have it.
    rows!(x86).chain([(17, "break")])
}

fn arm() -> impl Iterator<Item = (i32, &'static str)> {
    // The EABI's private calls, `__ARM_NR_BASE` and up (arch/arm/include/uapi/asm/unistd.h).
    rows!(arm).filter(|(nr, _)| *nr < ARM_PRIVATE).chain((ARM_PRIVATE + 1..).zip([
        "breakpoint",
        "cacheflush",
        "usr26",
        "usr32",
        "set_tls",
        "get_tls",
    ]))
}

const ARM_PRIVATE: i32 = 0x000f_0000;

fn aarch64() -> impl Iterator<Item = (i32, &'static str)> {
    // The generic table knows 403..=423 for 32-bit machines alone, and calls 79 `fstatat` where arm64 and libseccomp
    // say `newfstatat`.
    rows!(aarch64)
        .filter(|(nr, _)| !(403..=423).contains(nr))
        .map(|(nr, name)| if nr == 79 { (nr, "newfstatat") } else { (nr, name) })
}

/// x32 shares the numbers of x86-64, but for the calls that have a number of their own and those it lacks.
fn x32() -> impl Iterator<Item = (i32, &'static str)> {
    x86_64().filter(|(_, name)| !X32_LACKS.contains(name) && !X32_OWN.contains(name)).chain((512..).zip(X32_OWN))
}

/// The calls 512..=547 of x32, in order (`syscall_64.tbl`, ABI `x32`).
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Calls of x86-64 that x32 has under no number (`syscall_64.tbl`, ABI `64` without an `x32` twin).
const X32_LACKS: [&str; 11] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
];
