//! `auditor history`: what was seen of each workload, and start by start.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ps::{text, time};
use crate::audit;
use crate::coverage::{Estimate, percent_up};
use crate::evidence::{Command, Evidence, Seen, Start, Workload, of_program};
use crate::report::table::{Align, Paint, Style, Table};
use crate::suggest::{Certainty, RuntimeFloor};
use crate::syscall::{Abi, SyscallNr, display_name};

/// Names of new calls that a table shows of a start.
const NEW_CALLS_SHOWN: usize = 6;
/// Characters of a command that a table shows.
const COMMAND_SHOWN: usize = 32;

/// One workload at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadView {
    /// Names it on the command line.
    pub id: String,
    /// The image as users name it, sorted.
    pub images: Vec<String>,
    /// The image by its content.
    pub image_id: String,
    /// Compose service, as `project/service`; otherwise the command tells it from others.
    pub service: Option<String>,
    /// Entry point and arguments.
    pub command: Option<Vec<String>>,
    /// Containers of it that are counted now.
    pub running: u32,
    /// Starts that were counted from their first call, but for those left out.
    pub starts: u32,
    /// All starts that are kept.
    pub starts_kept: u32,
    /// Of which so many are left out by the user's wish.
    pub excluded: u32,
    /// Of so many a summary is kept: when they were, and what they alone did.
    pub summaries: u32,
    /// Older ones of which nothing is kept, to keep the store small.
    pub left_out: u64,
    /// Hours counted, over all starts.
    pub hours: f64,
    /// The first call counted.
    pub since: Option<Timestamp>,
    /// When it was counted last.
    pub last_seen: Option<Timestamp>,
    /// Distinct calls that reached the kernel.
    pub calls: u32,
    /// Every start was counted from its first call, and nothing was lost.
    pub complete: bool,
    /// Calls and events known to be lost.
    pub lost: u64,
    /// When a call was last seen that no start had made before.
    pub last_new: Option<Timestamp>,
    /// Seconds counted since then, over all starts.
    #[serde(default)]
    pub quiet_seconds: Option<u64>,
    /// What its whole starts say about the next.
    pub estimate: Estimate,
    /// SHA-256 of the profiles that it ran under.
    pub profiles: Vec<String>,
}

/// One start at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartView {
    /// Names it on the command line.
    pub id: String,
    /// The container's id.
    pub container: String,
    /// And name.
    pub name: Option<String>,
    /// When counting began.
    pub began: Timestamp,
    /// When it was counted last.
    pub until: Timestamp,
    /// Hours counted.
    pub hours: f64,
    /// Counted from its first call, and nothing lost.
    pub complete: bool,
    /// Calls and events known to be lost.
    pub lost: u64,
    /// Left out by the user's wish.
    pub excluded: bool,
    /// SHA-256 of the profile that it ran under.
    pub profile: Option<String>,
    /// Who made a filter of it.
    pub runtime: String,
    /// It is old, and a summary of it is kept: not all that it called.
    pub summary: bool,
    /// Distinct calls that reached the kernel; `None` of a summary.
    pub calls: Option<u32>,
    /// Those of them that no earlier start had made, `NAME` or `NAME (ABI)`.
    pub new_calls: Vec<String>,
    /// Its calls by when they were made; `None` of a summary.
    pub phases: Option<Phases>,
}

/// The calls of a start that reached the kernel by when they were made, `NAME` or `NAME (ABI)`. One may be in several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// By the runtime, between its filter and the program, and on behalf of `docker exec`.
    pub runtime: Vec<String>,
    /// By the program in the first minute; `None` where it was not counted from its first call on.
    pub startup: Option<Vec<String>>,
    /// By the program after that; `None` where that is not known.
    pub steady: Option<Vec<String>>,
}

impl Phases {
    fn of(start: &Start) -> Self {
        let names = |is_meant: &dyn Fn(&Seen) -> bool| -> Vec<String> {
            start.calls.iter().filter(|(_, seen)| is_meant(seen)).map(|((abi, nr), _)| call(*abi, *nr)).collect()
        };
        let known = start.calls.values().all(|seen| seen.startup_calls.is_some());
        let all = |seen: &Seen| of_program(&seen.tally, start.confined);
        let early = |seen: &Seen| seen.startup_calls.unwrap_or_default();
        Self {
            runtime: names(&|seen| start.confined != Some(false) && seen.tally.runtime_calls > 0),
            startup: known.then(|| names(&|seen| early(seen) > 0)),
            steady: known.then(|| names(&|seen| all(seen) > early(seen))),
        }
    }

    /// How many in each.
    fn in_numbers(&self) -> String {
        let number = |names: &Option<Vec<String>>| {
            names.as_ref().map_or_else(|| "-".to_owned(), |names| names.len().to_string())
        };
        format!("{}/{}/{}", self.runtime.len(), number(&self.startup), number(&self.steady))
    }
}

impl WorkloadView {
    /// A workload's evidence at a glance; `running` containers of it are counted now.
    #[must_use]
    pub fn of(evidence: &Evidence, running: u32) -> Self {
        let window = evidence.window();
        let calls: BTreeSet<_> = evidence.counted().flat_map(used).collect();
        let (service, command) = match &evidence.workload.command {
            Command::Service(service) => (Some(service.clone()), None),
            Command::Line(line) => (None, Some(line.clone())),
        };
        Self {
            id: evidence.workload.id(),
            images: evidence.image_names.clone(),
            image_id: evidence.workload.image.clone(),
            service,
            command,
            running,
            starts: window.starts,
            starts_kept: count(evidence.starts.len()),
            excluded: count(evidence.starts.iter().filter(|start| start.excluded).count()),
            summaries: count(evidence.starts.iter().filter(|start| start.summary).count()),
            left_out: 0,
            hours: hours(window.seconds),
            since: window.since,
            last_seen: window.until,
            calls: count(calls.len()),
            complete: window.complete,
            lost: window.lost,
            last_new: window.last_new,
            quiet_seconds: window.quiet_seconds,
            estimate: estimate(evidence),
            profiles: evidence.profiles().into_iter().flatten().map(str::to_owned).collect(),
        }
    }
}

/// What the starts say about the next one, as a suggestion says it: without what the runtime needs anyhow, by the latest
/// start's runtime.
#[must_use]
pub fn estimate(evidence: &Evidence) -> Estimate {
    let runtime = evidence.counted().last().map(|start| start.runtime).unwrap_or_default();
    Certainty::of(evidence, RuntimeFloor::of(runtime), Abi::NATIVE).estimate
}

/// The starts of a workload, the oldest first.
#[must_use]
pub fn starts(evidence: &Evidence) -> Vec<StartView> {
    let mut seen: BTreeSet<(Abi, SyscallNr)> = BTreeSet::new();
    let view = |start: &Start| {
        let calls: BTreeSet<_> = used(start).collect();
        let new: Vec<_> = calls.difference(&seen).copied().collect();
        // What is left out brings nothing.
        if !start.excluded {
            seen.extend(&new);
        }
        StartView {
            id: start.id.clone(),
            container: start.container.clone(),
            name: start.name.clone(),
            began: start.began,
            until: start.until,
            hours: hours(start.seconds),
            complete: start.from_first_call && start.lost == 0,
            lost: start.lost,
            excluded: start.excluded,
            profile: start.profile.clone(),
            runtime: start.runtime.to_string(),
            summary: start.summary,
            calls: (!start.summary).then(|| count(calls.len())),
            phases: (!start.summary).then(|| Phases::of(start)),
            new_calls: new.into_iter().map(|(abi, nr)| call(abi, nr)).collect(),
        }
    };
    evidence.starts.iter().map(view).collect()
}

fn used(start: &Start) -> impl Iterator<Item = (Abi, SyscallNr)> + '_ {
    start.calls.iter().filter(|(_, seen)| audit::is_used(&seen.tally, start.confined)).map(|(key, _)| *key)
}

fn call(abi: Abi, nr: SyscallNr) -> String {
    let name = display_name(abi, nr);
    if abi == Abi::NATIVE { name.into_owned() } else { format!("{name} ({abi})") }
}

/// To a hundredth, so that it is the same on every machine.
fn hours(seconds: u64) -> f64 {
    let hundredths = u32::try_from(seconds / 36).unwrap_or(u32::MAX);
    f64::from(hundredths) / 100.0
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The table of workloads.
#[must_use]
pub fn workloads_table(workloads: &[WorkloadView], style: &Style) -> String {
    let mut table = Table::new(&[
        ("WORKLOAD", Align::Left),
        ("IMAGE", Align::Left),
        ("COMMAND", Align::Left),
        ("STARTS", Align::Right),
        ("HOURS", Align::Right),
        ("SINCE", Align::Left),
        ("LAST SEEN", Align::Left),
        ("CALLS", Align::Right),
        ("COMPLETE", Align::Left),
        ("LOST", Align::Right),
        ("LAST NEW CALL", Align::Left),
        ("NEW IN NEXT START", Align::Left),
    ]);
    for view in workloads {
        let image = view.images.first().map_or_else(|| style.id(digest(&view.image_id)), |image| style.name(image));
        table.row(
            if view.lost > 0 { Paint::Yellow } else { Paint::Plain },
            vec![
                style.id(&view.id),
                image,
                command(view, style),
                view.starts.to_string(),
                format!("{:.2}", view.hours),
                text(view.since.map(time)),
                if view.running > 0 { "now".to_owned() } else { text(view.last_seen.map(time)) },
                view.calls.to_string(),
                if view.complete { "yes" } else { "no" }.to_owned(),
                view.lost.to_string(),
                text(view.last_new.map(time)),
                view.estimate
                    .chance
                    .map_or_else(|| "unknown".to_owned(), |chance| format!("below {}", percent_up(chance.below))),
            ],
        );
    }
    table.render(style)
}

fn digest(image: &str) -> &str {
    image.strip_prefix("sha256:").unwrap_or(image)
}

/// A command as one would type it, cut where it is long.
fn command(view: &WorkloadView, style: &Style) -> String {
    let whole = match (&view.service, &view.command) {
        (Some(service), _) => service.clone(),
        (None, Some(line)) => line.join(" "),
        (None, None) => return "-".to_owned(),
    };
    let whole = crate::report::escape::printable(&whole);
    if !style.truncate || whole.chars().count() <= COMMAND_SHOWN {
        return whole;
    }
    let start: String = whole.chars().take(COMMAND_SHOWN - 3).collect();
    format!("{start}...")
}

/// What people call a workload, in one line.
#[must_use]
pub fn describe(workload: &Workload, image_names: &[String]) -> String {
    let image = image_names.first().map_or_else(|| digest(&workload.image), String::as_str);
    let command = match &workload.command {
        Command::Service(service) => service.clone(),
        Command::Line(line) => line.join(" "),
    };
    let text = if command.is_empty() { image.to_owned() } else { format!("{image} ({command})") };
    crate::report::escape::capped(&text, 2 * COMMAND_SHOWN)
}

/// The table of one workload's starts.
#[must_use]
pub fn starts_table(starts: &[StartView], style: &Style) -> String {
    let mut table = Table::new(&[
        ("START", Align::Left),
        ("CONTAINER", Align::Left),
        ("BEGAN", Align::Left),
        ("HOURS", Align::Right),
        ("COMPLETE", Align::Left),
        ("LOST", Align::Right),
        ("PROFILE", Align::Left),
        ("CALLS", Align::Right),
        ("PHASES", Align::Left),
        ("NEW CALLS", Align::Left),
    ]);
    for view in starts {
        let container = view.name.as_deref().map_or_else(|| style.id(&view.container), |name| style.name(name));
        table.row(
            if view.excluded { Paint::Dim } else { Paint::Plain },
            vec![
                style.id(&view.id),
                container,
                time(view.began),
                format!("{:.2}", view.hours),
                if view.excluded {
                    "excluded"
                } else if view.complete {
                    "yes"
                } else {
                    "no"
                }
                .to_owned(),
                view.lost.to_string(),
                text(view.profile.as_deref().map(|profile| style.id(profile))),
                text(view.calls.map(|calls| calls.to_string())),
                text(view.phases.as_ref().map(Phases::in_numbers)),
                new_calls(view, style),
            ],
        );
    }
    table.render(style)
}

fn new_calls(view: &StartView, style: &Style) -> String {
    let shown = if style.truncate { NEW_CALLS_SHOWN } else { usize::MAX };
    let more = view.new_calls.len().saturating_sub(shown);
    let mut names: Vec<String> = view.new_calls.iter().take(shown).cloned().collect();
    match (names.is_empty(), more) {
        (true, _) => return "-".to_owned(),
        (false, 0) => {}
        (false, more) => names.push(format!("{more} more")),
    }
    names.join(", ")
}
