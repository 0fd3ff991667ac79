//! The pure core, through its public face: tables, profiles, their meaning, comparison, suggestion.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod bounds;
mod check;
mod denial;
mod docker_default;
mod effective;
mod evaluate;
mod evidence;
mod filter;
mod filters;
mod merge;
mod narrowed;
mod parse;
mod render;
mod staged;
mod suggest;
mod syscalls;

use auditor::profile::Profile;
use auditor::profile::oci::parse_seccomp;
use auditor::syscall::{self, Abi, SyscallNr};
use proptest::prelude::ProptestConfig;

const DOCKER_DEFAULT: &[u8] = include_bytes!("../data/docker-default-20.10-oci.json");

fn profile(json: &str) -> Profile {
    parse_seccomp(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn docker_default() -> Profile {
    parse_seccomp(DOCKER_DEFAULT).unwrap()
}

fn nr(abi: Abi, name: &str) -> SyscallNr {
    syscall::number(abi, name).unwrap_or_else(|| panic!("{abi} has no {name}"))
}

/// How long a processor has worked for this thread: what others do at the same time makes no difference.
fn worked() -> std::time::Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// So many random cases, or as many as `AUDITOR_CASES` says.
fn cases(number: u32) -> ProptestConfig {
    let wanted = std::env::var("AUDITOR_CASES").ok().and_then(|number| number.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(number))
}

/// Asserts that the output is what `golden/NAME` holds; `AUDITOR_RECORD=1` writes it anew.
fn assert_recorded(name: &str, output: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("AUDITOR_RECORD").is_some() {
        std::fs::write(&path, output).unwrap();
    }
    assert_eq!(output, std::fs::read_to_string(&path).unwrap_or_default(), "{name} differs from what is recorded");
}
