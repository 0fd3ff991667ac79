//! Comparisons of 32-bit halves of arguments: all that a filter can do.

use super::{ArgCondition, Operator};

/// How a half is compared. libseccomp has no others: `!=`, `<` and `<=` are `==`, `>=` and `>` with their branches
/// swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    MaskedEqual,
    Greater,
    GreaterOrEqual,
}

/// One comparison (`struct db_arg_chain_tree` in libseccomp's db.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) index: u32,
    /// The upper half of a 64-bit argument.
    pub(super) high: bool,
    pub(super) compare: Compare,
    pub(super) mask: u32,
    pub(super) value: u32,
    /// The value of the condition that it comes from, whole.
    pub(super) whole: u64,
    /// The operator of that condition.
    operator: Operator,
}

impl Half {
    /// For a 64-bit ABI, what is asked first: of the upper half whether it is equal, or for an order, greater.
    pub(super) fn of_high(condition: &ArgCondition) -> Self {
        let compare = match condition.operator {
            operator if is_order(operator) => Compare::Greater,
            operator => compare(operator),
        };
        Self::of(condition, true, compare)
    }

    /// For an order in a 64-bit ABI, what is asked of an upper half that is not greater.
    pub(super) fn of_high_equal(condition: &ArgCondition) -> Option<Self> {
        is_order(condition.operator).then(|| Self::of(condition, true, Compare::Equal))
    }

    /// What is asked of the lower half.
    pub(super) fn of_low(condition: &ArgCondition) -> Self {
        Self::of(condition, false, compare(condition.operator))
    }

    fn of(condition: &ArgCondition, high: bool, compare: Compare) -> Self {
        let (mask, whole) = mask_and_value(condition);
        let mask = half_of(mask, high);
        let value = half_of(whole, high) & mask;
        Self { index: condition.index, high, compare, mask, value, whole, operator: condition.operator }
    }

    /// The same comparison (`_db_chain_eq`).
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place()
            && (self.compare, self.mask, self.value) == (other.compare, other.mask, other.value)
    }

    /// It comes after the other one on their level (`_db_chain_lt`: the level falls).
    pub(super) fn is_after(&self, other: &Self) -> bool {
        let rank = |half: &Self| (half.place(), half.urgency());
        if rank(self) != rank(other) {
            return rank(self) < rank(other);
        }
        match self.operator {
            Operator::Less | Operator::LessOrEqual => self.value > other.value,
            _ => self.value < other.value,
        }
    }

    fn place(&self) -> (u32, bool) {
        (self.index, self.high)
    }

    /// Exact comparisons come first, then upper bounds, then lower ones.
    const fn urgency(&self) -> u8 {
        match self.operator {
            Operator::MaskedEqual | Operator::Equal | Operator::NotEqual => 3,
            Operator::LessOrEqual | Operator::Less => 2,
            Operator::GreaterOrEqual | Operator::Greater => 1,
        }
    }
}

const fn is_order(operator: Operator) -> bool {
    !matches!(operator, Operator::Equal | Operator::NotEqual | Operator::MaskedEqual)
}

const fn compare(operator: Operator) -> Compare {
    match operator {
        Operator::Equal | Operator::NotEqual => Compare::Equal,
        Operator::MaskedEqual => Compare::MaskedEqual,
        Operator::Greater | Operator::LessOrEqual => Compare::Greater,
        Operator::GreaterOrEqual | Operator::Less => Compare::GreaterOrEqual,
    }
}

const fn mask_and_value(condition: &ArgCondition) -> (u64, u64) {
    match condition.operator {
        Operator::MaskedEqual => (condition.value, condition.value_two),
        _ => (u64::MAX, condition.value),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn half_of(value: u64, high: bool) -> u32 {
    if high { (value >> 32) as u32 } else { value as u32 }
}
