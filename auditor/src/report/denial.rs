//! `auditor denials`: what was refused, one line each, and one line of advice.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::denial::advice::{Change, ChangeView};
use crate::denial::argument::decode;
use crate::denial::decision::{DecidedBy, Declared, looks_like};
use crate::denial::errno;
use crate::denial::{Counter, Denial, Findings, Refusal};
use crate::effective::Effective;
use crate::filter::{Outcome, SeccompData};
use crate::report::escape::{capped, printable};
use crate::report::ps::time;
use crate::report::table::{Paint, Style};
use crate::syscall::{Abi, SyscallNr, display_name};

/// Most lines below the table of `show`.
const BELOW_SHOW: usize = 10;

/// Widest call, in characters, that the table shows; `--no-trunc` lifts it.
const CALL_WIDTH: usize = 100;

/// One line of `denials`: a refusal and its repetitions, or refusals that were counted and not seen one by one; of these
/// nobody knows who made them, with which arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialView {
    /// When the latest was, or when it was noticed that there had been more than were seen.
    pub time: Timestamp,
    /// When the first of them was.
    pub first_time: Option<Timestamp>,
    /// The container's name; `None` where the engine never told.
    pub container: Option<String>,
    /// The container's id.
    pub id: String,
    /// Process, in the host's numbers.
    pub pid: Option<u32>,
    /// Thread, in the host's numbers.
    pub tid: Option<u32>,
    /// Process, as the container sees it.
    pub container_pid: Option<u32>,
    /// Thread, as the container sees it.
    pub container_tid: Option<u32>,
    /// The thread's name, which the program chooses.
    pub comm: Option<String>,
    /// Calling convention.
    pub abi: Abi,
    /// Number within it; -1 where it was counted among those outside the table.
    pub nr: SyscallNr,
    /// The kernel's name, or `unknown_NNN`.
    pub name: String,
    /// The registers of the arguments that the call has.
    pub args: Option<Vec<u64>>,
    /// The same in words, in their order.
    pub arguments: Option<Vec<ArgumentView>>,
    /// For example `SCMP_ACT_ERRNO`.
    pub action: String,
    /// The errno that the program got.
    pub errno: Option<u16>,
    /// `denied`, `killed`, `would_be_denied`, `answered`.
    pub outcome: String,
    /// How many refusals this line stands for.
    pub count: u64,
    /// Whether they were seen one by one, or counted alone.
    pub seen: bool,
    /// Who decided.
    pub decided_by: DecidedByView,
    /// What to make of it.
    pub advice: AdviceView,
}

/// One argument in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgumentView {
    /// The kernel's name for it.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedByView {
    /// `rule`, `default`, `runtime_stub`, `foreign_abi`, `another_filter`, `supervisor`, `unknown`.
    pub kind: String,
    /// The rules of the declared profile that decided, or whose conditions did not hold, by their place in `syscalls`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<usize>,
    /// The number of the filter that decided, as `auditor filter` has it now, where it is not the declared profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<usize>,
    /// For people.
    pub text: String,
}

/// What to make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdviceView {
    /// What the program wanted.
    pub wanted: String,
    /// What would allow it, or why nothing is to be done.
    pub remedy: String,
    /// The same for scripts: what to change in the profile; `None` where there is no such change.
    pub change: Option<ChangeView>,
    /// `low`, `medium`, `high`: what allowing it would open.
    pub risk: String,
    /// Why.
    pub why: String,
}

/// Whose refusals they are, and under which profile.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// The engine's name.
    pub name: Option<&'a str>,
    /// The id.
    pub id: &'a str,
    /// The profile, where it was read.
    pub declared: Option<Declared<'a>>,
    /// Whether it is the engine's own default.
    pub docker_default: bool,
    /// The filters that its tasks were last seen with.
    pub effective: Option<&'a Effective>,
}

impl DenialView {
    /// A folded entry.
    #[must_use]
    pub fn of_entry(entry: &mut Denial, container: &Container<'_>) -> Self {
        let findings = entry.findings(container.declared, container.docker_default);
        let view = Self::new(&entry.latest, &findings, container);
        Self { first_time: Some(entry.first), count: entry.count, ..view }
    }

    /// One refusal of a folded entry.
    #[must_use]
    pub fn of_one(entry: &mut Denial, refusal: &Refusal, container: &Container<'_>) -> Self {
        let findings = entry.findings(container.declared, container.docker_default);
        Self::new(refusal, &findings, container)
    }

    fn new(refusal: &Refusal, findings: &Findings, container: &Container<'_>) -> Self {
        let Refusal { time, call, task, .. } = refusal;
        let arguments = decode(call.abi, call.nr, &call.args);
        Self {
            pid: Some(task.pid),
            tid: Some(task.tid),
            container_pid: Some(task.container_pid),
            container_tid: Some(task.container_tid),
            comm: Some(task.comm.clone()),
            args: Some(arguments.iter().map(|argument| argument.value).collect()),
            arguments: Some(
                arguments
                    .into_iter()
                    .map(|argument| ArgumentView { name: argument.name.to_owned(), text: argument.text })
                    .collect(),
            ),
            first_time: Some(*time),
            count: 1,
            seen: true,
            ..Self::nameless(*time, call.abi, call.nr, findings, container)
        }
        .by_filter(refusal, findings, container)
    }

    /// Where another filter than the declared profile's decided: which one, and its action, if it can be told.
    fn by_filter(mut self, refusal: &Refusal, findings: &Findings, container: &Container<'_>) -> Self {
        if findings.explanation.decided_by != DecidedBy::AnotherFilter {
            return self;
        }
        let Refusal { call, seen, task, .. } = refusal;
        let data = SeccompData::new(call.abi, call.nr, call.args);
        let wanted = |outcome: Outcome| looks_like(outcome.decision(), *seen);
        let decides = container.effective.and_then(|effective| effective.decides(task.tid, &data, wanted));
        if let Some((index, outcome)) = decides {
            self.action = outcome.action.as_str().to_owned();
            self.decided_by.filter = Some(index + 1);
            self.decided_by.text = format!("filter {} of the container's tasks (auditor filter lists them)", index + 1);
        }
        self
    }

    /// Refusals that were counted and not seen.
    #[must_use]
    pub fn of_counter(
        time: Timestamp,
        counter: Counter,
        count: u64,
        findings: &Findings,
        container: &Container<'_>,
    ) -> Self {
        Self { count, ..Self::nameless(time, counter.abi, counter.nr, findings, container) }
    }

    fn nameless(time: Timestamp, abi: Abi, nr: SyscallNr, findings: &Findings, container: &Container<'_>) -> Self {
        let Findings { explanation, advice } = findings;
        Self {
            time,
            first_time: None,
            container: container.name.map(str::to_owned),
            id: container.id.to_owned(),
            pid: None,
            tid: None,
            container_pid: None,
            container_tid: None,
            comm: None,
            abi,
            nr,
            name: display_name(abi, nr).into_owned(),
            args: None,
            arguments: None,
            action: explanation.action.to_owned(),
            errno: explanation.errno,
            outcome: explanation.fate.as_str().to_owned(),
            count: 0,
            seen: false,
            decided_by: DecidedByView {
                kind: explanation.decided_by.as_str().to_owned(),
                rules: explanation.decided_by.rules(),
                filter: None,
                text: explanation.decided_by.describe(abi),
            },
            advice: AdviceView {
                wanted: advice.wanted.clone(),
                remedy: advice.remedy.clone(),
                change: advice.change.as_ref().map(Change::view),
                risk: advice.risk.as_str().to_owned(),
                why: advice.why.to_owned(),
            },
        }
    }
}

/// One line for the refusal, and indented below who decided and what to do. The same for a stream and for a list.
#[must_use]
pub fn lines(view: &DenialView, style: &Style) -> String {
    let mut out = style.paint(paint(view), &headline(view, style));
    let _ = writeln!(out);
    let mut below = |text: &str| {
        let _ = writeln!(out, "    {}", style.paint(Paint::Dim, &printable(text)));
    };
    if view.seen {
        below(&format!("by {}", view.decided_by.text));
        below(&advice(&view.advice));
    }
    out
}

/// All of them, the latest last, with advice; or that there are none.
#[must_use]
pub fn list(views: &[DenialView], style: &Style) -> String {
    if views.is_empty() {
        return "no denials\n".to_owned();
    }
    views.iter().map(|view| lines(view, style)).collect()
}

/// Those of one container below the table of `show`: what was called and how often, without advice, and the latest few.
#[must_use]
pub fn last_of(views: &[DenialView], style: &Style) -> String {
    if views.is_empty() {
        return String::new();
    }
    let skipped = views.len().saturating_sub(BELOW_SHOW);
    let heading = match skipped {
        0 => "LAST DENIALS (auditor denials says what to do)".to_owned(),
        _ => format!("LAST {BELOW_SHOW} OF {} DENIALS (auditor denials has all, and says what to do)", views.len()),
    };
    let mut out = format!("\n{}\n", style.paint(Paint::Bold, &heading));
    for view in &views[skipped..] {
        let _ = writeln!(out, "  {}", style.paint(paint(view), &headline(view, style)));
    }
    out
}

fn paint(view: &DenialView) -> Paint {
    match view.outcome.as_str() {
        "would_be_denied" => Paint::Yellow,
        "answered" => Paint::Plain,
        _ => Paint::Red,
    }
}

/// `2026-11-23 19:00:00Z web nginx[7/4711] mkdir(pathname=0x1000, mode=0755) = EPERM (SCMP_ACT_ERRNO) x6`
fn headline(view: &DenialView, style: &Style) -> String {
    let container = view.container.as_deref().map_or_else(|| style.id(&view.id), |name| style.name(name));
    let when = time(view.time);
    let call = match &view.arguments {
        Some(arguments) => {
            let arguments: Vec<String> =
                arguments.iter().map(|argument| format!("{}={}", argument.name, argument.text)).collect();
            format!("{}({})", view.name, arguments.join(", "))
        }
        None => format!("{}(...)", view.name),
    };
    let call = if style.truncate { capped(&call, CALL_WIDTH) } else { printable(&call) };
    let abi = if view.abi == Abi::NATIVE { String::new() } else { format!("{} ", view.abi) };
    let who = match (&view.comm, view.pid, view.container_pid) {
        (Some(comm), Some(pid), Some(inner)) => format!("{}[{inner}, host {pid}] ", style.name(comm)),
        _ => String::new(),
    };
    let times = match (view.count, view.seen) {
        (1, true) => String::new(),
        (count, true) => format!(" x{count}"),
        (count, false) => format!(": {} more, counted but not seen one by one", grouped(count)),
    };
    format!("{when} {container} {who}{abi}{call} {}{times}", ending(view))
}

fn ending(view: &DenialView) -> String {
    let action = capped(&view.action, 48);
    match (view.outcome.as_str(), view.errno) {
        ("would_be_denied", _) => format!("would have been denied ({action})"),
        ("answered", _) => format!("was answered by a supervisor ({action})"),
        ("killed", _) => format!("ended by a signal ({action})"),
        (_, Some(errno)) => format!("= {} ({action})", errno::describe(errno)),
        (_, None) => format!("denied ({action})"),
    }
}

fn advice(advice: &AdviceView) -> String {
    let risk = if advice.change.is_some() { format!("; risk {}: {}", advice.risk, advice.why) } else { String::new() };
    format!("{}; {}{risk}", advice.wanted, advice.remedy)
}

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
