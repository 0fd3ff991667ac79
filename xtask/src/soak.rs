//! `soak`: containers that come and go for hours, with a private container engine.
//!
//! The work is done by a program of the tests' package, which has the rig.

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::setup::Group;
use crate::supervise::supervise;
use crate::{cgroups, repo, setup};

/// Sets up, builds, and does it for so many minutes.
pub fn run(minutes: u64) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("soak loads eBPF programs and starts a private container engine: run it as root");
    }
    setup::run(&[Group::Engine])?;
    let packages = ["build", "--quiet", "--package", "auditor", "--package", "tests", "--bins"];
    repo::run(repo::command("cargo").args(packages))?;
    cgroups::ensure_mounted()?;
    let mut soak = repo::command(repo::target().join("debug/soak"));
    soak.arg(minutes.to_string());
    match supervise(soak)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, code) => std::process::exit(code),
        other => bail!("soak did not come to its end: {other:?}"),
    }
}
