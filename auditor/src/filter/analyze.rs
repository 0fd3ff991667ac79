//! What a filter answers to a call number, for all arguments at once.
//!
//! The program is executed with words whose bits are conditions on the arguments. Where a jump depends on arguments both
//! ways are taken and joined; a state that was met before is not explored again. Nothing is approximated: the
//! instruction pointer too is made of variables, and only if the answer depends on them it is [`Unknown`].

use std::collections::HashMap;
use std::rc::Rc;

use super::diagram::{BITS, Diagram, Diagrams, FALSE, Node, POINTER, TRUE, TooComplex};
use super::instruction::{Arithmetic, Op, Operand, Register};
use super::program::{CELLS, Program};
use super::word::Word;
use super::{Outcome, SeccompData, argument_of};
use crate::syscall::{Abi, SyscallNr};

/// Why a filter's answer cannot be told as a function of the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The function would be too large.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    /// Who makes the call from where decides.
    #[error("the filter decides by where in the program the call is made")]
    InstructionPointer,
}

impl Program {
    /// What happens to a call where this is the only filter, as a function of its arguments. The arguments are the
    /// registers as the filter sees them: also of a 32-bit ABI 64 bits wide.
    ///
    /// # Errors
    ///
    /// Where that depends on something else, or is too intertwined to be told within bounds.
    pub fn analyze(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<Diagram, Unknown> {
        diagrams.refresh();
        let value = self.explore(diagrams, abi, nr)?;
        diagrams.conclude(value)
    }

    /// The raw values, which may depend on the instruction pointer.
    pub(super) fn explore(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<Node, TooComplex> {
        let zero = || Word::Constant(0);
        let start = State { at: 0, a: zero(), x: zero(), memory: Rc::new([const { Word::Constant(0) }; CELLS]) };
        let call = SeccompData::new(abi, nr, [0; 6]);
        Exploration { program: self, call, uses: uses(&self.ops), diagrams, known: HashMap::new(), executed: 0 }
            .run(start)
    }
}

impl Diagrams {
    /// What the kernel makes of raw values.
    pub(super) fn conclude(&mut self, value: Node) -> Result<Diagram, Unknown> {
        let value = self.apply(value, value, |value, _| Outcome::from_ret(value).to_ret())?;
        let by_pointer = |node: &Node| (POINTER..POINTER + BITS).contains(&self.variable(*node));
        if self.reachable(value).iter().any(by_pointer) {
            return Err(Unknown::InstructionPointer);
        }
        Ok(Diagram(value))
    }
}

/// Where the program is, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    at: usize,
    a: Word,
    x: Word,
    memory: Rc<[Word; CELLS]>,
}

/// A jump that depends on arguments, and is not done with.
struct Fork {
    from: State,
    condition: Node,
    then: Option<Node>,
    otherwise: Option<State>,
}

struct Exploration<'a> {
    program: &'a Program,
    call: SeccompData,
    uses: Vec<u32>,
    diagrams: &'a mut Diagrams,
    known: HashMap<State, Node>,
    executed: u32,
}

const INSTRUCTIONS_A_STEP: u32 = 16;

/// How a straight piece of program ends.
enum End {
    Value(Node),
    /// With both ways, or with a value and one way.
    Fork(Fork, State),
}

impl Exploration<'_> {
    fn run(mut self, start: State) -> Result<Node, TooComplex> {
        let mut open: Vec<Fork> = Vec::new();
        let mut state = start;
        loop {
            let mut value = match self.straight(state)? {
                End::Value(value) => value,
                End::Fork(fork, next) => {
                    open.push(fork);
                    state = next;
                    continue;
                }
            };
            state = loop {
                let Some(mut fork) = open.pop() else { return Ok(value) };
                if let Some(next) = fork.otherwise.take() {
                    fork.then = Some(value);
                    open.push(fork);
                    break next;
                }
                value = self.diagrams.choose(fork.condition, fork.then.unwrap_or(value), value)?;
                self.known.insert(fork.from, value);
            };
        }
    }

    /// Goes on until the end or a jump that depends on arguments.
    fn straight(&mut self, mut state: State) -> Result<End, TooComplex> {
        loop {
            // Most instructions are constants meeting constants: many of them are one step of work.
            self.executed += 1;
            if self.executed.is_multiple_of(INSTRUCTIONS_A_STEP) {
                self.diagrams.step()?;
            }
            let Some(op) = self.program.ops.get(state.at).copied() else { return Ok(End::Value(FALSE)) };
            state.at += 1;
            match op {
                Op::Load(offset) => state.a = self.load(offset)?,
                Op::Set(register, k) => *state.register(register) = Word::Constant(k),
                Op::Recall(register, cell) => *state.register(register) = state.memory[cell as usize].clone(),
                Op::Store(register, cell) => {
                    let word = state.register(register).clone();
                    Rc::make_mut(&mut state.memory)[cell as usize] = word;
                }
                Op::Move(Register::A) => state.a = state.x.clone(),
                Op::Move(Register::X) => state.x = state.a.clone(),
                Op::Negate => state.a = Word::Constant(0).compute(self.diagrams, Arithmetic::Subtract, &state.a)?,
                Op::Compute(Arithmetic::Divide, operand) => {
                    let quotient = state.a.divide(self.diagrams, &state.operand(operand))?;
                    match quotient.by_zero {
                        FALSE => state.a = quotient.value,
                        TRUE => return Ok(End::Value(FALSE)),
                        condition => {
                            let from = self.key(&state);
                            if let Some(value) = self.known.get(&from) {
                                return Ok(End::Value(*value));
                            }
                            state.a = quotient.value;
                            return Ok(End::Fork(Fork { from, condition, then: Some(FALSE), otherwise: None }, state));
                        }
                    }
                }
                Op::Compute(how, operand) => {
                    state.a = state.a.compute(self.diagrams, how, &state.operand(operand))?;
                }
                Op::Jump(over) => state.at += over as usize,
                Op::Branch { test, operand, holds, fails } => {
                    let condition = state.a.relate(self.diagrams, test, &state.operand(operand))?;
                    let (holds, fails) = (state.at + usize::from(holds), state.at + usize::from(fails));
                    match condition {
                        TRUE => state.at = holds,
                        FALSE => state.at = fails,
                        _ if holds == fails => state.at = holds,
                        condition => {
                            let from = self.key(&state);
                            if let Some(value) = self.known.get(&from) {
                                return Ok(End::Value(*value));
                            }
                            let (then, otherwise) =
                                (State { at: holds, ..from.clone() }, State { at: fails, ..from.clone() });
                            let fork = Fork { from, condition, then: None, otherwise: Some(otherwise) };
                            return Ok(End::Fork(fork, then));
                        }
                    }
                }
                Op::Return(operand) => {
                    let word = if operand == Operand::Register { state.a } else { state.operand(operand) };
                    return self.values(&word).map(End::Value);
                }
            }
        }
    }

    fn load(&mut self, offset: u32) -> Result<Word, TooComplex> {
        // Of each pair of words the lower half comes first, of the variables the highest bit.
        let highest = |first: u16| if offset & 4 == 0 { first + 32 } else { first };
        match offset {
            0 | 4 => Ok(Word::Constant(self.call.word(offset))),
            _ => {
                let argument = argument_of(offset).and_then(|index| u16::try_from(index).ok());
                Word::variables(self.diagrams, highest(argument.map_or(POINTER, |index| index * BITS)))
            }
        }
    }

    /// The state before the last instruction, without what no instruction from there on reads: so more are the same.
    fn key(&self, state: &State) -> State {
        let mut key = State { at: state.at - 1, ..state.clone() };
        let uses = self.uses[key.at];
        let State { a, x, memory, .. } = &mut key;
        for (bit, word) in [a, x].into_iter().chain(Rc::make_mut(memory)).enumerate() {
            if uses >> bit & 1 == 0 {
                *word = Word::Constant(0);
            }
        }
        key
    }

    /// A word as the leaves of a diagram.
    fn values(&mut self, word: &Word) -> Result<Node, TooComplex> {
        if let Word::Constant(value) = word {
            return self.diagrams.leaf(*value);
        }
        let mut result = FALSE;
        for (at, bit) in word.bits().into_iter().enumerate() {
            result = self.diagrams.apply(result, bit, |value, bit| value | bit << at)?;
        }
        Ok(result)
    }
}

impl State {
    const fn register(&mut self, register: Register) -> &mut Word {
        match register {
            Register::A => &mut self.a,
            Register::X => &mut self.x,
        }
    }

    fn operand(&self, operand: Operand) -> Word {
        match operand {
            Operand::Constant(k) => Word::Constant(k),
            Operand::Register => self.x.clone(),
        }
    }
}

const A: u32 = 1 << 0;
const X: u32 = 1 << 1;

const fn register(register: Register) -> u32 {
    match register {
        Register::A => A,
        Register::X => X,
    }
}

const fn operand(operand: Operand) -> u32 {
    match operand {
        Operand::Constant(_) => 0,
        Operand::Register => X,
    }
}

const fn cell(cell: u32) -> u32 {
    1 << (cell + 2)
}

/// For each instruction what it and those behind it read before they write it: A, X, and the scratch words, a bit each.
fn uses(ops: &[Op]) -> Vec<u32> {
    let mut uses = vec![0; ops.len() + 1];
    for (at, op) in ops.iter().enumerate().rev() {
        let after = |over: usize| uses.get(at + 1 + over).copied().unwrap_or(0);
        let next = after(0);
        uses[at] = match *op {
            Op::Load(_) => next & !A,
            Op::Set(to, _) => next & !register(to),
            Op::Recall(to, from) => next & !register(to) | cell(from),
            Op::Store(from, to) => next & !cell(to) | register(from),
            Op::Move(Register::A) => next & !A | X,
            Op::Move(Register::X) => next & !X | A,
            Op::Negate => next | A,
            Op::Compute(_, with) => next | A | operand(with),
            Op::Jump(over) => after(over as usize),
            Op::Branch { operand: with, holds, fails, .. } => {
                after(usize::from(holds)) | after(usize::from(fails)) | A | operand(with)
            }
            Op::Return(Operand::Register) => A,
            Op::Return(Operand::Constant(_)) => 0,
        };
    }
    uses
}
