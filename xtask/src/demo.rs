//! `demo`: what the auditor does, told with real containers, on a machine that may have nothing installed yet.
//!
//! The story is a program of the tests' package, which has the rig. This part sets up, builds, and stays until the
//! last process of the story is gone: the prompt comes back when the machine is as it was, also after Ctrl-C.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::setup::Group;
use crate::{repo, setup};

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
    let status = supervise(repo::command(repo::target().join("release/demo")))?;
    match status {
        WaitStatus::Exited(_, 0) => Ok(()),
        // The story has said why.
        WaitStatus::Exited(_, code) => std::process::exit(code),
        WaitStatus::Signaled(_, signal, _) => bail!("the demo was ended by {signal}; what it had started is gone"),
        other => bail!("the demo ended in an unknown way: {other:?}"),
    }
}

/// Runs the story and hands signals on to it; returns when all that it left has ended too.
fn supervise(mut story: Command) -> Result<WaitStatus> {
    // Those who clean up after a story that was killed become our children, and can be waited for.
    nix::sys::prctl::set_child_subreaper(true).context("becoming the parent of orphans")?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().context("holding signals back")?;
    let child = story.spawn().with_context(|| format!("starting {}", story.get_program().display()))?;
    let story = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
    let mut ended = None;
    loop {
        match signals.wait().context("waiting for the demo")? {
            Signal::SIGCHLD => loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => break,
                    Ok(status) if status.pid() == Some(story) => ended = Some(status),
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(_) => return ended.context("the demo is gone without a word"),
                }
            },
            signal => {
                eprintln!("demo: {signal}: cleaning up");
                if ended.is_none() {
                    _ = kill(story, signal);
                }
            }
        }
    }
}
