//! One condition on one argument, in the most general form that profiles and filters have.

use std::fmt;

use crate::profile::{ArgCondition, Operator};

/// How a masked argument is compared; unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// As it is written in most languages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// What holds where this one does not.
    #[must_use]
    pub const fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }
}

/// `argument & mask COMPARISON value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Test {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// What is looked at of it; all ones for the whole argument.
    pub mask: u64,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

impl Test {
    /// Whether it holds. An argument that no call has is zero.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let argument = args.get(usize::from(self.argument)).copied().unwrap_or(0) & self.mask;
        match self.comparison {
            Comparison::Equal => argument == self.value,
            Comparison::NotEqual => argument != self.value,
            Comparison::Less => argument < self.value,
            Comparison::LessOrEqual => argument <= self.value,
            Comparison::Greater => argument > self.value,
            Comparison::GreaterOrEqual => argument >= self.value,
        }
    }
}

impl From<&ArgCondition> for Test {
    /// A profile's condition, as libseccomp makes it: of a masked comparison's value only what is under the mask counts
    /// (`_db_node_mask_fixup` in db.c).
    fn from(condition: &ArgCondition) -> Self {
        let whole = |comparison| (u64::MAX, comparison, condition.value);
        let (mask, comparison, value) = match condition.operator {
            Operator::NotEqual => whole(Comparison::NotEqual),
            Operator::Less => whole(Comparison::Less),
            Operator::LessOrEqual => whole(Comparison::LessOrEqual),
            Operator::Equal => whole(Comparison::Equal),
            Operator::GreaterOrEqual => whole(Comparison::GreaterOrEqual),
            Operator::Greater => whole(Comparison::Greater),
            Operator::MaskedEqual => (condition.value, Comparison::Equal, condition.value_two & condition.value),
        };
        // A runtime refuses an index above 5 long before this.
        Self { argument: u8::try_from(condition.index).unwrap_or(u8::MAX), mask, comparison, value }
    }
}

impl fmt::Display for Test {
    /// `arg0 & 0x7e020000 == 0`; numbers from 4096 on in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arg{}", self.argument)?;
        if self.mask != u64::MAX {
            write!(f, " & {:#x}", self.mask)?;
        }
        write!(f, " {} ", self.comparison.as_str())?;
        if self.value < 4096 { write!(f, "{}", self.value) } else { write!(f, "{:#x}", self.value) }
    }
}
