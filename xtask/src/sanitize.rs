//! `sanitize`: what reaches unsafe code, watched by AddressSanitizer.
//!
//! Unsafe code is in `auditor/src/kernel` alone: records of the kernel's that are read as plain old data, and descriptors
//! that are registered with the runtime. Miri would say more of it and cannot run here: it is a nightly's, and it knows no
//! bpf(2). So the unit tests, the replay of the fuzzer's corpus, and the daemon itself, in the end-to-end tests of
//! denials, filters and actions, are built with the sanitizer, which comes with every toolchain.

use anyhow::{Result, bail};
use nix::sys::wait::WaitStatus;

use crate::setup::{self, Group};
use crate::supervise::supervise;
use crate::{cgroups, repo};

/// The compiler's target, named so that what runs at build time is built without it.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Builds with the sanitizer, and runs the tests. `short`: without a container engine.
pub fn run(short: bool) -> Result<()> {
    let directory = repo::target().join("sanitize");
    let cargo = |args: &[&str]| {
        let mut cargo = repo::command("cargo");
        cargo.args(args).args(["--target", TRIPLE, "--target-dir"]).arg(&directory);
        // The sanitizers are in every toolchain, and their option is a nightly's alone.
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        cargo.env("ASAN_OPTIONS", "detect_leaks=1:halt_on_error=1:abort_on_error=1");
        cargo
    };
    println!("sanitize: the unit tests, and the fuzzer's corpus");
    repo::run(&mut cargo(&[
        "test",
        "--quiet",
        "--package",
        "auditor",
        "--package",
        "fuzz",
        "--lib",
        "--test",
        "replay",
    ]))?;
    if short {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the daemon loads eBPF programs and watches a private container engine: run this as root, or with --short"
        );
    }
    setup::run(&[Group::Engine])?;
    println!("sanitize: the daemon");
    repo::run(&mut cargo(&["build", "--quiet", "--package", "auditor", "--bin", "auditor"]))?;
    repo::run(repo::command("cargo").args(["build", "--quiet", "--workspace", "--bins"]))?;
    cgroups::ensure_mounted()?;
    let binary = directory.join(TRIPLE).join("debug/auditor");
    for test in ["denials", "effective", "actions"] {
        let mut tests = repo::command("env");
        tests.args(["--default-signal=INT,QUIT", "cargo", "test", "--quiet", "--package", "tests", "--test", test]);
        tests.args(["--", "--test-threads=1"]).env("AUDITOR_TEST_BINARY", &binary);
        match supervise(tests)? {
            WaitStatus::Exited(_, 0) => {}
            status => bail!("the tests {test} with {}: {status:?}", binary.display()),
        }
    }
    println!("sanitize: nothing was found");
    Ok(())
}
