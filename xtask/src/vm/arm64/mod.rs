//! An emulated arm64 machine: the daemon is built for it, and loads and counts there. No Debian, no systemd and no engine:
//! Debian's kernel, and one program that is a script, with what is tested beside it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::machine::{newest, watch};
use crate::setup::Group;
use crate::{repo, setup};

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Its libraries belong to the compiler of Debian's `rustc-web`, and to no other.
const LIBRARIES: &str = "libstd-rust-web-dev";
const KERNEL: &str = "6.1";

/// Builds, boots, and tells what passed; whether all did.
pub fn run() -> Result<bool> {
    setup::run(&[Group::Arm64])?;
    let directory = repo::target().join("vm/arm64");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let packages = Packages::update(&directory)?;
    let libraries = packages.unpack(LIBRARIES)?;
    let kernel = packages.unpack(&packages.kernel()?)?;
    let busybox = packages.unpack("busybox-static")?;

    println!("vm: building for arm64");
    let root = tempfile::tempdir_in(&directory).context("making a directory for the machine's files")?;
    let machine = root.path();
    fs::create_dir(machine.join("bin"))?;
    for program in ["bin/busybox", "bin/sh"] {
        copy(&busybox.join("bin/busybox"), &machine.join(program))?;
    }
    strip(&auditor(&libraries.join("usr"))?, &machine.join("auditor"))?;
    let source = repo::root().join("xtask/src/vm/arm64/calls.c");
    for (compiler, program) in [("aarch64-linux-gnu-gcc", "calls"), ("arm-linux-gnueabihf-gcc", "calls32")] {
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
    qemu.args(["--pdeathsig", "KILL", "qemu-system-aarch64", "-machine", "virt", "-cpu", "max,pauth-impdef=on"]);
    qemu.args(["-smp", "2", "-m", "2G", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initrd);
    qemu.args(["-append", "console=ttyAMA0 panic=-1 quiet"]);
    qemu.arg("-serial").arg(format!("file:{}", said.display()));
    watch(qemu, &said, &said)
}

/// Debian's packages for arm64, and lists of them that this machine's own apt does not see.
struct Packages {
    directory: PathBuf,
}

impl Packages {
    /// Fetches the lists.
    fn update(directory: &Path) -> Result<Self> {
        let packages = Self { directory: directory.to_owned() };
        for path in ["apt/lists/partial", "apt/cache/archives/partial", "packages"] {
            fs::create_dir_all(directory.join(path)).with_context(|| format!("creating {path}"))?;
        }
        fs::write(directory.join("apt/status"), "")?;
        // The archives of others have nothing for this, and may know no arm64.
        let sources = directory.join("apt/sources");
        _ = fs::remove_dir_all(&sources);
        fs::create_dir_all(&sources)?;
        for file in ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"].map(Path::new) {
            if let (Some(name), true) = (file.file_name(), file.exists()) {
                copy(
                    file,
                    &sources.join(name).with_extension(if name == "sources.list" { "list" } else { "sources" }),
                )?;
            }
        }
        let at = |path: &str| directory.join("apt").join(path).display().to_string();
        let settings = [
            ("Dir::State::Lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("cache")),
            ("Dir::Etc::sourcelist", "/dev/null".to_owned()),
            ("Dir::Etc::sourceparts", at("sources")),
            ("APT::Architecture", "arm64".to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
        ];
        let lines = settings.map(|(name, value)| format!("{name} \"{value}\";\n"));
        fs::write(directory.join("apt/conf"), lines.concat() + "APT::Architectures { \"arm64\"; };\n")?;
        repo::read(packages.apt("apt-get").args(["update", "--quiet=2"]))?;
        Ok(packages)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = repo::command(program);
        command.env("APT_CONFIG", self.directory.join("apt/conf")).current_dir(&self.directory);
        command
    }

    /// The newest package of the kernel.
    fn kernel(&self) -> Result<String> {
        let pattern = format!("^linux-image-{}\\.[0-9][^ ]*-arm64$", KERNEL.replace('.', "\\."));
        let found = repo::read(self.apt("apt-cache").args(["search", "--names-only", &pattern]))?;
        let names = found.lines().filter_map(|line| line.split_whitespace().next());
        // `-rt` and `-cloud` are other builds.
        let names = names.filter(|name| !name.contains("-rt-") && !name.contains("-cloud-"));
        names.max_by_key(|name| numbers(name)).map(str::to_owned).context("no Linux for arm64 in the sources of apt")
    }

    /// The tree of a package's files, fetched where there is none of its newest version.
    fn unpack(&self, package: &str) -> Result<PathBuf> {
        let said = repo::read(self.apt("apt-cache").args(["show", "--no-all-versions", package]))?;
        let version = said.lines().find_map(|line| line.strip_prefix("Version: "));
        let version = version.with_context(|| format!("no package {package} for arm64 in the sources of apt"))?;
        let tree = self.directory.join("packages").join(format!("{package}_{version}"));
        if !tree.exists() {
            println!("vm: fetching {package} for arm64");
            let fetched = tempfile::tempdir_in(&self.directory).context("making a directory for a package")?;
            repo::read(self.apt("apt-get").args(["download", "--quiet=2", package]).current_dir(fetched.path()))?;
            let file = newest(fetched.path(), package)?;
            // Only a whole one gets the name that is looked for.
            let unpacked = fetched.path().join("tree");
            repo::run(repo::command("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked))?;
            fs::rename(&unpacked, &tree).with_context(|| format!("naming {}", tree.display()))?;
        }
        Ok(tree)
    }
}

/// The numbers in a name, to tell the newest.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Builds the command with Debian's compiler, all that it needs inside.
fn auditor(sysroot: &Path) -> Result<PathBuf> {
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

fn strip(from: &Path, to: &Path) -> Result<()> {
    repo::run(repo::command("aarch64-linux-gnu-strip").arg("-o").arg(to).arg(from))
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
