//! A suggestion is a profile that a program really starts and works under: the corpus, with the programs of the small
//! image.

use anyhow::{Context as _, Result, ensure};
use tests::corpus::trial::{Extent, try_program};
use tests::corpus::{Program, document};
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
