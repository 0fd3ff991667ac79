//! An emulated machine without Debian, systemd and an engine: Debian's kernel, and one program that is a script, with what is
//! tested beside it. The daemon loads and counts there. With arm64's processor it is all that is tried of it, and with
//! this machine's own it is what `cargo xtask test` has time for.

mod packages;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use super::machine::{newest, watch};
use crate::setup::Group;
use crate::{repo, setup, suites};

use packages::Packages;

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Its libraries belong to the compiler of Debian's `rustc-web`, and to no other.
const LIBRARIES: &str = "libstd-rust-web-dev";
const KERNEL: &str = "6.1";

/// Whose processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// This machine's.
    X86_64,
    /// Another's.
    Arm64,
}

impl Processor {
    const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    const fn packages(self) -> &'static [Group] {
        match self {
            Self::X86_64 => &[Group::Engine, Group::Bare],
            Self::Arm64 => &[Group::Arm64],
        }
    }

    const fn qemu(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"],
            Self::Arm64 => &["qemu-system-aarch64", "-machine", "virt", "-cpu", "max,pauth-impdef=on"],
        }
    }

    const fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Arm64 => "ttyAMA0",
        }
    }

    /// Compilers, and what the program for known calls is called in the machine.
    const fn compilers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::X86_64 => &[("cc", "calls")],
            Self::Arm64 => &[("aarch64-linux-gnu-gcc", "calls"), ("arm-linux-gnueabihf-gcc", "calls32")],
        }
    }
}

/// Builds, boots, and tells what passed; whether all did.
pub fn run(processor: Processor) -> Result<bool> {
    setup::run(processor.packages())?;
    let name = processor.debian();
    let directory = repo::target().join("vm").join(name);
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let packages = Packages::update(&directory, name)?;
    let kernel = packages.unpack(&packages.kernel(KERNEL)?)?;
    let busybox = packages.unpack("busybox-static")?;

    println!("vm: building for {name}");
    let root = tempfile::tempdir_in(&directory).context("making a directory for the machine's files")?;
    let machine = root.path();
    fs::create_dir(machine.join("bin"))?;
    for program in ["bin/busybox", "bin/sh"] {
        copy(&busybox.join("bin/busybox"), &machine.join(program))?;
    }
    match processor {
        Processor::X86_64 => bring_own(machine)?,
        Processor::Arm64 => {
            let libraries = packages.unpack(LIBRARIES)?;
            strip("aarch64-linux-gnu-strip", &cross_built(&libraries.join("usr"))?, &machine.join("auditor"))?;
        }
    }
    let source = repo::root().join("xtask/src/vm/bare/calls.c");
    for (compiler, program) in processor.compilers() {
        let mut compile = repo::command(compiler);
        compile.args(["-static", "-O1", "-Wall", "-Wextra", "-o"]).arg(machine.join(program)).arg(&source);
        repo::run(&mut compile)?;
    }
    fs::write(machine.join("init"), include_str!("init.sh"))?;
    fs::set_permissions(machine.join("init"), fs::Permissions::from_mode(0o755))?;
    let initrd = directory.join("initrd");
    archive(machine, &initrd)?;

    let image = newest(&kernel.join("boot"), "vmlinuz-")?;
    let said = directory.join("rig.log");
    // Off with us, however we end.
    let mut qemu = repo::command("setpriv");
    qemu.args(["--pdeathsig", "KILL"]).args(processor.qemu());
    qemu.args(["-smp", "2", "-m", "2G", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initrd);
    qemu.arg("-append").arg(format!("console={} panic=-1 quiet", processor.console()));
    qemu.arg("-serial").arg(format!("file:{}", said.display()));
    watch(qemu, &said, &said)
}

/// Brings the command that was built for this machine, and the libraries that it was linked with.
fn bring_own(machine: &Path) -> Result<()> {
    suites::build()?;
    let auditor = repo::target().join("debug/auditor");
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, and the loader without an arrow.
    for word in repo::read(repo::command("ldd").arg(&auditor))?.split_whitespace().filter(|word| word.starts_with('/'))
    {
        let to = machine.join(word.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a library is in a directory")?)?;
        copy(Path::new(word), &to)?;
    }
    strip("strip", &auditor, &machine.join("auditor"))
}

/// Builds the command for arm64 with Debian's compiler, all that it needs inside.
fn cross_built(sysroot: &Path) -> Result<PathBuf> {
    let directory = repo::target().join("arm64");
    let variable = TARGET.to_uppercase().replace('-', "_");
    let flags = format!("--sysroot {} -C target-feature=+crt-static", sysroot.display());
    let mut build = repo::command("/usr/bin/cargo");
    build.args(["build", "--quiet", "--locked", "--package", "auditor", "--bins", "--target", TARGET, "--target-dir"]);
    build.arg(&directory).env("RUSTC", "/usr/bin/rustc").env_remove("RUSTUP_TOOLCHAIN");
    build.env(format!("CARGO_TARGET_{variable}_LINKER"), "aarch64-linux-gnu-gcc");
    build.env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), flags);
    repo::run(&mut build)?;
    Ok(directory.join(TARGET).join("debug/auditor"))
}

fn strip(program: &str, from: &Path, to: &Path) -> Result<()> {
    repo::run(repo::command(program).arg("-o").arg(to).arg(from))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// The files as the kernel unpacks them at its start.
fn archive(tree: &Path, to: &Path) -> Result<()> {
    let mut find = repo::command("find").arg(".").current_dir(tree).stdout(Stdio::piped()).spawn()?;
    let names = find.stdout.take().context("find has no output")?;
    let mut pack = repo::command("busybox");
    pack.args(["cpio", "-o", "-H", "newc"]).current_dir(tree).stdin(names).stderr(Stdio::null());
    let output = pack.output().context("running busybox cpio")?;
    if !output.status.success() || !find.wait()?.success() {
        bail!("packing {}: {}", tree.display(), output.status);
    }
    fs::File::create(to)?.write_all(&output.stdout).with_context(|| format!("writing {}", to.display()))
}
