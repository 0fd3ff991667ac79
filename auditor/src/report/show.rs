//! `auditor show`: one container, syscall by syscall.
//!
//! What was denied comes first; what is allowed for nothing comes last, folded to a list, because there are hundreds.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::counters;
use crate::report::escape::printable;
use crate::report::ps::{text, time};
use crate::report::table::{Align, Paint, Style, Table, wrapped};
use crate::report::view::{ContainerView, EffectiveMode, ProfileKind, ProfileSource, SyscallView, VerdictKind};
use crate::syscall::Abi;

/// The header lines, the table, and what was folded. With `all`, every row is in the table.
#[must_use]
pub fn table(view: &ContainerView, style: &Style, all: bool) -> String {
    let rows = view.syscalls.as_deref().unwrap_or_default();
    let folds = Folds { confined: is_confined(view), all };
    let mut shown: Vec<&SyscallView> = rows.iter().filter(|row| folds.keeps(row)).collect();
    shown.sort_by_key(|row| {
        let calls = row.calls.saturating_add(if folds.shows_unfiltered() { row.unfiltered_calls } else { 0 });
        (Reverse(row.denied), Reverse(calls), row.abi, &row.name)
    });
    let mut out = header(view, rows, style);
    out.push('\n');
    out += &table_of(&shown, style, &folds);
    out += &crate::report::denial::last_of(view.last_denials.as_deref().unwrap_or_default(), style);
    out += &folded(rows, style, &folds);
    out
}

/// Which rows are folded away.
struct Folds {
    /// Under a filter the runtime's own set-up and unused allowances are noise; without one they are all there is.
    confined: bool,
    all: bool,
}

impl Folds {
    fn keeps(&self, row: &SyscallView) -> bool {
        self.all || row.denied > 0 || row.calls > 0 || (!self.confined && row.unfiltered_calls > 0)
    }

    fn shows_unfiltered(&self) -> bool {
        self.all || !self.confined
    }
}

fn is_confined(view: &ContainerView) -> bool {
    match view.effective.mode {
        EffectiveMode::Filter => true,
        EffectiveMode::None => false,
        EffectiveMode::Unknown => !matches!(view.profile.kind, ProfileKind::Unconfined | ProfileKind::Privileged),
    }
}

fn header(view: &ContainerView, rows: &[SyscallView], style: &Style) -> String {
    let mut out = String::new();
    let mut line = |label: &str, paint: Paint, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} {}", style.paint(Paint::Bold, &format!("{label:<10}")), style.paint(paint, value));
    };
    let id = style.id(&view.id);
    let name = view.name.as_deref().map_or_else(|| id.clone(), |name| format!("{} ({id})", style.name(name)));
    line("CONTAINER", Paint::Plain, &name);
    line("IMAGE", Paint::Plain, &text(view.image.as_deref().map(|image| style.name(image))));
    line("STATE", Paint::Plain, &text(view.state.as_deref().map(|state| style.name(state))));
    let loose = matches!(view.profile.kind, ProfileKind::Unconfined | ProfileKind::Privileged);
    line("PROFILE", if loose { Paint::Yellow } else { Paint::Plain }, &profile(view, style));
    let (paint, filter) = filter(view);
    line("FILTER", paint, &filter);
    for reason in view.effective.reasons.iter().filter(|reason| reason.alarming) {
        line("", Paint::Yellow, &format!("{}: {}", printable(&reason.reason), printable(&reason.text)));
    }
    let window = window(view);
    line("WINDOW", if view.window.complete { Paint::Plain } else { Paint::Yellow }, &window);
    line("SYSCALLS", Paint::Plain, &usage(view));
    let denied = rows.iter().filter(|row| row.denied > 0).count();
    match (view.denials, denied) {
        (0, _) => line("DENIALS", Paint::Plain, "none"),
        (calls, 0) => line("DENIALS", Paint::Red, &plural(calls, "call")),
        (calls, denied) => {
            let of = plural(denied as u64, "syscall");
            line("DENIALS", Paint::Red, &format!("{} of {of}", plural(calls, "call")));
        }
    }
    out
}

fn profile(view: &ContainerView, style: &Style) -> String {
    let profile = &view.profile;
    let source = match profile.source {
        ProfileSource::Bundle => ", from the OCI bundle",
        ProfileSource::Kernel => ", from the kernel's filter",
        ProfileSource::Inspect => ", from the engine",
        ProfileSource::None => "",
    };
    let mut out = format!("{}{source}", profile.kind.as_str());
    if let Some(action) = &profile.default_action {
        let _ = write!(out, "; what it does not name: {}", outcome(action, profile.default_errno));
    }
    if let Some(sha256) = &profile.sha256 {
        let _ = write!(out, "; sha256 {}", style.id(sha256));
    }
    out
}

fn filter(view: &ContainerView) -> (Paint, String) {
    match view.effective.mode {
        EffectiveMode::None => (Paint::Yellow, "none: nothing is refused".to_owned()),
        EffectiveMode::Unknown => (Paint::Plain, "not seen".to_owned()),
        EffectiveMode::Filter => {
            let count = view.effective.filters.map_or_else(
                || "in force".to_owned(),
                |filters| format!("{} in force", plural(filters.into(), "filter")),
            );
            match view.effective.matches_declared {
                Some(true) => (Paint::Plain, format!("{count}, as declared")),
                Some(false) => (Paint::Yellow, format!("{count}, NOT as declared")),
                None => (Paint::Plain, format!("{count}, not compared with the profile")),
            }
        }
    }
}

fn window(view: &ContainerView) -> String {
    let window = &view.window;
    let since =
        window.since.map_or_else(|| "since an unknown time".to_owned(), |since| format!("since {}", time(since)));
    let starts = plural(window.starts.into(), "start");
    let gaps = match (window.complete, window.lost) {
        (true, _) => "complete".to_owned(),
        (false, 0) => "INCOMPLETE: not counted from the first call".to_owned(),
        (false, lost) => format!("INCOMPLETE: {} lost", plural(lost, "event")),
    };
    format!("{since}, {starts}, {gaps}")
}

fn usage(view: &ContainerView) -> String {
    let mut parts = Vec::new();
    if let Some(allowed) = view.allowed {
        parts.push(format!("{allowed} allowed"));
    }
    if let Some(conditional) = view.conditional {
        parts.push(format!("{conditional} for some arguments"));
    }
    if let Some(denied) = view.denied {
        parts.push(format!("{denied} denied"));
    }
    let of_profile = match view.profile.kind {
        ProfileKind::Unconfined | ProfileKind::Privileged => "everything allowed".to_owned(),
        _ if parts.is_empty() => "profile unknown".to_owned(),
        _ => parts.join(", "),
    };
    let unused = view.unused.map(|unused| format!(", {unused} unused")).unwrap_or_default();
    format!("{of_profile}; {} used{unused}", view.used)
}

fn table_of(rows: &[&SyscallView], style: &Style, folds: &Folds) -> String {
    let foreign = rows.iter().any(|row| row.abi != Abi::NATIVE);
    let mut columns = vec![("CALLS", Align::Right)];
    if folds.shows_unfiltered() {
        columns.push(("UNFILTERED", Align::Right));
    }
    columns.extend([("ERRORS", Align::Right), ("DENIED", Align::Right)]);
    if foreign {
        columns.push(("ABI", Align::Left));
    }
    columns.extend([("SYSCALL", Align::Left), ("VERDICT", Align::Left)]);

    let mut table = Table::new(&columns);
    let mut add = |paint: Paint, counts: [u64; 4], abi: &str, name: &str, verdict: String| {
        let [calls, unfiltered, errors, denied] = counts;
        let mut cells = vec![calls.to_string()];
        if folds.shows_unfiltered() {
            cells.push(unfiltered.to_string());
        }
        cells.extend([errors.to_string(), denied.to_string()]);
        if foreign {
            cells.push(abi.to_owned());
        }
        cells.extend([style.name(name), verdict]);
        table.row(paint, cells);
    };
    let mut total = [0; 4];
    for row in rows {
        // Errors belong to the calls that are shown.
        let errors = row.errors.saturating_add(if folds.shows_unfiltered() { row.unfiltered_errors } else { 0 });
        let counts = [row.calls, row.unfiltered_calls, errors, row.denied];
        total.iter_mut().zip(counts).for_each(|(sum, count)| counters::add(sum, count));
        let (paint, verdict) = verdict(row);
        add(paint, counts, row.abi.as_str(), &row.name, verdict);
    }
    if !rows.is_empty() {
        add(Paint::Bold, total, "", "total", String::new());
    }
    table.render(style)
}

/// What is said of a row: that it was denied, before what the profile says of the call in general.
fn verdict(row: &SyscallView) -> (Paint, String) {
    let outcome = row.action.as_deref().map(|action| outcome(action, row.errno));
    let (paint, word) = match (row.denied > 0, row.verdict) {
        (true, VerdictKind::Conditional) => (Paint::Red, "DENIED for some arguments"),
        // More than the declared profile refuses it: a stacked filter, or another one than declared.
        (true, VerdictKind::Allowed) => (Paint::Red, "DENIED, though the profile allows it"),
        (true, _) => (Paint::Red, "DENIED"),
        (false, VerdictKind::Allowed) if row.action.as_deref() == Some("SCMP_ACT_LOG") && row.calls > 0 => {
            return (Paint::Yellow, "allowed and logged: would be denied".to_owned());
        }
        (false, VerdictKind::Allowed) => return (Paint::Plain, "allowed".to_owned()),
        (false, VerdictKind::Conditional) => (Paint::Plain, "for some arguments"),
        (false, VerdictKind::Denied) if row.calls > 0 => (Paint::Yellow, "allowed, though the profile denies it"),
        (false, VerdictKind::Denied) => (Paint::Plain, "denied by the profile"),
        (false, VerdictKind::Unknown) => return (Paint::Plain, "-".to_owned()),
    };
    // What a call for some arguments meets with the others.
    let joint = if row.verdict == VerdictKind::Conditional && row.denied == 0 { ", else" } else { ":" };
    match outcome {
        Some(outcome) => (paint, format!("{word}{joint} {outcome}")),
        None => (paint, word.to_owned()),
    }
}

fn outcome(action: &str, errno: Option<u16>) -> String {
    let action = crate::report::escape::capped(action, 48);
    errno.map_or_else(|| action.clone(), |errno| format!("{action} (errno {errno})"))
}

/// What the table leaves out: unused allowances, and the calls that only tasks without the filter made.
fn folded(rows: &[SyscallView], style: &Style, folds: &Folds) -> String {
    let mut out = String::new();
    if folds.all {
        return out;
    }
    let mut list = |names: &[&str], what: &str| {
        if !names.is_empty() {
            let _ = write!(out, "\n{} {what}:\n{}", names.len(), wrapped(names.iter().copied(), style.width));
        }
    };
    let mut unused: BTreeMap<Abi, Vec<&str>> = BTreeMap::new();
    let mut setup: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| !folds.keeps(row)) {
        if row.unfiltered_calls > 0 {
            setup.push(&row.name);
        }
        // What only the set-up calls is an unused allowance all the same: the filter comes after it.
        if row.verdict == VerdictKind::Allowed {
            unused.entry(row.abi).or_default().push(&row.name);
        }
    }
    setup.sort_unstable();
    setup.dedup();
    list(&setup, "made only by tasks without the filter (the runtime's set-up, processes from the host)");
    let mut hidden = Vec::new();
    for (abi, mut names) in unused {
        names.sort_unstable();
        if abi == Abi::NATIVE {
            list(&names, "allowed and never used");
        } else {
            hidden.push(format!("{} of {abi}", names.len()));
        }
    }
    if !hidden.is_empty() {
        let _ = write!(out, "\nalso allowed and never used: {} (--all lists them)\n", hidden.join(", "));
    }
    out
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests;
