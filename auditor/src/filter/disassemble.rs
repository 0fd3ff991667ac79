//! A filter as a listing that people can read.
//!
//! What a register holds is followed through the program, so that a comparison names what is compared: `nr`, `arch`,
//! half an argument. Where every way to an instruction has checked the architecture, numbers are named by it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::instruction::{Arithmetic, Op, Operand, Register, Relation};
use super::{Outcome, Program, X32_BIT, audit_arch};
use crate::syscall::{self, Abi, SyscallNr};

/// What the accumulator is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// The word of `struct seccomp_data` at this offset.
    Word(u32),
    /// The same with a mask.
    Masked(u32, u32),
    /// Something else.
    Other,
}

/// What is known before an instruction, whichever way it was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    a: Content,
    arch: Option<u32>,
}

impl Program {
    /// One line an instruction: its place, opcode, jumps and constant as they are, and what it does.
    #[must_use]
    pub fn disassemble(&self) -> String {
        let known = follow(&self.ops);
        let mut listing = String::new();
        for (at, (instruction, op)) in self.instructions().iter().zip(&self.ops).enumerate() {
            let [code, jt, jf] = [instruction.code, instruction.jt.into(), instruction.jf.into()];
            // Writing to a string does not fail.
            _ = write!(listing, "{at:04}: {code:#04x} {jt:#04x} {jf:#04x} {:#010x}  ", instruction.k);
            let text = match known.get(&at) {
                Some(known) => known.describe(at, *op),
                None => format!("{} (never reached)", NOTHING.describe(at, *op)),
            };
            listing.push_str(&text);
            listing.push('\n');
        }
        listing
    }
}

const NOTHING: Known = Known { a: Content::Other, arch: None };

/// What is known before each instruction that can be reached.
fn follow(ops: &[Op]) -> BTreeMap<usize, Known> {
    let mut all = BTreeMap::from([(0, NOTHING)]);
    // Jumps only go forward, so all ways to an instruction are followed before it.
    for (at, op) in ops.iter().enumerate() {
        let Some(before) = all.get(&at).copied() else { continue };
        let mut reach = |at: usize, known: Known| {
            let met = all.entry(at).or_insert(known);
            met.a = if met.a == known.a { met.a } else { Content::Other };
            met.arch = met.arch.filter(|arch| known.arch == Some(*arch));
        };
        let next = at + 1;
        match *op {
            Op::Return(_) => {}
            Op::Jump(over) => reach(next + over as usize, before),
            Op::Branch { test, operand, holds, fails } => {
                let arch = match (test, operand, before.a) {
                    (Relation::Equal, Operand::Constant(arch), Content::Word(4)) => Some(arch),
                    _ => before.arch,
                };
                reach(next + usize::from(holds), Known { arch, ..before });
                reach(next + usize::from(fails), before);
            }
            Op::Load(offset) => reach(next, Known { a: Content::Word(offset), ..before }),
            Op::Compute(Arithmetic::And, Operand::Constant(mask)) => {
                let a = match before.a {
                    Content::Word(offset) => Content::Masked(offset, mask),
                    Content::Masked(offset, other) => Content::Masked(offset, mask & other),
                    Content::Other => Content::Other,
                };
                reach(next, Known { a, ..before });
            }
            Op::Set(Register::A, _)
            | Op::Recall(Register::A, _)
            | Op::Move(Register::A)
            | Op::Negate
            | Op::Compute(..) => {
                reach(next, Known { a: Content::Other, ..before });
            }
            Op::Set(..) | Op::Recall(..) | Op::Move(_) | Op::Store(..) => reach(next, before),
        }
    }
    all
}

impl Known {
    fn describe(self, at: usize, op: Op) -> String {
        let operand = |operand| match operand {
            Operand::Constant(k) => number(k),
            Operand::Register => "X".to_owned(),
        };
        match op {
            Op::Load(offset) => format!("A = {}", word(offset)),
            Op::Set(to, k) => format!("{} = {}", to.as_str(), number(k)),
            Op::Recall(to, cell) => format!("{} = M[{cell}]", to.as_str()),
            Op::Store(from, cell) => format!("M[{cell}] = {}", from.as_str()),
            Op::Move(Register::A) => "A = X".to_owned(),
            Op::Move(Register::X) => "X = A".to_owned(),
            Op::Negate => "A = -A".to_owned(),
            Op::Compute(how, with) => format!("A {}= {}", how.as_str(), operand(with)),
            Op::Jump(over) => format!("goto {:04}", at + 1 + over as usize),
            Op::Branch { test, operand, holds, fails } => self.describe_branch(at + 1, test, operand, (holds, fails)),
            Op::Return(Operand::Register) => "return A".to_owned(),
            Op::Return(Operand::Constant(value)) => {
                let outcome = Outcome::from_ret(value);
                let known = outcome.to_ret() & 0xffff_0000 == value & 0xffff_0000;
                let note = if known { "" } else { ", for the action is unknown" };
                format!("return {outcome}{note}")
            }
        }
    }

    fn describe_branch(self, next: usize, test: Relation, operand: Operand, (holds, fails): (u8, u8)) -> String {
        let what = match self.a {
            Content::Word(offset) => word(offset),
            Content::Masked(offset, mask) => format!("({} & {})", word(offset), number(mask)),
            Content::Other => "A".to_owned(),
        };
        let with = match operand {
            Operand::Constant(k) => {
                number(k) + &self.name(k, test).map(|name| format!(" ({name})")).unwrap_or_default()
            }
            Operand::Register => "X".to_owned(),
        };
        // What goes on with the next instruction is not said.
        let negated = holds == 0 && fails != 0;
        let condition = match (test, negated) {
            (Relation::AnySet, false) => format!("{what} & {with}"),
            (Relation::AnySet, true) => format!("!({what} & {with})"),
            (Relation::Equal, false) => format!("{what} == {with}"),
            (Relation::Equal, true) => format!("{what} != {with}"),
            (Relation::Greater, false) => format!("{what} > {with}"),
            (Relation::Greater, true) => format!("{what} <= {with}"),
            (Relation::GreaterOrEqual, false) => format!("{what} >= {with}"),
            (Relation::GreaterOrEqual, true) => format!("{what} < {with}"),
        };
        let (holds, fails) = (next + usize::from(holds), next + usize::from(fails));
        match (negated, fails == next) {
            (true, _) => format!("if {condition} goto {fails:04}"),
            (false, true) => format!("if {condition} goto {holds:04}"),
            (false, false) => format!("if {condition} goto {holds:04} else {fails:04}"),
        }
    }

    /// What a number that the accumulator is compared with stands for.
    fn name(self, k: u32, test: Relation) -> Option<&'static str> {
        match self.a {
            Content::Word(4) => Abi::ALL.into_iter().find(|abi| audit_arch(*abi) == k).map(Abi::as_str),
            Content::Word(0) if test != Relation::AnySet => {
                let nr = k.cast_signed();
                let abi = Abi::ALL.into_iter().find(|abi| Some(audit_arch(*abi)) == self.arch)?;
                let x32 = abi == Abi::X86_64 && nr & X32_BIT != 0;
                // As the border of a range the marker means itself, and not a call.
                if x32 && test != Relation::Equal {
                    return None;
                }
                let (abi, nr) = if x32 { (Abi::X32, nr & !X32_BIT) } else { (abi, nr) };
                syscall::known_name(abi, SyscallNr(nr))
            }
            _ => None,
        }
    }
}

/// Small numbers as people count, others by their bits.
fn number(value: u32) -> String {
    if value < 4096 { value.to_string() } else { format!("{value:#x}") }
}

/// A word of `struct seccomp_data`.
fn word(offset: u32) -> String {
    let half = if offset & 4 == 0 { "low" } else { "high" };
    match offset {
        0 => "nr".to_owned(),
        4 => "arch".to_owned(),
        8 | 12 => format!("instruction_pointer.{half}"),
        _ => format!("arg{}.{half}", (offset - 16) / 8),
    }
}

impl Register {
    const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::X => "X",
        }
    }
}

impl Arithmetic {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::And => "&",
            Self::Or => "|",
            Self::Xor => "^",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
        }
    }
}
