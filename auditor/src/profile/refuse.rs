//! What is well-formed, and yet no container starts with it: the checks of runc (`InitSeccomp` and `matchCall` in
//! libcontainer/seccomp) and of libseccomp below it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use super::evaluate::{chains, equal, errno_data, has_ghosts, same_action};
use super::multiplex::door;
use super::policy::Chain;
use super::tree::{Tree, Trouble};
use super::{Action, ArgCondition, Operator, Profile, ProfileError, Rule};
use crate::filter::Outcome;
use crate::syscall::{self, Abi, SyscallNr};

/// Arguments of a call that the kernel shows to a filter (`struct seccomp_data`).
const ARGUMENTS: u32 = 6;

/// Instructions of a filter that the kernel takes (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

const TOO_LONG: &str = "the filter is longer than the 4096 instructions that the kernel takes";

/// Names times conditions, over all rules: more than a filter of that length can come from, but for repetitions.
const MAX_WORK: usize = 250_000;

const TOO_MUCH: &str = "more than the 250000 pairs of a name and a condition that are read; is this the right file?";

/// A reason for which no container starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Which kind it is.
    pub(super) id: &'static str,
    pub(super) place: Place,
    /// What is wrong, in our words.
    pub(super) reason: &'static str,
    /// The ABI for which it is wrong, where it is not the host's own.
    pub(super) abi: Option<Abi>,
    /// What the runtime says; empty where the limit is the auditor's own.
    pub(super) says: String,
}

/// The part of a profile that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    DefaultAction,
    DefaultErrno,
    Architecture(usize),
    Names { rule: usize, name: usize },
    Errno { rule: usize },
    Args { rule: usize },
    Arg { rule: usize, arg: usize },
    Rules,
}

impl Place {
    fn in_source(mut self, places: &[usize]) -> Self {
        if let Self::Names { rule, .. } | Self::Errno { rule } | Self::Args { rule } | Self::Arg { rule, .. } =
            &mut self
        {
            *rule = places.get(*rule).copied().unwrap_or(*rule);
        }
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultAction => f.write_str("defaultAction"),
            Self::DefaultErrno => f.write_str("defaultErrnoRet"),
            Self::Architecture(at) => write!(f, "architectures[{at}]"),
            Self::Names { rule, .. } => write!(f, "syscalls[{rule}].names"),
            Self::Errno { rule } => write!(f, "syscalls[{rule}].errnoRet"),
            Self::Args { rule } => write!(f, "syscalls[{rule}].args"),
            Self::Arg { rule, arg } => write!(f, "syscalls[{rule}].args[{arg}]"),
            Self::Rules => f.write_str("syscalls"),
        }
    }
}

pub(super) fn refuse_what_runc_refuses(profile: &Profile) -> Result<(), ProfileError> {
    let places: Vec<usize> = (0..profile.rules.len()).collect();
    refuse_in_source(profile, Abi::NATIVE, &places)
}

/// The same for what was resolved: `places` has the place in the source of each rule.
pub(super) fn refuse_in_source(profile: &Profile, native: Abi, places: &[usize]) -> Result<(), ProfileError> {
    match refusals(profile, native, 1).pop() {
        Some(Refusal { place, reason, .. }) => {
            Err(ProfileError::Refused { path: place.in_source(places).to_string(), reason })
        }
        None => Ok(()),
    }
}

/// The reasons for which no container starts with a profile on a host; no more than `limit` of them.
pub(super) fn refusals(profile: &Profile, native: Abi, limit: usize) -> Vec<Refusal> {
    let mut list = Refusals { list: Vec::new(), limit };
    if profile.default_action == Action::Notify {
        let says = "SCMP_ACT_NOTIFY cannot be used as default action";
        list.add("notify-default", Place::DefaultAction, "SCMP_ACT_NOTIFY cannot be the default", says.to_owned());
    }
    if !is_errno(profile.default_action, profile.default_errno) {
        list.add(
            "errno-too-large",
            Place::DefaultErrno,
            "an errno is below 4095",
            "error creating filter: could not create filter".to_owned(),
        );
    }
    for (at, arch) in profile.architectures.iter().enumerate() {
        // Every ABI that the auditor knows is little-endian.
        if arch.is_big_endian() {
            let says = "error adding architecture to seccomp filter: numerical argument out of domain";
            list.add(
                "byte-order",
                Place::Architecture(at),
                "the bytes of this architecture are in another order",
                says.to_owned(),
            );
        }
    }
    let work: usize = profile.rules.iter().map(|rule| rule.names.len().saturating_mul(rule.args.len() + 1)).sum();
    if work > MAX_WORK {
        list.add("too-much", Place::Rules, TOO_MUCH, String::new());
        return list.list;
    }
    let mut filter = Filter::new(profile, native);
    for (at, rule) in profile.rules.iter().enumerate() {
        if list.is_full() || filter.compared.len() > MAX_INSTRUCTIONS {
            break;
        }
        filter.rule(profile, at, rule, &mut list);
    }
    if filter.instructions() > MAX_INSTRUCTIONS {
        let says = "error loading seccomp filter into kernel";
        list.add("filter-too-long", Place::Rules, TOO_LONG, says.to_owned());
    }
    list.list
}

struct Refusals {
    list: Vec<Refusal>,
    limit: usize,
}

impl Refusals {
    fn is_full(&self) -> bool {
        self.list.len() >= self.limit
    }

    fn add(&mut self, id: &'static str, place: Place, reason: &'static str, says: String) {
        self.push(Refusal { id, place, reason, abi: None, says });
    }

    fn push(&mut self, refusal: Refusal) {
        if !self.is_full() {
            self.list.push(refusal);
        }
    }
}

/// What a filter holds so far.
struct Filter<'a> {
    /// The host's own first.
    abis: Vec<Abi>,
    calls: HashMap<(Abi, Target<'a>), Call>,
    /// Lower halves of masks and of what arguments are compared with: each pair takes at least one instruction.
    compared: HashSet<(u32, u64, u64)>,
}

/// libseccomp has rules also for calls that an ABI lacks, under the name that others know.
#[derive(PartialEq, Eq, Hash)]
enum Target<'a> {
    Name(&'a str),
    Number(SyscallNr),
}

/// What a filter holds so far for one call.
struct Call {
    /// `None` when a rule without conditions came by: whatever follows is passed over.
    tree: Option<Tree<Outcome>>,
}

impl Default for Call {
    fn default() -> Self {
        Self { tree: Some(Tree::new()) }
    }
}

impl<'a> Filter<'a> {
    fn new(profile: &Profile, native: Abi) -> Self {
        let foreign: BTreeSet<Abi> = profile.architectures.iter().filter_map(|arch| arch.abi()).collect();
        let abis = [native].into_iter().chain(foreign.into_iter().filter(|abi| *abi != native)).collect();
        Self { abis, calls: HashMap::new(), compared: HashSet::new() }
    }

    fn rule(&mut self, profile: &Profile, at: usize, rule: &'a Rule, refusals: &mut Refusals) {
        let same = same_action((rule.action, rule.errno), (profile.default_action, profile.default_errno));
        let mut chains = None;
        for (name_at, name) in rule.names.iter().enumerate() {
            let place = Place::Names { rule: at, name: name_at };
            if name.is_empty() {
                let says = "empty string is not a valid syscall";
                refusals.add("empty-name", place, "an empty name is no system call", says.to_owned());
            } else if rule.action == Action::Notify && name == "write" {
                let says = "SCMP_ACT_NOTIFY cannot be used for the write syscall";
                refusals.add("notify-write", place, "SCMP_ACT_NOTIFY cannot be used for write", says.to_owned());
            } else if !same && syscall::is_known(name) {
                // What is the same as the default, or unknown, is passed over and can be as wrong as it likes.
                let chains = chains.get_or_insert_with(|| self.chains(rule));
                self.call(at, name, rule, chains, refusals);
            }
            if refusals.is_full() {
                return;
            }
        }
    }

    /// What the rule is on each ABI.
    fn chains(&mut self, rule: &Rule) -> Vec<(Abi, Vec<Chain>)> {
        let all: Vec<_> = self.abis.iter().map(|abi| (*abi, chains(rule, *abi))).collect();
        let conditions = all.iter().flat_map(|(_, chains)| chains).flat_map(|chain| &chain.conditions);
        self.compared.extend(conditions.map(compared));
        all
    }

    fn call(&mut self, at: usize, name: &'a str, rule: &Rule, chains: &[(Abi, Vec<Chain>)], refusals: &mut Refusals) {
        if let Some((arg, beyond)) = rule.args.iter().enumerate().find(|(_, arg)| arg.index >= ARGUMENTS) {
            let says = format!("for syscall {name}: syscalls only have up to 6 arguments ({} given)", beyond.index);
            return refusals.add(
                "argument-index",
                Place::Arg { rule: at, arg },
                "a call has the arguments 0 to 5",
                says,
            );
        }
        if !is_errno(rule.action, rule.errno) {
            let says = format!("for syscall {name}: two checks on same syscall argument");
            return refusals.add("errno-too-large", Place::Errno { rule: at }, "an errno is below 4095", says);
        }
        for (abi, chain) in chains.iter().flat_map(|(abi, chains)| chains.iter().map(|chain| (*abi, chain))) {
            if !self.chain(abi, name, chain) {
                let says = format!("error adding seccomp rule for syscall {name}: file exists");
                let reason = "an earlier rule has the same conditions and another action";
                let abi = (abi != self.abis[0]).then_some(abi);
                let place = Place::Args { rule: at };
                return refusals.push(Refusal { id: "conflicting-conditions", place, reason, abi, says });
            }
        }
    }

    fn chain(&mut self, abi: Abi, name: &'a str, chain: &Chain) -> bool {
        let door = door(abi, name);
        if let Some((door, number)) = door {
            let mut inside = chain.clone();
            inside.conditions.retain(|condition| condition.index != 0);
            inside.conditions.insert(0, equal(0, number));
            if !self.calls.entry((abi, Target::Number(door))).or_default().add(abi, &inside) {
                return false;
            }
        }
        let target = match syscall::number(abi, name) {
            Some(nr) => Target::Number(nr),
            None if has_ghosts(abi, door.is_some()) => Target::Name(name),
            None => return true,
        };
        self.calls.entry((abi, target)).or_default().add(abi, chain)
    }

    /// Fewer than this the filter cannot have: one for each call, one for each value.
    fn instructions(&self) -> usize {
        let exists = |(_, target): &&(Abi, Target<'_>)| matches!(target, Target::Number(_));
        self.compared.len() + self.calls.keys().filter(exists).count()
    }
}

fn compared(arg: &ArgCondition) -> (u32, u64, u64) {
    let lower = |value: u64| value & u64::from(u32::MAX);
    match arg.operator {
        Operator::MaskedEqual => (arg.index, lower(arg.value), lower(arg.value_two & arg.value)),
        _ => (arg.index, u64::MAX, lower(arg.value)),
    }
}

impl Call {
    /// False where libseccomp says "file exists".
    fn add(&mut self, abi: Abi, Chain { conditions, outcome }: &Chain) -> bool {
        let Some(tree) = &mut self.tree else { return true };
        if conditions.is_empty() {
            self.tree = None;
            return true;
        }
        match tree.add(conditions, abi.is_wide(), *outcome) {
            Ok(()) => true,
            Err(Trouble::Exists) => false,
            // What libseccomp makes of the rest is not known.
            Err(_) => {
                self.tree = None;
                true
            }
        }
    }
}

/// libseccomp takes no more (`sys_chk_seccomp_action` in system.c).
fn is_errno(action: Action, errno: Option<u32>) -> bool {
    action != Action::Errno || errno_data(errno) < 4095
}
