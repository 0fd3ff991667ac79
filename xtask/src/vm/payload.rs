//! What is tested, on a disk of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::{Part, make_image};
use crate::repo;

/// Tests of the package `tests` that need no engine, and run in the machine. Those of single refusals are not among
/// them: they ask how many of a storm find room in a ring, and an emulated processor does not keep up.
const TESTS: [&str; 4] = ["kernel", "arguments", "phases", "filters"];
/// What runs in the machine.
const SCRIPTS: &str = "xtask/src/vm/rig";

/// The disk with what the parts need.
pub fn make(parts: &[Part]) -> Result<PathBuf> {
    println!("vm: building what is tested");
    let mut build = repo::command("cargo");
    repo::run(build.args(["build", "--quiet", "--package", "auditor", "--package", "tests", "--bins"]))?;
    let directory = tempfile::tempdir_in(repo::target()).context("making a directory for what is tested")?;
    let rig = directory.path();
    let mut copy_scripts = repo::command("cp");
    repo::run(copy_scripts.arg("--recursive").arg(repo::root().join(SCRIPTS).join(".")).arg(rig))?;
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    fs::write(rig.join("parts"), names.join("\n") + "\n")?;
    let files = rig.join("workspace-files");
    fs::write(rig.join("workspace"), repo::root().to_str().context("the workspace's path is not UTF-8")?)?;
    for directory in ["bin", "deb", "workspace-files/target/debug/deps", "workspace-files/target/static/release"] {
        fs::create_dir_all(rig.join(directory))?;
    }
    copy(&repo::target().join("debug/auditor"), &rig.join("bin/auditor"))?;
    for name in ["auditor", "warden"] {
        copy(&repo::target().join("debug").join(name), &files.join("target/debug").join(name))?;
    }
    // Static, as the tests build it, where they look for it.
    let mut build = repo::command("cargo");
    build.args(["build", "--quiet", "--locked", "--release", "--package", "groundtruth", "--target-dir"]);
    build.arg(repo::root().join("target/static")).env("RUSTFLAGS", "-C target-feature=+crt-static");
    repo::run(&mut build)?;
    let groundtruth = "target/static/release/groundtruth";
    copy(&repo::root().join(groundtruth), &files.join(groundtruth))?;
    if parts.contains(&Part::Kernel) {
        for test in TESTS {
            copy(&test_program(test)?, &files.join("target/debug/deps").join(test))?;
        }
    }
    if parts.contains(&Part::Service) {
        packages(rig)?;
    }
    let image = repo::target().join("vm/payload.img");
    fs::create_dir_all(repo::target().join("vm"))?;
    make_image(rig, &image, "3G")?;
    Ok(image)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// Where cargo put a test of the whole.
fn test_program(test: &str) -> Result<PathBuf> {
    let mut build = repo::command("cargo");
    build.args(["test", "--quiet", "--no-run", "--package", "tests", "--message-format=json", "--test", test]);
    let messages = repo::read(build.stderr(Stdio::inherit()))?;
    let mut built = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let program = built.find_map(|message| {
        let is_it = message["target"]["name"] == test && message["target"]["kind"][0] == "test";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    program.with_context(|| format!("cargo built no test {test}"))
}

/// The package, and a later revision of it for the upgrade.
fn packages(rig: &Path) -> Result<()> {
    let this = std::env::current_exe().context("asking for the path of this program")?;
    for (revision, name) in [("1", "auditor.deb"), ("2", "auditor-later.deb")] {
        let said = repo::read(repo::command(&this).args(["dist", "--debug", "--revision", revision]))?;
        let package = said.lines().last().context("dist does not say where the package is")?;
        copy(Path::new(package), &rig.join("deb").join(name))?;
    }
    Ok(())
}
