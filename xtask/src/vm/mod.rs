//! `vm`: real machines. A Debian with systemd and its own container engine is booted in qemu with each kernel, and in it
//! run the tests of the kernel half, and the daemon as a service.
//!
//! The machine's disk is made once and never written to; what is tested comes on a second one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::setup::Group;
use crate::{repo, setup};

/// Debian's kernels that are tried where none is named: the release's, and the newest that it has been given since.
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// Tests of the package `tests` that need no engine, and run in the machine. Those of single refusals are not among
/// them: they ask how many of a storm find room in a ring, and an emulated processor does not keep up.
const TESTS: [&str; 4] = ["kernel", "arguments", "phases", "filters"];
/// How long one machine may take: its processor is software.
const PATIENCE: Duration = Duration::from_secs(40 * 60);
/// Size of the machine's disk; only what is used takes room here.
const DISK: &str = "4G";

const TREE: &str = include_str!("tree.sh");

/// Boots a machine for each kernel, one after the other, and tells what passed.
pub fn run(kernels: &[String]) -> Result<()> {
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
    setup::run(&[Group::Engine, Group::Vm])?;
    let payload = payload()?;
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

/// The disk with what is tested.
fn payload() -> Result<PathBuf> {
    println!("vm: building what is tested");
    let mut build = repo::command("cargo");
    repo::run(build.args(["build", "--quiet", "--package", "auditor", "--package", "tests", "--bins"]))?;
    let directory = tempfile::tempdir_in(repo::target()).context("making a directory for what is tested")?;
    let rig = directory.path();
    let scripts = [
        ("run.sh", include_str!("run.sh")),
        ("host.sh", include_str!("host.sh")),
        ("unit.sh", include_str!("unit.sh")),
    ];
    for (name, text) in scripts {
        fs::write(rig.join(name), text)?;
    }
    let files = rig.join("workspace-files");
    fs::write(rig.join("workspace"), repo::root().to_str().context("the workspace's path is not UTF-8")?)?;
    for directory in ["bin", "workspace-files/target/debug/deps", "workspace-files/target/static/release"] {
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
    for test in TESTS {
        copy(&test_program(test)?, &files.join("target/debug/deps").join(test))?;
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

fn make_image(tree: &Path, image: &Path, size: &str) -> Result<()> {
    _ = fs::remove_file(image);
    let mut make = repo::command("mkfs.ext4");
    make.args(["-q", "-F", "-E", "root_owner=0:0", "-d"]).arg(tree).arg(image).arg(size);
    repo::run(&mut make)
}

/// A machine's disk, and its kernels beside it.
struct Machine {
    directory: PathBuf,
}

impl Machine {
    /// Makes it, or takes the one that is there and has these kernels.
    fn make(kernels: &[String]) -> Result<Self> {
        let wanted: BTreeSet<&str> = kernels.iter().map(String::as_str).collect();
        let directory = repo::target().join("vm");
        let machine = Self { directory: directory.join("machine") };
        if wanted.iter().all(|kernel| machine.kernel(kernel).is_file()) {
            return Ok(machine);
        }
        println!("vm: making a Debian with systemd, docker.io and Linux {} (once, some minutes)", kernels.join(", "));
        // Only a whole one gets the name that is looked for.
        let raw = tempfile::tempdir_in(&directory).context("making a directory for a machine")?;
        let tree = raw.path().join("tree");
        let mut make = repo::command("unshare");
        make.args(["--mount", "--propagation=private", "sh", "-c", TREE, "tree.sh"]).arg(&tree).args(&wanted);
        let log = directory.join("machine.log");
        make.stdout(fs::File::create(&log)?).stderr(fs::File::options().append(true).open(&log)?);
        let status = make.status().context("running unshare")?;
        if !status.success() {
            bail!("making a Debian tree: {status}; see {}", log.display());
        }
        for kernel in &wanted {
            for file in ["vmlinuz", "initrd.img"] {
                let found = newest(&tree.join("boot"), &format!("{file}-{kernel}."))?;
                fs::rename(found, raw.path().join(format!("{file}-{kernel}")))?;
            }
        }
        make_image(&tree, &raw.path().join("disk.img"), DISK)?;
        fs::remove_dir_all(&tree).context("removing a tree that is in an image now")?;
        _ = fs::remove_dir_all(&machine.directory);
        fs::rename(raw.keep(), &machine.directory).context("naming a finished machine")?;
        Ok(machine)
    }

    fn kernel(&self, series: &str) -> PathBuf {
        self.directory.join(format!("vmlinuz-{series}"))
    }

    /// Boots it with a kernel and tells what its rig says. Whether all passed.
    fn boot(&self, kernel: &str, payload: &Path) -> Result<bool> {
        let (console, said) = (self.directory.join("console.log"), self.directory.join("rig.log"));
        let disk = |file: &Path| format!("file={},format=raw,if=virtio,snapshot=on", file.display());
        let mut qemu = repo::command("qemu-system-x86_64");
        qemu.args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "3G",
            "-display",
            "none",
            "-no-reboot",
        ]);
        qemu.args(["-monitor", "none", "-nic", "none", "-kernel"]).arg(self.kernel(kernel));
        qemu.arg("-initrd").arg(self.directory.join(format!("initrd.img-{kernel}")));
        qemu.args(["-append", "root=/dev/vda rw console=ttyS0 panic=-1 quiet"]);
        qemu.args(["-drive", &disk(&self.directory.join("disk.img")), "-drive", &disk(payload)]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-serial").arg(format!("file:{}", said.display()));
        _ = fs::remove_file(&said);
        let mut machine = Running(qemu.spawn().context("running qemu-system-x86_64")?);
        let began = Instant::now();
        let mut told = 0;
        let ended = loop {
            let text = String::from_utf8_lossy(&fs::read(&said).unwrap_or_default()).replace('\r', "");
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            print!("{}", text.get(told..whole).unwrap_or_default());
            told = whole.max(told);
            if machine.0.try_wait().context("waiting for qemu")?.is_some() {
                break text;
            }
            if began.elapsed() > PATIENCE {
                bail!("Linux {kernel} was not done in {} minutes; see {}", PATIENCE.as_secs() / 60, console.display());
            }
            sleep(Duration::from_secs(1));
        };
        if !ended.lines().any(|line| line.starts_with("vm: end: ")) {
            bail!("Linux {kernel} ended before its time; see {} and {}", console.display(), said.display());
        }
        Ok(ended.lines().any(|line| line == "vm: end: 0"))
    }
}

/// The file of the highest version with this beginning.
fn newest(directory: &Path, beginning: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning)));
    found.sort();
    found.pop().with_context(|| format!("no {beginning}* in {}", directory.display()))
}

/// A machine that is switched off with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
