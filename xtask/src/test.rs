//! `test`: everything that must hold, on a machine that may have nothing installed yet.

use anyhow::{Result, bail};

use crate::setup::Group;
use crate::{build_ebpf, repo, setup};

/// Sets up, checks, and runs the tests. `full`: the kernel object is rebuilt from nothing, and the tests of the whole
/// run a second time with the daemon as it is shipped.
pub fn run(full: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the tests load eBPF programs and start a private container engine: run them as root");
    }
    setup::run(&[Group::Engine, Group::Prometheus, Group::Ebpf])?;
    if full {
        build_ebpf::forget()?;
    }
    build_ebpf::check()?;
    step("formatting", &["fmt", "--all", "--check"])?;
    step("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    step("building", &["build", "--quiet", "--workspace", "--bins"])?;
    step("tests of the parts", &["test", "--no-fail-fast", "--workspace", "--exclude", "tests"])?;
    // One at a time: they share the machine's control groups.
    let whole = ["test", "--no-fail-fast", "--package", "tests", "--", "--test-threads=1"];
    step("tests of the whole", &whole)?;
    if full {
        step("building as it is shipped", &["build", "--quiet", "--release", "--package", "auditor"])?;
        println!("test: the whole as it is shipped: cargo {}", whole.join(" "));
        let binary = repo::target().join("release/auditor");
        repo::run(repo::command("cargo").args(whole).env("AUDITOR_TEST_BINARY", binary))?;
    }
    println!("test: all is well");
    Ok(())
}

fn step(what: &str, args: &[&str]) -> Result<()> {
    println!("test: {what}: cargo {}", args.join(" "));
    repo::run(repo::command("cargo").args(args))
}
