//! `dist`: the Debian package, built by `dpkg-deb` from what is in `packaging/` and judged by lintian.
//!
//! The same commit gives the same bytes, with the same toolchain in the same place: every time in the package is the
//! commit's, and owners and modes are given, not found.

mod control;
mod tree;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::setup::Group;
use crate::{repo, setup};

/// How to build it.
#[derive(Debug, Args)]
pub struct Options {
    /// Pack a debug build: quick to make, to try the package with
    #[arg(long)]
    debug: bool,
    /// The package's revision: a higher one is an upgrade
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    revision: u32,
}

/// Builds `target/dist/auditor_VERSION_ARCH.deb` and prints its path.
pub fn run(options: &Options) -> Result<()> {
    setup::run(&[Group::Dist])?;
    let mut build = repo::command("cargo");
    build.args(["build", "--quiet", "--package", "auditor", "--bins"]);
    if !options.debug {
        build.args(["--release", "--locked"]);
    }
    println!("dist: building the {} binary", if options.debug { "debug" } else { "release" });
    repo::run(&mut build)?;
    let binary = repo::target().join(if options.debug { "debug" } else { "release" }).join("auditor");

    let dist = repo::target().join("dist");
    fs::create_dir_all(&dist).with_context(|| format!("creating {}", dist.display()))?;
    let work = tempfile::tempdir_in(&dist).with_context(|| format!("making a directory in {}", dist.display()))?;
    let about = control::About::gather(options.revision)?;
    let root = work.path().join("root");
    tree::lay_out(&root, &binary, &about)?;
    control::write(&root, work.path(), &about)?;
    tree::set_times(&root, about.epoch)?;

    let package = dist.join(format!("auditor_{}_{}.deb", about.version, about.architecture));
    let mut pack = repo::command("dpkg-deb");
    pack.args(["--root-owner-group", if options.debug { "-Zgzip" } else { "-Zxz" }, "--build"])
        .arg(&root)
        .arg(&package);
    repo::run(pack.env("SOURCE_DATE_EPOCH", about.epoch.to_string()).stdout(std::process::Stdio::null()))?;
    judge(&package)?;
    println!("{}", package.display());
    Ok(())
}

/// Warnings are shown, errors end it.
fn judge(package: &PathBuf) -> Result<()> {
    let mut lintian = repo::command("lintian");
    lintian.args(["--fail-on", "error", "--tag-display-limit", "0"]);
    if nix::unistd::geteuid().is_root() {
        lintian.arg("--allow-root");
    }
    let status = lintian.arg(package).status().context("running lintian")?;
    if !status.success() {
        bail!("lintian finds errors in {}, see above", package.display());
    }
    Ok(())
}
