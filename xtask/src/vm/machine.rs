//! The machine: its disk, its kernels, and a run of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::make_image;
use crate::repo;

/// How long one machine may take: its processor is software.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Size of the machine's disk; only what is used takes room here.
const DISK: &str = "4G";

const TREE: &str = include_str!("tree.sh");
/// Its copy beside the machine says how that was made.
const MADE_BY: &str = "made-by";

/// A machine's disk, and its kernels beside it.
pub struct Machine {
    directory: PathBuf,
}

impl Machine {
    /// Makes it, or takes the one that is there, was made the same way, and has these kernels.
    pub fn make(kernels: &[String]) -> Result<Self> {
        let mut wanted: BTreeSet<String> = kernels.iter().cloned().collect();
        let directory = repo::target().join("vm");
        let machine = Self { directory: directory.join("machine") };
        if fs::read_to_string(machine.directory.join(MADE_BY)).is_ok_and(|by| by == TREE) {
            if wanted.iter().all(|kernel| machine.kernel(kernel).is_file()) {
                return Ok(machine);
            }
            // Those that it has are not lost to the new one.
            wanted.extend(machine.kernels()?);
        }
        let named: Vec<&str> = wanted.iter().map(String::as_str).collect();
        println!("vm: making a Debian with systemd, docker.io and Linux {} (once, some minutes)", named.join(", "));
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
        fs::write(raw.path().join(MADE_BY), TREE)?;
        _ = fs::remove_dir_all(&machine.directory);
        fs::rename(raw.keep(), &machine.directory).context("naming a finished machine")?;
        Ok(machine)
    }

    fn kernel(&self, series: &str) -> PathBuf {
        self.directory.join(format!("vmlinuz-{series}"))
    }

    /// The series of its kernels.
    fn kernels(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.directory).with_context(|| format!("reading {}", self.directory.display()))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)).collect())
    }

    /// Boots it with a kernel and tells what its rig says. Whether all passed.
    pub fn boot(&self, kernel: &str, payload: &Path) -> Result<bool> {
        let (console, said) = (self.directory.join("console.log"), self.directory.join("rig.log"));
        // What is written lasts as long as qemu runs: a boot that the machine asks for itself finds it.
        let disk = |file: &Path| format!("file={},format=raw,if=virtio,snapshot=on", file.display());
        // Off with us, however we end.
        let mut qemu = repo::command("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3G", "-display", "none"]);
        qemu.args(["-monitor", "none", "-nic", "none", "-kernel"]).arg(self.kernel(kernel));
        qemu.arg("-initrd").arg(self.directory.join(format!("initrd.img-{kernel}")));
        // What takes seconds on a processor takes minutes here; a unit's own limits stay.
        let patient = "systemd.default_timeout_start_sec=600";
        qemu.arg("-append").arg(format!("root=/dev/vda rw console=ttyS0 panic=-1 quiet {patient}"));
        qemu.args(["-drive", &disk(&self.directory.join("disk.img")), "-drive", &disk(payload)]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-serial").arg(format!("file:{}", said.display()));
        watch(qemu, &said, &console).with_context(|| format!("Linux {kernel}"))
    }
}

/// Runs a machine and tells what its rig says in a file. Whether all passed.
pub fn watch(mut qemu: Command, said: &Path, console: &Path) -> Result<bool> {
    _ = fs::remove_file(said);
    let mut machine = Running(qemu.spawn().context("running qemu by setpriv")?);
    let began = Instant::now();
    let mut told = 0;
    let ended = loop {
        let over = machine.0.try_wait().context("waiting for qemu")?.is_some();
        let text = String::from_utf8_lossy(&fs::read(said).unwrap_or_default()).replace('\r', "");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        print!("{}", text.get(told..whole).unwrap_or_default());
        told = whole.max(told);
        if over {
            break text;
        }
        if began.elapsed() > PATIENCE {
            bail!("the machine was not done in {} minutes; see {}", PATIENCE.as_secs() / 60, console.display());
        }
        sleep(Duration::from_secs(1));
    };
    let Some(end) = ended.lines().find_map(|line| line.strip_prefix("vm: end: ")) else {
        bail!("the machine ended before its time; see {} and {}", console.display(), said.display());
    };
    Ok(end == "0")
}

/// The file of the highest version with this beginning.
pub fn newest(directory: &Path, beginning: &str) -> Result<PathBuf> {
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
