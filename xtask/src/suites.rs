//! The test binaries of the workspace. All are built and run by commands that select the whole workspace: what else is
//! selected decides over features of dependencies, and every set of features is a build of its own.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::repo;

/// Names of test binaries by the directory of their package, from the root of the tree.
pub fn by_package() -> Result<BTreeMap<String, Vec<String>>> {
    let args = ["metadata", "--format-version=1", "--no-deps", "--locked"];
    let metadata: Value = serde_json::from_str(&repo::read(repo::command("cargo").args(args))?)?;
    let packages = metadata["packages"].as_array().context("no packages in cargo metadata")?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        let directory = manifest.strip_suffix("/Cargo.toml").context("a manifest of another name")?;
        let directory = std::path::Path::new(directory).strip_prefix(repo::root())?.display().to_string();
        let targets = package["targets"].as_array().context("a package has no targets")?;
        let is_test = |target: &&Value| target["kind"] == serde_json::json!(["test"]);
        let names = targets.iter().filter(is_test).filter_map(|target| target["name"].as_str()).map(str::to_owned);
        found.entry(directory).or_default().extend(names);
    }
    Ok(found)
}

/// Builds all of them, and the programs that they start.
pub fn build() -> Result<()> {
    repo::run(repo::command("cargo").args(["test", "--quiet", "--no-run", "--workspace"]))
}

/// `cargo test` of these binaries, whichever package's they are.
pub fn command(names: &[String]) -> Command {
    // A shell makes what it starts in the background deaf to Ctrl-C, and all that comes of it.
    let mut command = repo::command("env");
    command.args(["--default-signal=INT,QUIT", "cargo", "test", "--no-fail-fast", "--workspace"]);
    command.args(names.iter().flat_map(|name| ["--test", name.as_str()]));
    command
}
