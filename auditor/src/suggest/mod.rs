//! A smaller profile: what was seen, and no more.
//!
//! Two laws, checked by the evaluator on every run: a suggestion is never wider than the active profile, and never
//! narrower than what was seen. The way there is to keep the active profile's rules as they are and to take names out
//! of those that let calls through: conditions, errnos and the order of rules stay what they were.

mod floor;
mod laws;
mod material;
mod shape;

use crate::counters::Counters;
use crate::evidence::{Evidence, Window};
use crate::profile::{HostArch, Policy, Profile, Summary};
use crate::syscall::{self, Abi, SyscallNr};

pub use self::floor::RuntimeFloor;
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
}

/// A smaller profile, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// For `--security-opt seccomp=FILE`.
    pub profile: Profile,
    /// What it does.
    pub policy: Policy,
    /// The native ABI in numbers under the active profile.
    pub before: Summary,
    /// And under this one.
    pub after: Summary,
    /// Calls that were denied meanwhile. They are not in the profile.
    pub denied: Vec<DeniedCall>,
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
}

/// Why there is no suggestion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuggestError {
    /// The record has gaps.
    #[error(
        "suggest: the record is incomplete ({reason}): a profile from it could stop the container; restart the \
         container under the running daemon, or add --allow-incomplete"
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
    /// Whether the evidence does not carry a suggestion; otherwise the auditor is at fault.
    #[must_use]
    pub const fn is_finding(&self) -> bool {
        match self {
            Self::Incomplete { .. } | Self::NeverStarted | Self::NothingSeen => true,
            Self::Wider { .. } | Self::Narrower { .. } => false,
        }
    }
}

/// Makes a smaller profile.
///
/// # Errors
/// [`SuggestError::Incomplete`] and [`SuggestError::NothingSeen`] where the record does not carry a suggestion.
pub fn suggest(request: &Request<'_>) -> Result<Suggestion, SuggestError> {
    let window = request.evidence.window();
    refuse_gaps(&window, request.options)?;
    let counters = request.evidence.counters();
    let active = request.profile.map_or_else(|| Policy::unconfined(request.host.native), |p| p.evaluate(request.host));
    let mut seen = shape::Seen::of(request, &counters, &active);
    if seen.calls.is_empty() {
        return Err(SuggestError::NothingSeen);
    }
    let profile = shape::shrink(request, &active, &mut seen);
    let policy = profile.evaluate(request.host);
    laws::check(&active, &policy, &seen)?;
    let denied = denied_calls(&counters, request.profile.is_some().then_some(&active));
    let (before, after) = (active.native_summary(), policy.native_summary());
    let mut notes = notes(request, &window, &seen, &denied);
    notes.insert(
        1,
        format!(
            "{} calls always allowed instead of {}, {} for some arguments instead of {}",
            after.allowed, before.allowed, after.conditional, before.conditional
        ),
    );
    Ok(Suggestion { before, after, profile, policy, denied, notes })
}

/// Whether a program was executed under the filter: the last thing that a runtime does. A record without is that of a
/// container that failed to start.
#[must_use]
pub fn program_started(counters: &Counters) -> bool {
    counters.tallies.iter().any(|(&(abi, nr), tally)| {
        tally.calls > tally.errors && matches!(syscall::known_name(abi, nr), Some("execve" | "execveat"))
    })
}

fn refuse_gaps(window: &Window, options: &Options) -> Result<(), SuggestError> {
    let Window { starts, complete, lost, .. } = *window;
    if complete || options.allow_incomplete {
        return Ok(());
    }
    let reason = if lost > 0 {
        format!("{lost} calls or events were lost")
    } else if starts == 0 {
        "no start of the container was seen".to_owned()
    } else {
        "not every start was counted from its first call".to_owned()
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
        .map(|row| DeniedCall { abi: row.abi, nr: row.nr, name: row.name, count: row.denied, errno: row.errno })
        .collect()
}

fn notes(request: &Request<'_>, window: &Window, seen: &shape::Seen, denied: &[DeniedCall]) -> Vec<String> {
    let Window { since, starts, complete, lost, .. } = window;
    let of_containers = request.evidence.of_containers();
    let subject = if of_containers { "container" } else { "command" };
    let mut notes = vec![format!(
        "counted since {}, {starts} {} of the {subject}, {}",
        since.map_or_else(|| "an unknown time".to_owned(), |since| format!("{since:.0}")),
        if *starts == 1 { "start" } else { "starts" },
        match (complete, lost) {
            (true, _) => "complete".to_owned(),
            (false, 0) => "not complete: some calls were made before counting began".to_owned(),
            (false, lost) => format!("not complete: {lost} calls or events were lost"),
        }
    )];
    if request.profile.is_none() && of_containers {
        notes.push(
            "the container has no filter: the runtime's own set-up (mount, pivot_root, unshare, ...) cannot be told from \
             the program's calls, and is allowed too"
                .to_owned(),
        );
    }
    for call in denied {
        let errno = call.errno.map_or_else(String::new, |errno| format!(", errno {errno}"));
        notes.push(format!(
            "denied meanwhile and not added: {} ({}), {}{errno}",
            call.name,
            call.abi,
            times(call.count)
        ));
    }
    notes.extend(seen.notes.iter().cloned());
    notes
}
