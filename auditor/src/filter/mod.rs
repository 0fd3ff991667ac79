//! Seccomp filters as the kernel has them: classic BPF programs, what they answer, and for which arguments.
//!
//! A [`Program`] is one filter, a [`Stack`] is all that a task has. `run` gives the answer to one call, as the kernel
//! would; `analyze` gives the answers to a call number for every possible argument at once, as a [`Diagram`]. Diagrams
//! of one arena ([`Diagrams`]) are exact and canonical: two filters treat a call alike if and only if the handles are
//! equal.

mod analyze;
mod cases;
mod diagram;
mod disassemble;
mod instruction;
mod outcome;
mod program;
mod stack;
mod test;
mod word;

pub use self::analyze::Unknown;
pub use self::cases::Case;
pub use self::diagram::{Diagram, Diagrams, TooComplex};
pub use self::instruction::Instruction;
pub use self::outcome::Outcome;
pub use self::program::{Fault, MAX_INSTRUCTIONS, Program, ProgramError};
pub use self::stack::Stack;
pub use self::test::{Comparison, Test};
use crate::syscall::{Abi, SyscallNr};

/// What the kernel shows to a filter: `struct seccomp_data` (include/uapi/linux/seccomp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeccompData {
    /// The call's number; for x32 with bit 30 set.
    pub nr: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The arguments, as they are in the registers.
    pub args: [u64; 6],
}

/// Bit 30 marks the numbers of x32 (`__X32_SYSCALL_BIT`).
const X32_BIT: i32 = 0x4000_0000;

impl SeccompData {
    /// Its size in bytes.
    pub const SIZE: u32 = 64;

    /// A call by ABI and number, made from nowhere in particular.
    #[must_use]
    pub const fn new(abi: Abi, nr: SyscallNr, args: [u64; 6]) -> Self {
        let nr = if matches!(abi, Abi::X32) { nr.0 | X32_BIT } else { nr.0 };
        Self { nr, arch: audit_arch(abi), instruction_pointer: 0, args }
    }

    /// The 32-bit word at an offset that is a multiple of four and below [`Self::SIZE`]; zero elsewhere.
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64| if offset & 4 == 0 { low(value) } else { low(value >> 32) };
        match offset {
            0 => self.nr.cast_unsigned(),
            4 => self.arch,
            8 | 12 => half(self.instruction_pointer),
            _ => argument_of(offset).and_then(|index| self.args.get(index)).map_or(0, |value| half(*value)),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(value: u64) -> u32 {
    value as u32
}

/// The argument that an offset behind the head of `struct seccomp_data` is in.
const fn argument_of(offset: u32) -> Option<usize> {
    match offset.checked_sub(16) {
        Some(behind) => Some(behind as usize / 8),
        None => None,
    }
}

/// The kernel's name of a calling convention, `AUDIT_ARCH_*` (include/uapi/linux/audit.h); x32 has that of x86-64.
#[must_use]
pub const fn audit_arch(abi: Abi) -> u32 {
    match abi {
        Abi::X86_64 | Abi::X32 => 0xc000_003e,
        Abi::I386 => 0x4000_0003,
        Abi::Aarch64 => 0xc000_00b7,
        Abi::Arm => 0x4000_0028,
    }
}
