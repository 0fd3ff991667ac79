//! One instruction of classic BPF, and the subset of the language that seccomp takes.
//!
//! Sources: `struct sock_filter` and the opcodes in include/uapi/linux/filter.h and bpf_common.h; what is taken, in
//! `seccomp_check_filter` of kernel/seccomp.c.

/// `struct sock_filter`, as it is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instruction {
    /// The opcode.
    pub code: u16,
    /// Instructions skipped where a comparison holds.
    pub jt: u8,
    /// Instructions skipped where it does not.
    pub jf: u8,
    /// The constant operand.
    pub k: u32,
}

impl Instruction {
    /// Bytes of one instruction.
    pub const SIZE: usize = 8;

    /// Reads one; the bytes are in the order of the machine, and all that the auditor runs on are little-endian.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Self { code: u16::from_le_bytes([c0, c1]), jt, jf, k: u32::from_le_bytes([k0, k1, k2, k3]) }
    }

    /// The same bytes again.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::SIZE] {
        let ([c0, c1], [k0, k1, k2, k3]) = (self.code.to_le_bytes(), self.k.to_le_bytes());
        [c0, c1, self.jt, self.jf, k0, k1, k2, k3]
    }

    /// What it does; `None` for an opcode that seccomp does not take.
    pub(super) fn decode(self) -> Option<Op> {
        let k = self.k;
        let branch = |test, operand| Op::Branch { test, operand, holds: self.jt, fails: self.jf };
        Some(match self.code {
            0x20 => Op::Load(k),
            0x00 => Op::Set(Register::A, k),
            0x01 => Op::Set(Register::X, k),
            // BPF_LEN: the kernel makes a constant of it.
            0x80 => Op::Set(Register::A, super::SeccompData::SIZE),
            0x81 => Op::Set(Register::X, super::SeccompData::SIZE),
            0x60 => Op::Recall(Register::A, k),
            0x61 => Op::Recall(Register::X, k),
            0x02 => Op::Store(Register::A, k),
            0x03 => Op::Store(Register::X, k),
            0x07 => Op::Move(Register::X),
            0x87 => Op::Move(Register::A),
            0x84 => Op::Negate,
            0x05 => Op::Jump(k),
            0x06 => Op::Return(Operand::Constant(k)),
            0x16 => Op::Return(Operand::Register),
            code => {
                let operand = if code & 0x08 == 0 { Operand::Constant(k) } else { Operand::Register };
                match code & !0x08 {
                    0x04 => Op::Compute(Arithmetic::Add, operand),
                    0x14 => Op::Compute(Arithmetic::Subtract, operand),
                    0x24 => Op::Compute(Arithmetic::Multiply, operand),
                    0x34 => Op::Compute(Arithmetic::Divide, operand),
                    0x44 => Op::Compute(Arithmetic::Or, operand),
                    0x54 => Op::Compute(Arithmetic::And, operand),
                    0x64 => Op::Compute(Arithmetic::ShiftLeft, operand),
                    0x74 => Op::Compute(Arithmetic::ShiftRight, operand),
                    0xa4 => Op::Compute(Arithmetic::Xor, operand),
                    0x15 => branch(Relation::Equal, operand),
                    0x25 => branch(Relation::Greater, operand),
                    0x35 => branch(Relation::GreaterOrEqual, operand),
                    0x45 => branch(Relation::AnySet, operand),
                    _ => return None,
                }
            }
        })
    }
}

/// The two registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Register {
    A,
    X,
}

/// The second operand: the constant of the instruction, or a register (X; of a return A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operand {
    Constant(u32),
    Register,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

impl Arithmetic {
    /// The result, 32 bits wide; `None` for a division by zero, which ends a filter.
    ///
    /// A shift by a register takes its lower five bits: so do the kernel's interpreter (kernel/bpf/core.c) and the
    /// machines that it compiles filters for.
    pub(super) const fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide => return a.checked_div(b),
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
            Self::ShiftLeft => a << (b & 31),
            Self::ShiftRight => a >> (b & 31),
        })
    }
}

/// What a conditional jump asks of A; all comparisons are unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    AnySet,
}

impl Relation {
    pub(super) const fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::AnySet => a & b != 0,
        }
    }
}

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Op {
    /// A word of `struct seccomp_data` into A, by offset.
    Load(u32),
    /// A constant into a register.
    Set(Register, u32),
    /// A word of scratch memory into a register.
    Recall(Register, u32),
    /// A register into scratch memory.
    Store(Register, u32),
    /// The other register into this one.
    Move(Register),
    /// A with an operand into A.
    Compute(Arithmetic, Operand),
    /// A is zero minus A.
    Negate,
    /// Skip instructions.
    Jump(u32),
    /// Skip some, or others.
    Branch { test: Relation, operand: Operand, holds: u8, fails: u8 },
    /// The end.
    Return(Operand),
}
