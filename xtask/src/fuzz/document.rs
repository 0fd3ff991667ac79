//! `docs/fuzz.md`.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::outcome::Outcome;
use super::{RUNS, Target, inputs};
use crate::repo;

const HEAD: &str = "# Bytes that nobody sent yet

Written by `cargo xtask fuzz`, from what libFuzzer says of itself at the end of a run; not by hand.

Each target reads bytes as the product does, in `tests/fuzz/src/target`. It must not panic (with all checks of a debug
build), leak, run for more than 10 seconds, or take more than 2 GB; and the law of the last column must hold. Executions
and seconds are the sum of all runs; seconds are of the clock, on a machine that had other work to do. Edges are of the
whole program, dependencies included. LeakSanitizer watches; `--sanitizer address` takes AddressSanitizer in its place, and
`cargo xtask sanitize` runs all inputs that are kept under it. The inputs in `tests/fuzz/corpus` reach most of the edges, and
those in `tests/fuzz/regressions` once broke something, which their comments say; the ordinary test
`tests/fuzz/tests/replay.rs` runs all of them.

";

/// Writes the table, when every target has been run.
pub fn write(targets: &[Target]) -> Result<()> {
    let mut rows = String::new();
    let mut short = Vec::new();
    for target in targets {
        let Some(outcome) = Outcome::so_far(&target.name)? else {
            println!("fuzz: {} was not run yet: docs/fuzz.md stays as it is", target.name);
            return Ok(());
        };
        let kept = inputs::read(&inputs::file("corpus", &target.name))?;
        let broke = inputs::read(&inputs::file("regressions", &target.name))?.len();
        if outcome.executions < RUNS {
            short.push(target.name.as_str());
        }
        let Outcome { executions, seconds, edges, features, megabytes } = outcome;
        let _ = writeln!(
            rows,
            "| {} | {} | {executions} | {seconds} | {edges} | {features} | {megabytes} | {} | {broke} | {} |",
            target.name,
            target.reads,
            kept.len(),
            if target.law.is_empty() { "-" } else { &target.law },
        );
    }
    let head = "| target | reads | executions | seconds | edges | features | MB at most | inputs kept | \
                once broken by | law |\n|---|---|---|---|---|---|---|---|---|---|\n";
    let enough = if short.is_empty() {
        format!("Every target has had {RUNS} executions or more.")
    } else {
        format!("{RUNS} executions of each target are meant. Fewer than that: {}.", short.join(", "))
    };
    let path = repo::root().join("docs/fuzz.md");
    fs::write(&path, format!("{HEAD}{enough}\n\n{head}{rows}"))
        .with_context(|| format!("writing {}", path.display()))?;
    println!("fuzz: wrote {}", path.display());
    Ok(())
}
