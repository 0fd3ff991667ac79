//! System calls by number, in the three calling conventions of an x86-64 kernel.

use std::arch::asm;
use std::sync::atomic::{AtomicI64, AtomicU64};

/// The marker of the x32 convention in a call's number.
const X32: u64 = 0x4000_0000;

/// A calling convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// `syscall` with a plain number.
    X86_64,
    /// `int 0x80`, also from 64-bit code.
    I386,
    /// `syscall` with bit 30 in the number.
    X32,
}

impl Abi {
    /// Every convention, in the order of the table of counts.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::I386, Self::X32];

    /// As in auditor's JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
        }
    }

    /// `AUDIT_ARCH_*`, what a filter sees.
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
        }
    }

    /// The number as the kernel and a filter see it.
    pub const fn wire_nr(self, nr: u32) -> u64 {
        match self {
            Self::X32 => nr as u64 | X32,
            Self::X86_64 | Self::I386 => nr as u64,
        }
    }
}

/// Issues one call with one argument, the other five zero. Gives what the kernel gave, errors as -errno.
#[inline]
pub fn call(abi: Abi, nr: u32, arg: i64) -> i64 {
    call3(abi, nr, [arg, 0, 0])
}

/// Issues one call with three arguments.
#[inline]
pub fn call3(abi: Abi, nr: u32, args: [i64; 3]) -> i64 {
    let number = abi.wire_nr(nr);
    let result: i64;
    match abi {
        Abi::X86_64 | Abi::X32 => {
            // SAFETY: the caller names calls that touch no memory of ours, or pointers that are valid for the call.
            unsafe {
                asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1],
                    in("rdx") args[2], in("r10") 0, in("r8") 0, in("r9") 0, lateout("rcx") _, lateout("r11") _,
                    options(nostack));
            }
        }
        Abi::I386 => {
            // SAFETY: as above; rbx is the compiler's, so it is put back. The kernel clears r8 to r11 on this way.
            unsafe {
                asm!("xchg rbx, {arg}", "int 0x80", "xchg rbx, {arg}", arg = inout(reg) args[0] => _,
                    inlateout("rax") number => result, in("rcx") args[1], in("rdx") args[2], in("rsi") 0, in("rdi") 0,
                    lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _, options(nostack));
            }
        }
    }
    // The 32-bit way gives a 32-bit result.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is not part of a 32-bit result")]
    if abi == Abi::I386 { i64::from(result as i32) } else { result }
}

/// Issues one call with all six arguments, and notes first where the program will be then: behind the instruction that
/// enters the kernel.
pub fn call6(abi: Abi, nr: u32, args: [u64; 6], place: &AtomicU64) -> i64 {
    let number = abi.wire_nr(nr);
    let result: i64;
    match abi {
        Abi::X86_64 | Abi::X32 => {
            // SAFETY: the caller names calls that touch no memory of ours.
            unsafe {
                asm!("lea r11, [rip + 2f]", "mov [r12], r11", "syscall", "2:", in("r12") place.as_ptr(),
                    inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
                    in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _,
                    options(nostack));
            }
        }
        Abi::I386 => {
            // SAFETY: as above; rbx and rbp are the compiler's, so they are put back.
            unsafe {
                asm!("push rbx", "push rbp", "lea rbx, [rip + 2f]", "mov [r12], rbx", "mov rbx, r13", "mov rbp, r14",
                    "int 0x80", "2:", "pop rbp", "pop rbx", in("r12") place.as_ptr(), in("r13") args[0],
                    in("r14") args[5], inlateout("rax") number => result, in("rcx") args[1], in("rdx") args[2],
                    in("rsi") args[3], in("rdi") args[4], lateout("r8") _, lateout("r9") _, lateout("r10") _,
                    lateout("r11") _);
            }
        }
    }
    result
}

/// A vfork whose child issues one call `count` times and ends. Gives the child's process id, or -errno.
pub fn vfork_calling(nr: u32, arg: i64, count: u64) -> i64 {
    let result: i64;
    // SAFETY: the child runs on our stack and touches none of it: it stays within this block until it ends, and until
    // then the kernel keeps this task waiting.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "test r12, r12",
            "jz 4f",
            "2:",
            "mov rax, r13",
            "mov rdi, r14",
            "xor esi, esi",
            "xor edx, edx",
            "syscall",
            "dec r12",
            "jnz 2b",
            "4:",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "3:",
            inlateout("rax") 58_i64 => result, in("r12") count, in("r13") u64::from(nr), in("r14") arg,
            lateout("rcx") _, lateout("r11") _, lateout("rdi") _, lateout("rsi") _, lateout("rdx") _,
            options(nostack)
        );
    }
    result
}

/// Makes a thread whose very first call is this one, and whose second is its end. Gives its id, or -errno.
///
/// # Safety
/// The place must outlive the thread; it has the call's result once it is not what it was.
pub unsafe fn thread_calling(nr: u32, place: &AtomicI64) -> i64 {
    // CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
    const FLAGS: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
    let result: i64;
    // SAFETY: the thread stays within this block until it ends and uses no stack, registers alone, and the place.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "mov rax, r13",
            "xor edi, edi",
            "syscall",
            "mov [r12], rax",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "3:",
            inlateout("rax") 56_i64 => result, in("r12") place.as_ptr(), in("r13") u64::from(nr),
            inlateout("rdi") FLAGS => _, in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
            lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    result
}

/// Whether a result is an error.
pub const fn is_error(result: i64) -> bool {
    result < 0 && result >= -4095
}
