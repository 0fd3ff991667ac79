//! A filter: instructions that the kernel took, and what they answer.
//!
//! What the kernel keeps of a filter (`orig_prog`) is what the program gave it, from before seccomp rewrote anything
//! (`bpf_prog_create_from_user` in net/core/filter.c stores the copy first).

use super::instruction::{Instruction, Op, Operand, Register};
use super::{Outcome, SeccompData};

/// `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// `BPF_MEMWORDS`: words of scratch memory.
pub(super) const CELLS: usize = 16;

/// One filter, checked as the kernel checks it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    instructions: Vec<Instruction>,
    pub(super) ops: Vec<Op>,
}

/// Why bytes are no filter that a kernel could have taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Not a whole number of instructions.
    #[error("seccomp filter: {0} bytes are not a whole number of instructions of 8 bytes; were all of them read?")]
    Length(usize),
    /// None, or more than [`MAX_INSTRUCTIONS`].
    #[error("seccomp filter: {0} instructions; a filter has 1 to {MAX_INSTRUCTIONS}")]
    Count(usize),
    /// One that the kernel refuses.
    #[error("seccomp filter: instruction {at}: {fault}; no kernel takes this filter")]
    Refused {
        /// Which instruction, from zero.
        at: usize,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What can be wrong with an instruction (`bpf_check_classic`, `check_load_and_stores`, `seccomp_check_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not one of seccomp's.
    #[error("unknown operation {0:#x}")]
    Operation(u16),
    /// Beyond `struct seccomp_data`, or not at a multiple of four.
    #[error("no word of the call's data is at offset {0}")]
    Offset(u32),
    /// Division by a constant zero.
    #[error("division by zero")]
    Division,
    /// By a constant of 32 or more.
    #[error("a shift by {0} bits")]
    Shift(u32),
    /// Behind the scratch memory.
    #[error("no scratch word {0}")]
    Cell(u32),
    /// Before something was written there on every way.
    #[error("scratch word {0} is read and may not have been written")]
    Unwritten(u32),
    /// Behind the last instruction.
    #[error("a jump behind the end")]
    Jump,
    /// The last instruction is no return.
    #[error("the last instruction is no return")]
    End,
}

impl Program {
    /// Reads a filter, 8 bytes an instruction.
    ///
    /// # Errors
    ///
    /// What the kernel would refuse.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProgramError> {
        let (instructions, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(ProgramError::Length(bytes.len()));
        }
        Self::new(instructions.iter().map(|bytes| Instruction::from_bytes(*bytes)).collect())
    }

    /// Checks instructions.
    ///
    /// # Errors
    ///
    /// What the kernel would refuse.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, ProgramError> {
        if !(1..=MAX_INSTRUCTIONS).contains(&instructions.len()) {
            return Err(ProgramError::Count(instructions.len()));
        }
        let refused = |at, fault| ProgramError::Refused { at, fault };
        let mut ops = Vec::with_capacity(instructions.len());
        for (at, instruction) in instructions.iter().enumerate() {
            let op = instruction.decode().ok_or_else(|| refused(at, Fault::Operation(instruction.code)))?;
            check(op, instructions.len() - at - 1).map_err(|fault| refused(at, fault))?;
            ops.push(op);
        }
        if !matches!(ops.last(), Some(Op::Return(_))) {
            return Err(refused(ops.len() - 1, Fault::End));
        }
        check_scratch(&ops).map_err(|(at, fault)| refused(at, fault))?;
        Ok(Self { instructions, ops })
    }

    /// The instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The bytes that [`Program::parse`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.instructions.iter().flat_map(|instruction| instruction.to_bytes()).collect()
    }

    /// What happens to a call where this is the only filter.
    #[must_use]
    pub fn run(&self, data: &SeccompData) -> Outcome {
        Outcome::from_ret(self.value(data))
    }

    /// The value that it returns for a call, as the kernel compares it with those of other filters.
    #[must_use]
    pub fn value(&self, data: &SeccompData) -> u32 {
        let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; CELLS]);
        let mut at = 0;
        // A checked program runs forward and ends with a return.
        while let Some(op) = self.ops.get(at) {
            at += 1;
            match *op {
                Op::Load(offset) => a = data.word(offset),
                Op::Set(Register::A, k) => a = k,
                Op::Set(Register::X, k) => x = k,
                Op::Recall(Register::A, cell) => a = memory[cell as usize],
                Op::Recall(Register::X, cell) => x = memory[cell as usize],
                Op::Store(Register::A, cell) => memory[cell as usize] = a,
                Op::Store(Register::X, cell) => memory[cell as usize] = x,
                Op::Move(Register::A) => a = x,
                Op::Move(Register::X) => x = a,
                Op::Negate => a = a.wrapping_neg(),
                Op::Compute(how, operand) => match how.apply(a, operand.value(x)) {
                    Some(value) => a = value,
                    None => return 0,
                },
                Op::Jump(over) => at += over as usize,
                Op::Branch { test, operand, holds, fails } => {
                    at += usize::from(if test.holds(a, operand.value(x)) { holds } else { fails });
                }
                Op::Return(operand) => return operand.value(a),
            }
        }
        0
    }
}

impl Operand {
    const fn value(self, register: u32) -> u32 {
        match self {
            Self::Constant(k) => k,
            Self::Register => register,
        }
    }
}

/// One instruction by itself, with as many behind it.
fn check(op: Op, behind: usize) -> Result<(), Fault> {
    use super::instruction::Arithmetic::{Divide, ShiftLeft, ShiftRight};
    match op {
        Op::Load(offset) if offset >= SeccompData::SIZE || offset % 4 != 0 => Err(Fault::Offset(offset)),
        Op::Recall(_, cell) | Op::Store(_, cell) if cell as usize >= CELLS => Err(Fault::Cell(cell)),
        Op::Compute(Divide, Operand::Constant(0)) => Err(Fault::Division),
        Op::Compute(ShiftLeft | ShiftRight, Operand::Constant(bits)) if bits >= 32 => Err(Fault::Shift(bits)),
        Op::Jump(over) if over as usize >= behind => Err(Fault::Jump),
        Op::Branch { holds, fails, .. } if usize::from(holds.max(fails)) >= behind => Err(Fault::Jump),
        _ => Ok(()),
    }
}

/// No scratch word is read that may not have been written. As crude as the kernel's: a return is passed as if the
/// program went on behind it.
fn check_scratch(ops: &[Op]) -> Result<(), (usize, Fault)> {
    let mut arriving = vec![u16::MAX; ops.len()];
    let mut written = 0_u16;
    for (at, op) in ops.iter().enumerate() {
        written &= arriving[at];
        match *op {
            Op::Store(_, cell) => written |= 1 << cell,
            Op::Recall(_, cell) if written & 1 << cell == 0 => return Err((at, Fault::Unwritten(cell))),
            Op::Jump(over) => {
                arriving[at + 1 + over as usize] &= written;
                written = u16::MAX;
            }
            Op::Branch { holds, fails, .. } => {
                for over in [holds, fails] {
                    arriving[at + 1 + usize::from(over)] &= written;
                }
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
