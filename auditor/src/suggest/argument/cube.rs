//! From values that were seen to conditions that a profile can have.

use std::collections::BTreeSet;

use crate::evidence::argument::table::{Argument, Kind, Noted};
use crate::profile::{ArgCondition, Operator, Rule};
use crate::syscall::Abi;

/// Distinct values that are listed at most: each is a rule, and a filter has 4,096 instructions.
pub(super) const LISTED: usize = 32;

/// `SOCK_TYPE_MASK` in `include/linux/net.h`: above it are `SOCK_CLOEXEC` and `SOCK_NONBLOCK`, which are no types.
const SOCKET_TYPE: u64 = 0xf;

/// `PROT_EXEC`.
const EXECUTABLE: u64 = 4;

/// `argument & mask == value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cube {
    index: u32,
    mask: u64,
    value: u64,
}

/// Cubes that hold together.
pub(super) type All = Vec<Cube>;

/// One argument of a call by all ABIs by which it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) argument: &'static Argument,
    /// What the kernel takes of it, where it takes least.
    pub(super) bits: u32,
}

/// A condition and a cube together.
enum Joined {
    Condition(ArgCondition),
    /// No argument fits both.
    Never,
    /// No single condition says it.
    Inexpressible,
}

impl Cube {
    const fn holds(&self, argument: u64) -> bool {
        argument & self.mask == self.value
    }

    const fn condition(&self) -> ArgCondition {
        let Self { index, mask, value } = *self;
        if mask == u64::MAX {
            ArgCondition { index, value, value_two: 0, operator: Operator::Equal }
        } else {
            ArgCondition { index, value: mask, value_two: value, operator: Operator::MaskedEqual }
        }
    }

    fn join(&self, condition: &ArgCondition) -> Joined {
        let only = |cube: Self| Joined::Condition(cube.condition());
        let x = condition.value;
        match condition.operator {
            Operator::Equal if self.holds(x) => Joined::Condition(*condition),
            Operator::Equal => Joined::Never,
            Operator::MaskedEqual => {
                let two = condition.value_two & x;
                if (two ^ self.value) & x & self.mask != 0 {
                    return Joined::Never;
                }
                only(Self { mask: self.mask | x, value: self.value | two, ..*self })
            }
            Operator::NotEqual if !self.holds(x) => only(*self),
            Operator::NotEqual if self.mask == u64::MAX => Joined::Never,
            Operator::NotEqual => Joined::Inexpressible,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                let at = |argument: u64| {
                    let mut args = [0; 6];
                    args[0] = argument;
                    ArgCondition { index: 0, ..*condition }.holds(&args)
                };
                match (at(self.value), at(self.value | !self.mask)) {
                    (true, true) => only(*self),
                    (false, false) => Joined::Never,
                    _ => Joined::Inexpressible,
                }
            }
        }
    }
}

/// The rule for these alternatives alone; `None` where a profile cannot say it.
pub(super) fn narrowed(rule: &Rule, name: &str, alternatives: &[All]) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    for part in parts(rule) {
        for all in alternatives {
            let mut args = part.clone();
            let mut never = false;
            for cube in all {
                match args.iter_mut().find(|arg| arg.index == cube.index) {
                    None => args.push(cube.condition()),
                    Some(arg) => match cube.join(arg) {
                        Joined::Condition(both) => *arg = both,
                        Joined::Never => never = true,
                        Joined::Inexpressible => return None,
                    },
                }
            }
            args.sort_unstable();
            let one = Rule { names: vec![name.to_owned()], args, ..rule.clone() };
            if !never && !rules.contains(&one) {
                rules.push(one);
            }
        }
    }
    Some(rules)
}

/// Two conditions on one argument make runc take each condition for a rule of its own.
fn parts(rule: &Rule) -> Vec<Vec<ArgCondition>> {
    let indices: BTreeSet<u32> = rule.args.iter().map(|arg| arg.index).collect();
    if indices.len() == rule.args.len() {
        vec![rule.args.clone()]
    } else {
        rule.args.chunks(1).map(<[ArgCondition]>::to_vec).collect()
    }
}

/// Alternatives that all values fit, the tightest first, each with what it leaves out.
pub(super) fn ladder(name: &str, registers: &[Register], seen: &BTreeSet<[u64; 2]>) -> Vec<(Vec<All>, Option<String>)> {
    let mut ladder = Vec::new();
    let mut left_out = None;
    for count in (1..=registers.len()).rev() {
        let registers = &registers[..count];
        match alternatives(name, registers, seen) {
            Ok(alternatives) => ladder.push((alternatives, left_out.take())),
            Err(Open::Many(values)) => {
                let what: Vec<&str> = registers.iter().map(|register| register.argument.name).collect();
                left_out = Some(format!("{values} different values of {} were seen", what.join(" with ")));
                continue;
            }
            Err(Open::Executable) => left_out = Some("memory was made executable".to_owned()),
            Err(Open::Everything) => left_out = Some("every bit was seen".to_owned()),
        }
        left_out.get_or_insert_with(|| "no rules say that beside those that the profile has".to_owned());
    }
    ladder.push((Vec::new(), left_out));
    ladder
}

/// Why there is nothing to forbid.
enum Open {
    Many(usize),
    Executable,
    Everything,
}

fn alternatives(name: &str, registers: &[Register], seen: &BTreeSet<[u64; 2]>) -> Result<Vec<All>, Open> {
    let values: BTreeSet<All> = seen
        .iter()
        .map(|pair| registers.iter().zip(pair).map(|(register, value)| cube(name, *register, *value)).collect())
        .collect();
    match registers {
        [Register { argument: Argument { kind: Kind::Flags, index, .. }, .. }] => {
            let all = seen.iter().fold(0, |all, [flags, _]| all | flags);
            // No call has flags above the lower half; one that takes the whole register refuses them itself.
            let mask = !all & u64::from(u32::MAX);
            if mask == 0 {
                Err(Open::Everything)
            } else {
                Ok(vec![vec![Cube { index: u32::from(*index), mask, value: 0 }]])
            }
        }
        [Register { argument: Argument { kind: Kind::Protection, index, .. }, .. }] => {
            if seen.iter().any(|[protection, _]| protection & EXECUTABLE != 0) {
                return Err(Open::Executable);
            }
            Ok(vec![vec![Cube { index: u32::from(*index), mask: EXECUTABLE, value: 0 }]])
        }
        _ if values.len() > LISTED => Err(Open::Many(values.len())),
        _ => Ok(values.into_iter().collect()),
    }
}

/// What conditions tell apart of the values that a call was made with: each flag, whether memory is executable, and else
/// the value as far as it is compared.
pub(in crate::suggest) fn told_apart(noted: &'static Noted, abi: Abi, value: &[u64; 2]) -> Vec<[u64; 2]> {
    match noted.first.kind {
        Kind::Pointer { .. } => Vec::new(),
        Kind::Flags => {
            (0..u32::BITS).map(|bit| 1 << bit).filter(|flag| value[0] & flag != 0).map(|flag| [flag, 0]).collect()
        }
        Kind::Protection if value[0] & EXECUTABLE == 0 => Vec::new(),
        Kind::Protection => vec![[EXECUTABLE, 0]],
        Kind::Operation => {
            let mut part = [0; 2];
            for ((place, argument), value) in part.iter_mut().zip(noted.arguments()).zip(value) {
                *place = cube(noted.name, Register { argument, bits: argument.width.bits(abi) }, *value).value;
            }
            vec![part]
        }
    }
}

fn cube(name: &str, register: Register, value: u64) -> Cube {
    let Register { argument, bits } = register;
    let width = if bits >= u64::BITS { u64::MAX } else { u64::from(u32::MAX) };
    let mask = match (name, argument.name) {
        ("socket" | "socketpair", "type") => SOCKET_TYPE,
        _ => width,
    };
    Cube { index: u32::from(argument.index), mask, value: value & mask }
}
