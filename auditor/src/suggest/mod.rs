//! A smaller profile: what was seen, and no more.
//!
//! Two laws, checked by the evaluator on every run: a suggestion is never wider than the active profile and the calls that
//! the user takes in, and never narrower than these and what was seen. The way there is to keep the active profile's rules as they are and to take names out
//! of those that let calls through: conditions, errnos and the order of rules stay what they were.

mod allow;
mod argument;
mod certainty;
pub mod exposure;
mod floor;
mod laws;
mod material;
mod shape;
mod staged;

use std::collections::{BTreeMap, BTreeSet};

use crate::counters::{Counters, Tally};
use crate::evidence::{Evidence, Window};
use crate::profile::merge::{MergeError, merge};
use crate::profile::{Arch, HostArch, Policy, Profile, Summary, Verdict};
use crate::syscall::{self, Abi, SyscallNr};

pub use self::allow::{AllowError, Allowance};
pub use self::certainty::{Certainty, Demand};
use self::exposure::Exposure;
pub use self::floor::{Call, Measurement, RuntimeFloor};
pub use self::material::{MalformedMaterial, Material};

/// What a suggestion is made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What was seen.
    pub evidence: &'a Evidence,
    /// The active profile; `None` for a container without a filter.
    pub profile: Option<&'a Profile>,
    /// Where it runs.
    pub host: HostArch,
    /// What the runtime needs.
    pub floor: &'a RuntimeFloor,
    /// What the user wants of it.
    pub options: &'a Options,
}

/// What the user wants of a suggestion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Suggest also from evidence with gaps.
    pub allow_incomplete: bool,
    /// No runtime is going to start a container with it: what one needs is left out.
    pub without_runtime: bool,
    /// Also refuse what calls were never asked for, where the evidence says what that is.
    pub arguments: bool,
    /// What happens to what was not seen.
    pub mode: Mode,
    /// Start from this profile and not from the active one.
    pub base: Option<Profile>,
    /// Let through also what these do.
    pub merge: Vec<Profile>,
    /// Let these calls through as well.
    pub allow: Vec<Allowance>,
    /// Of these somebody has decided that they stay denied.
    pub reviewed: Vec<Allowance>,
}

/// What happens to what was not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is let through and logged, where the profile that the suggestion starts from lets it through.
    Log,
}

/// A smaller profile, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// For `--security-opt seccomp=FILE`.
    pub profile: Profile,
    /// What it does.
    pub policy: Policy,
    /// The native ABI in numbers under the active profile.
    pub before: Summary,
    /// And under this one, once it is enforced.
    pub after: Summary,
    /// How far it can be trusted.
    pub certainty: Certainty,
    /// What it buys.
    pub exposure: Exposure,
    /// Calls that were denied meanwhile. They are not in the profile, unless they were taken in.
    pub denied: Vec<DeniedCall>,
    /// What was seen and the given base denies. It is not in the profile.
    pub left_out: Vec<String>,
    /// What people should know, one line each: evidence first.
    pub notes: Vec<String>,
}

/// A call that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedCall {
    /// Calling convention.
    pub abi: Abi,
    /// Number.
    pub nr: SyscallNr,
    /// The kernel's name, or `unknown_NNN`.
    pub name: String,
    /// How often.
    pub count: u64,
    /// The errno that the caller got last.
    pub errno: Option<u16>,
    /// It is in the profile by the user's wish.
    pub taken_in: bool,
    /// Somebody has decided that it stays denied.
    pub reviewed: bool,
}

/// Why there is no suggestion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuggestError {
    /// The record has gaps.
    #[error(
        "suggest: the record is incomplete ({reason}): a profile from it could stop what it is for; start that anew while \
         it is counted (a container under the running daemon), or add --allow-incomplete"
    )]
    Incomplete {
        /// What is missing.
        reason: String,
    },
    /// No program was ever executed under the filter.
    #[error(
        "suggest: the container's program was never started (no execve under the filter), so the record is that of a \
         failed start; see docker logs, and start it again"
    )]
    NeverStarted,
    /// Nothing was counted.
    #[error("suggest: no call was counted yet; let the container run first")]
    NothingSeen,
    /// There is no union with the profiles that were to be merged, or none that can be written as a profile.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A call is to be taken in by an ABI of which the profile refuses everything.
    #[error(
        "suggest: --allow {name}: the profile has no rules for an ABI that has this call, and one more architecture \
         would let through more than this call"
    )]
    ForeignAbi {
        /// As it was typed.
        name: String,
    },
    /// The result lets through what the active profile denies: a defect of the auditor.
    #[error("suggest: the result would allow {name} ({abi}) where the active profile does not; please report this")]
    Wider {
        /// Calling convention.
        abi: Abi,
        /// The call.
        name: String,
    },
    /// The result denies what was seen: a defect of the auditor.
    #[error("suggest: the result would deny {name} ({abi}), which was seen to run; please report this")]
    Narrower {
        /// Calling convention.
        abi: Abi,
        /// The call.
        name: String,
    },
}

impl SuggestError {
    /// Whether the evidence does not carry a suggestion; otherwise the request or the auditor is at fault.
    #[must_use]
    pub const fn is_finding(&self) -> bool {
        match self {
            Self::Incomplete { .. } | Self::NeverStarted | Self::NothingSeen => true,
            Self::Merge(_) | Self::ForeignAbi { .. } | Self::Wider { .. } | Self::Narrower { .. } => false,
        }
    }
}

/// Makes a smaller profile.
///
/// # Errors
/// [`SuggestError::Incomplete`] and [`SuggestError::NothingSeen`] where the record does not carry a suggestion.
pub fn suggest(request: &Request<'_>) -> Result<Suggestion, SuggestError> {
    let Request { evidence, host, options, .. } = *request;
    let window = evidence.window();
    refuse_gaps(evidence, &window, options)?;
    let counters = evidence.counters();
    let policy_of = |profile: Option<&Profile>| {
        profile.map_or_else(|| Policy::unconfined(host.native), |profile| profile.evaluate(host))
    };
    let active = policy_of(request.profile);
    // A unit's own filter is no profile that anybody gave us, but what was called without it is systemd's.
    let own_filter = || !evidence.of_containers() && evidence.counted().all(|start| start.confined == Some(true));
    let confined = request.profile.is_some() || own_filter();
    let mut denied = denied_calls(&counters, confined.then_some(&active));
    // What refused calls, where it is known.
    let refusing = request.profile.map(|_| &active);
    // From here on a given base takes the active profile's place, and then one that is wider by what is taken in.
    let request = &Request { profile: options.base.as_ref().or(request.profile), ..*request };
    let narrow = policy_of(request.profile);
    let opening = allow::Start { profile: request.profile, policy: &narrow, host, counters: &counters, confined };
    let opening = opening.open(&options.allow)?;
    let merged_in: Vec<Policy> = options.merge.iter().map(|profile| profile.evaluate(host)).collect();
    for call in &mut denied {
        let lets_through = |policy: &Policy| matches!(policy.verdict(call.abi, call.nr), Verdict::Allowed(_));
        call.taken_in = opening.names.contains(&call.name) || merged_in.iter().any(lets_through);
        call.reviewed = !call.taken_in && options.reviewed.iter().any(|one| one.means(call.abi, &call.name));
    }
    let mut notes = notes(evidence.of_containers(), confined, &denied);
    notes.extend(options.reviewed.iter().filter_map(|one| {
        match denied.iter().find(|call| one.means(call.abi, &call.name)) {
            None => Some(format!("--reviewed: {one} was not denied")),
            Some(call) if call.taken_in => {
                Some(format!("--reviewed: {one} is taken in all the same, by --allow or --merge"))
            }
            Some(_) => None,
        }
    }));
    notes.extend(opening.notes.iter().cloned());
    let request = &Request { profile: opening.profile.as_ref().or(request.profile), ..*request };
    let start = policy_of(request.profile);
    let mut seen = shape::Seen::of(request, &counters, &start, confined);
    if seen.calls.is_empty() {
        return Err(SuggestError::NothingSeen);
    }
    seen.admit(request, &start, &opening.calls);
    let mut profile = shape::shrink(request, &start, &mut seen);
    notes.append(&mut seen.notes);
    // Where another call's conditions would mean something else without it, a call stays logged.
    let unlogged = staged::unlogged(&profile, &options.allow);
    let is_unlogged = laws::check(&start, &unlogged.evaluate(host), &seen, None).is_ok();
    if is_unlogged {
        profile = unlogged;
    }
    notes.extend(logged_calls(&counters, &active, if is_unlogged { &options.allow } else { &[] }));
    let arguments = options.arguments.then(|| (evidence.arguments(), request.floor.given(host.native)));
    let mut conditions = BTreeSet::new();
    if let Some((arguments, given)) = &arguments {
        let (made, taken_in) = (&made(&counters, confined), &opening.calls);
        let (start, floor) = (&start, request.floor);
        let narrowed = argument::Narrowing { host, start, arguments, made, floor, given, taken_in }.narrow(profile);
        profile = narrowed.profile;
        conditions = narrowed.conditions;
        notes.extend(narrowed.notes);
    }
    let arguments = arguments.as_ref().map(|(arguments, given)| (arguments, given));
    laws::check(&start, &profile.evaluate(host), &seen, arguments)?;
    let mut left_out = seen.left_out;
    if options.base.is_some() {
        left_out.extend(argument::refused(&start, &evidence.arguments()));
        notes.extend(left_out.iter().map(|what| format!("the base denies what was seen, and it is left out: {what}")));
    }
    if !options.merge.is_empty() {
        (profile, notes) = merged(request, profile, notes)?;
    }
    let enforced = profile.evaluate(host);
    let (before, after) = (narrow.native_summary(), enforced.native_summary());
    let exposure = Exposure::of(&narrow, &enforced);
    let decided = denied.iter().filter(|call| call.reviewed || call.taken_in).map(|call| (call.abi, call.nr));
    let scope = certainty::Scope {
        floor: request.floor,
        native: host.native,
        active: refusing,
        decided: &opening.calls.iter().copied().chain(decided).collect(),
        conditions: &conditions,
    };
    let certainty = Certainty::within(evidence, &scope);
    let mut first = Vec::from(certainty.in_words(if evidence.of_containers() { "container" } else { "command" }));
    first.push(format!(
        "{} calls always allowed instead of {}, {} for some arguments instead of {}",
        after.allowed, before.allowed, after.conditional, before.conditional
    ));
    first.extend(exposure.in_words());
    notes.splice(0..0, first);
    if options.mode == Mode::Log {
        let staged = staged::stage(&profile, request.profile, host)?;
        profile = staged.profile;
        notes.extend(staged.notes);
    }
    if !request.floor.calls.is_empty() {
        notes.push(request.floor.note());
    }
    let policy = profile.evaluate(host);
    Ok(Suggestion { before, after, profile, policy, certainty, exposure, denied, left_out, notes })
}

/// The union with the profiles that were given for it.
fn merged(
    request: &Request<'_>,
    mut small: Profile,
    mut notes: Vec<String>,
) -> Result<(Profile, Vec<String>), SuggestError> {
    // A rule is for all architectures of a profile. Those that the others have and that the start has, too, stay: the
    // rules let no more through there than they did.
    let theirs = request.options.merge.iter().flat_map(|other| &other.architectures);
    let has = |arch: &Arch| request.profile.is_none_or(|start| start.architectures.contains(arch));
    for arch in theirs.filter(|arch| has(arch)) {
        if !small.architectures.contains(arch) {
            small.architectures.push(*arch);
        }
    }
    let mut all = vec![small];
    all.extend(request.options.merge.iter().cloned());
    let merged = merge(&all, request.host, false)?;
    notes.extend(merged.notes.into_iter().map(|note| format!("--merge: {note}")));
    if !merged.taken_over.is_empty() {
        notes.push(format!("--merge: no table knows {}: taken over as they are", merged.taken_over.join(", ")));
    }
    Ok((merged.profile, notes))
}

/// How often each call reached the kernel on the container's own account.
fn made(counters: &Counters, confined: bool) -> BTreeMap<(Abi, SyscallNr), u64> {
    let calls = |tally: &Tally| tally.calls.saturating_add(if confined { 0 } else { tally.unfiltered_calls });
    counters.tallies.iter().map(|(call, tally)| (*call, calls(tally))).filter(|(_, calls)| *calls > 0).collect()
}

/// Whether a program was executed under the filter: the last thing that a runtime does. A record without is that of a
/// container that failed to start.
#[must_use]
pub fn program_started(counters: &Counters) -> bool {
    counters.tallies.iter().any(|(&(abi, nr), tally)| {
        tally.calls > tally.errors && matches!(syscall::known_name(abi, nr), Some("execve" | "execveat"))
    })
}

/// One whole start is enough: what others add, with gaps or without, is more than it alone says.
fn refuse_gaps(evidence: &Evidence, window: &Window, options: &Options) -> Result<(), SuggestError> {
    let Window { complete, lost, .. } = *window;
    let any_whole = evidence.counted().any(|start| start.from_first_call && start.lost == 0);
    if complete || any_whole || options.allow_incomplete {
        return Ok(());
    }
    let reason = if lost > 0 {
        format!("{lost} calls or events were lost")
    } else {
        "no start of the container was seen".to_owned()
    };
    Err(SuggestError::Incomplete { reason })
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn denied_calls(counters: &Counters, policy: Option<&Policy>) -> Vec<DeniedCall> {
    let rows = crate::audit::syscall_views(counters, policy, Some(policy.is_some()));
    rows.into_iter()
        .filter(|row| row.denied > 0)
        .map(|row| DeniedCall {
            abi: row.abi,
            nr: row.nr,
            name: row.name.into_owned(),
            count: row.denied,
            errno: row.errno,
            taken_in: false,
            reviewed: false,
        })
        .collect()
}

/// Calls that the active profile let through and logged: what a staged profile would refuse.
fn logged_calls(counters: &Counters, active: &Policy, allow: &[Allowance]) -> Vec<String> {
    let logged = counters.tallies.iter().filter(|((abi, nr), tally)| tally.calls > 0 && active.always_logs(*abi, *nr));
    logged
        .map(|((abi, nr), tally)| {
            let name = syscall::display_name(*abi, *nr);
            let fate = if allow.iter().any(|one| one.name == name) {
                "it stays, and is not logged any more".to_owned()
            } else {
                format!("it stays, and stays logged; --allow {name} lets it through as any other")
            };
            format!("logged meanwhile, for review: {name} ({abi}), {}: {fate}", times(tally.calls))
        })
        .collect()
}

fn notes(of_containers: bool, confined: bool, denied: &[DeniedCall]) -> Vec<String> {
    let mut notes = Vec::new();
    if !confined && of_containers {
        notes.push(
            "the container has no filter: the runtime's own set-up (mount, pivot_root, unshare, ...) cannot be told from \
             the program's calls, and is allowed too"
                .to_owned(),
        );
    }
    let left_out: Vec<&DeniedCall> = denied.iter().filter(|call| !call.taken_in).collect();
    for call in &left_out {
        let errno = call.errno.map_or_else(String::new, |errno| format!(", errno {errno}"));
        let fate = if call.reviewed { "and denied still, as was decided" } else { "and not added" };
        notes.push(format!("denied meanwhile {fate}: {} ({}), {}{errno}", call.name, call.abi, times(call.count)));
    }
    if left_out.iter().any(|call| !call.reviewed) {
        notes.push(
            "for review: auditor denials says who made them and what they were for; --allow NAME takes one in, --reviewed \
             NAME says that it may stay denied"
                .to_owned(),
        );
    }
    notes
}
