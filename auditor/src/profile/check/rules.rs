//! What engine and runtime pass over without a word, rule by rule.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::evaluate::{OF_OTHER_MACHINES, same_action};
use super::super::multiplex::door;
use super::super::{Action, Arch, Decision, Operator, Profile, capability};
use super::Host;
use super::finding::Findings;
use super::model::{Arg, Filter, Format, Model, Placed, Rule};
use super::read::{capped, nearest};
use super::resolve::{Resolved, lower_bits};
use crate::syscall::{self, Abi};

/// Names that are looked for among all calls when they are unknown; that takes time, and a hostile file has many.
const MAX_GUESSES: usize = 50;

/// The words for machines that moby knows (`goToNative` in its profiles/seccomp); x32 is none, but in its own profile.
const MACHINES: [&str; 18] = [
    "amd64",
    "arm",
    "arm64",
    "loong64",
    "loongarch64",
    "mips",
    "mips3l64n32",
    "mips64",
    "mips64n32",
    "mipsel",
    "mipsel64",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390",
    "s390x",
    "x86",
];

/// What is found without regard to the host.
pub(super) fn check_text(model: &Model, host: &Host, found: &mut Findings) {
    let mut names = Names::new(model, host);
    if let Some(errno) = &model.default_errno {
        let action = model.default_action.is.means;
        check_errno("defaultErrnoRet", action, errno, found);
    }
    if model.default_action.is.means == Some(Action::KillThread) {
        kill_thread("defaultAction", model.default_action.at, found);
    }
    for (at, rule) in model.rules.iter().enumerate() {
        let path = format!("syscalls[{at}]");
        if rule.calls().next().is_none() {
            found.warning("empty-rule", rule.at, || format!("{path}: names no call, so it does nothing; remove it"));
        }
        for name in rule.calls() {
            names.check(&path, name, found);
        }
        if let Some(errno) = &rule.errno {
            check_errno(&format!("{path}.errnoRet"), rule.action.is.means, errno, found);
        }
        if rule.action.is.means == Some(Action::KillThread) {
            kill_thread(&format!("{path}.action"), rule.action.at, found);
        }
        if model.format == Format::Docker {
            check_filters(&path, rule, found);
        }
        check_args(&path, rule, &names, found);
    }
}

/// Looks names up once.
struct Names {
    /// The ABIs that the filter holds, or those that it holds on some host.
    abis: BTreeSet<Abi>,
    /// The profile is one for several machines, and may name what only others have.
    shared: bool,
    guesses: usize,
}

impl Names {
    fn new(model: &Model, host: &Host) -> Self {
        let words = model.architectures.iter();
        let mapped =
            model.arch_map.iter().flat_map(|map| [&map.architecture].into_iter().chain(&map.sub_architectures));
        let named = words.chain(mapped).filter_map(|word| Arch::parse(&word.is)?.abi());
        Self { abis: named.chain([host.target.native]).collect(), shared: model.arch_map.len() > 1, guesses: 0 }
    }

    /// One of the rule's calls that the filter has a 32-bit ABI for.
    fn narrow<'a>(&self, rule: &'a Rule) -> Option<(Abi, &'a str)> {
        let narrow = |abi: &&Abi| !matches!(abi, Abi::X86_64 | Abi::Aarch64);
        let abi =
            |name: &str| self.abis.iter().filter(narrow).copied().find(|abi| syscall::number(*abi, name).is_some());
        rule.calls().find_map(|name| Some((abi(&name.is)?, name.is.as_str())))
    }

    fn check(&mut self, path: &str, name: &Placed<String>, found: &mut Findings) {
        let Placed { at, is } = name;
        if is.is_empty() {
            return;
        }
        if !syscall::is_known(is) && !OF_OTHER_MACHINES.contains(&is.as_str()) {
            return self.unknown(path, name, found);
        }
        let exists = |abi: &Abi| syscall::number(*abi, is).is_some() || door(*abi, is).is_some();
        if self.abis.iter().any(exists) {
            return;
        }
        let shown = capped(is);
        if let Some(abi) = Abi::ALL.into_iter().find(|abi| syscall::number(*abi, is).is_some()) {
            found.warning("foreign-syscall", *at, || {
                format!("{path}.names: only {abi} has {shown}, and the filter has no part for it; add the architecture or remove the name")
            });
        } else if !self.shared {
            found.warning("foreign-syscall", *at, || {
                format!("{path}.names: {shown} is a call of other machines, without effect on this one; remove it")
            });
        }
    }

    fn unknown(&mut self, path: &str, name: &Placed<String>, found: &mut Findings) {
        self.guesses += 1;
        let guess = self.guesses <= MAX_GUESSES;
        found.warning("unknown-syscall", name.at, || {
            let all = || Abi::ALL.into_iter().flat_map(syscall::all).map(|(_, name)| name);
            let near = if guess { nearest(&name.is, all()) } else { None };
            let advice = near.map_or_else(|| "remove it".to_owned(), |near| format!("is {near} meant"));
            format!("{path}.names: no call is named {:?}, and runc passes over it; {advice}", capped(&name.is))
        });
    }
}

fn kill_thread(path: &str, at: usize, found: &mut Findings) {
    found.note("kill-thread", at, || {
        format!("{path}: ends the calling thread alone, and the process may hang; SCMP_ACT_KILL_PROCESS ends it all")
    });
}

fn check_errno(path: &str, action: Option<Action>, errno: &Placed<u64>, found: &mut Findings) {
    let Placed { at, is } = *errno;
    match action {
        Some(Action::Errno) => {
            let kept = lower_bits(is);
            if is > 0xffff {
                found.warning("errno-cut", at, || {
                    format!("{path}: only the lower 16 bits of {is} count, that is {kept}")
                });
            }
            if kept == 0 {
                found.warning("errno-zero", at, || {
                    format!(
                        "{path}: with errno 0 a refused call looks like one that went well; say which errno is meant"
                    )
                });
            }
        }
        // What a tracer is told.
        Some(Action::Trace) | None => {}
        Some(action) => found.warning("errno-without-effect", at, || {
            format!("{path}: {action} gives no errno, and runc passes over it; remove it")
        }),
    }
}

fn check_filters(path: &str, rule: &Rule, found: &mut Findings) {
    let Rule { includes, excludes, .. } = rule;
    for (field, filter) in [("includes", includes), ("excludes", excludes)] {
        for cap in filter.caps.iter().filter(|cap| !capability::ALL.contains(&cap.is.as_str())) {
            found.warning("unknown-capability", cap.at, || {
                let near = nearest(&cap.is, capability::ALL.into_iter()).or_else(|| prefixed(&cap.is));
                let advice = near.map_or_else(|| "see capabilities(7)".to_owned(), |near| format!("is {near} meant"));
                format!("{path}.{field}.caps: no container has {:?}; {advice}", capped(&cap.is))
            });
        }
        let strange = |arch: &&Placed<String>| !MACHINES.contains(&arch.is.as_str()) && arch.is != "x32";
        for arch in filter.arches.iter().filter(strange) {
            found.warning("unknown-machine", arch.at, || {
                let advice = match arch.is.as_str() {
                    "x86_64" | "SCMP_ARCH_X86_64" => "is amd64 meant",
                    "aarch64" | "SCMP_ARCH_AARCH64" => "is arm64 meant",
                    "i386" | "386" | "SCMP_ARCH_X86" => "is x86 meant",
                    _ => "docker's words are amd64, arm64, arm, x86, ppc64le, s390x, riscv64, ...",
                };
                format!("{path}.{field}.arches: no host calls itself {:?}; {advice}", capped(&arch.is))
            });
        }
    }
    if let Some((at, why)) = never_counts(includes, excludes) {
        found.warning("never-included", at, || format!("{path}: counts for no container: {why}"));
    }
}

fn prefixed(cap: &str) -> Option<&'static str> {
    let upper = cap.to_ascii_uppercase();
    capability::ALL.into_iter().find(|known| known.strip_prefix("CAP_") == Some(&upper) || *known == upper)
}

/// Why no container is included, whatever its host.
fn never_counts(includes: &Filter, excludes: &Filter) -> Option<(usize, String)> {
    let set = |words: &[Placed<String>]| words.iter().map(|word| word.is.clone()).collect::<HashSet<String>>();
    let (caps, arches) = (set(&excludes.caps), set(&excludes.arches));
    let both = |word: &Placed<String>| Some((word.at, format!("{} is asked for and excluded", capped(&word.is))));
    if let Some(cap) = includes.caps.iter().find(|cap| caps.contains(&cap.is)) {
        return both(cap);
    }
    if let Some(arch) = includes.arches.first().filter(|_| includes.arches.iter().all(|arch| arches.contains(&arch.is)))
    {
        return both(arch);
    }
    match (&includes.min_kernel, &excludes.min_kernel) {
        (Some(from), Some(until)) if until.is <= from.is => {
            Some((from.at, "from the kernel that it asks for on, it is excluded".to_owned()))
        }
        _ => None,
    }
}

fn check_args(path: &str, rule: &Rule, names: &Names, found: &mut Findings) {
    let mut seen = BTreeSet::new();
    if let Some(twice) = rule.args.iter().find(|arg| !seen.insert(arg.index.is)) {
        found.warning("split-conditions", twice.at, || {
            format!(
                "{path}.args: two conditions on argument {}: runc makes each condition a rule of its own, so any one of \
                 them is enough; write separate rules, or one masked condition",
                twice.index.is
            )
        });
    }
    let mut narrow = None;
    for (at, arg) in rule.args.iter().enumerate() {
        check_arg(&format!("{path}.args[{at}]"), arg, found);
        let wide = |value: u64| value > u64::from(u32::MAX);
        if (wide(arg.value.is) || wide(arg.value_two.is))
            && let Some((abi, name)) = *narrow.get_or_insert_with(|| names.narrow(rule))
        {
            found.warning("value-cut", arg.value.at, || {
                format!(
                    "{path}.args[{at}]: {abi} compares the lower 32 bits of an argument alone, so there {name} is \
                         compared with {}; write a rule for each width",
                    arg.value.is & u64::from(u32::MAX)
                )
            });
        }
    }
}

fn check_arg(path: &str, arg: &Arg, found: &mut Findings) {
    let Some(operator) = arg.operator.is.means else { return };
    let (value, two) = (arg.value.is, arg.value_two.is);
    if operator == Operator::MaskedEqual {
        if two & !value != 0 {
            found.warning("value-outside-mask", arg.value_two.at, || {
                format!(
                    "{path}.valueTwo: has bits outside of the mask {value:#x}, which libseccomp drops: it compares with \
                     {:#x}; is value the mask and valueTwo what is compared with",
                    two & value
                )
            });
        }
    } else if two != 0 {
        found.warning("unused-value", arg.value_two.at, || {
            format!("{path}.valueTwo: only SCMP_CMP_MASKED_EQ looks at it; remove it")
        });
    }
    let (holds, advice) = match (operator, value) {
        (Operator::Less, 0) => (false, "nothing is less than 0"),
        (Operator::Greater, u64::MAX) => (false, "nothing is greater than the greatest number"),
        (Operator::GreaterOrEqual, 0) => (true, "every argument is 0 or more"),
        (Operator::LessOrEqual, u64::MAX) => (true, "every argument is that or less"),
        (Operator::MaskedEqual, 0) => (true, "the mask has no bits"),
        _ => return,
    };
    if holds {
        found.warning("always-matches", arg.at, || format!("{path}: always holds: {advice}; remove it"));
    } else {
        found.warning("never-matches", arg.at, || format!("{path}: never holds: {advice}; remove the rule"));
    }
}

/// What is found among the rules that count for this host and container.
pub(super) fn check_rules(model: &Model, resolved: &Resolved, host: &Host, found: &mut Findings) {
    let Resolved { profile, origins } = resolved;
    let default = (profile.default_action, profile.default_errno);
    let decision = |at: usize| (profile.rules[at].action, profile.rules[at].errno);
    let counts: Vec<bool> = (0..profile.rules.len()).map(|at| !same_action(decision(at), default)).collect();
    let places_stub = StubPlaces::new(profile, &counts, host.target.native);
    // For each call the first rule without conditions: it wins over all others, before it and behind.
    let mut winners: HashMap<&str, usize> = HashMap::new();
    for (at, rule) in profile.rules.iter().enumerate().filter(|(at, _)| counts[*at]) {
        if rule.args.is_empty() {
            for name in rule.names.iter().filter(|name| syscall::is_known(name)) {
                winners.entry(name).or_insert(at);
            }
        }
    }
    for (at, rule) in profile.rules.iter().enumerate() {
        let (origin, path) = (&model.rules[origins[at]], format!("syscalls[{}]", origins[at]));
        // Whatever is wrong with a rule that counts has been refused by now.
        for arg in origin.args.iter().filter(|arg| arg.index.is > 5) {
            found.warning("argument-index-ignored", arg.index.at, || {
                format!(
                    "{path}.args: a call has the arguments 0 to 5; runc passes over this rule, else it would refuse it"
                )
            });
        }
        if !counts[at] {
            default_rule(&path, origin, places_stub.is_moved_by(at), found);
            continue;
        }
        let mut own = HashSet::new();
        for (name, place) in rule.names.iter().zip(origin.calls()).filter(|(name, _)| syscall::is_known(name)) {
            let again = !own.insert(name.as_str());
            let Some(&winner) = winners.get(name.as_str()) else { continue };
            let winning = format!("syscalls[{}]", origins[winner]);
            let same = same_action(decision(at), decision(winner));
            if winner == at {
                if again {
                    found.note("duplicate-name", place.at, || format!("{path}.names: has {name} twice; remove one"));
                }
            } else if rule.args.is_empty() && same {
                found.note("duplicate-name", place.at, || {
                    format!("{path}.names: {winning} has {name} already; remove one")
                });
            } else if rule.args.is_empty() {
                found.warning("conflicting-actions", place.at, || {
                    format!(
                        "{path}: {} for {name} never happens: {winning} comes first and says {}; remove one",
                        told(decision(at)),
                        told(decision(winner))
                    )
                });
            } else {
                found.warning("shadowed-rule", place.at, || {
                    format!(
                        "{path}: never matches {name}: {winning} says {} whatever the arguments; remove {name} from one",
                        told(decision(winner))
                    )
                });
            }
        }
    }
}

fn told((action, errno): (Action, Option<u32>)) -> String {
    match action {
        Action::Errno => format!("{action} (errno {})", errno.unwrap_or(1)),
        _ => action.to_string(),
    }
}

fn default_rule(path: &str, rule: &Rule, moves_stub: bool, found: &mut Findings) {
    if rule.calls().next().is_none() {
        return;
    }
    if moves_stub {
        found.note("default-action-rule", rule.at, || {
            format!("{path}: has the default action, so it adds nothing but this: runc answers ENOSYS above the highest call that a profile names")
        });
    } else {
        found.warning("default-action-rule", rule.at, || {
            format!("{path}: has the default action, so runc passes over it; remove it, or say another action")
        });
    }
}

/// Which rules with the default action decide where the runtime's ENOSYS stub begins.
struct StubPlaces {
    highest: Vec<Option<syscall::SyscallNr>>,
    without: Option<syscall::SyscallNr>,
}

impl StubPlaces {
    fn new(profile: &Profile, counts: &[bool], native: Abi) -> Self {
        let highest = |names: &[String]| names.iter().filter_map(|name| syscall::number(native, name)).max();
        let by_rule: Vec<_> = profile.rules.iter().map(|rule| highest(&rule.names)).collect();
        let without = by_rule.iter().zip(counts).filter(|(_, counts)| **counts).filter_map(|(nr, _)| *nr).max();
        Self { highest: by_rule, without }
    }

    fn is_moved_by(&self, rule: usize) -> bool {
        self.highest[rule] > self.without
    }
}

/// What a profile does to a call on the host's own ABI, for messages.
pub(super) fn outcome(decision: Decision) -> String {
    match decision.errno {
        Some(errno) => format!("{} (errno {errno})", decision.action),
        None => decision.action.to_string(),
    }
}
