//! A 32-bit word whose bits are conditions on the arguments, and arithmetic with it.

use std::array;
use std::rc::Rc;

use super::diagram::{Diagrams, FALSE, Node, TRUE, TooComplex};
use super::instruction::{Arithmetic, Relation};

/// A register or a scratch word, for all arguments at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Constant(u32),
    /// The lowest bit first; at least one is no constant.
    Bits(Rc<Bits>),
}

type Bits = [Node; 32];

/// A quotient, and the condition under which there is none.
pub(super) struct Quotient {
    pub(super) value: Word,
    pub(super) by_zero: Node,
}

impl Word {
    /// A word of plain variables; that of the highest bit comes first.
    pub(super) fn variables(diagrams: &mut Diagrams, highest: u16) -> Result<Self, TooComplex> {
        let mut bits = [FALSE; 32];
        for (bit, variable) in bits.iter_mut().rev().zip(highest..) {
            *bit = diagrams.node(variable, FALSE, TRUE)?;
        }
        Ok(Self::of(bits))
    }

    fn of(bits: Bits) -> Self {
        if bits.iter().any(|bit| ![FALSE, TRUE].contains(bit)) {
            return Self::Bits(Rc::new(bits));
        }
        Self::Constant(bits.iter().rev().fold(0, |value, bit| value << 1 | u32::from(*bit == TRUE)))
    }

    pub(super) fn bits(&self) -> Bits {
        match self {
            Self::Constant(value) => array::from_fn(|bit| if value >> bit & 1 == 1 { TRUE } else { FALSE }),
            Self::Bits(bits) => **bits,
        }
    }

    /// Everything but a division.
    pub(super) fn compute(&self, diagrams: &mut Diagrams, how: Arithmetic, other: &Self) -> Result<Self, TooComplex> {
        if let (Self::Constant(a), Self::Constant(b)) = (self, other)
            && let Some(value) = how.apply(*a, *b)
        {
            return Ok(Self::Constant(value));
        }
        let (a, b) = (self.bits(), other.bits());
        let result = match how {
            Arithmetic::Add => add(diagrams, &a, &b, FALSE)?.0,
            Arithmetic::Subtract => subtract(diagrams, &a, &b)?.0,
            Arithmetic::Multiply => multiply(diagrams, &a, &b)?,
            Arithmetic::Divide => divide(diagrams, &a, &b)?,
            Arithmetic::And => bitwise(diagrams, &a, &b, Diagrams::and)?,
            Arithmetic::Or => bitwise(diagrams, &a, &b, Diagrams::or)?,
            Arithmetic::Xor => bitwise(diagrams, &a, &b, Diagrams::xor)?,
            Arithmetic::ShiftLeft => shift(diagrams, a, &b, |bits, by| array::from_fn(|at| shifted(bits, at, -by)))?,
            Arithmetic::ShiftRight => shift(diagrams, a, &b, |bits, by| array::from_fn(|at| shifted(bits, at, by)))?,
        };
        Ok(Self::of(result))
    }

    /// The quotient; what it is where the divisor is zero means nothing.
    pub(super) fn divide(&self, diagrams: &mut Diagrams, by: &Self) -> Result<Quotient, TooComplex> {
        let by_zero = by.relate(diagrams, Relation::Equal, &Self::Constant(0))?;
        let value = if by_zero == TRUE { Self::Constant(0) } else { self.compute(diagrams, Arithmetic::Divide, by)? };
        Ok(Quotient { value, by_zero })
    }

    /// The condition under which a comparison holds.
    pub(super) fn relate(&self, diagrams: &mut Diagrams, how: Relation, other: &Self) -> Result<Node, TooComplex> {
        if let (Self::Constant(a), Self::Constant(b)) = (self, other) {
            return Ok(if how.holds(*a, *b) { TRUE } else { FALSE });
        }
        let (a, b) = (self.bits(), other.bits());
        // From the lowest bit, which is asked last, so that every step adds at the top.
        let mut result = match how {
            Relation::Equal | Relation::GreaterOrEqual => TRUE,
            Relation::Greater | Relation::AnySet => FALSE,
        };
        for (a, b) in a.into_iter().zip(b) {
            result = match how {
                Relation::AnySet => {
                    let both = diagrams.and(a, b)?;
                    diagrams.or(both, result)?
                }
                Relation::Equal => {
                    let differ = diagrams.xor(a, b)?;
                    diagrams.choose(differ, FALSE, result)?
                }
                Relation::Greater | Relation::GreaterOrEqual => {
                    let differ = diagrams.xor(a, b)?;
                    diagrams.choose(differ, a, result)?
                }
            };
        }
        Ok(result)
    }
}

fn bitwise(
    diagrams: &mut Diagrams,
    a: &Bits,
    b: &Bits,
    how: impl Fn(&mut Diagrams, Node, Node) -> Result<Node, TooComplex>,
) -> Result<Bits, TooComplex> {
    let mut result = [FALSE; 32];
    for (bit, (a, b)) in result.iter_mut().zip(a.iter().zip(b)) {
        *bit = how(diagrams, *a, *b)?;
    }
    Ok(result)
}

/// The sum, and the carry out of it.
fn add(diagrams: &mut Diagrams, a: &Bits, b: &Bits, carry: Node) -> Result<(Bits, Node), TooComplex> {
    let mut result = [FALSE; 32];
    let mut carry = carry;
    for (bit, (a, b)) in result.iter_mut().zip(a.iter().zip(b)) {
        let differ = diagrams.xor(*a, *b)?;
        *bit = diagrams.xor(differ, carry)?;
        carry = diagrams.choose(differ, carry, *a)?;
    }
    Ok((result, carry))
}

/// The difference, and whether there was no borrow: a >= b.
fn subtract(diagrams: &mut Diagrams, a: &Bits, b: &Bits) -> Result<(Bits, Node), TooComplex> {
    let mut complement = [FALSE; 32];
    for (bit, b) in complement.iter_mut().zip(b) {
        *bit = diagrams.not(*b)?;
    }
    add(diagrams, a, &complement, TRUE)
}

fn multiply(diagrams: &mut Diagrams, a: &Bits, b: &Bits) -> Result<Bits, TooComplex> {
    // Constant bits cost nothing: those of the factor that has more of them choose what is added.
    let constants = |bits: &Bits| bits.iter().filter(|bit| [FALSE, TRUE].contains(bit)).count();
    let (a, b) = if constants(a) > constants(b) { (b, a) } else { (a, b) };
    let mut result = [FALSE; 32];
    for (by, factor) in (0..).zip(b) {
        if *factor != FALSE {
            let mut part: Bits = array::from_fn(|at| shifted(a, at, -by));
            for bit in &mut part {
                *bit = diagrams.and(*factor, *bit)?;
            }
            result = add(diagrams, &result, &part, FALSE)?.0;
        }
    }
    Ok(result)
}

/// By hand, bit by bit from the highest.
fn divide(diagrams: &mut Diagrams, a: &Bits, b: &Bits) -> Result<Bits, TooComplex> {
    let mut quotient = [FALSE; 32];
    let mut rest = [FALSE; 32];
    for at in (0..32).rev() {
        // It never has more bits than were taken from the dividend, so none is lost.
        rest = array::from_fn(|bit| if bit == 0 { a[at] } else { rest[bit - 1] });
        let (less, fits) = subtract(diagrams, &rest, b)?;
        quotient[at] = fits;
        for (bit, less) in rest.iter_mut().zip(less) {
            *bit = diagrams.choose(fits, less, *bit)?;
        }
    }
    Ok(quotient)
}

/// By the lower five bits of a word.
fn shift(
    diagrams: &mut Diagrams,
    mut a: Bits,
    by: &Bits,
    shifted: impl Fn(&Bits, i32) -> Bits,
) -> Result<Bits, TooComplex> {
    for (bit, by) in by.iter().take(5).enumerate() {
        let moved = shifted(&a, 1 << bit);
        for (bit, moved) in a.iter_mut().zip(moved) {
            *bit = diagrams.choose(*by, moved, *bit)?;
        }
    }
    Ok(a)
}

/// The bit that is some places higher, or zero.
fn shifted(bits: &Bits, at: usize, by: i32) -> Node {
    let from = i32::try_from(at).ok().and_then(|at| usize::try_from(at + by).ok());
    from.and_then(|from| bits.get(from)).copied().unwrap_or(FALSE)
}
