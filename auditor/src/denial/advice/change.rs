//! The change to a profile that lets one call through, and as little else as its rules can say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::denial::decision::{Call, Declared};
use crate::profile::{Action, Arch, ArgCondition, HostArch, Naming, Operator, Profile, Rule, door, doors, oci};
use crate::syscall;

/// ENOSYS, in the generic and the x86 and Arm errno tables.
const ENOSYS: u32 = 38;

/// A change to a profile: what to take out, and what to add.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Names to take out of rules, by the rule's place in `syscalls`.
    pub remove: Vec<(usize, String)>,
    /// Architectures to add to `architectures`.
    pub architectures: Vec<Arch>,
    /// Rules to add to `syscalls`.
    pub add: Vec<Rule>,
}

/// A change as scripts see it: JSON that fits into the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Names to take out of rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<RemoveView>,
    /// To be added to `architectures`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// To be added to `syscalls`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<RuleView>,
}

/// A rule as it stands in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// The calls.
    pub names: Vec<String>,
    /// What is done.
    pub action: String,
    /// The errno, where another than the usual one is wanted.
    #[serde(default, rename = "errnoRet", skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// The conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ConditionView>,
}

/// A condition as it stands in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionView {
    /// Which argument.
    pub index: u32,
    /// What it is compared with.
    pub value: u64,
    /// How.
    pub op: String,
}

/// A name to take out of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveView {
    /// The rule's place in `syscalls`, before anything was taken out.
    pub rule: usize,
    /// The name.
    pub name: String,
}

impl Change {
    /// What would let this call through; `None` where no profile can: the call has no name.
    #[must_use]
    pub fn to_allow(call: &Call, declared: Declared<'_>) -> Option<Self> {
        let name = syscall::known_name(call.abi, call.nr)?;
        let Declared { profile, policy } = declared;
        let foreign = !policy.abis().any(|abi| abi == call.abi);
        let mut change =
            Self { architectures: foreign.then(|| Arch::of(call.abi)).into_iter().collect(), ..Self::default() };
        let naming = profile.rules_naming(call.abi, call.nr, &call.args);
        let active = || naming.iter().filter(|rule| !rule.idle);
        let refuses = |rule: &&Naming| rule.decision.action != Action::Allow;
        // A rule without conditions decides alone wherever it stands, so it is in the way even if another holds as well.
        let in_the_way = active().filter(refuses).filter(|rule| rule.holds || !rule.conditional);
        change.remove = in_the_way.map(|rule| (rule.rule, rule.name.clone())).collect();
        let allowed_then = active().any(|rule| rule.decision.action == Action::Allow && rule.holds)
            || (profile.default_action == Action::Allow && !foreign);
        if !allowed_then {
            change.add.push(allowing(name, call, profile, &naming));
        }
        change.add.extend(above_the_stub(&change, call, profile));
        Some(if change.lets_through(call, declared) { change } else { change.widened(name, call, profile, &naming) })
    }

    /// Whether a runtime takes the changed profile and the call is made under it: where rules overlap, another one may
    /// come first, and two with the same conditions on the call behind a common door are a contradiction.
    fn lets_through(&self, call: &Call, declared: Declared<'_>) -> bool {
        let changed = self.apply(declared.profile);
        let policy = changed.evaluate(HostArch::of(declared.policy.native()));
        policy.decide(call.abi, call.nr, &call.args).is_ok_and(|outcome| outcome.action.passes())
            && oci::parse_seccomp(changed.render_oci().as_bytes()).is_ok()
    }

    /// The call for all arguments, instead of every rule about it.
    fn widened(mut self, name: &str, call: &Call, profile: &Profile, naming: &[Naming]) -> Self {
        let own = naming.iter().filter(|rule| !rule.idle && rule.name == name);
        self.remove = own.map(|rule| (rule.rule, rule.name.clone())).collect();
        let rule = Rule { names: vec![name.to_owned()], action: Action::Allow, errno: None, args: Vec::new() };
        self.add = if profile.default_action == Action::Allow { Vec::new() } else { vec![rule] };
        self.add.extend(above_the_stub(&self, call, profile));
        self
    }

    /// The profile with the change.
    #[must_use]
    pub fn apply(&self, profile: &Profile) -> Profile {
        let mut changed = profile.clone();
        for (at, name) in &self.remove {
            if let Some(rule) = changed.rules.get_mut(*at) {
                rule.names.retain(|other| other != name);
            }
        }
        // A rule that names nothing is one that runtimes may refuse.
        changed.rules.retain(|rule| !rule.names.is_empty());
        let new = self.architectures.iter().filter(|arch| !profile.architectures.contains(arch));
        changed.architectures.extend(new);
        changed.rules.extend(self.add.iter().cloned());
        changed
    }

    /// The change as JSON.
    #[must_use]
    pub fn view(&self) -> ChangeView {
        ChangeView {
            remove: self.remove.iter().map(|(rule, name)| RemoveView { rule: *rule, name: name.clone() }).collect(),
            architectures: self.architectures.iter().map(|arch| arch.as_str().to_owned()).collect(),
            syscalls: self.add.iter().map(RuleView::from).collect(),
        }
    }

    /// The change in one line, with the JSON to add.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        let mut rules: Vec<usize> = self.remove.iter().map(|(rule, _)| *rule).collect();
        rules.dedup();
        for rule in rules {
            let names: Vec<String> =
                self.remove.iter().filter(|(at, _)| *at == rule).map(|(_, name)| format!("{name:?}")).collect();
            parts.push(format!("take {} out of syscalls[{rule}]", names.join(", ")));
        }
        parts.extend(self.architectures.iter().map(|arch| format!("add \"{}\" to architectures", arch.as_str())));
        // Strings and numbers always serialize.
        let json = |rule| serde_json::to_string(&RuleView::from(rule)).unwrap_or_default();
        parts.extend(self.add.iter().map(|rule| format!("add {} to syscalls", json(rule))));
        parts.join(", and ")
    }
}

/// A rule that lets the call through. Where the profile allows it for some arguments, only with these ones as well.
fn allowing(name: &str, call: &Call, profile: &Profile, naming: &[Naming]) -> Rule {
    let mut compared: BTreeSet<u32> = BTreeSet::new();
    for rule in naming.iter().filter(|rule| rule.conditional && !rule.idle) {
        let by_its_own_name = rule.name == name;
        let args = profile.rules.get(rule.rule).map(|rule| rule.args.as_slice()).unwrap_or_default();
        // Through a door the first argument says which call is meant, and conditions on the call's own do not count.
        compared.extend(args.iter().map(|arg| arg.index).filter(|index| by_its_own_name || *index != 0));
        if !by_its_own_name {
            compared.insert(0);
        }
    }
    if doors(call.abi).contains(&call.nr) {
        compared.insert(0);
    }
    let equal = |index: u32| {
        let value = usize::try_from(index).ok().and_then(|index| call.args.get(index)).copied().unwrap_or(0);
        ArgCondition { index, value, value_two: 0, operator: Operator::Equal }
    };
    Rule {
        names: vec![name.to_owned()],
        action: Action::Allow,
        errno: None,
        args: compared.into_iter().map(equal).collect(),
    }
}

/// The runtime looks for the highest number that a profile names, and does not find those of calls that i386 can also
/// make by `socketcall` and `ipc`: then a call above has to be named, and refused as if it were not there.
fn above_the_stub(change: &Change, call: &Call, profile: &Profile) -> Option<Rule> {
    let behind_a_door = syscall::known_name(call.abi, call.nr).is_some_and(|name| door(call.abi, name).is_some());
    if !behind_a_door || profile.default_action == Action::Allow {
        return None;
    }
    let changed = change.apply(profile);
    let highest = changed.rules.iter().flat_map(|rule| &rule.names).filter(|name| door(call.abi, name).is_none());
    if highest.filter_map(|name| syscall::number(call.abi, name)).max() >= Some(call.nr) {
        return None;
    }
    let above = syscall::all(call.abi).find(|(nr, name)| *nr > call.nr && door(call.abi, name).is_none());
    let (_, name) = above?;
    Some(Rule { names: vec![name.to_owned()], action: Action::Errno, errno: Some(ENOSYS), args: Vec::new() })
}

impl From<&Rule> for RuleView {
    fn from(rule: &Rule) -> Self {
        let condition = |arg: &ArgCondition| ConditionView {
            index: arg.index,
            value: arg.value,
            op: arg.operator.as_str().to_owned(),
        };
        Self {
            names: rule.names.clone(),
            action: rule.action.as_str().to_owned(),
            errno_ret: rule.errno,
            args: rule.args.iter().map(condition).collect(),
        }
    }
}
