//! The table for people.

use std::fmt::Write as _;

use anyhow::Result;

use super::outcome::{Outcome, Outcomes};
use super::table::{Table, Test};

/// Where it is.
pub const FILE: &str = "docs/faults.md";

const HEAD: &str = "# Faults

What can go wrong, what `auditor` does then, and the tests that make it go wrong: really, with private engines, real kernels' refusals,
small disks and frozen processes. Written by `cargo xtask test` and `cargo xtask faults` as these tests end; the rows are
`tests/faults.toml`.
";

/// Renders the table; and what does not hold in it.
pub fn render(table: &Table, outcomes: &Outcomes) -> Result<(String, Vec<String>)> {
    let mut text = HEAD.to_owned();
    let mut open = Vec::new();
    for row in &table.row {
        write!(
            text,
            "\n## {}\n\n{}\n\n| what is made to happen | test | result |\n|---|---|---|\n",
            row.fault, row.does
        )?;
        for case in &row.case {
            for (at, name) in case.tests.iter().enumerate() {
                let result = match outcomes.of(&Test::parse(name)?) {
                    Outcome::Passed => "passed",
                    Outcome::Failed => "**failed**",
                    Outcome::DidNotRun => "**did not run**",
                };
                if result != "passed" {
                    open.push(format!("{name} {}", result.trim_matches('*')));
                }
                writeln!(text, "| {} | `{name}` | {result} |", if at == 0 { &case.made } else { "the same" })?;
            }
        }
    }
    Ok((text, open))
}
