//! The documents name only what there is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use auditor::config::{self, Config, Settings};
use auditor::metrics::ALL;

const DOCUMENTS: [&str; 17] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "dashboards/README.md",
    "docs/bench.md",
    "docs/corpus.md",
    "docs/coverage.md",
    "docs/faults.md",
    "docs/floor.md",
    "docs/fuzz.md",
    "docs/kernels.md",
    "docs/limits.md",
    "docs/metrics.md",
    "docs/privileges.md",
    "docs/soak.md",
    "docs/threat-model.md",
    "docs/traps.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pieces of code in a document: fenced blocks line by line, and what stands between backticks.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut prose = String::new();
    for (at, part) in text.split("```").enumerate() {
        if at % 2 == 1 {
            found.extend(part.lines().map(str::to_owned));
        } else {
            prose.push_str(part);
        }
    }
    // A span may go on in the next line.
    found.extend(prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
    found
}

/// The words that follow a command wherever it is typed: `cargo xtask WORD`.
fn words_after(code: &[String], command: &str) -> BTreeSet<String> {
    let command = format!(" {command} ");
    let after = |line: &String| -> Vec<String> {
        let line = format!(" {line}");
        let words = line.split(&command).skip(1).filter_map(|rest| rest.split_whitespace().next());
        words.map(|word| word.trim_matches([';', '|', ')', ',']).to_owned()).collect()
    };
    code.iter().flat_map(after).collect()
}

#[test]
fn every_verb_that_is_named_exists() {
    let help = Command::new(env!("CARGO_BIN_EXE_auditor")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let verbs: BTreeSet<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut named = BTreeSet::new();
    for document in DOCUMENTS {
        for word in words_after(&code(&read(document)), "auditor") {
            let is_verb = !word.starts_with('-') && !word.is_empty();
            assert!(!is_verb || verbs.contains(word.as_str()), "{document}: auditor {word}: no such verb");
            named.insert(word);
        }
    }
    for verb in verbs.iter().filter(|verb| **verb != "help") {
        assert!(named.contains(*verb), "no document says how auditor {verb} is used");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let known: BTreeSet<&str> = ALL.iter().map(|definition| definition.name).collect();
    for document in DOCUMENTS {
        let text = read(document);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("auditor_") && *word != "auditor_test") {
            assert!(known.contains(word), "{document}: {word}: no such metric");
        }
    }
}

#[test]
fn every_file_and_test_that_is_named_exists() {
    for document in DOCUMENTS {
        let text = read(document);
        let base = root().join(document).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            assert!(base.join(link).exists(), "{document}: link to {link}");
        }
    }
    for document in DOCUMENTS {
        let spans = code(&read(document));
        let places = ["auditor", "auditor-ebpf", "xtask", "tests", "dashboards", "packaging", "docs"];
        let words = spans.iter().flat_map(|span| span.split_whitespace());
        for word in words.filter(|word| word.split_once('/').is_some_and(|(first, _)| places.contains(&first))) {
            let (path, test) = word.split_once("::").map_or((word, None), |(path, test)| (path, Some(test)));
            assert!(root().join(path).exists(), "{document}: {path}: no such file");
            if let Some(test) = test {
                assert!(read(path).contains(&format!("fn {test}(")), "{document}: {path} has no {test}");
            }
        }
    }
}

#[test]
fn every_task_that_is_named_exists() {
    let source = read("xtask/src/main.rs");
    let (_, tasks) = source.split_once("enum Task {").unwrap();
    let (tasks, _) = tasks.split_once("\n}").unwrap();
    let variants =
        tasks.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase));
    let tasks: BTreeSet<String> =
        variants.map(|line| kebab(line.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap())).collect();
    assert!(tasks.contains("build-ebpf"), "{tasks:?}");
    for document in DOCUMENTS {
        for word in words_after(&code(&read(document)), "cargo xtask") {
            assert!(tasks.contains(&word), "{document}: cargo xtask {word}: no such task");
        }
    }
}

/// `BuildEbpf` as clap shows it.
fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for (at, letter) in variant.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[test]
fn the_example_configuration_is_the_default() {
    let example = root().join("packaging/auditor.toml");
    assert_eq!(config::check_file(&example).unwrap(), Config::check(Settings::default()).unwrap());
    let checked = Command::new(env!("CARGO_BIN_EXE_auditor")).arg("check-config").arg(&example).output().unwrap();
    assert_eq!(checked.status.code(), Some(0));
}

#[test]
fn every_trap_has_its_test() {
    let text = read("docs/traps.md");
    for number in 1..=21 {
        let test = format!("`tests/tests/traps.rs::t{number:02}_");
        assert_eq!(text.matches(&test).count(), 1, "{test}");
    }
}

/// The page is written by the test run; what it must have is in the data.
#[test]
fn every_fault_has_its_tests_and_its_row() {
    let rows: toml::Table = toml::from_str(&read("tests/faults.toml")).unwrap();
    let rows = rows["row"].as_array().unwrap();
    assert!(rows.len() >= 16, "{} rows", rows.len());
    let page = read("docs/faults.md");
    let mut results = 0;
    for row in rows {
        let (fault, does) = (row["fault"].as_str().unwrap(), row["does"].as_str().unwrap());
        let (_, section) = page.split_once(&format!("\n## {fault}\n")).unwrap_or_else(|| panic!("no row: {fault}"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains(does), "{fault}: {does}");
        for case in row["case"].as_array().unwrap() {
            let made = case["made"].as_str().unwrap();
            assert!(section.contains(&format!("| {made} | ")), "{fault}: no {made}");
            for test in case["tests"].as_array().unwrap() {
                let test = test.as_str().unwrap();
                let (path, name) = test.split_once("::").unwrap();
                assert!(read(path).contains(&format!("fn {name}(")), "tests/faults.toml: {path} has no {name}");
                let row = format!(" | `{test}` | ");
                assert!(section.contains(&row), "docs/faults.md has no {test}; `cargo xtask faults` writes it");
                results += 1;
            }
        }
    }
    let told = page.lines().filter(|line| line.starts_with("| ") && line.contains(".rs::")).count();
    assert_eq!(told, results, "docs/faults.md has rows that nobody asked for");
}
