//! `docs/fuzz.md`: the sum over all runs, also of those whose logs are gone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::outcome::{self, Outcome};
use super::{RUNS, Target, inputs};
use crate::repo;

const HEAD: &str = "# Bytes that nobody sent yet

Written by `cargo xtask fuzz`, from what libFuzzer says of itself at the end of a run; not by hand.

Each target reads bytes as the product does, in `tests/fuzz/src/target`. It must not panic (with all checks of a debug
build), leak, run for more than 10 seconds, or take more than 2 GB; and the law of the last column must hold. Executions
and seconds are the sum of all runs since there is the target, of the code as it was then; a run adds to what stands here. Seconds
are of the clock, on a machine that had other work to do. Edges are of the whole program, dependencies included.
LeakSanitizer watches; `--sanitizer address` takes AddressSanitizer in its place, and
`cargo xtask sanitize` runs all inputs that are kept under it. The inputs in `tests/fuzz/corpus` reach most of the edges, and
those in `tests/fuzz/regressions` once broke something, which their comments say; the ordinary test
`tests/fuzz/tests/replay.rs` runs all of them.

";

fn path() -> PathBuf {
    repo::root().join("docs/fuzz.md")
}

/// Adds the runs that were not counted yet to the table, and writes it.
pub fn add(targets: &[Target]) -> Result<()> {
    let text = fs::read_to_string(path()).with_context(|| format!("reading {}", path().display()))?;
    let before = parse(&text);
    let mut sums = BTreeMap::new();
    let mut counted = Vec::new();
    for target in targets {
        let mut sum = before.get(&target.name).copied().unwrap_or_default();
        for log in outcome::logs(&target.name)? {
            let text = fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
            // One that is killed, or still runs, has no statistics.
            if let Ok(run) = Outcome::parse(&String::from_utf8_lossy(&text)) {
                sum = sum.and(run);
                counted.push(log);
            }
        }
        sums.insert(target.name.as_str(), sum);
    }
    fs::write(path(), render(targets, &sums)?).with_context(|| format!("writing {}", path().display()))?;
    for log in counted {
        fs::rename(&log, log.with_extension("counted")).with_context(|| format!("renaming {}", log.display()))?;
    }
    println!("fuzz: wrote {}", path().display());
    Ok(())
}

/// The rows of a table that was written before.
fn parse(text: &str) -> BTreeMap<String, Outcome> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let number = |at: usize| cells.get(at)?.parse().ok();
        let outcome = Outcome {
            executions: number(2)?,
            seconds: number(3)?,
            edges: number(4)?,
            features: number(5)?,
            megabytes: number(6)?,
        };
        Some((cells.first()?.to_string(), outcome))
    };
    text.lines().filter_map(row).collect()
}

fn render(targets: &[Target], sums: &BTreeMap<&str, Outcome>) -> Result<String> {
    let mut rows = String::new();
    let mut short = Vec::new();
    for target in targets {
        let kept = inputs::read(&inputs::file("corpus", &target.name))?;
        let broke = inputs::read(&inputs::file("regressions", &target.name))?.len();
        let sum = sums.get(target.name.as_str()).copied().unwrap_or_default();
        if sum.executions < RUNS {
            short.push(target.name.as_str());
        }
        let Outcome { executions, seconds, edges, features, megabytes } = sum;
        let _ = writeln!(
            rows,
            "| {} | {} | {executions} | {seconds} | {edges} | {features} | {megabytes} | {} | {broke} | {} |",
            target.name,
            target.reads,
            kept.len(),
            if target.law.is_empty() { "-" } else { &target.law },
        );
    }
    let enough = if short.is_empty() {
        format!("Every target has had {RUNS} executions or more.")
    } else {
        format!("{RUNS} executions of each target are meant. Fewer than that: {}.", short.join(", "))
    };
    let head = "| target | reads | executions | seconds | edges | features | MB at most | inputs kept | \
                once broken by | law |\n|---|---|---|---|---|---|---|---|---|---|\n";
    Ok(format!("{HEAD}{enough}\n\n{head}{rows}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_added_to() {
        let target =
            |name: &str| Target { name: name.to_owned(), reads: "bytes".to_owned(), law: String::new(), max_len: 8 };
        let targets = [target("cgroup"), target("of-nothing")];
        let sum = Outcome { executions: RUNS, seconds: 7, edges: 5, features: 6, megabytes: 44 };
        let text = render(&targets, &BTreeMap::from([("cgroup", sum)])).unwrap();
        assert!(text.contains("Fewer than that: of-nothing."), "{text}");
        let read = parse(&text);
        assert_eq!(read["cgroup"], sum);
        assert_eq!((read["of-nothing"], read.len()), (Outcome::default(), 2));
        let more = sum.and(Outcome { executions: 3, seconds: 1, edges: 4, features: 9, megabytes: 1 });
        assert_eq!(more, Outcome { executions: RUNS + 3, seconds: 8, edges: 5, features: 9, megabytes: 44 });
    }
}
