//! `vm`: real machines. A Debian with systemd and its own container engine is booted in qemu with each kernel, and in it
//! run the tests of the kernel half, and the package as an operator has it: installed, started by systemd, through boots,
//! restarts, kills, an upgrade, and its removal.
//!
//! The machine's disk is made once and what is written to it is forgotten; what is tested comes on a second one.

mod machine;
mod payload;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup::Group;
use crate::{repo, setup};

use machine::Machine;

/// Debian's kernels that are tried where none is named: the release's, and the newest that it has been given since.
const KERNELS: [&str; 2] = ["6.1", "6.12"];

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
    if let Some(bad) = kernels.iter().find(|name| !name.chars().all(|c| c.is_ascii_digit() || c == '.')) {
        bail!("{bad} is no series of kernels; name it like 6.1");
    }
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    setup::run(&[Group::Engine, Group::Vm])?;
    let payload = payload::make(parts)?;
    let machine = Machine::make(&kernels)?;
    let mut failed = Vec::new();
    for kernel in &kernels {
        println!("vm: booting Linux {kernel} (some minutes: the processor is emulated)");
        if !machine.boot(kernel, &payload)? {
            failed.push(kernel.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("vm: not all passed with Linux {}", failed.join(", "));
    }
    println!("vm: all passed with Linux {}", kernels.join(", "));
    Ok(())
}

/// An ext4 image of a tree.
fn make_image(tree: &std::path::Path, image: &std::path::Path, size: &str) -> Result<()> {
    _ = std::fs::remove_file(image);
    let mut make = repo::command("mkfs.ext4");
    make.args(["-q", "-F", "-E", "root_owner=0:0", "-d"]).arg(tree).arg(image).arg(size);
    repo::run(&mut make)
}
