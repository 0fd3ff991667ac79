//! `bench`: measurements that pass or fail nothing. Ratios within one run are what counts.

use anyhow::Result;
use clap::ValueEnum;

use crate::setup::Group;
use crate::{repo, setup};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The time that counting adds to one system call, beside other ways of counting.
    HotPath,
    /// What a storm of refused calls costs the daemon.
    Denials,
    /// How often what is promised about the next start is true: writes docs/coverage.md.
    Coverage,
}

/// Measures, and prints or writes a table.
pub fn run(what: What) -> Result<()> {
    let program = match what {
        What::HotPath => "hot-path",
        What::Denials => "denial-storm",
        What::Coverage => return simulate(),
    };
    setup::run(&[Group::Bench])?;
    if what == What::Denials {
        // The daemon as it is shipped.
        repo::run(repo::command("cargo").args(["build", "--quiet", "--release", "--package", "auditor"]))?;
    }
    let shipped = repo::target().join("release/auditor");
    let mut command = repo::command("cargo");
    command.args(["run", "--quiet", "--release", "--package", "tests", "--bin", program]);
    repo::run(command.env("AUDITOR_TEST_BINARY", shipped))
}

/// Nothing is timed here: the table is the same everywhere, and the test that holds it is what writes it.
fn simulate() -> Result<()> {
    let mut command = repo::command("cargo");
    command.args(["test", "--quiet", "--package", "auditor", "--test", "coverage"]);
    repo::run(command.env("AUDITOR_RECORD", "1"))
}
