//! What lies in the tree: files that can be read, named after what they are, and no trace of the machine they were
//! written on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every file below a directory, but for what git and cargo keep there.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == ".git" || name == "target" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_short_enough_to_be_read() {
    for path in files(&workspace()) {
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        let is_table = path.file_stem().is_some_and(|stem| stem == "table" || stem == "tests");
        if path.extension().is_none_or(|extension| extension != "rs") || is_test || is_table {
            continue;
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn modules_are_named_after_what_they_are() {
    let root = workspace();
    for path in files(&root) {
        for part in path.strip_prefix(&root).unwrap().iter().map(Path::new) {
            let name = part.file_stem().unwrap().to_str().unwrap();
            let vague = ["utils", "util", "common", "helpers", "manager", "types", "misc"].contains(&name);
            assert!(!vague, "{}: {name} says nothing", path.display());
        }
    }
}

#[test]
fn nothing_names_one_machine_or_a_package_registry() {
    // In two parts, for this file is looked at as well.
    let words = [
        concat!("crates", ".io"),
        concat!("ghcr", ".io"),
        concat!("quay", ".io"),
        concat!("registry-1.", "docker"),
        concat!("deb.debian", ".org"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/tmp", "/wt"),
        concat!("/ho", "me/"),
    ];
    for path in files(&workspace()) {
        // Cargo writes where packages come from; that file is its own.
        if path.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        // Lossy: the kernel object is looked at too, it could carry paths in its debug information.
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for word in words {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}
