//! `docs/corpus.md`: what became of all programs, as the command writes it and a test reads it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::calls::{counted_names, names};
use super::outcome::{Outcome, Promise, Round};
use crate::engine::Engine;

/// The heads of the tables.
pub const HEADS: [&str; 4] = [
    "| program | package | starts recorded | first half under it | refused of what was recorded | second half under it | calls allowed | of these exposing much |",
    "| program | promised | first half | second half | calls refused in it | denials | new, and let through |",
    "| program | not in the suggestion | refused, and how often |",
    "| program | calls that strace saw | of these not counted | counted, and not in strace's table: the runtime's | and others |",
];

/// What stands above the tables.
pub const INTRODUCTION: &str = "\
# The corpus

Written by `cargo xtask corpus`; do not edit. It makes an image of Debian's own packages, starts a private container
engine and the daemon, and does this for each program:

1. Record: one half of its work under the engine's default profile, several starts, each in a new container of the same
   image and command. The work is what one would call a fair trial of the program; all of it is in `tests/corpus`.
2. `auditor suggest`.
3. Run the same half again in new containers under the suggestion. What a recorded start called is never refused, or the
   command fails. A start may need a call that no recorded one made: with what chance, the suggestion says. Then it is
   counted below, as many starts again are recorded, and there is another suggestion, until all starts under one do their
   work and are refused nothing; after the fourth the command fails.
4. Run the second half, which uses other features, under the suggestion. What it needs and the trial did not show is
   refused. Under the engine's default profile it works, or the command fails.
5. Run the first half under `strace -f -c`, which traces the container from outside: none of its own calls is counted.

";

/// What the headlines are about: how their lines begin.
pub const HEADLINES: [&str; 6] = [
    "This run:",
    "- First half:",
    "- Promised and held:",
    "- Second half:",
    "- Calls allowed:",
    "- Calls that strace saw and were not counted:",
];

/// Where it was run.
#[derive(Debug, Clone)]
pub struct Place {
    /// Debian's release in the image.
    release: String,
    /// The kernel's.
    kernel: String,
    /// The engine, and the runtime.
    engine: String,
}

impl Place {
    /// This machine, this engine, and the release of an image.
    pub fn of(engine: &Engine, image: &str) -> Result<Self> {
        let version = engine.client(["version", "--format", "{{json .Server}}"])?;
        let version: serde_json::Value = serde_json::from_str(&version).context("parsing docker version")?;
        let parts = version["Components"].as_array().into_iter().flatten();
        let parts = parts.filter(|part| part["Name"] != "docker-init" && part["Name"] != "containerd");
        let name = |part: &serde_json::Value| {
            let text = |key: &str| part[key].as_str().unwrap_or("unknown").to_owned();
            format!("{} {}", text("Name"), text("Version"))
        };
        let file = "/proc/sys/kernel/osrelease";
        Ok(Self {
            release: engine.client(["run", "--rm", image, "cat", "/etc/debian_version"])?,
            kernel: std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?.trim().to_owned(),
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
    let Round { recorded, first, .. } = &outcome.last;
    let (second, again) = (&outcome.second, outcome.earlier.len());
    format!(
        "{}: {} of {} starts worked, {} calls instead of {}; from {recorded} recorded starts{}; second half: {} of {} \
         worked{}",
        outcome.program.name,
        first.worked,
        first.starts,
        outcome.after,
        outcome.before,
        if again == 0 { String::new() } else { format!(", {again} suggestions before it had not all") },
        second.worked,
        second.starts,
        if second.calls.is_empty() { String::new() } else { format!(", refused {}", names(second.calls.keys())) },
    )
}

/// The whole document.
#[must_use]
pub fn render(place: &Place, outcomes: &[Outcome]) -> String {
    let mut text = INTRODUCTION.to_owned();
    _ = writeln!(
        text,
        "{} {} programs, {} recorded starts of each to begin with; Debian {}, Linux {}, {}.\n",
        HEADLINES[0],
        outcomes.len(),
        outcomes.first().and_then(|outcome| outcome.rounds().next()).map_or(0, |round| round.recorded),
        place.release,
        place.kernel,
        place.engine,
    );
    headlines(&mut text, outcomes);
    text.push_str("## Under the suggestion\n\n");
    table(&mut text, HEADS[0], outcomes, |outcome| {
        let (Round { recorded, promise, first, left_out }, second) = (&outcome.last, &outcome.second);
        let broken = [left_out, &first.broken, &second.broken].into_iter().map(Vec::len).sum::<usize>();
        vec![
            outcome.version.clone(),
            recorded.to_string(),
            format!("{} of {} worked", first.worked, first.starts),
            if broken == 0 { "none".to_owned() } else { format!("{broken} faults") },
            format!("{} of {} worked", second.worked, second.starts),
            format!("{} instead of {}", outcome.after, outcome.before),
            format!("{} instead of {}", promise.exposing_after, promise.exposing_before),
        ]
    });
    text.push_str(
        "\nThe last columns count calls that are allowed, always or for some arguments; what exposes much is told by \
         systemd's groups and Docker's list, as `auditor suggest` tells it.\n\n## Promised and held\n\n",
    );
    table(&mut text, HEADS[1], outcomes, |outcome| {
        let each = |cell: &dyn Fn(&Round) -> String| outcome.rounds().map(cell).collect::<Vec<_>>().join("; ");
        let second = &outcome.second;
        vec![
            each(&|round| promised(&round.promise)),
            each(&|round| format!("{} of {}", round.first.refused, round.first.starts)),
            format!("{} of {}", second.refused, second.starts),
            second.calls.len().to_string(),
            second.denials().to_string(),
            or_none(names(outcome.rounds().flat_map(|round| &round.first.let_through).chain(&second.let_through))),
        ]
    });
    text.push_str(
        "\n*Promised* is what `auditor suggest` says from the recorded starts: the chance that the next start needs a \
         call not seen, as a best guess and as a bound (95 % confidence); after it, in how many starts of either half \
         that was so. Where there was more than one suggestion, a semicolon is between them. The promise is about \
         starts like those that were recorded, as the first half's are; a bound from few starts is far above the guess. Of \
         other work it cannot speak: the second half shows what that means. *Calls refused* are different ones, of all \
         starts of the second half; *denials* are how often these were refused. The last column has calls that no \
         recorded start's program had made, by starts of either half, and that the suggestion has because the runtime \
         needs them: the promise leaves these out.\n\n## What the second half needed\n\n",
    );
    table(&mut text, HEADS[2], outcomes, |outcome| {
        vec![or_none(outcome.beyond.clone()), or_none(counted_names(&outcome.second.calls))]
    });
    text.push_str(
        "\nFirst the calls that one start of it made under the engine's default profile, and that the suggestion has not; \
         then those that its starts under the suggestion asked for and were refused, all starts together. Where the \
         first refusal stops the program, it does not ask for the rest; and what a start calls now and then may be in \
         one column and not in the other.\n\n## Against strace\n\n",
    );
    table(&mut text, HEADS[3], outcomes, |outcome| {
        let strace = &outcome.strace;
        let missed = or_none(strace.missed.join(", "));
        let (runtime, others) = (or_none(outcome.runtime.clone()), or_none(outcome.untraced.clone()));
        vec![strace.traced.to_string(), missed, runtime, others]
    });
    text.push_str(
        "\nThe second column: called less often, by the daemon's count of the same program, than strace says. The last two: \
         of all recorded starts, what strace's one start does not show. The runtime's calls between the filter and the \
         program are not the program's, and without them it does not start. The others are calls that do not return \
         (`exit`, `exit_group`), which `-c` leaves out, what the program calls before strace is there, and calls that \
         some starts make and others do not.\n",
    );
    text
}

/// Whole percent, the bound rounded up.
fn promised(promise: &Promise) -> String {
    format!("{:.0} %, below {:.0} %", 100.0 * promise.chance, (100.0 * promise.below).ceil())
}

fn headlines(text: &mut String, outcomes: &[Outcome]) {
    let sum = |number: &dyn Fn(&Outcome) -> u64| outcomes.iter().map(number).sum::<u64>();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let mean = |number: &dyn Fn(&Outcome) -> usize| {
        sum(&|outcome| number(outcome) as u64) as f64 / outcomes.len().max(1) as f64
    };
    let starts = sum(&|outcome| outcome.last.first.starts.into());
    let worked = sum(&|outcome| outcome.last.first.worked.into());
    let broken = sum(&|outcome| {
        let of_rounds = outcome.rounds().map(|round| round.first.broken.len() + round.left_out.len());
        (of_rounds.sum::<usize>() + outcome.second.broken.len()) as u64
    });
    _ = writeln!(
        text,
        "{} {worked} of {starts} starts under the last suggestion for each program did their work; faults, such as a \
         refusal of what a recorded start had called: {broken}.",
        HEADLINES[1]
    );
    let tried = sum(&|outcome| outcome.rounds().map(|round| u64::from(round.first.starts)).sum());
    let needed = sum(&|outcome| outcome.rounds().map(|round| u64::from(round.first.refused)).sum());
    let again = sum(&|outcome| u64::from(!outcome.earlier.is_empty()));
    let expected = |share: &dyn Fn(&Promise) -> f64| -> f64 {
        let rounds = outcomes.iter().flat_map(Outcome::rounds);
        rounds.map(|round| share(&round.promise) * f64::from(round.first.starts)).sum()
    };
    _ = writeln!(
        text,
        "{} of all {tried} starts of the first half under a suggestion {needed} needed a call that no recorded start had \
         made; the estimates add up to {:.1}, their bounds to {:.1}. For that, {again} programs were recorded again.",
        HEADLINES[2],
        expected(&|promise| promise.chance),
        expected(&|promise| promise.below),
    );
    let of_second = |share: &dyn Fn(&Promise) -> f64| -> f64 {
        outcomes.iter().map(|outcome| share(&outcome.last.promise) * f64::from(outcome.second.starts)).sum()
    };
    _ = writeln!(
        text,
        "{} {} of {} starts did their work; {} needed a call that no recorded start had made, {} calls of the programs \
         in all, and were refused it {} times. Were it like what was recorded, the estimates would add up to {:.1}, their \
         bounds to {:.1}.",
        HEADLINES[3],
        sum(&|outcome| outcome.second.worked.into()),
        sum(&|outcome| outcome.second.starts.into()),
        sum(&|outcome| outcome.second.refused.into()),
        sum(&|outcome| outcome.second.calls.len() as u64),
        sum(&|outcome| outcome.second.denials()),
        of_second(&|promise| promise.chance),
        of_second(&|promise| promise.below),
    );
    _ = writeln!(
        text,
        "{} {:.1} instead of {:.1}, on average; of these exposing much: {:.1} instead of {:.1}.",
        HEADLINES[4],
        mean(&|outcome| outcome.after),
        mean(&|outcome| outcome.before),
        mean(&|outcome| outcome.last.promise.exposing_after),
        mean(&|outcome| outcome.last.promise.exposing_before),
    );
    _ = writeln!(text, "{} {}.\n", HEADLINES[5], sum(&|outcome| outcome.strace.missed.len() as u64));
}

/// A row for each program, whose name is in front of it.
fn table(text: &mut String, head: &str, outcomes: &[Outcome], cells: impl Fn(&Outcome) -> Vec<String>) {
    let columns = head.matches('|').count() - 1;
    _ = writeln!(text, "{head}\n|{}", "---|".repeat(columns));
    for outcome in outcomes {
        _ = writeln!(text, "| {} | {} |", outcome.program.name, cells(outcome).join(" | "));
    }
}

fn or_none(names: String) -> String {
    if names.is_empty() { "none".to_owned() } else { names }
}
