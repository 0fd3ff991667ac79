//! A suggestion is a profile that a program really starts and works under: the corpus, with the programs of the small
//! image.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::corpus::trial::{Extent, try_program};
use tests::corpus::{PROGRAMS, Program, document, strace};
use tests::engine::CgroupMode;
use tests::image;
use tests::stage::Stage;

/// What can happen by chance was measured by `cargo xtask corpus`; here it is enough that the promises are kept.
const EXTENT: Extent = Extent { recorded: 2, confined: 2, large: false };

fn works_under_its_suggestion(name: &str) -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    image::import_debian(&stage.engine)?;
    let program = Program::named(name).with_context(|| format!("no {name} in the corpus"))?;
    let outcome = try_program(stage, program, EXTENT)?;
    println!("{}", document::summary(&outcome));
    let broken = outcome.broken();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn busybox_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("busybox")
}

#[test]
fn debian_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("shell")
}

#[test]
fn nginx_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("nginx")
}

#[test]
fn redis_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("redis")
}

#[test]
fn postgres_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("postgresql")
}

#[test]
fn python_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("python3")
}

#[test]
fn the_document_has_the_form_that_the_command_writes_and_all_programs() -> Result<()> {
    let file = document::path();
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    document::check(&text, PROGRAMS).with_context(|| format!("{}; run `cargo xtask corpus`", file.display()))
}

#[test]
fn the_readme_has_the_figures_of_the_document() -> Result<()> {
    let read = |file: &Path| std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()));
    let (text, readme) = (read(&document::path())?, read(&tests::root().join("README.md"))?);
    let figures = document::figures(&text);
    ensure!(figures.len() == 2, "the document has other figures: {figures:?}");
    for figure in figures {
        ensure!(readme.contains(&figure), "README.md does not say {figure}");
    }
    Ok(())
}

#[test]
fn a_document_that_lacks_a_program_or_tells_of_a_broken_promise_is_refused() -> Result<()> {
    let text = std::fs::read_to_string(document::path()).context("reading the document")?;
    let refused = |text: &str| document::check(text, PROGRAMS).is_err();
    let row = text.lines().find(|line| line.starts_with("| redis | ")).context("no row of redis")?;
    ensure!(refused(&text.replace(&format!("{row}\n"), "")), "a row is missing, and nobody said so");
    ensure!(refused(&text.replace(row, &row.replacen("| none |", "| mkdir |", 1))), "a refused call passed");
    ensure!(refused(&text[1..]), "another beginning passed");
    Ok(())
}

#[test]
fn what_strace_saw_more_often_than_was_counted_is_told() -> Result<()> {
    let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 61.00    0.000100          10        10         2 openat
 39.00    0.000050           5         9           read
------ ----------- ----------- --------- --------- ------------------
100.00    0.000150           7        19         2 total
";
    let traced = strace::parse_summary(table)?;
    ensure!(traced.len() == 2 && traced["openat"] == 10 && traced["read"] == 9, "{traced:?}");
    let counted = |read| BTreeMap::from([("openat".to_owned(), 11), ("read".to_owned(), read)]);
    ensure!(strace::compare(&traced, &counted(9)).missed.is_empty(), "what was counted is said to be missing");
    ensure!(strace::compare(&traced, &counted(8)).missed == ["read (8 of 9)"], "a missing call is not told");
    Ok(())
}
