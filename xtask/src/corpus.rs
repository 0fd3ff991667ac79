//! `corpus`: what suggestions do for real programs, with a private container engine.
//!
//! The work is done by a program of the tests' package, which has the rig.

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::setup::Group;
use crate::supervise::supervise;
use crate::{cgroups, repo, setup};

/// Sets up, builds, and tries the programs.
pub fn run(short: bool, programs: &[String]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the corpus loads eBPF programs and starts a private container engine: run it as root");
    }
    setup::run(&[Group::Engine])?;
    repo::run(repo::command("cargo").args([
        "build",
        "--quiet",
        "--package",
        "auditor",
        "--package",
        "tests",
        "--bins",
    ]))?;
    cgroups::ensure_mounted()?;
    let mut corpus = repo::command(repo::target().join("debug/corpus"));
    if short {
        corpus.arg("--short");
    }
    corpus.args(programs);
    match supervise(corpus)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, code) => std::process::exit(code),
        other => bail!("the corpus did not come to its end: {other:?}"),
    }
}
