//! `docs/corpus.md`: what became of all programs, as the command writes it and a test reads it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::Program;
use super::trial::{Outcome, Promise, list};
use crate::engine::Engine;

/// The heads of the tables.
pub const HEADS: [&str; 3] = [
    "| program | version | starts under it | refused in the first half | promised | second half | calls allowed | of these exposing much |",
    "| program | not in the suggestion | refused |",
    "| program | calls that strace saw | of these not counted | counted, and not in strace's table: the runtime's | and others |",
];

/// What stands above the tables.
const INTRODUCTION: &str = "\
# The corpus

Written by `cargo xtask corpus`; do not edit. It makes an image of Debian's own packages, starts a private container
engine and the daemon, and does this for each program:

1. Record: one half of its work in a container under the engine's default profile, several starts. The work is what one
   would call a fair trial of the program; all of it is in `tests/corpus`.
2. `auditor suggest`.
3. Run the same half again in new containers under the suggestion. Nothing may be refused that was not refused before:
   otherwise the command fails.
4. Run the second half, which uses other features, under the suggestion. What it needs and the trial did not show is
   refused. Under the engine's default profile it works, or the command fails.
5. Run the first half under `strace -f -c`, in a container that is counted as well.

";

/// How the line of headlines begins that the README repeats.
const FIGURES: &str = "- Calls allowed:";

/// Where it was run.
#[derive(Debug, Clone)]
pub struct Place {
    /// Debian's release.
    release: String,
    /// The kernel's.
    kernel: String,
    /// The engine, and the runtime.
    engine: String,
}

impl Place {
    /// This machine, and this engine.
    pub fn of(engine: &Engine) -> Result<Self> {
        let read = |file: &str| std::fs::read_to_string(file).with_context(|| format!("reading {file}"));
        let version = engine.client(["version", "--format", "{{json .Server}}"])?;
        let version: serde_json::Value = serde_json::from_str(&version).context("parsing docker version")?;
        let parts = version["Components"].as_array().into_iter().flatten();
        let parts = parts.filter(|part| part["Name"] != "docker-init" && part["Name"] != "containerd");
        let name = |part: &serde_json::Value| {
            let text = |key: &str| part[key].as_str().unwrap_or("unknown").to_owned();
            format!("{} {}", text("Name"), text("Version"))
        };
        Ok(Self {
            release: read("/etc/debian_version")?.trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            engine: parts.map(name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// Where the document is.
#[must_use]
pub fn path() -> PathBuf {
    crate::root().join("docs/corpus.md")
}

/// One program in a line.
#[must_use]
pub fn summary(outcome: &Outcome) -> String {
    format!(
        "{}: {} of {} starts worked, {} calls instead of {}; second half: {} of {} worked{}",
        outcome.program.name,
        outcome.first.worked,
        outcome.first.starts,
        outcome.after.len(),
        outcome.before.len(),
        outcome.second.worked,
        outcome.second.starts,
        if outcome.second.calls.is_empty() {
            String::new()
        } else {
            format!(", refused {}", list(&outcome.second.calls))
        },
    )
}

/// The whole document.
#[must_use]
pub fn render(place: &Place, outcomes: &[Outcome]) -> String {
    let mut text = INTRODUCTION.to_owned();
    _ = writeln!(
        text,
        "This run: Debian {}, Linux {}, {}; {} programs, {} recorded starts of each.\n",
        place.release,
        place.kernel,
        place.engine,
        outcomes.len(),
        outcomes.first().map_or(0, |outcome| outcome.recorded),
    );
    headline(&mut text, outcomes);
    text.push_str("## Under the suggestion\n\n");
    open_table(&mut text, HEADS[0]);
    for outcome in outcomes {
        let (first, second) = (&outcome.first, &outcome.second);
        _ = writeln!(
            text,
            "| {} | {} | {} of {} | {} | {} | {} of {} worked, {} were refused a call | {} instead of {} | {} instead of {} |",
            outcome.program.name,
            outcome.version,
            first.worked,
            first.starts,
            or_none(list(&first.calls)),
            promised(&outcome.promise),
            second.worked,
            second.starts,
            second.refused,
            outcome.after.len(),
            outcome.before.len(),
            outcome.promise.exposing_after,
            outcome.promise.exposing_before,
        );
    }
    text.push_str(
        "\n*Promised* is what `auditor suggest` says from the recorded starts: the chance that the next start needs a \
         call not seen, as a best guess and as a bound (95 % confidence). It speaks of starts like those that were \
         recorded; a bound from few starts is far above the guess. Of other work it cannot speak: the second half \
         shows what that means. The last columns count calls that are allowed, always or for some arguments; what \
         exposes much is told by systemd's groups and Docker's list, as `auditor suggest` tells it.\n\n## What the second half needed\n\nCalls that it makes under the engine's default profile and \
         that the suggestion has not, and of these the ones that were asked for and refused under it. Where the first \
         of them stops the program, it does not ask for the others.\n\n",
    );
    open_table(&mut text, HEADS[1]);
    for outcome in outcomes {
        let refused = or_none(list(&outcome.second.calls));
        _ = writeln!(text, "| {} | {} | {refused} |", outcome.program.name, or_none(list(&outcome.beyond)));
    }
    text.push_str("\n## Against strace\n\n");
    open_table(&mut text, HEADS[2]);
    for outcome in outcomes {
        let name = outcome.program.name;
        _ = match &outcome.strace {
            None => writeln!(text, "| {name} | no strace in this image | | | |"),
            Some(strace) => writeln!(
                text,
                "| {name} | {} | {} | {} | {} |",
                strace.traced,
                or_none(strace.missed.join(", ")),
                or_none(list(&outcome.runtime)),
                or_none(list(&outcome.untraced))
            ),
        };
    }
    text.push_str(
        "\nThe second column: called less often, by the daemon's count of the same container, than strace says. The last two: \
         of all recorded starts, what strace's one start does not show. The runtime's calls between the filter and the \
         program cannot be traced from inside the container, and without them it does not start. The others are calls \
         that do not return (`exit`, `exit_group`), which `-c` leaves out, and calls that some starts make and others do \
         not.\n",
    );
    text
}

/// Whole percent, the bound rounded up.
fn promised(promise: &Promise) -> String {
    format!("{:.0} %, below {:.0} %", 100.0 * promise.chance, (100.0 * promise.below).ceil())
}

fn headline(text: &mut String, outcomes: &[Outcome]) {
    let sum = |number: &dyn Fn(&Outcome) -> usize| outcomes.iter().map(number).sum::<usize>();
    let count = outcomes.len().max(1);
    let (starts, worked) =
        (sum(&|outcome| outcome.first.starts as usize), sum(&|outcome| outcome.first.worked as usize));
    let new = sum(&|outcome| outcome.first.calls.len());
    _ = writeln!(
        text,
        "- First half: {worked} of {starts} starts under a suggestion did their work; {new} calls were refused that were \
         not refused before.",
    );
    let needed = sum(&|outcome| outcome.first.refused as usize);
    let expected = |share: &dyn Fn(&Promise) -> f64| -> f64 {
        outcomes.iter().map(|outcome| share(&outcome.promise) * f64::from(outcome.first.starts)).sum()
    };
    _ = writeln!(
        text,
        "- Promised and held: of these {starts} starts {needed} needed a call that no recorded start had made; the \
         estimates add up to {:.1}, their bounds to {:.1}.",
        expected(&|promise| promise.chance),
        expected(&|promise| promise.below),
    );
    let (starts, worked) =
        (sum(&|outcome| outcome.second.starts as usize), sum(&|outcome| outcome.second.worked as usize));
    let refused = sum(&|outcome| outcome.second.refused as usize);
    _ = writeln!(
        text,
        "- Second half: {worked} of {starts} starts did their work, {refused} asked for a call that was refused."
    );
    _ = writeln!(
        text,
        "{FIGURES} {} instead of {}, on average; of these exposing much: {} instead of {}.",
        sum(&|outcome| outcome.after.len()) / count,
        sum(&|outcome| outcome.before.len()) / count,
        sum(&|outcome| outcome.promise.exposing_after) / count,
        sum(&|outcome| outcome.promise.exposing_before) / count,
    );
    let traced = outcomes.iter().filter_map(|outcome| outcome.strace.as_ref());
    let missed: usize = traced.map(|strace| strace.missed.len()).sum();
    _ = writeln!(text, "- Calls that strace saw and were not counted: {missed}.\n");
}

fn open_table(text: &mut String, head: &str) {
    let columns = head.matches('|').count() - 1;
    _ = writeln!(text, "{head}\n|{}", "---|".repeat(columns));
}

fn or_none(names: String) -> String {
    if names.is_empty() { "none".to_owned() } else { names }
}

/// Holds a document against the form that [`render`] gives it: its introduction, and in each table one row for each
/// program, in their order; and nothing refused of what was recorded.
///
/// # Errors
/// The first difference.
pub fn check(text: &str, programs: &[Program]) -> Result<()> {
    ensure!(text.starts_with(INTRODUCTION), "it does not begin as the command writes it");
    for head in HEADS {
        let (_, after) = text.split_once(&format!("{head}\n|---|")).with_context(|| format!("no table {head}"))?;
        let rows: Vec<&str> = after.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
        let names: Vec<&str> = rows.iter().filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
        let expected: Vec<&str> = programs.iter().map(|program| program.name).collect();
        ensure!(names == expected, "the rows below {head} are {names:?}, not {expected:?}");
        let columns = head.matches('|').count();
        let odd = rows.iter().find(|row| row.matches('|').count() != columns);
        ensure!(odd.is_none(), "a row that does not fit {head}: {odd:?}");
    }
    for program in programs {
        let start = format!("| {} | ", program.name);
        let row = text.lines().find(|line| line.starts_with(&start)).context("a row")?;
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (worked, starts) = cells[3].split_once(" of ").context("no starts")?;
        ensure!(worked == starts && cells[4] == "none", "a broken promise: {row}");
    }
    Ok(())
}

/// What the headlines of a document say of calls: `N instead of M`, of all and of those that expose much.
#[must_use]
pub fn figures(text: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(FIGURES)).unwrap_or_default();
    let numbers: Vec<&str> =
        line.split(|letter: char| !letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    numbers.chunks_exact(2).map(|pair| format!("{} instead of {}", pair[0], pair[1])).collect()
}
