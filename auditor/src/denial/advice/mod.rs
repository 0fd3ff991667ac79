//! What a program wanted when it was refused, which change to the profile would allow it, and what that would risk.
//!
//! The change is exact: the evaluator says that the changed profile lets this call through with these arguments
//! (`auditor/tests/core/denial/advice.rs`). Whether to make it is for people to say.

mod capability;
mod change;
mod class;
mod purpose;

pub use self::change::{Change, ChangeView, ConditionView, RemoveView, RuleView};
pub use self::class::Risk;
use super::argument::inner_call;
use super::decision::{Call, DecidedBy, Declared, Explanation, Fate};
use crate::profile::Action;
use crate::syscall;

/// Advice on one refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What the program wanted.
    pub wanted: String,
    /// The change that would allow it; `None` where nothing need be done, or nothing can.
    pub change: Option<Change>,
    /// The same in words, or why there is none.
    pub remedy: String,
    /// How much it would open.
    pub risk: Risk,
    /// Why.
    pub why: &'static str,
}

/// Calls that programs do without when they are told that there is no such call, and what they do instead.
const FALLBACKS: [(&str, &str); 2] = [
    ("clone3", "the C library falls back to clone when it gets ENOSYS"),
    ("openat2", "programs fall back to openat when they get ENOSYS"),
];

/// Advice on a call, given what became of it and why. `docker_default`: the profile is the engine's own, which
/// capabilities open.
#[must_use]
pub fn advise(call: &Call, outcome: &Explanation, declared: Option<Declared<'_>>, docker_default: bool) -> Advice {
    let name = inner_call(call.abi, call.nr, &call.args).or_else(|| syscall::known_name(call.abi, call.nr));
    let class = name.and_then(class::of);
    let wanted = purpose::of(call, name, class.map(|(_, purpose)| purpose));
    let (change, remedy) = remedy(call, name, outcome, declared, docker_default);
    match class {
        Some((class, _)) => Advice { wanted, change, remedy, risk: class.risk, why: class.why },
        None => Advice { wanted, change, remedy, risk: Risk::High, why: "nobody knows what it does" },
    }
}

/// How much a call opens to a program that turns hostile. What nobody knows is dangerous.
#[must_use]
pub fn risk_of(name: &str) -> Risk {
    class::of(name).map_or(Risk::High, |(class, _)| class.risk)
}

fn remedy(
    call: &Call,
    name: Option<&'static str>,
    outcome: &Explanation,
    declared: Option<Declared<'_>>,
    docker_default: bool,
) -> (Option<Change>, String) {
    if outcome.fate == Fate::Answered {
        return (None, "a supervisor answered in the kernel's place: nothing to do".to_owned());
    }
    let Some(name) = name else {
        return (None, "no profile can allow it: it has no name that a profile could use".to_owned());
    };
    let pretends = outcome.errno == Some(38);
    let fallback = FALLBACKS.iter().find(|(call, _)| *call == name).map(|(_, fallback)| *fallback);
    if let (Some(fallback), true) = (fallback, pretends) {
        return (None, format!("{fallback}: nothing to do"));
    }
    let Some(declared) = declared else {
        let text = format!(
            "{{\"names\":[\"{name}\"],\"action\":\"SCMP_ACT_ALLOW\"}} in syscalls allows it, if no other rule is in the way: the \
             profile could not be read"
        );
        return (None, text);
    };
    if outcome.decided_by == DecidedBy::AnotherFilter {
        return (None, "the declared profile is not what refused it, so no change there helps".to_owned());
    }
    let Some(change) = Change::to_allow(call, declared) else {
        return (None, "no profile can allow it: it has no name that a profile could use".to_owned());
    };
    let mut text = String::new();
    if outcome.fate == Fate::WouldBeDenied {
        text.push_str("before the profile enforces, ");
    }
    text.push_str(&change.describe());
    if let Some(fallback) = fallback {
        text.push_str(&format!("; or let it answer ENOSYS (errnoRet 38): {fallback}"));
    } else if pretends {
        text.push_str("; it was told that there is no such call (ENOSYS), and may do without");
    }
    if matches!(outcome.decided_by, DecidedBy::Stub(_)) && declared.profile.default_action == Action::Errno {
        text.push_str("; calls between the highest named one and this get the profile's own errno then, not ENOSYS");
    }
    match (capability::in_docker_default(name), capability::in_kernel(name)) {
        (Some(capability), _) if docker_default => {
            text.push_str(&format!("; or --cap-add {}, with which Docker's default allows it", short(capability)));
        }
        (_, Some(capability)) => {
            text.push_str(&format!("; the kernel also asks for {capability} (--cap-add {})", short(capability)));
        }
        _ => {}
    }
    (Some(change), text)
}

/// As `--cap-add` takes it.
fn short(capability: &str) -> &str {
    capability.strip_prefix("CAP_").unwrap_or(capability)
}
