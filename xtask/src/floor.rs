//! `floor`: what container runtimes need once their filter is in force, measured on this machine's and written into the
//! library.
//!
//! The measurement is a program of the tests' package, which has the rig.

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::setup::Group;
use crate::supervise::supervise;
use crate::{cgroups, repo, setup};

/// Measures every configuration and writes the table and docs/floor.md; `check`: a few, and compares.
pub fn run(check: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the measurement loads eBPF programs and starts a private container engine: run it as root");
    }
    setup::run(&[Group::Engine])?;
    repo::run(repo::command("cargo").args(["build", "--quiet", "--workspace", "--bins"]))?;
    cgroups::ensure_mounted()?;
    let mut command = repo::command(repo::target().join("debug/floor"));
    if check {
        command.arg("--check");
    }
    match supervise(command)? {
        WaitStatus::Exited(_, 0) if check => Ok(()),
        WaitStatus::Exited(_, 0) => {
            // The document is of the table that it was built with.
            repo::run(repo::command("cargo").args(["build", "--quiet", "--package", "tests", "--bin", "floor"]))?;
            repo::run(repo::command(repo::target().join("debug/floor")).arg("--document"))
        }
        status => bail!("the measurement: {status:?}"),
    }
}
