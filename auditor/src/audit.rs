//! What was counted, held against what the profile says: the rows of `show`, and used, unused and denied in numbers.
//!
//! *Used*: calls that reached the kernel under the filter. Calls by tasks without a filter are the runtime's set-up,
//! except in a container that has none: there they are the use. *Unused*: what the profile always allows and nobody
//! called; a call it allows for some arguments is never said to be unused.

mod cover;

pub use self::cover::uncovered;
use std::borrow::Cow;

use crate::counters::{Counters, Tally, total};
use crate::profile::{Action, Decision, Policy, Verdict};
use crate::report::view::{SyscallView, VerdictKind};
use crate::syscall::{Abi, SyscallNr, all, display_name};

/// Distinct native calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// That were used.
    pub used: u32,
    /// That are always allowed and were not; `None` without a readable profile.
    pub unused: Option<u32>,
}

/// The rows of `show`: every call that was seen, and every unused allowance of the native ABI, by ABI and number.
///
/// `confined` is whether the container has a filter, `None` where nobody knows. Times are left empty: the core has no
/// clock.
#[must_use]
pub fn syscall_views(counters: &Counters, policy: Option<&Policy>, confined: Option<bool>) -> Vec<SyscallView> {
    let mut tallies = counters.tallies.clone();
    if let Some(policy) = policy.filter(|_| confined != Some(false)) {
        for nr in policy.always_allowed(policy.native()) {
            tallies.entry((policy.native(), nr)).or_default();
        }
    }
    tallies.iter().map(|(&(abi, nr), tally)| view(abi, nr, tally, policy)).collect()
}

fn view(abi: Abi, nr: SyscallNr, tally: &Tally, policy: Option<&Policy>) -> SyscallView {
    let verdict = policy.map(|policy| policy.verdict(abi, nr));
    let denied = denied(tally, verdict);
    let mut shown = shown_decision(tally, denied, verdict);
    if denied == 0 && policy.is_some_and(|policy| policy.always_logs(abi, nr)) {
        // A call that is logged is one that somebody means to deny.
        shown.action = Some(Action::Log.as_str().into());
    }
    SyscallView {
        abi,
        nr,
        name: display_name(abi, nr),
        calls: tally.calls,
        unfiltered_calls: tally.unfiltered_calls,
        errors: tally.errors,
        unfiltered_errors: tally.unfiltered_errors,
        denied,
        verdict: match verdict {
            Some(Verdict::Allowed(_)) => VerdictKind::Allowed,
            Some(Verdict::Conditional(_)) => VerdictKind::Conditional,
            Some(Verdict::Denied(_)) => VerdictKind::Denied,
            None => VerdictKind::Unknown,
        },
        action: shown.action,
        errno: shown.errno,
        first_seen: None,
        last_seen: None,
    }
}

/// Denied calls of a container, all ABIs.
#[must_use]
pub fn denial_count(counters: &Counters, policy: Option<&Policy>) -> u64 {
    let of = |abi, nr, tally| denied(tally, policy.map(|policy| policy.verdict(abi, nr)));
    total(counters.tallies.iter().map(|(&(abi, nr), tally)| of(abi, nr, tally)))
}

/// Calls that a supervisor may have answered count as denials where the profile refuses the call, always or for some
/// arguments. Where it allows the call, or sends it to a supervisor, they were answered.
fn denied(tally: &Tally, verdict: Option<Verdict>) -> u64 {
    let supervised = match verdict {
        Some(Verdict::Denied(_)) => tally.denials.supervised,
        Some(Verdict::Conditional(decision)) if decision.action.denies() => tally.denials.supervised,
        _ => 0,
    };
    tally.denials.certain().saturating_add(supervised)
}

struct Shown {
    action: Option<Cow<'static, str>>,
    errno: Option<u16>,
}

/// What the kernel showed of a refusal names the action; where nothing was refused, the profile does.
fn shown_decision(tally: &Tally, denied: u64, verdict: Option<Verdict>) -> Shown {
    let said = match verdict {
        Some(Verdict::Denied(decision) | Verdict::Conditional(decision)) => Some(decision),
        Some(Verdict::Allowed(_)) | None => None,
    };
    let named = |action: Action, errno| Shown { action: Some(action.as_str().into()), errno };
    let denials = &tally.denials;
    if denied == 0 || (denials.certain() == 0 && said.is_some()) {
        return said.map_or(Shown { action: None, errno: None }, |said| named(said.action, said.errno));
    }
    let says = |actions: &[Action]| said.map(|said| said.action).filter(|action| actions.contains(action));
    if denials.errno > 0 {
        let errno = denials.last_errno.or_else(|| said.and_then(|said: Decision| said.errno));
        return named(says(&[Action::Trace]).unwrap_or(Action::Errno), errno);
    }
    if denials.signalled > 0 {
        return match says(&[Action::Trap, Action::KillProcess, Action::KillThread]) {
            Some(action) => named(action, None),
            None => Shown { action: Some("SCMP_ACT_TRAP|KILL".into()), errno: None },
        };
    }
    named(Action::KillThread, None)
}

/// Counts over the native ABI of the policy, or of this machine where there is none.
#[must_use]
pub fn usage(counters: &Counters, policy: Option<&Policy>, confined: Option<bool>) -> Usage {
    let native = policy.map_or(Abi::NATIVE, Policy::native);
    let tally = |nr: SyscallNr| counters.tallies.get(&(native, nr));
    let used = counters.tallies.iter().filter(|((abi, _), tally)| *abi == native && is_used(tally, confined)).count();
    let unused = policy.map(|policy| {
        let untouched = |nr: &SyscallNr| {
            tally(*nr)
                .is_none_or(|tally| !is_used(tally, confined) && denied(tally, Some(policy.verdict(native, *nr))) == 0)
        };
        all(native)
            .map(|(nr, _)| nr)
            .filter(|nr| matches!(policy.verdict(native, *nr), Verdict::Allowed(_)))
            .filter(untouched)
            .count()
    });
    Usage { used: count(used), unused: unused.map(count) }
}

/// The call reached the kernel on the container's own account.
#[must_use]
pub fn is_used(tally: &Tally, confined: Option<bool>) -> bool {
    tally.calls > 0 || (confined == Some(false) && tally.unfiltered_calls > 0)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
