//! `demo`: sets the machine up, builds the auditor, and lets it show what it does (`tests/src/bin/demo.rs`).

use anyhow::{Result, bail};

use crate::setup::Group;
use crate::{repo, setup};

/// Shows the story of the README. Leaves nothing but packages and the build directory.
pub fn run() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo loads eBPF programs and starts a private container engine: run it as root");
    }
    setup::run(&[Group::Engine])?;
    println!("demo: building the auditor (minutes the first time)");
    repo::run(repo::command("cargo").args(["build", "--quiet", "--release", "--package", "auditor"]))?;
    repo::run(repo::command("cargo").args(["build", "--quiet", "--package", "tests", "--bins"]))?;
    repo::run(repo::command(repo::target().join("debug/demo")).arg(repo::target().join("release/auditor")))
}
