//! What the kernel enforces, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::calls::abis;
use super::{EnforcedCall, EnforcedView, FilterSummary, StackView, TaskView};
use crate::report::escape::capped;
use crate::report::table::{Align, Paint, Style, Table, wrapped};
use crate::report::view::VerdictKind;
use crate::syscall::Abi;

/// How many tasks a line names before it says how many more there are.
const NAMED: usize = 5;
/// Most characters of a task's name: the kernel keeps 15.
const COMM_WIDTH: usize = 32;

pub(super) fn table(view: &EnforcedView, style: &Style, all: bool) -> String {
    let mut out = String::new();
    let id = style.id(&view.id);
    let name = view.name.as_deref().map_or_else(|| id.clone(), |name| format!("{} ({id})", style.name(name)));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} {name}", style.paint(Paint::Bold, "CONTAINER"));
    for filter in &view.filters {
        out += &filter_line(filter, style);
    }
    let (paint, declared) = match view.matches_declared {
        Some(true) => (Paint::Plain, "as declared"),
        Some(false) => (Paint::Yellow, "NOT as declared"),
        None => (Paint::Plain, "not compared with the declared profile"),
    };
    let _ = writeln!(out, "{} {}", style.paint(Paint::Bold, "ENFORCED "), style.paint(paint, declared));
    for reason in &view.reasons {
        let (mark, paint) = if reason.alarming { ("!", Paint::Yellow) } else { (" ", Paint::Plain) };
        let _ = writeln!(out, "  {mark} {}: {}", style.paint(paint, &reason.reason), reason.text);
    }
    let mut first: Option<&[EnforcedCall]> = None;
    for stack in &view.stacks {
        out.push('\n');
        if view.stacks.len() > 1 {
            out += &title(stack, style);
        }
        out += &match (&stack.syscalls, first) {
            _ if stack.filters.is_empty() && !stack.cut => "every call is allowed\n".to_owned(),
            (None, _) => "what these filters do is not known: the kernel does not let all of them be read\n".to_owned(),
            (Some(calls), _) if all => rows(calls.iter(), style),
            (Some(calls), None) => folded(calls, style),
            (Some(calls), Some(first)) => differing(calls, first, style),
        };
        first = first.or(stack.syscalls.as_deref().filter(|_| !stack.filters.is_empty()));
    }
    out
}

/// `FILTER 2  974 instructions, the declared profile's, on 3 tasks: 411 (nginx), ...`
pub(super) fn filter_line(filter: &FilterSummary, style: &Style) -> String {
    let length = filter.instructions.map_or_else(|| "unreadable".to_owned(), |n| plural(n, "instruction"));
    let declared = if filter.is_declared { ", the declared profile's" } else { "" };
    let label = style.paint(Paint::Bold, &format!("FILTER {:<2}", filter.number));
    format!("{label} {length}{declared}, on {}\n", tasks(&filter.tasks))
}

fn tasks(tasks: &[TaskView]) -> String {
    let mut out = format!("{}: ", plural(tasks.len(), "task"));
    for (at, task) in tasks.iter().take(NAMED).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}{} ({})", task.tid, capped(&task.comm, COMM_WIDTH));
    }
    if tasks.len() > NAMED {
        let _ = write!(out, " and {} more", tasks.len() - NAMED);
    }
    out
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn title(stack: &StackView, style: &Style) -> String {
    let numbers: Vec<String> = stack.filters.iter().map(ToString::to_string).collect();
    let under = match numbers.len() {
        0 if stack.cut => "filters that could not be read".to_owned(),
        0 => "no filter".to_owned(),
        1 => format!("filter {}", numbers[0]),
        _ => format!("filters {}", numbers.join(", ")),
    };
    format!("{}\n", style.paint(Paint::Bold, &format!("{under}, on {}", tasks(&stack.tasks))))
}

/// The calls that another stack treats otherwise than the first.
fn differing(calls: &[EnforcedCall], first: &[EnforcedCall], style: &Style) -> String {
    // Which filter it is that refuses a call is no difference in what happens.
    let alike = |a: &EnforcedCall, b: &EnforcedCall| {
        EnforcedCall { filter: None, ..a.clone() } == EnforcedCall { filter: None, ..b.clone() }
    };
    let differ: Vec<&EnforcedCall> =
        calls.iter().zip(first).filter(|(call, first)| !alike(call, first)).map(|(call, _)| call).collect();
    if differ.is_empty() {
        return "the same as above\n".to_owned();
    }
    format!("the same as above, but for\n{}", rows(differ.into_iter(), style))
}

/// A row for each call.
fn rows<'a>(calls: impl Iterator<Item = &'a EnforcedCall>, style: &Style) -> String {
    let mut table =
        Table::new(&[("ABI", Align::Left), ("NR", Align::Right), ("SYSCALL", Align::Left), ("VERDICT", Align::Left)]);
    for call in calls {
        let paint = match call.verdict {
            VerdictKind::Denied => Paint::Red,
            VerdictKind::Conditional => Paint::Yellow,
            VerdictKind::Allowed | VerdictKind::Unknown => Paint::Plain,
        };
        table.row(paint, vec![call.abi.to_string(), call.nr.0.to_string(), style.name(&call.name), verdict(call)]);
    }
    table.render(style)
}

/// What happens to a call, on one line.
fn verdict(call: &EnforcedCall) -> String {
    if let Some(unknown) = &call.unknown {
        return format!("not known: {unknown}");
    }
    if let Some(action) = &call.action {
        let by = call.filter.map(|filter| format!(", by filter {filter}")).unwrap_or_default();
        return match call.verdict {
            VerdictKind::Allowed if action == "SCMP_ACT_ALLOW" => "allowed".to_owned(),
            VerdictKind::Allowed => format!("allowed: {action}"),
            VerdictKind::Conditional => format!("a supervisor decides: {action}{by}"),
            VerdictKind::Denied | VerdictKind::Unknown => format!("denied: {}{by}", outcome(action, call.errno)),
        };
    }
    // One after the other with the same outcome are one sentence.
    let mut sentences: Vec<(String, Vec<String>)> = Vec::new();
    for case in &call.cases {
        let what = match case.action.as_str() {
            "SCMP_ACT_ALLOW" => "allowed".to_owned(),
            action => outcome(action, case.errno),
        };
        let when = case.when.join(" and ");
        match sentences.last_mut() {
            Some((last, conditions)) if *last == what => conditions.push(when),
            _ => sentences.push((what, vec![when])),
        }
    }
    let sentence = |(what, conditions): &(String, Vec<String>)| match conditions.last() {
        Some(last) if !last.is_empty() => format!("{what} if {}", conditions.join(", or ")),
        _ => format!("else {what}"),
    };
    sentences.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

fn outcome(action: &str, errno: Option<u16>) -> String {
    errno.map_or_else(|| action.to_owned(), |errno| format!("{action} (errno {errno})"))
}

/// Calls for some arguments each with a row, the others in lists.
fn folded(calls: &[EnforcedCall], style: &Style) -> String {
    let mut out = String::new();
    let mut foreign = Vec::new();
    let single: Vec<&EnforcedCall> = calls.iter().filter(|call| call.action.is_none()).collect();
    if !single.is_empty() {
        out += &rows(single.into_iter(), style);
    }
    for abi in abis() {
        let mut alike: BTreeMap<(bool, String), Vec<&str>> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.abi == abi && call.action.is_some()) {
            alike.entry((call.verdict != VerdictKind::Allowed, verdict(call))).or_default().push(&call.name);
        }
        for ((_, verdict), mut names) in alike {
            names.sort_unstable();
            if abi == Abi::NATIVE {
                let list = wrapped(names.iter().copied(), style.width);
                let _ = write!(out, "\n{} of {abi} {verdict}:\n{list}", names.len());
            } else {
                foreign.push(format!("{} of {abi} {verdict}", names.len()));
            }
        }
    }
    if !foreign.is_empty() {
        let _ = writeln!(out, "\nby other ABIs (--all lists them):\n  {}", foreign.join("\n  "));
    }
    out
}
