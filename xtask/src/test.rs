//! `test`: everything that must hold, on a machine that may have nothing installed yet.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::faults::{self, Outcomes};
use crate::setup::Group;
use crate::{build_ebpf, cgroups, deny, repo, setup, suites, vm};

/// Sets up, checks, and runs the tests. `full`: the kernel object is rebuilt from nothing, the tests of the parts also
/// try cases that nobody has seen, and the tests of the whole run a second time with the daemon as it is shipped.
pub fn run(full: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the tests load eBPF programs and start a private container engine: run them as root");
    }
    setup::run(&[Group::Engine, Group::Prometheus, Group::Faults, Group::Ebpf, Group::Dist, Group::Bare])?;
    if full {
        build_ebpf::forget()?;
    }
    build_ebpf::check()?;
    deny::check()?;
    step("formatting", &["fmt", "--all", "--check"])?;
    step("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    println!("test: building all of it");
    suites::build()?;
    let mut outcomes = Outcomes::default();
    parts(Cases::Same, &mut outcomes)?;
    if full {
        parts(Cases::New, &mut outcomes)?;
    }
    cgroups::ensure_mounted()?;
    match all_of_the_whole(full, &mut outcomes) {
        Err(error) if error.is::<faults::BrokenOff>() => return Err(error),
        // Whatever became of them, it is written down.
        tests => tests.and(faults::write(&outcomes))?,
    }
    println!("test: another kernel, in an emulated machine");
    if !vm::bare::run(vm::bare::Processor::X86_64)? {
        bail!("not all passed with another kernel");
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

/// The package whose tests run against a real engine.
const WHOLE: &str = "tests";

fn parts(cases: Cases, outcomes: &mut Outcomes) -> Result<()> {
    let (variable, value) = match cases {
        Cases::Same => ("PROPTEST_RNG_SEED", "20261124"),
        Cases::New => ("AUDITOR_CASES", "4000"),
    };
    // What somebody has set is meant.
    let is_ours = env::var_os(variable).is_none();
    println!("test: tests of the parts{}", if is_ours { format!(", with {variable}={value}") } else { String::new() });
    let mut units = suites::command(&[]);
    units.args(["--lib", "--bins"]);
    let suites = suites::by_package()?.into_iter().filter(|(package, names)| package != WHOLE && !names.is_empty());
    let suites = suites.map(|(package, names)| (package, suites::command(&names)));
    let mut failed = Vec::new();
    for (package, mut command) in std::iter::once(("the units".to_owned(), units)).chain(suites) {
        if is_ours {
            command.env(variable, value);
        }
        outcomes.of_package(&package);
        match faults::watch(command, outcomes)? {
            WaitStatus::Exited(_, 0) => {}
            status => failed.push(format!("{package}: {status:?}")),
        }
    }
    if !failed.is_empty() {
        bail!("the tests of the parts: {}", failed.join("; "));
    }
    Ok(())
}

/// The tests against a real engine, of this binary or of the one that is built for them.
fn whole(binary: Option<&Path>, outcomes: &mut Outcomes) -> Result<()> {
    println!("test: tests of the whole");
    let names = suites::by_package()?.remove(WHOLE).unwrap_or_default();
    let mut command = suites::command(&names);
    // One at a time: they share the machine's control groups.
    command.args(["--", "--test-threads=1"]);
    if let Some(binary) = binary {
        println!("test: with {}", binary.display());
        command.env("AUDITOR_TEST_BINARY", binary);
    }
    outcomes.of_package(WHOLE);
    match faults::watch(command, outcomes)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => bail!("the tests of the whole: {status:?}"),
    }
}
