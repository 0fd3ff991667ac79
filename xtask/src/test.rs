//! `test`: everything that must hold, on a machine that may have nothing installed yet.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::faults::{self, Outcomes};
use crate::setup::Group;
use crate::{build_ebpf, cgroups, deny, repo, setup};

/// Sets up, checks, and runs the tests. `full`: the kernel object is rebuilt from nothing, the tests of the parts also
/// try cases that nobody has seen, and the tests of the whole run a second time with the daemon as it is shipped.
pub fn run(full: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the tests load eBPF programs and start a private container engine: run them as root");
    }
    setup::run(&[Group::Engine, Group::Prometheus, Group::Faults, Group::Ebpf, Group::Dist])?;
    if full {
        build_ebpf::forget()?;
    }
    build_ebpf::check()?;
    deny::check()?;
    step("formatting", &["fmt", "--all", "--check"])?;
    step("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    step("building", &["build", "--quiet", "--workspace", "--bins"])?;
    let mut outcomes = Outcomes::default();
    parts(Cases::Same, &mut outcomes)?;
    if full {
        parts(Cases::New, &mut outcomes)?;
    }
    step("building the tests of the whole", &["test", "--quiet", "--no-run", "--package", "tests"])?;
    cgroups::ensure_mounted()?;
    match all_of_the_whole(full, &mut outcomes) {
        Err(error) if error.is::<faults::BrokenOff>() => return Err(error),
        // Whatever became of them, it is written down.
        tests => tests.and(faults::write(&outcomes))?,
    }
    println!("test: all is well");
    Ok(())
}

fn all_of_the_whole(full: bool, outcomes: &mut Outcomes) -> Result<()> {
    whole(None, outcomes)?;
    if full {
        step("building as it is shipped", &["build", "--quiet", "--release", "--package", "auditor"])?;
        whole(Some(&repo::target().join("release/auditor")), outcomes)?;
    }
    Ok(())
}

fn step(what: &str, args: &[&str]) -> Result<()> {
    println!("test: {what}: cargo {}", args.join(" "));
    repo::run(repo::command("cargo").args(args))
}

/// Which cases the property tests make up.
#[derive(Clone, Copy)]
enum Cases {
    /// The same ones each time, so that what fails here fails again.
    Same,
    /// Others each time, and many of them.
    New,
}

fn parts(cases: Cases, outcomes: &mut Outcomes) -> Result<()> {
    let args = ["test", "--no-fail-fast", "--workspace", "--exclude", "tests"];
    println!("test: tests of the parts: cargo {}", args.join(" "));
    let mut command = repo::command("cargo");
    command.args(args);
    let (variable, value) = match cases {
        Cases::Same => ("PROPTEST_RNG_SEED", "20261124"),
        Cases::New => ("AUDITOR_CASES", "4000"),
    };
    // What somebody has set is meant.
    if env::var_os(variable).is_none() {
        println!("test: with {variable}={value}");
        command.env(variable, value);
    }
    outcomes.of_package("auditor");
    match faults::watch(command, outcomes)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => bail!("the tests of the parts: {status:?}"),
    }
}

/// The tests against a real engine, of this binary or of the one that is built for them.
fn whole(binary: Option<&Path>, outcomes: &mut Outcomes) -> Result<()> {
    // One at a time: they share the machine's control groups.
    let args = ["test", "--no-fail-fast", "--package", "tests", "--", "--test-threads=1"];
    println!("test: tests of the whole: cargo {}", args.join(" "));
    // A shell makes what it starts in the background deaf to Ctrl-C, and all that comes of it.
    let mut command = repo::command("env");
    command.args(["--default-signal=INT,QUIT", "cargo"]).args(args);
    if let Some(binary) = binary {
        println!("test: with {}", binary.display());
        command.env("AUDITOR_TEST_BINARY", binary);
    }
    outcomes.of_package("tests");
    match faults::watch(command, outcomes)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => bail!("the tests of the whole: {status:?}"),
    }
}
