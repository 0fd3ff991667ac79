//! What the fuzzer found interesting, and what once broke something, through every target as it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuzz::ALL;

/// What one input may take, on a machine that has other things to do: the longest takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

fn file(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(format!("{target}.hex"))
}

/// The inputs of a file: one a line, in hex; what begins with `#` says what it is.
fn inputs(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits = |line: &str| -> Vec<u8> {
        line.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    text.lines().filter(|line| !line.starts_with('#')).map(digits).collect()
}

fn run(kind: &str) -> usize {
    let mut count = 0;
    for target in ALL {
        let path = file(kind, target.name);
        if kind == "regressions" && !path.exists() {
            continue;
        }
        for (at, input) in inputs(&path).into_iter().enumerate() {
            let began = Instant::now();
            if std::panic::catch_unwind(|| (target.run)(&input)).is_err() {
                panic!("{}: input {at} of {}", target.name, path.display());
            }
            assert!(began.elapsed() < PATIENCE, "{}: input {at} took {:?}", target.name, began.elapsed());
            count += 1;
        }
    }
    count
}

#[test]
fn every_input_of_the_corpus_passes() {
    assert!(run("corpus") > 10 * ALL.len(), "the corpus is gone");
}

#[test]
fn what_once_broke_something_does_not_any_more() {
    run("regressions");
}

#[test]
fn every_file_of_inputs_has_its_target() {
    for kind in ["corpus", "regressions"] {
        // That the corpus is there is asserted above.
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(ALL.iter().any(|target| target.name == name), "{}", path.display());
            assert!(path.metadata().unwrap().len() < 100_000, "{} is too large for the tree", path.display());
        }
    }
}
