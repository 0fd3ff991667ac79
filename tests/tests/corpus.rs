//! A suggestion is a profile that a program really starts and works under: the corpus, with the programs of the small
//! image.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::corpus::trial::{Extent, try_program};
use tests::corpus::{PROGRAMS, Program, document};
use tests::engine::CgroupMode;
use tests::image;
use tests::stage::Stage;

/// What can happen by chance was measured by `cargo xtask corpus`; here it is enough that the promises are kept.
const EXTENT: Extent = Extent { recorded: 3, confined: 2, large: false };

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
