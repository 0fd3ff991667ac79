//! `demo`: what the auditor does, told with real containers, on a machine that may have nothing installed yet.
//!
//! The story is a program of the tests' package, which has the rig. This part sets up, builds, and stays until the
//! last process of the story is gone: the prompt comes back when the machine is as it was, also after Ctrl-C.

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::setup::Group;
use crate::supervise::supervise;
use crate::{cgroups, repo, setup};

/// Sets up, builds, and tells the story.
pub fn run() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo loads eBPF programs and starts a private container engine: run it as root");
    }
    println!("demo: first what it needs: Debian's packages of a container engine and busybox, where they are missing");
    setup::run(&[Group::Engine])?;
    println!("demo: building auditor (the first time takes some minutes)");
    // In one go: apart, the two would have their dependencies with different features, and be compiled twice.
    let build = ["build", "--quiet", "--release", "--package", "auditor", "--package", "tests", "--bins"];
    repo::run(repo::command("cargo").args(build))?;
    cgroups::ensure_mounted()?;
    let status = supervise(repo::command(repo::target().join("release/demo")))?;
    match status {
        WaitStatus::Exited(_, 0) => Ok(()),
        // The story has said why.
        WaitStatus::Exited(_, code) => std::process::exit(code),
        WaitStatus::Signaled(_, signal, _) => bail!("the demo was ended by {signal}; what it had started is gone"),
        other => bail!("the demo ended in an unknown way: {other:?}"),
    }
}
