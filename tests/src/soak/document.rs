//! `docs/soak.md`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};

use super::verdict::courses;
use super::{Report, Sample};
use crate::engine::Engine;

const HEAD: &str = "# Hours of it

Written by `cargo xtask soak`, not by hand. A private engine (with live-restore) and a daemon run; two workers make one
container after the other: some do known numbers of known calls, in threads, processes and both ABIs, some are refused calls
by filters or killed by them, some are entered by `docker exec`, some fail to start. Three more live all the time and are
entered again and again. The engine is restarted every few minutes. Meanwhile somebody scrapes, somebody asks one command
after the other, and somebody follows the denials and goes away again.

After each container, and after each command in one, all numbers that the daemon gives are compared with what was
issued: equal, or it ends there. At the end, when all is idle, descriptors must be as many as before the first container,
and slots exactly as many as the machine has containers' cgroups, of whatever engine. And from the second quarter, when
it has warmed up (a container that is gone is known for 5 more minutes), to the last no number may grow by more than a
tenth (and by more than 8: some numbers are small).

";

/// Kernel and engine.
///
/// # Errors
/// When the engine does not say.
pub fn place(engine: &Engine) -> Result<String> {
    let file = "/proc/sys/kernel/osrelease";
    let kernel = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let version = engine.client(["version", "--format", "{{.Server.Version}}"])?;
    Ok(format!("Linux {}, Docker {version}", kernel.trim()))
}

/// Where the document is.
#[must_use]
pub fn path() -> PathBuf {
    crate::root().join("docs/soak.md")
}

/// The whole document.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = HEAD.to_owned();
    let done = &report.done;
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let minutes = report.plan.length.as_secs() / 60;
    let faults = report.faults(true);
    // Writing to a String cannot fail.
    _ = writeln!(
        text,
        "{minutes} minutes, {}: {} containers with {} calls, {} of them refused, and {} commands in containers, all \
         numbers equal; {} containers that failed to start; {} restarts of the engine; {} scrapes, {} commands of \
         `auditor`.\n",
        report.place,
        count(&done.containers),
        count(&done.calls),
        count(&done.refused),
        count(&done.execs),
        count(&done.failed),
        count(&done.restarts),
        count(&done.scrapes),
        count(&done.commands),
    );
    _ = writeln!(
        text,
        "Verdict: {}\n",
        if faults.is_empty() { "flat, and exact." } else { "**not** as it should be:" }
    );
    for fault in &faults {
        _ = writeln!(text, "- {fault}");
    }
    _ = writeln!(
        text,
        "Idle before and after: {} and {} descriptors, {} and {} threads, {} and {} slots too many.\n",
        report.before.fds,
        report.after.fds,
        report.before.threads,
        report.after.threads,
        report.before.slots_too_many,
        report.after.slots_too_many,
    );
    text.push_str("| number | most in the second quarter | most in the last |\n|---|---|---|\n");
    for course in courses(&report.samples) {
        _ = writeln!(text, "| {} | {} | {} |", course.name, course.second, course.last);
    }
    table(&mut text, &report.samples);
    text
}

/// Some twenty of the samples.
fn table(text: &mut String, samples: &[Sample]) {
    let maps: Vec<&String> = samples.last().map(|sample| sample.entries.keys().collect()).unwrap_or_default();
    let heads: String = maps.iter().map(|map| format!(" {map} |")).collect();
    let rules = "---|".repeat(maps.len());
    _ = writeln!(
        text,
        "\nSome of the samples; the last columns are entries of the kernel's maps. The machine's other engines, if there \
         are any, have slots and entries too. The evidence store grows with each start, up to its limits.\n\n\
         | minute | memory (kB) | descriptors | threads | slots | containers known | series | store (kB) |{heads}\n\
         |---|---|---|---|---|---|---|---|{rules}"
    );
    for sample in samples.iter().step_by((samples.len() / 20).max(1)) {
        let Sample { at, rss, fds, threads, slots, series, known, entries, store } = sample;
        let entries: String =
            maps.iter().map(|map| format!(" {} |", entries.get(*map).copied().unwrap_or(0))).collect();
        let (minute, store) = (at.as_secs() as f64 / 60.0, store / 1024);
        _ = writeln!(
            text,
            "| {minute:.1} | {rss} | {fds} | {threads} | {slots} | {known} | {series} | {store} |{entries}"
        );
    }
}
