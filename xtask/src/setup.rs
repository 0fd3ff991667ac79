//! `setup`: what the other tasks need, from Debian's packages and cargo.
//!
//! Quick when nothing is missing: the machine is asked first, and only what it lacks is installed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{build_ebpf, repo};

/// What is installed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// A container engine, and what images are made of.
    Engine,
    /// The compiler and linker of the kernel half.
    Ebpf,
    /// Prometheus and promtool.
    Prometheus,
    /// What makes things go wrong.
    Faults,
    /// What the measurements compare with.
    Bench,
    /// An emulator, and what its disks are made of.
    Vm,
    /// An emulator of this machine's processor, and what programs for a bare machine are built with.
    Bare,
    /// The same for arm64, and what builds for it.
    Arm64,
    /// What packs the package, and judges it.
    Dist,
    /// What the fuzzer is built with.
    Fuzz,
}

/// A Debian package, and the program that makes it needless where it came by another way.
type Package = (&'static str, Option<&'static str>);

/// How long another apt may take that is at work: a machine that has just started may be upgrading itself.
const APT_PATIENCE: Duration = Duration::from_secs(600);
const LINKER_VERSION: &str = "0.13.0";
/// The LLVM that the linker is built with: the one of Debian's `rustc-web`.
const LLVM_FEATURE: &str = "llvm-22";
/// Where Debian has it.
pub const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

impl Group {
    const fn packages(self) -> &'static [Package] {
        match self {
            Self::Engine => &[
                ("docker.io", Some("dockerd")),
                // The client: part of docker.io in Debian 12, a package of its own later.
                ("docker-cli", Some("docker")),
                ("containerd", Some("containerd")),
                ("runc", Some("runc")),
                ("crun", Some("crun")),
                ("busybox-static", None),
                ("debootstrap", Some("debootstrap")),
                ("strace", Some("strace")),
                ("iptables", Some("iptables")),
                // The compiler of profiles that filters are compared with.
                ("libseccomp-dev", None),
                // Another reader of the same bytes.
                ("libpcap-dev", None),
            ],
            Self::Ebpf => &[
                ("rustc-web", None),
                ("cargo-web", None),
                ("libstd-rust-web-dev-bpf", None),
                ("llvm-22-dev", None),
                ("libpolly-22-dev", None),
                ("zlib1g-dev", None),
                ("libzstd-dev", None),
                ("libxml2-dev", None),
                ("g++", Some("c++")),
            ],
            Self::Prometheus => &[
                ("prometheus", Some("promtool")),
                // Certificates for the web server, and a client that shows its own.
                ("openssl", Some("openssl")),
                ("curl", Some("curl")),
            ],
            Self::Faults => &[
                // A wall clock that steps for one process.
                ("faketime", None),
                // A disk that stalls.
                ("bindfs", Some("bindfs")),
            ],
            Self::Bench => &[("bpftrace", Some("bpftrace")), ("strace", Some("strace"))],
            Self::Vm => &[
                ("qemu-system-x86", Some("qemu-system-x86_64")),
                ("e2fsprogs", Some("mkfs.ext4")),
                ("debootstrap", Some("debootstrap")),
            ],
            Self::Bare => &[
                ("qemu-system-x86", Some("qemu-system-x86_64")),
                ("binutils", Some("strip")),
                ("gcc", Some("cc")),
                ("libc6-dev", None),
            ],
            Self::Arm64 => &[
                ("qemu-system-arm", Some("qemu-system-aarch64")),
                ("gcc-aarch64-linux-gnu", Some("aarch64-linux-gnu-gcc")),
                ("libc6-dev-arm64-cross", None),
                // For 32-bit programs.
                ("gcc-arm-linux-gnueabihf", Some("arm-linux-gnueabihf-gcc")),
                ("libc6-dev-armhf-cross", None),
                ("rustc-web", None),
                ("cargo-web", None),
                ("busybox-static", None),
            ],
            Self::Dist => &[
                ("dpkg-dev", Some("dpkg-shlibdeps")),
                ("binutils", Some("strip")),
                ("lintian", Some("lintian")),
                // What judges the unit.
                ("systemd", Some("systemd-analyze")),
            ],
            // libFuzzer is C++.
            Self::Fuzz => &[("g++", Some("c++"))],
        }
    }
}

/// Installs what is missing of the named groups; of all when none is named.
pub fn run(groups: &[Group]) -> Result<()> {
    let groups = if groups.is_empty() { Group::value_variants() } else { groups };
    // A toolchain that can build the kernel half is enough, wherever it came from.
    let ebpf = groups.contains(&Group::Ebpf) && build_ebpf::Toolchain::find().is_err();
    let mut missing = Vec::new();
    for group in groups {
        if *group == Group::Ebpf && !ebpf {
            continue;
        }
        for &(package, program) in group.packages() {
            let there = program.is_some_and(|name| repo::which(name).is_some()) || is_installed(package)?;
            if !there && !missing.contains(&package) {
                missing.push(package);
            }
        }
    }
    if missing.is_empty() && !ebpf {
        println!("setup: nothing is missing");
        return Ok(());
    }
    if !missing.is_empty() {
        install(missing)?;
    }
    if ebpf {
        install_linker()?;
    }
    println!("setup: done");
    Ok(())
}

fn is_installed(package: &str) -> Result<bool> {
    let mut query = repo::command("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    match query.output() {
        Ok(output) => Ok(output.status.success() && output.stdout == b"installed"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("setup installs Debian packages, and there is no dpkg here; install {package} yourself")
        }
        Err(error) => Err(error).context("running dpkg-query"),
    }
}

fn is_known(package: &str) -> bool {
    repo::read(repo::command("apt-cache").args(["show", "--no-all-versions", package])).is_ok()
}

fn install(mut packages: Vec<&str>) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("these packages are missing; run setup as root, or install them: {}", packages.join(" "));
    }
    println!("setup: installing {} (their services stay stopped)", packages.join(" "));
    update_lists()?;
    // Where docker.io brings the client there is no package for it.
    packages.retain(|package| *package != "docker-cli" || is_known(package));
    let _stopped = ServicesStayStopped::new()?;
    let mut install = repo::command("apt-get");
    install.args(["install", "--yes", "-qq", "--no-install-recommends"]).args(packages);
    // What another apt holds is waited for, and a mirror that does not answer is asked again.
    install.args(["--option", &format!("DPkg::Lock::Timeout={}", APT_PATIENCE.as_secs())]);
    install.args(["--option", "Acquire::Retries=3"]);
    repo::run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Fetches the lists of packages: a machine may have none yet, or old ones that name what mirrors no longer have.
fn update_lists() -> Result<()> {
    let started = Instant::now();
    loop {
        let mut update = repo::command("apt-get");
        update.args(["update", "-qq", "--option", "Acquire::Retries=3"]).env("LC_ALL", "C");
        let output = update.output().context("running apt-get update")?;
        let said = String::from_utf8_lossy(&output.stderr);
        // apt has no option to wait for this lock.
        if said.contains("Could not get lock") && started.elapsed() < APT_PATIENCE {
            println!("setup: another apt is at work; waiting for it");
            std::thread::sleep(Duration::from_secs(10));
            continue;
        }
        if !output.status.success() {
            // A third-party list that cannot be read does not matter here: what is wanted comes from Debian's.
            eprint!("{said}");
            println!("setup: apt-get update had complaints; going on with the lists there are");
        }
        return Ok(());
    }
}

/// Debian starts services on installation unless this file says no. One that was there stays as it is.
struct ServicesStayStopped(Option<PathBuf>);

impl ServicesStayStopped {
    const MARK: &str = "# By the auditor's `cargo xtask setup`, for as long as it runs.";

    fn new() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        // One of ours outlived a setup that was killed.
        let ours = fs::read_to_string(path).is_ok_and(|text| text.contains(Self::MARK));
        if path.symlink_metadata().is_ok() && !ours {
            return Ok(Self(None));
        }
        // If we are killed, what stays behind forbids nothing any more.
        let script = format!("#!/bin/sh\n{}\n[ ! -d /proc/{} ] || exit 101\n", Self::MARK, std::process::id());
        fs::write(path, script).with_context(|| format!("writing {}", path.display()))?;
        let guard = Self(Some(path.to_owned()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("making {} executable", path.display()))?;
        Ok(guard)
    }
}

impl Drop for ServicesStayStopped {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("setup: remove {} by hand, services cannot start with it: {error}", path.display());
        }
    }
}

fn install_linker() -> Result<()> {
    println!("setup: building bpf-linker {LINKER_VERSION} into {} (about two minutes)", repo::tools().display());
    let mut install = repo::command("cargo");
    install
        .args(["install", "--quiet", "--locked", "bpf-linker", "--version", LINKER_VERSION])
        .args(["--no-default-features", "--features", LLVM_FEATURE, "--root"])
        .arg(repo::tools())
        .env("LLVM_PREFIX", LLVM_PREFIX);
    repo::run(&mut install)
}
