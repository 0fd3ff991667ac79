//! Of which calls which arguments are noted.
//!
//! What the kernel takes of each register is from its own definitions: `SYSCALL_DEFINE` of the call, and
//! `COMPAT_SYSCALL_DEFINE` where the 32-bit ABIs have another one. A filter sees the whole register all the same, and so
//! does who notes it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::syscall::{self, Abi, SyscallNr};

/// A call of which arguments are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The kernel's name of it.
    pub name: &'static str,
    /// The ABIs of which this is true: one name may stand for calls that take their arguments in different ways.
    abis: &'static [Abi],
    /// What is noted first.
    pub first: Argument,
    /// And second; [`Values::seen`](super::Values::seen) has 0 there where nothing is.
    pub second: Option<Argument>,
}

/// One argument that is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// What the kernel calls it.
    pub name: &'static str,
    /// Which argument of the call it is, or points to it: 0 to 5, the `index` of a profile's condition.
    pub index: u8,
    /// How it is to be read.
    pub kind: Kind,
    /// How much of the register the kernel takes.
    pub width: Width,
}

/// What an argument says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bits that each ask for something.
    Flags,
    /// One of many things to do, known by its number.
    Operation,
    /// `PROT_` bits, of which `PROT_EXEC` matters.
    Protection,
    /// It is in memory that the register points to, which no filter can read: no condition can be put on it.
    Pointer {
        /// Bytes from where the register points.
        offset: u8,
        /// 4 or 8.
        bytes: u8,
    },
}

/// How much of a register the kernel takes. The rest is what the program left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// The lower 32 bits, as a number with a sign.
    Int,
    /// The lower 32 bits.
    UnsignedInt,
    /// All 64 bits by a 64-bit ABI, the lower 32 by a 32-bit one.
    Long,
}

impl Width {
    /// How many of the lower bits the kernel takes from a call of this ABI: 32 or 64. x32 is a 64-bit ABI here: its calls
    /// take the same registers as those of x86-64.
    #[must_use]
    pub const fn bits(self, abi: Abi) -> u32 {
        match (self, abi) {
            (Self::Long, Abi::X86_64 | Abi::X32 | Abi::Aarch64) => 64,
            _ => 32,
        }
    }
}

impl Noted {
    /// The arguments that are noted, in the order of [`Values::seen`](super::Values::seen).
    pub fn arguments(&self) -> impl Iterator<Item = &Argument> {
        [Some(&self.first), self.second.as_ref()].into_iter().flatten()
    }
}

/// What is noted of a call; `None` where nothing is.
#[must_use]
pub fn noted(abi: Abi, nr: SyscallNr) -> Option<&'static Noted> {
    static BY_NUMBER: LazyLock<BTreeMap<(Abi, SyscallNr), &'static Noted>> =
        LazyLock::new(|| all().map(|(abi, nr, noted)| ((abi, nr), noted)).collect());
    BY_NUMBER.get(&(abi, nr)).copied()
}

/// Every call of which arguments are noted, ABI by ABI.
pub fn all() -> impl Iterator<Item = (Abi, SyscallNr, &'static Noted)> {
    Abi::ALL.into_iter().flat_map(|abi| {
        TABLE
            .iter()
            .filter(move |noted| noted.abis.contains(&abi))
            .filter_map(move |noted| Some((abi, syscall::number(abi, noted.name)?, noted)))
    })
}

const ALL: &[Abi] = &Abi::ALL;
const ALL_BUT_I386: &[Abi] = &[Abi::X86_64, Abi::X32, Abi::Aarch64, Abi::Arm];
const I386: &[Abi] = &[Abi::I386];

static TABLE: [Noted; 20] = [
    // `bpf(int cmd, ...)` in `kernel/bpf/syscall.c`.
    one(ALL, "bpf", operation("cmd", 0, Width::Int)),
    // `clone(unsigned long clone_flags, ...)` in `kernel/fork.c`, which takes `lower_32_bits` of it (Linux 5.3 and newer).
    one(ALL, "clone", flags("clone_flags", 0, Width::UnsignedInt)),
    // `clone3(struct clone_args *uargs, ...)`: `clone_args.flags`, in `include/uapi/linux/sched.h`.
    one(ALL, "clone3", Argument { name: "flags", index: 0, kind: Kind::Pointer { offset: 0, bytes: 8 }, width: LONG }),
    // `ioctl(unsigned int fd, unsigned int cmd, ...)` in `fs/ioctl.c`.
    one(ALL, "ioctl", operation("cmd", 1, Width::UnsignedInt)),
    // `keyctl(int option, ...)` in `security/keys/keyctl.c`; `u32 option` in `security/keys/compat.c`.
    one(ALL, "keyctl", operation("option", 0, Width::Int)),
    // `mmap(addr, len, unsigned long prot, ...)` in `arch/x86/kernel/sys_x86_64.c` and `arch/arm64/kernel/sys.c`.
    one(ALL_BUT_I386, "mmap", protection(2)),
    // `struct mmap_arg_struct32` in `arch/x86/kernel/sys_ia32.c`: i386's oldest `mmap` takes all in memory.
    one(I386, "mmap", Argument { name: "prot", index: 0, kind: Kind::Pointer { offset: 8, bytes: 4 }, width: LONG }),
    // `mmap_pgoff(addr, len, unsigned long prot, ...)` in `mm/mmap.c`.
    one(ALL, "mmap2", protection(2)),
    // `mprotect(start, len, unsigned long prot)` in `mm/mprotect.c`.
    one(ALL, "mprotect", protection(2)),
    // `personality(unsigned int personality)` in `kernel/exec_domain.c`.
    one(ALL, "personality", operation("personality", 0, Width::UnsignedInt)),
    // `pkey_mprotect(start, len, unsigned long prot, int pkey)` in `mm/mprotect.c`.
    one(ALL, "pkey_mprotect", protection(2)),
    // `prctl(int option, ...)` in `kernel/sys.c`.
    one(ALL, "prctl", operation("option", 0, Width::Int)),
    // `ptrace(long request, ...)` in `kernel/ptrace.c`.
    one(&[Abi::X86_64, Abi::Aarch64], "ptrace", operation("request", 0, LONG)),
    // `compat_long_t request` there: x32 has a number of its own for it.
    one(&[Abi::I386, Abi::X32, Abi::Arm], "ptrace", operation("request", 0, Width::Int)),
    // `setns(int fd, int flags)` in `kernel/nsproxy.c`.
    one(ALL, "setns", flags("flags", 1, Width::Int)),
    // `setsockopt(int fd, int level, int optname, ...)` in `net/socket.c`.
    two("setsockopt", operation("level", 1, Width::Int), operation("optname", 2, Width::Int)),
    // `socket(int family, int type, int protocol)` in `net/socket.c`.
    two("socket", operation("family", 0, Width::Int), operation("type", 1, Width::Int)),
    // `socketcall(int call, unsigned long *args)` in `net/socket.c`: what i386 had before the calls above and below.
    one(I386, "socketcall", operation("call", 0, Width::Int)),
    // `socketpair(int family, int type, int protocol, int *usockvec)` in `net/socket.c`.
    two("socketpair", operation("family", 0, Width::Int), operation("type", 1, Width::Int)),
    // `unshare(unsigned long unshare_flags)` in `kernel/fork.c`: bits that it does not know are refused, the upper ones
    // too.
    one(ALL, "unshare", flags("unshare_flags", 0, LONG)),
];

const LONG: Width = Width::Long;

const fn one(abis: &'static [Abi], name: &'static str, first: Argument) -> Noted {
    Noted { name, abis, first, second: None }
}

const fn two(name: &'static str, first: Argument, second: Argument) -> Noted {
    Noted { name, abis: ALL, first, second: Some(second) }
}

const fn flags(name: &'static str, index: u8, width: Width) -> Argument {
    Argument { name, index, kind: Kind::Flags, width }
}

const fn operation(name: &'static str, index: u8, width: Width) -> Argument {
    Argument { name, index, kind: Kind::Operation, width }
}

const fn protection(index: u8) -> Argument {
    Argument { name: "prot", index, kind: Kind::Protection, width: LONG }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(abi: Abi) -> Vec<(&'static str, i32)> {
        all().filter(|(of, ..)| *of == abi).map(|(_, nr, noted)| (noted.name, nr.0)).collect()
    }

    #[test]
    fn each_abi_has_its_own_numbers() {
        let x86_64 = [
            ("bpf", 321),
            ("clone", 56),
            ("clone3", 435),
            ("ioctl", 16),
            ("keyctl", 250),
            ("mmap", 9),
            ("mprotect", 10),
            ("personality", 135),
            ("pkey_mprotect", 329),
            ("prctl", 157),
            ("ptrace", 101),
            ("setns", 308),
            ("setsockopt", 54),
            ("socket", 41),
            ("socketpair", 53),
            ("unshare", 272),
        ];
        assert_eq!(numbers(Abi::X86_64), x86_64);
        let own_of_x32 = [("ioctl", 514), ("ptrace", 521), ("setsockopt", 541)];
        let x32 = x86_64.map(|(name, nr)| *own_of_x32.iter().find(|(own, _)| *own == name).unwrap_or(&(name, nr)));
        assert_eq!(numbers(Abi::X32), x32);
        let i386 = numbers(Abi::I386);
        for call in [("mmap", 90), ("mmap2", 192), ("socketcall", 102), ("socket", 359), ("ioctl", 54)] {
            assert!(i386.contains(&call), "{call:?}");
        }
        assert_eq!(i386.len(), 18);
    }

    #[test]
    fn one_number_has_one_entry() {
        let mut numbers: Vec<_> = all().map(|(abi, nr, _)| (abi, nr)).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }

    #[test]
    fn the_oldest_mmap_of_i386_takes_its_arguments_in_memory() {
        let kind = |abi| noted(abi, syscall::number(abi, "mmap").unwrap()).unwrap().first.kind;
        assert_eq!(kind(Abi::I386), Kind::Pointer { offset: 8, bytes: 4 });
        assert_eq!(kind(Abi::X86_64), Kind::Protection);
    }

    #[test]
    fn a_register_is_as_wide_as_the_kernel_takes_it() {
        let bits = |abi, name| noted(abi, syscall::number(abi, name).unwrap()).unwrap().first.width.bits(abi);
        assert_eq!([Abi::X86_64, Abi::X32, Abi::I386].map(|abi| bits(abi, "ptrace")), [64, 32, 32]);
        assert_eq!([Abi::X86_64, Abi::X32, Abi::I386].map(|abi| bits(abi, "unshare")), [64, 64, 32]);
        assert_eq!([Abi::X86_64, Abi::X32, Abi::I386].map(|abi| bits(abi, "socket")), [32; 3]);
    }
}
