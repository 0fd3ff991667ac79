//! Control groups of our own that look like a container's, to run things in without an engine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use auditor::cgroupfs::Root;
use auditor::container::CgroupId;

use crate::process::wait_for;

/// What the directory around a test process's control groups is called, before its process id.
const PREFIX: &str = "auditor-test-";

/// A control group named as a container's is. It, and whatever runs in it, goes when this is dropped.
#[derive(Debug)]
pub struct Cage {
    path: PathBuf,
    id: CgroupId,
}

impl Cage {
    /// A new one.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("{:032x}{number:032x}", std::process::id()))
    }

    /// A new one of this name: 64 hex digits, as a container's, or another path.
    pub fn named(name: &str) -> Result<Self> {
        let path = nest()?.join(name);
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        let id = CgroupId(fs::metadata(&path)?.ino());
        Ok(Self { path, id })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> CgroupId {
        self.id
    }

    /// Makes a control group inside it, as a service manager in a container does.
    pub fn nested(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Its directory's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a program in it, output piped.
    pub fn start(&self, program: &Path, args: &[&str]) -> Result<Child> {
        start_in(&self.path, program, args)
    }

    /// Runs a program in it to its end; what it wrote to stdout.
    pub fn run(&self, program: &Path, args: &[&str]) -> Result<String> {
        output_of(self.start(program, args)?)
    }
}

/// Starts a program in a control group. The shell's own few calls are counted there as well.
pub fn start_in(cgroup: &Path, program: &Path, args: &[&str]) -> Result<Child> {
    let mut command = Command::new("setpriv");
    // Killed with the test that started it.
    command.args(["--pdeathsig", "KILL", "--", "sh", "-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]);
    command.arg(cgroup).arg(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("starting a program in a control group")
}

/// Waits for a program to end well; what it wrote to stdout.
pub fn output_of(child: Child) -> Result<String> {
    let output = child.wait_with_output().context("waiting for a program")?;
    if !output.status.success() {
        bail!("a program ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("reading a program's output")
}

impl Drop for Cage {
    fn drop(&mut self) {
        remove(&self.path);
        if let Some(nest) = self.path.parent() {
            // Other tests of this process may still be in it.
            _ = fs::remove_dir(nest);
        }
    }
}

/// The directory of this process's control groups. What killed processes left behind is removed first.
fn nest() -> Result<PathBuf> {
    let root = Root::find(None)?.path().to_owned();
    for entry in fs::read_dir(&root).context("reading the cgroup2 hierarchy")?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&entry.path());
        }
    }
    let nest = root.join(format!("{PREFIX}{}", std::process::id()));
    fs::create_dir_all(&nest).with_context(|| format!("creating {}", nest.display()))?;
    Ok(nest)
}

fn remove(cgroup: &Path) {
    _ = fs::write(cgroup.join("cgroup.kill"), "1");
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // The kernel takes a moment to bury the dead.
    _ = wait_for("removing a control group", Duration::from_secs(10), || {
        Ok((fs::remove_dir(cgroup).is_ok() || !cgroup.exists()).then_some(()))
    });
}
