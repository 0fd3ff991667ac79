//! OCI bundles that runc runs without an engine: what it says of a profile is not in an engine's words.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auditor::cgroupfs::Root;
use serde_json::{Value, json};

/// What stands in a configuration where the profile's own text goes.
const PLACE: &str = "@PROFILE@";

/// Programs in a container of one's own, one after another. Nothing of it is left when this is dropped.
#[derive(Debug)]
pub struct Bundles {
    directory: tempfile::TempDir,
    /// The configuration that runc itself proposes, for this root file system.
    base: Value,
    /// What its control group is called.
    group: String,
}

/// How a container ended.
#[derive(Debug)]
pub struct Ran {
    /// The program's exit code, or runc's where it failed; `None` for a start that did not end within the time.
    pub code: Option<i32>,
    /// What runc and the program wrote.
    pub output: String,
}

impl Bundles {
    /// A root file system with busybox, and a configuration for it.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("bundles-").tempdir().context("making a bundle")?;
        let bin = directory.path().join("rootfs/bin");
        fs::create_dir_all(&bin).context("making a root file system")?;
        for place in ["proc", "dev", "sys", "tmp"] {
            fs::create_dir(directory.path().join("rootfs").join(place)).context("making a root file system")?;
        }
        fs::copy("/bin/busybox", bin.join("busybox")).context("copying busybox; run `cargo xtask setup`")?;
        for name in ["sh", "true"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).context("making a root file system")?;
        }
        let spec = Command::new("runc").arg("spec").current_dir(directory.path()).output().context("running runc")?;
        ensure!(spec.status.success(), "runc spec: {}", String::from_utf8_lossy(&spec.stderr));
        let file = directory.path().join("config.json");
        let mut base: Value = serde_json::from_slice(&fs::read(&file)?).context("parsing runc's configuration")?;
        let group = format!("auditor-bundles-{}-{}", std::process::id(), unique());
        base["process"]["terminal"] = json!(false);
        base["process"]["rlimits"] = json!([]);
        base["process"]["noNewPrivileges"] = json!(false);
        base["root"]["readonly"] = json!(false);
        base["linux"]["cgroupsPath"] = json!(format!("/{group}/box"));
        base["linux"]["seccomp"] = json!(PLACE);
        let namespaces = base["linux"]["namespaces"].as_array_mut().context("no namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "cgroup");
        base["mounts"].as_array_mut().context("no mounts")?.retain(|mount| mount["type"] == "proc");
        Ok(Self { directory, base, group })
    }

    /// The text of a configuration with this text for a profile, whatever it is.
    pub fn configuration(&self, profile: &str, program: &[&str], no_new_privileges: bool) -> Result<String> {
        let mut config = self.base.clone();
        config["process"]["args"] = json!(program);
        config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        let text = serde_json::to_string_pretty(&config).context("writing a configuration")?;
        Ok(text.replace(&format!("\"{PLACE}\""), profile))
    }

    /// Runs a container of a configuration to its end.
    pub fn run(&self, configuration: &str, limit: Duration) -> Result<Ran> {
        let file = self.directory.path().join("config.json");
        fs::write(&file, configuration).with_context(|| format!("writing {}", file.display()))?;
        let log = self.directory.path().join("log");
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        // In a process namespace of its own: what hangs goes with the first process there.
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation=private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
        ]);
        command.arg("mount -t cgroup2 none /sys/fs/cgroup && exec runc --root \"$0/state\" run --bundle \"$0\" \"$1\"");
        command.arg(self.directory.path()).arg(&self.group).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().context("running runc in namespaces of its own")?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().context("waiting for runc")? {
                break Some(status);
            }
            if started.elapsed() > limit {
                child.kill().context("ending runc")?;
                child.wait().context("waiting for runc")?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        _ = fs::remove_dir_all(self.directory.path().join("state"));
        remove_groups(&self.group)?;
        let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let code = status.map(|status| status.code().unwrap_or(-1));
        Ok(Ran { code, output })
    }

    /// Where files can be put that no container sees.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Bundles {
    fn drop(&mut self) {
        _ = remove_groups(&self.group);
    }
}

fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Takes away the control groups of a container that has ended; the kernel takes a moment to bury the dead.
fn remove_groups(group: &str) -> Result<()> {
    let parent: PathBuf = Root::find(None)?.path().join(group);
    crate::process::wait_for("removing control groups", Duration::from_secs(5), || {
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            _ = fs::remove_dir(entry.path());
        }
        Ok((fs::remove_dir(&parent).is_ok() || !parent.exists()).then_some(()))
    })
}
