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
}

/// Measures, and prints a table.
pub fn run(what: What) -> Result<()> {
    setup::run(&[Group::Bench])?;
    let program = match what {
        What::HotPath => "hot-path",
    };
    repo::run(repo::command("cargo").args(["run", "--quiet", "--release", "--package", "tests", "--bin", program]))
}
