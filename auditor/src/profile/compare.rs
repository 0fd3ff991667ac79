//! Two profiles, compared by what they do.
//!
//! Every call of every ABI is a function of its arguments, and two profiles differ where these functions do: in what
//! they let through, or in the answer that a refused call gets.

use std::collections::BTreeSet;

use serde::Serialize;

use super::explain::{readable, verdict};
use super::policy::Entry;
use super::{Action, Policy, Profile, Undetermined};
use crate::filter::{Case, Diagrams, Outcome};
use crate::syscall::{self, Abi, SyscallNr, display_name};

/// One way in which the second profile differs from the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What kind of difference it is.
    pub kind: Kind,
    /// The ABI; `None` for what is not about a call.
    pub abi: Option<Abi>,
    /// The call's number.
    pub nr: Option<SyscallNr>,
    /// The call's name, or the profile's field.
    pub name: String,
    /// Arguments for which they differ in this way.
    pub args: Option<[u64; 6]>,
    /// The first profile.
    pub a: Side,
    /// The second one.
    pub b: Side,
}

/// Kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The second lets something through that the first does not.
    Wider,
    /// It cannot be told what one of them does.
    Unknown,
    /// The second does not let something through that the first does.
    Narrower,
    /// Both let it through or both refuse it, in another way.
    Action,
    /// Both refuse it, with another errno.
    Errno,
    /// Not about a single call: the default, the architectures, flags, the listener. Where the second profile gives up
    /// the guard against speculation the kind is `Wider`, and where another supervisor is asked it is `Unknown`.
    Profile,
}

/// One profile's side of a difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Side {
    /// What happens for these arguments: `allowed`, `conditional` (a supervisor decides), `denied`, `unknown`.
    pub verdict: Option<&'static str>,
    /// The specification's word.
    pub action: Option<&'static str>,
    /// The errno that the caller gets.
    pub errno: Option<u16>,
    /// What happens for which arguments, the field's value, or why it is not known.
    pub says: Says,
}

/// What a profile says, as far as a difference shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The same for all arguments.
    Always,
    /// By arguments: conditions, action and errno; the first line whose conditions hold decides.
    Cases(Vec<(Vec<String>, &'static str, Option<u16>)>),
    /// The value of a field.
    Value(String),
    /// Why it is not known.
    Unknown(String),
    /// More conditions than can be shown.
    Complex,
}

/// Every difference, by ABI and number, those of whole profiles first.
#[must_use]
pub fn compare(a: (&Profile, &Policy), b: (&Profile, &Policy)) -> Vec<Difference> {
    let mut found = fields(a.0, b.0);
    for abi in Abi::ALL.into_iter().filter(|abi| a.1.contains(*abi) || b.1.contains(*abi)) {
        for nr in numbers(abi, a.1, b.1) {
            found.extend(call(a.1, b.1, abi, nr));
        }
    }
    found
}

/// The named calls, and of the numbers without a name one for each stretch in which nothing changes.
pub(super) fn numbers(abi: Abi, a: &Policy, b: &Policy) -> BTreeSet<SyscallNr> {
    let mut numbers: BTreeSet<SyscallNr> = syscall::all(abi).map(|(nr, _)| nr).collect();
    let stubs = [a, b].into_iter().filter_map(|policy| policy.stub_above(abi)).map(|nr| nr.0 + 1);
    let starts = stubs.chain([0]);
    let unnamed: Vec<SyscallNr> = starts
        .filter_map(|start| (start..=i32::MAX).map(SyscallNr).find(|nr| syscall::known_name(abi, *nr).is_none()))
        .collect();
    numbers.extend(unnamed);
    numbers
}

fn call(a: &Policy, b: &Policy, abi: Abi, nr: SyscallNr) -> Vec<Difference> {
    let entries = (a.entry(abi, nr), b.entry(abi, nr));
    // Without conditions there is nothing to draw.
    if let (Entry::Always(left), Entry::Always(right)) = (&*entries.0, &*entries.1)
        && left == right
    {
        return Vec::new();
    }
    let mut diagrams = Diagrams::new();
    let sides = (a.diagram(&mut diagrams, abi, nr), b.diagram(&mut diagrams, abi, nr));
    let (Ok(left), Ok(right)) = sides else {
        // What nobody knows is the same if it comes from the same.
        let same = a.tables == b.tables && a.default == b.default;
        return if same { Vec::new() } else { vec![unknown(&mut diagrams, a, b, abi, nr)] };
    };
    let mut found = Vec::new();
    if left != right {
        for kind in [Kind::Wider, Kind::Narrower, Kind::Action, Kind::Errno] {
            // Of answers only one is shown, and only where nothing else differs; none where one of them kills every
            // call of the ABI.
            let answers = found.is_empty() && a.contains(abi) == b.contains(abi);
            if answers || matches!(kind, Kind::Wider | Kind::Narrower) {
                let args = diagrams.pair_witness(left, right, |a, b| a != b && kind_of(a, b) == kind);
                found.extend(args.map(|args| difference(&mut diagrams, (a, b), (abi, nr), kind, args)));
            }
        }
    }
    found
}

/// How much of a call is let through.
pub(crate) const fn reach(action: Action) -> u8 {
    if action.passes() {
        2
    } else if action.denies() {
        0
    } else {
        // A supervisor may.
        1
    }
}

fn kind_of(a: Outcome, b: Outcome) -> Kind {
    match reach(a.action).cmp(&reach(b.action)) {
        std::cmp::Ordering::Less => Kind::Wider,
        std::cmp::Ordering::Greater => Kind::Narrower,
        std::cmp::Ordering::Equal if a.action == b.action && a.action == Action::Errno => Kind::Errno,
        std::cmp::Ordering::Equal => Kind::Action,
    }
}

fn difference(
    diagrams: &mut Diagrams,
    (a, b): (&Policy, &Policy),
    (abi, nr): (Abi, SyscallNr),
    kind: Kind,
    args: [u64; 6],
) -> Difference {
    let mut side = |policy: &Policy| {
        let decision = policy.decide(abi, nr, &args).ok().map(Outcome::decision);
        Side {
            verdict: decision.map(|decision| verdict(decision.action)),
            action: decision.map(|decision| decision.action.as_str()),
            errno: decision.and_then(|decision| decision.errno),
            says: says(diagrams, policy, abi, nr),
        }
    };
    let (a, b) = (side(a), side(b));
    let always = a.says == Says::Always && b.says == Says::Always;
    let args = (!always).then_some(args);
    Difference { kind, abi: Some(abi), nr: Some(nr), name: display_name(abi, nr).into_owned(), args, a, b }
}

fn says(diagrams: &mut Diagrams, policy: &Policy, abi: Abi, nr: SyscallNr) -> Says {
    let line = |case: &Case| {
        let decision = case.outcome.decision();
        let conditions = case.conditions.iter().map(|test| readable(abi, *test).to_string()).collect();
        (conditions, decision.action.as_str(), decision.errno)
    };
    match policy.cases(diagrams, abi, nr) {
        Ok(cases) if cases.len() == 1 => Says::Always,
        Ok(cases) => Says::Cases(cases.iter().map(line).collect()),
        Err(Undetermined::TooComplex(_)) => Says::Complex,
        Err(why) => Says::Unknown(why.to_string()),
    }
}

fn unknown(diagrams: &mut Diagrams, a: &Policy, b: &Policy, abi: Abi, nr: SyscallNr) -> Difference {
    let mut side = |policy: &Policy| {
        let says = says(diagrams, policy, abi, nr);
        let always = policy.decide(abi, nr, &[0; 6]).ok().filter(|_| says == Says::Always).map(Outcome::decision);
        Side {
            verdict: Some(always.map_or("unknown", |decision| verdict(decision.action))),
            action: always.map(|decision| decision.action.as_str()),
            errno: always.and_then(|decision| decision.errno),
            says,
        }
    };
    let (a, b) = (side(a), side(b));
    Difference {
        kind: Kind::Unknown,
        abi: Some(abi),
        nr: Some(nr),
        name: display_name(abi, nr).into_owned(),
        args: None,
        a,
        b,
    }
}

/// What is not about single calls.
fn fields(a: &Profile, b: &Profile) -> Vec<Difference> {
    let default = |profile: &Profile| {
        let outcome = super::evaluate::outcome(profile.default_action, profile.default_errno);
        let errno = outcome.decision().errno.map(|errno| format!(" {errno}"));
        format!("{}{}", outcome.action, errno.unwrap_or_default())
    };
    let architectures = |profile: &Profile| {
        let names: BTreeSet<&str> = profile.architectures.iter().map(|arch| arch.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(" ")
    };
    let flags = |profile: &Profile| {
        profile.flags.as_ref().map_or("the runtime's own".to_owned(), |flags| {
            flags.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
        })
    };
    let listener = |profile: &Profile| profile.listener_path.clone().unwrap_or_default();
    let metadata = |profile: &Profile| profile.listener_metadata.clone().unwrap_or_default();
    let asks = b.rules.iter().any(|rule| rule.action == Action::Notify);
    // Another supervisor may let through what it likes.
    let listened = if asks { Kind::Unknown } else { Kind::Profile };
    let flagged = match (allows_speculation(a), allows_speculation(b)) {
        (Some(false), Some(true)) => Kind::Wider,
        (Some(false), None) | (None, Some(true)) => Kind::Unknown,
        _ => Kind::Profile,
    };
    let field = |name: &str, kind: Kind, value: &dyn Fn(&Profile) -> String| {
        let side = |profile| Side { verdict: None, action: None, errno: None, says: Says::Value(value(profile)) };
        let (a, b) = (side(a), side(b));
        let name = name.to_owned();
        (a != b).then_some(Difference { kind, abi: None, nr: None, name, args: None, a, b })
    };
    [
        field("defaultAction", Kind::Profile, &default),
        field("architectures", Kind::Profile, &architectures),
        field("flags", flagged, &flags),
        field("listenerPath", listened, &listener),
        field("listenerMetadata", listened, &metadata),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether tasks run without the kernel's guard against speculation; without a list it depends on the runtime's version.
fn allows_speculation(profile: &Profile) -> Option<bool> {
    profile.flags.as_ref().map(|flags| flags.iter().any(|flag| flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
}
