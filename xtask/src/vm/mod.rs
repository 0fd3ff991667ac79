//! `vm`: real machines. A Debian with systemd and its own container engine is booted in qemu with each kernel, and in it
//! run the tests of the kernel half, and the package as an operator has it: installed, started by systemd, through boots,
//! restarts, kills, an upgrade, and its removal.
//!
//! The machine's disk is made once and what is written to it is forgotten; what is tested comes on a second one.

pub mod bare;
mod machine;
mod payload;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup::Group;
use crate::{repo, setup};

use bare::Processor;
use machine::Machine;

/// What is tried where nothing is named: Debian's kernels, the release's and the newest that it has been given since, and
/// a machine with another processor.
const KERNELS: [&str; 3] = ["6.1", "6.12", ARM64];
/// In the place of a kernel: the machine of this name.
const ARM64: &str = "arm64";
/// The same, with this machine's own processor.
const BARE: &str = "bare";

/// What can be tried alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The tests of the kernel half.
    Kernel,
    /// A unit under its suggestion.
    Unit,
    /// The package and its service.
    Service,
}

impl Part {
    /// As the scripts in the machine know it.
    const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Unit => "unit",
            Self::Service => "service",
        }
    }
}

/// Boots a machine for each kernel, one after the other, and tells what passed.
pub fn run(kernels: &[String], parts: &[Part]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the machine's files belong to root: run it as root");
    }
    let kernels: Vec<String> = match kernels {
        [] => KERNELS.map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    let (others, kernels): (Vec<_>, Vec<_>) = kernels.into_iter().partition(|name| name == ARM64 || name == BARE);
    if let Some(bad) = kernels.iter().find(|name| !name.chars().all(|c| c.is_ascii_digit() || c == '.')) {
        bail!("{bad} is no series of kernels; name it like 6.1, or say {ARM64} or {BARE}");
    }
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    setup::run(&[Group::Engine, Group::Vm])?;
    let mut failed = Vec::new();
    if !kernels.is_empty() {
        let payload = payload::make(parts)?;
        let machine = Machine::make(&kernels)?;
        for kernel in &kernels {
            println!("vm: booting Linux {kernel} (some minutes: the processor is emulated)");
            if !machine.boot(kernel, &payload)? {
                failed.push(kernel.as_str());
            }
        }
    }
    for other in &others {
        let processor = if other == ARM64 { Processor::Arm64 } else { Processor::X86_64 };
        if !bare::run(processor)? {
            failed.push(other);
        }
    }
    if !failed.is_empty() {
        bail!("vm: not all passed with {}", failed.join(", "));
    }
    println!("vm: all passed");
    Ok(())
}

/// An ext4 image of a tree.
fn make_image(tree: &std::path::Path, image: &std::path::Path, size: &str) -> Result<()> {
    _ = std::fs::remove_file(image);
    let mut make = repo::command("mkfs.ext4");
    make.args(["-q", "-F", "-E", "root_owner=0:0", "-d"]).arg(tree).arg(image).arg(size);
    repo::run(&mut make)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    /// All scripts that run in a machine, or make one.
    fn scripts() -> Vec<PathBuf> {
        let directories =
            ["", "bare", "rig", "rig/boot1", "rig/boot2"].map(|name| repo::root().join("xtask/src/vm").join(name));
        let entries = directories.into_iter().flat_map(|directory| fs::read_dir(directory).unwrap());
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "sh"))
            .collect()
    }

    #[test]
    fn a_shell_can_read_every_script() {
        assert!(scripts().len() > 15, "{:?}", scripts());
        for script in scripts() {
            let status = Command::new("sh").arg("-n").arg(&script).status().unwrap();
            assert!(status.success(), "{}", script.display());
        }
    }

    #[test]
    fn the_document_lists_what_the_scripts_show() {
        let boots = scripts().into_iter().filter(|script| {
            script.parent().unwrap().ends_with("boot1") || script.parent().unwrap().ends_with("boot2")
        });
        let titles: BTreeSet<String> = boots
            .map(|script| {
                fs::read_to_string(script).unwrap().lines().next().unwrap().trim_start_matches("# ").to_owned()
            })
            .collect();
        let document = fs::read_to_string(repo::root().join("docs/kernels.md")).unwrap();
        let listed = document.lines().filter_map(|line| line.strip_prefix("  - ")).map(str::to_owned).collect();
        assert_eq!(titles, listed);
    }
}
