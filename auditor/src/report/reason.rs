//! Why what is enforced is not what was declared, in words.

use std::fmt::Write as _;

use crate::effective::{Comparison, Difference, Reason, Task};
use crate::profile::Decision;
use crate::report::escape::capped;
use crate::report::view::ReasonView;
use crate::syscall::{self, Abi};

/// How many tasks and calls a sentence names before it says how many more there are.
const NAMED: usize = 5;
/// Most characters of a task's name: the kernel keeps 15.
const COMM_WIDTH: usize = 32;

/// What people and scripts are told.
#[must_use]
pub fn views(comparison: &Comparison) -> Vec<ReasonView> {
    let view = |reason: &Reason| ReasonView {
        reason: reason.as_str().to_owned(),
        alarming: reason.is_alarming(),
        text: sentence(reason),
    };
    comparison.reasons.iter().map(view).collect()
}

fn sentence(reason: &Reason) -> String {
    match reason {
        Reason::RuntimeStub { highest, default } => format!(
            "the runtime answers ENOSYS to calls above number {highest} ({name}), the highest that the profile names; the \
             profile itself would answer {default}. That is as it should be: programs take ENOSYS for an older kernel",
            highest = highest.0,
            name = syscall::display_name(Abi::NATIVE, *highest),
            default = outcome(*default),
        ),
        Reason::StackedFilter { filters, tasks } => format!(
            "{} that the profile does not make, on {}; programs put such on themselves. What it refuses, no change of the \
             profile allows",
            count(*filters, "filter"),
            tasks_in_words(tasks),
        ),
        Reason::InheritedFilter { filters } => format!(
            "{} older than the container's: the engine itself runs under it, and no profile can allow what it refuses",
            count(*filters, "filter"),
        ),
        Reason::UnfilteredTask { tasks } => format!(
            "no filter at all on {}: such tasks come from the host (nsenter), or from docker exec --privileged where the \
             engine leaves the filter away; they may make any call",
            tasks_in_words(tasks),
        ),
        Reason::Privileged { profile_given: true } => {
            "the container is privileged, and the engine ignores the profile \
             that was given with it: no filter is installed; give single capabilities with --cap-add in place of \
             --privileged"
                .to_owned()
        }
        Reason::Privileged { profile_given: false } => {
            "the container is privileged: the engine installs no filter, not even its default".to_owned()
        }
        Reason::NoFilter => {
            "a profile was declared and no task has a filter: the runtime did not install it".to_owned()
        }
        Reason::DefaultChanged => "the engine's default profile has changed since the container was started: the \
             container keeps the one it has, and gets the new one when it is started again"
            .to_owned(),
        Reason::ForeignAbi { abi, enforced } => format!(
            "the container makes {abi} calls, an ABI that the profile does not name: what it says of its calls does not \
             hold for them, the answer to all is {}; add the ABI under \"architectures\", or leave it out on purpose",
            outcome(*enforced),
        ),
        Reason::OtherFilter { differences } => {
            format!("the filter is not the declared profile's: {}", differences_in_words(differences))
        }
        Reason::DeclaredUnknown => {
            "the declared profile could not be read, so there is nothing to compare the filter with (auditor doctor)"
                .to_owned()
        }
        Reason::EffectiveUnknown { why } => format!("the kernel's filters are not known: {why}"),
    }
}

/// `SCMP_ACT_ERRNO (errno 1)`.
#[must_use]
pub fn outcome(decision: Decision) -> String {
    match decision.errno {
        Some(errno) => format!("{} (errno {errno})", decision.action),
        None => decision.action.to_string(),
    }
}

fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `2 tasks: 411 (sh), 412 (sleep)`.
#[must_use]
pub fn tasks_in_words(tasks: &[Task]) -> String {
    let mut out = format!("{}: ", count(tasks.len(), "task"));
    for (at, task) in tasks.iter().take(NAMED).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{} ({})", task.tid, capped(&task.comm, COMM_WIDTH));
    }
    and_more(&mut out, tasks.len());
    out
}

fn differences_in_words(differences: &[Difference]) -> String {
    let mut out = String::new();
    for (at, difference) in differences.iter().take(NAMED).enumerate() {
        let comma = if at == 0 { "" } else { "; " };
        let name = syscall::display_name(difference.abi, difference.nr);
        let abi = if difference.abi == Abi::NATIVE { String::new() } else { format!(" ({})", difference.abi) };
        let args = if difference.args == [0; 6] { String::new() } else { arguments(&difference.args) };
        let _ = write!(
            out,
            "{comma}{name}{abi}{args} is {} where the profile says {}",
            outcome(difference.enforced),
            outcome(difference.declared)
        );
    }
    and_more(&mut out, differences.len());
    out
}

/// The arguments up to the last that is not zero.
fn arguments(args: &[u64; 6]) -> String {
    let used = args.iter().rposition(|arg| *arg != 0).map_or(0, |last| last + 1);
    let shown: Vec<String> = args[..used].iter().map(|arg| format!("{arg:#x}")).collect();
    format!("({})", shown.join(", "))
}

fn and_more(out: &mut String, all: usize) {
    if all > NAMED {
        let _ = write!(out, " and {} more", all - NAMED);
    }
}
