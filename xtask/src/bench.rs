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
}

/// Measures, and prints a table.
pub fn run(what: What) -> Result<()> {
    setup::run(&[Group::Bench])?;
    let program = match what {
        What::HotPath => "hot-path",
        What::Denials => {
            // The daemon as it is shipped.
            repo::run(repo::command("cargo").args(["build", "--quiet", "--release", "--package", "auditor"]))?;
            "denial-storm"
        }
    };
    let shipped = repo::target().join("release/auditor");
    let mut command = repo::command("cargo");
    command.args(["run", "--quiet", "--release", "--package", "tests", "--bin", program]);
    repo::run(command.env("AUDITOR_TEST_BINARY", shipped))
}
