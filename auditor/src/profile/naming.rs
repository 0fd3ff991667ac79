//! Which rules of a profile are about a call, and which of them hold for its arguments.

use std::collections::BTreeSet;

use super::evaluate::{chains, same_action};
use super::multiplex::door;
use super::policy::Chain;
use super::{Action, ArgCondition, Decision, Entry, Operator, Policy, Profile};
use crate::syscall::{self, Abi, SyscallNr};

/// A rule that names a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Its place in the profile's rules.
    pub rule: usize,
    /// The name by which it does: the call's own, or that of a call that comes through this one's door.
    pub name: String,
    /// What it does.
    pub decision: Decision,
    /// Whether it has conditions on arguments.
    pub conditional: bool,
    /// Whether they hold.
    pub holds: bool,
    /// Whether the runtime passes over it, for it does what is done anyway.
    pub idle: bool,
}

impl ArgCondition {
    /// Whether it holds, the arguments being those of a wide ABI or cut to 32 bits as the condition is.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let argument = usize::try_from(self.index).ok().and_then(|index| args.get(index)).copied().unwrap_or(0);
        match self.operator {
            Operator::NotEqual => argument != self.value,
            Operator::Less => argument < self.value,
            Operator::LessOrEqual => argument <= self.value,
            Operator::Equal => argument == self.value,
            Operator::GreaterOrEqual => argument >= self.value,
            Operator::Greater => argument > self.value,
            Operator::MaskedEqual => argument & self.value == self.value_two & self.value,
        }
    }
}

impl Profile {
    /// The rules that name a call, in their order.
    #[must_use]
    pub fn rules_naming(&self, abi: Abi, nr: SyscallNr, args: &[u64; 6]) -> Vec<Naming> {
        let rules = self.rules.iter().enumerate();
        let names = rules.flat_map(|(at, rule)| rule.names.iter().map(move |name| (at, name)));
        names.filter_map(|(at, name)| self.naming(at, name, (abi, nr), args)).collect()
    }

    /// One of them: what a rule does by one of its names, if that is about the call.
    pub(super) fn naming(&self, at: usize, name: &str, (abi, nr): (Abi, SyscallNr), args: &[u64; 6]) -> Option<Naming> {
        let inside = door(abi, name).filter(|(door, _)| *door == nr);
        let meant = match inside {
            Some((_, number)) => args[0] == number,
            None => syscall::number(abi, name) == Some(nr),
        };
        let rule = self.rules.get(at).filter(|_| meant)?;
        let holds = |chain: &Chain| match inside {
            Some(_) => chain.conditions.iter().all(|one| one.index == 0 || one.holds(args)),
            None => chain.conditions.iter().all(|condition| condition.holds(args)),
        };
        let chains = chains(rule, abi);
        Some(Naming {
            rule: at,
            name: name.to_owned(),
            decision: chains.first()?.outcome.decision(),
            conditional: inside.is_some() || chains.iter().any(|chain| !chain.conditions.is_empty()),
            holds: chains.iter().any(holds),
            idle: same_action((rule.action, rule.errno), (self.default_action, self.default_errno)),
        })
    }
}

impl Policy {
    /// Which arguments of a call the filter looks at.
    #[must_use]
    pub fn compared_arguments(&self, abi: Abi, nr: SyscallNr) -> [bool; 6] {
        let mut compared = [false; 6];
        if let Entry::Chains(chains) = &*self.entry(abi, nr) {
            for condition in chains.iter().flat_map(|chain| &chain.conditions) {
                if let Some(one) = usize::try_from(condition.index).ok().and_then(|at| compared.get_mut(at)) {
                    *one = true;
                }
            }
        }
        compared
    }

    /// The calls that may be logged and let through. Numbers without a name are among them;
    /// [`SyscallNr::OUTSIDE`] stands for those from 1024 on.
    #[must_use]
    pub fn logged(&self) -> BTreeSet<(Abi, SyscallNr)> {
        let may_log = |abi: Abi, nr: SyscallNr| match &*self.entry(abi, nr) {
            Entry::Always(decision) => decision.action == Action::Log,
            Entry::Chains(chains) => {
                self.default_decision().action == Action::Log
                    || chains.iter().any(|chain| chain.outcome.action == Action::Log)
            }
        };
        let numbers = || (0..1024).map(SyscallNr).chain([SyscallNr::OUTSIDE]);
        let calls = self.abis().flat_map(|abi| numbers().map(move |nr| (abi, nr)));
        calls.filter(|(abi, nr)| may_log(*abi, *nr)).collect()
    }

    /// Whether a call is logged and let through, whatever its arguments.
    #[must_use]
    pub fn always_logs(&self, abi: Abi, nr: SyscallNr) -> bool {
        matches!(&*self.entry(abi, nr), Entry::Always(decision) if decision.action == Action::Log)
    }
}
