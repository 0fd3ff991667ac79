//! `test`: everything that must hold, on a machine that may have nothing installed yet.

use anyhow::{Result, bail};

use crate::setup::Group;
use crate::{build_ebpf, repo, setup};

/// Sets up, checks, and runs the tests.
pub fn run() -> Result<()> {
    if !is_root()? {
        bail!("the tests load eBPF programs and start a private container engine: run them as root");
    }
    setup::run(&[Group::Engine, Group::Prometheus, Group::Ebpf])?;
    build_ebpf::check()?;
    step("formatting", &["fmt", "--all", "--check"])?;
    step("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    step("building", &["build", "--quiet", "--workspace", "--bins"])?;
    step("tests of the parts", &["test", "--workspace", "--exclude", "tests"])?;
    // One at a time: they share the machine's control groups.
    step("tests of the whole", &["test", "--package", "tests", "--", "--test-threads=1"])
}

fn step(what: &str, args: &[&str]) -> Result<()> {
    println!("test: {what}: cargo {}", args.join(" "));
    repo::run(repo::command("cargo").args(args))
}

fn is_root() -> Result<bool> {
    Ok(repo::read(repo::command("id").arg("-u"))? == "0")
}
