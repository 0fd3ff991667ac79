//! The arrows of ARCHITECTURE.md, as far as a text can show them: who may name what.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Values in, values out.
const CORE: [&str; 11] = [
    "syscall",
    "filter",
    "profile",
    "effective",
    "counters",
    "audit",
    "denial",
    "evidence",
    "coverage",
    "suggest",
    "report",
];

/// What the core may not name: the world outside, and the layers above.
const OUTSIDE: [&str; 24] = [
    "std::fs",
    "std::net",
    "std::os",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Timestamp::now",
    "nix::",
    "libc::",
    "tokio",
    "tracing",
    "crate::kernel",
    "crate::docker",
    "crate::cgroupfs",
    "crate::procfs",
    "crate::bundle",
    "crate::config",
    "crate::control",
    "crate::http",
    "crate::metrics",
    "crate::daemon",
    "crate::cli",
];

/// Crates that one room alone may name.
const ROOMS: [(&str, &str); 13] = [
    ("aya", "kernel"),
    ("auditor_ebpf", "kernel"),
    ("btf_rs", "kernel"),
    ("bollard", "docker"),
    ("prometheus", "metrics"),
    ("axum", "http"),
    ("rustls", "http"),
    ("tokio_rustls", "http"),
    ("bcrypt", "http"),
    ("saphyr_parser", "http"),
    ("clap", "cli"),
    ("redb", "store"),
    ("rustix", "privilege"),
];

/// What would stop, signal, trace or change a container: system calls, and requests of the engine's API.
const FORBIDDEN: [&str; 14] = [
    "signal::kill",
    "libc::kill",
    "ptrace(",
    "nix::sys::ptrace",
    "cgroup.kill",
    "cgroup.freeze",
    "create_container",
    "start_container",
    "stop_container",
    "kill_container",
    "pause_container",
    "remove_container",
    "update_container",
    "create_exec",
];

/// Passes signals on to the command that it started itself, which is no container.
const SIGNALS_ITS_OWN_CHILD: &str = "recording/command.rs";

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source below a directory: the room it is in, its path, and its code without comments and unit tests.
fn files(directory: &Path) -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let relative = path.strip_prefix(sources()).unwrap();
            let room = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let code = code(&fs::read_to_string(&path).unwrap());
            found.push((room, path, code));
        }
    }
    found
}

fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap();
    shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether a crate is named as one: `aya::`, and not `is_aya::`.
fn names(code: &str, krate: &str) -> bool {
    let path = format!("{krate}::");
    code.match_indices(&path).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)))
}

#[test]
fn the_core_touches_nothing_outside_its_arguments() {
    let mut seen = 0;
    for (room, path, code) in files(&sources()).iter().filter(|(room, ..)| CORE.contains(&room.as_str())) {
        let named: Vec<_> = OUTSIDE.iter().filter(|word| code.contains(**word)).collect();
        assert!(named.is_empty(), "{} ({room}) names {named:?}", path.display());
        seen += 1;
    }
    assert!(seen > CORE.len(), "the core was not found");
}

#[test]
fn each_outside_crate_has_one_room() {
    for (room, path, code) in files(&sources()) {
        for (krate, owner) in ROOMS {
            assert!(room == owner || !names(&code, krate), "{} names {krate}, which is {owner}'s", path.display());
        }
    }
    for (krate, owner) in ROOMS {
        let used = files(&sources()).iter().any(|(room, _, code)| room == owner && names(code, krate));
        assert!(used, "{owner} does not use {krate}: is this rule still right?");
    }
}

#[test]
fn unsafe_code_is_in_the_kernel_room_alone() {
    for (room, path, code) in files(&sources()) {
        assert!(room == "kernel" || !code.contains("unsafe {"), "{} has unsafe code", path.display());
    }
}

/// The one file that makes, starts and removes containers: its own, for `auditor profile prove`.
const OWN_CONTAINERS: &str = "docker/throwaway.rs";

/// What that file does, and who may name it besides: neither the daemon nor anything that the daemon names.
const OF_OWN_CONTAINERS: [&str; 3] = ["create_container", "start_container", "remove_container"];

#[test]
fn nothing_stops_signals_or_changes_a_container() {
    let mut own = 0;
    for (_, path, code) in files(&sources()) {
        let is_own = path.ends_with(OWN_CONTAINERS);
        let may = |word: &str| {
            (word == "signal::kill" && path.ends_with(SIGNALS_ITS_OWN_CHILD))
                || (is_own && OF_OWN_CONTAINERS.contains(&word))
        };
        let named: Vec<_> = FORBIDDEN.iter().filter(|word| code.contains(**word) && !may(word)).collect();
        assert!(named.is_empty(), "{} names {named:?}", path.display());
        own += usize::from(is_own);
    }
    assert_eq!(own, 1, "{OWN_CONTAINERS} was not found: is this rule still right?");
}

#[test]
fn containers_of_our_own_are_made_for_profile_prove_alone() {
    for (room, path, code) in files(&sources()) {
        let makes = ["make_throwaway", "start_throwaway", "remove_throwaway"].iter().any(|word| code.contains(word));
        assert!(!makes || room == "prove" || path.ends_with(OWN_CONTAINERS), "{} makes containers", path.display());
        let proves = code.contains("crate::prove") || code.contains("prove::Prover");
        let is_verb = path.ends_with("cli/profile/prove.rs") || path.ends_with("cli/mod.rs");
        assert!(!proves || room == "prove" || is_verb, "{} names crate::prove", path.display());
    }
}
