//! Holds a profile with conditions against the one without, for all arguments at once.

use std::collections::BTreeSet;

use crate::evidence::{Arguments, argument::table::noted};
use crate::filter::{Comparison, Diagram, Diagrams, Outcome, Test};
use crate::profile::{Entry, Policy, Undetermined, doors, reach};
use crate::syscall::{self, Abi, SyscallNr};

/// What is asked of the conditions on a call.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) name: &'a str,
    /// What was done before the conditions.
    pub(super) before: &'a Policy,
    /// And with them.
    pub(super) after: &'a Policy,
    /// Calls that were made, with what: each must pass as before.
    pub(super) seen: &'a Arguments,
    /// Calls that were made at all.
    pub(super) made: &'a BTreeSet<(Abi, SyscallNr)>,
    /// What the runtime makes its calls with: that must pass as before, too.
    pub(super) given: &'a Arguments,
}

impl Question<'_> {
    /// Whether nothing more is let through, all that was seen passes, and no other call is touched.
    pub(super) fn holds(&self) -> bool {
        let mut others = self.conditional().filter(|(abi, nr)| syscall::number(*abi, self.name) != Some(*nr));
        self.holds_for_the_name() && others.all(|call| self.other(call).unwrap_or(false))
    }

    /// Whether of the call itself nothing more is let through, and all that was seen passes.
    pub(super) fn holds_for_the_name(&self) -> bool {
        Abi::ALL.into_iter().filter_map(|abi| Some((abi, syscall::number(abi, self.name)?))).all(|call| self.call(call))
    }

    /// Calls that are decided by their arguments, before or after.
    fn conditional(&self) -> impl Iterator<Item = (Abi, SyscallNr)> + '_ {
        self.before.abis().flat_map(|abi| syscall::all(abi).map(move |(nr, _)| (abi, nr))).filter(|(abi, nr)| {
            let is_conditional = |policy: &Policy| matches!(*policy.entry(*abi, *nr), Entry::Chains(_));
            is_conditional(self.before) || is_conditional(self.after)
        })
    }

    fn call(&self, (abi, nr): (Abi, SyscallNr)) -> bool {
        if self.before.entry(abi, nr) == self.after.entry(abi, nr) {
            return true;
        }
        let call = (abi, nr);
        let passes = |values| passes_as_seen(self.before, self.after, call, values);
        is_within(self.after, self.before, abi, nr)
            && (!self.made.contains(&call) || passes(self.seen))
            && (!self.given.calls.contains_key(&call) || passes(self.given))
    }

    /// What comes through a multiplexed call may be less than before, unless it was seen.
    fn other(&self, (abi, nr): (Abi, SyscallNr)) -> Result<bool, Undetermined> {
        let mut diagrams = Diagrams::new();
        let before = self.before.diagram(&mut diagrams, abi, nr);
        let after = self.after.diagram(&mut diagrams, abi, nr);
        match (before, after) {
            (Err(_), Err(_)) => Ok(self.before.entry(abi, nr) == self.after.entry(abi, nr)),
            (before, after) if doors(abi).contains(&nr) && !self.made.contains(&(abi, nr)) => {
                Ok(within(&diagrams, after?, before?))
            }
            (before, after) => Ok(before? == after?),
        }
    }
}

/// Whether a policy lets nothing through that another does not, for all arguments of a call.
pub(in crate::suggest) fn is_within(one: &Policy, other: &Policy, abi: Abi, nr: SyscallNr) -> bool {
    let mut diagrams = Diagrams::new();
    let both = one.diagram(&mut diagrams, abi, nr).and_then(|one| Ok((one, other.diagram(&mut diagrams, abi, nr)?)));
    both.is_ok_and(|(one, other)| within(&diagrams, one, other))
}

/// Whether every value that was seen of a call passes as it did.
pub(in crate::suggest) fn passes_as_seen(
    before: &Policy,
    after: &Policy,
    (abi, nr): (Abi, SyscallNr),
    seen: &Arguments,
) -> bool {
    let Some(values) = seen.calls.get(&(abi, nr)) else { return false };
    let mut diagrams = Diagrams::new();
    let passes = |diagrams: &mut Diagrams| -> Result<bool, Undetermined> {
        let (old, new) = (before.diagram(diagrams, abi, nr)?, after.diagram(diagrams, abi, nr)?);
        for value in values.seen.keys() {
            let wanted = with_values(diagrams, old, abi, nr, value)?;
            if !within(diagrams, wanted, new) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    passes(&mut diagrams).unwrap_or(false)
}

/// Everything that the one lets through the other lets through too.
fn within(diagrams: &Diagrams, one: Diagram, other: Diagram) -> bool {
    diagrams.pair_witness(one, other, |one, other| reach(one.action) > reach(other.action)).is_none()
}

/// The same function where the noted registers have these values; else nothing passes.
pub(super) fn with_values(
    diagrams: &mut Diagrams,
    of: Diagram,
    abi: Abi,
    nr: SyscallNr,
    values: &[u64; 2],
) -> Result<Diagram, Undetermined> {
    let refused = diagrams.constant(Outcome::errno(1))?;
    let mut result = of;
    let registers = noted(abi, nr).into_iter().flat_map(|noted| noted.arguments());
    for (register, value) in registers.zip(values) {
        let test = Test { argument: register.index, mask: u64::MAX, comparison: Comparison::Equal, value: *value };
        result = diagrams.test(test, result, refused)?;
    }
    Ok(result)
}
