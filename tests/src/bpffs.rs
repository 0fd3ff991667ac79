//! A bpffs of our own, in a mount namespace of its own: what is pinned in it goes with the last process in there, however
//! that ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::auditord::{self, Auditor};
use crate::process::{Guarded, Ward, wait_for};

/// The file system, kept mounted until this is dropped.
#[derive(Debug)]
pub struct Bpffs {
    keeper: Guarded,
    directory: PathBuf,
}

impl Bpffs {
    /// Mounts one.
    pub fn mount() -> Result<Self> {
        let directory = tempfile::tempdir().context("making a directory for a bpffs")?.keep();
        fs::create_dir(directory.join("bpf"))?;
        let script = "mount -t bpf bpf \"$1\" && : >\"$2\" && exec sleep infinity";
        let mut args: Vec<String> =
            ["--mount", "--propagation=private", "sh", "-c", script, "sh"].map(str::to_owned).into();
        let ready = directory.join("ready");
        args.extend([directory.join("bpf").display().to_string(), ready.display().to_string()]);
        let ward = Ward { directory: Some(directory.clone()), ..Ward::default() };
        let keeper = Guarded::start(Path::new("/usr/bin/unshare"), &args, &ward, &directory.join("log"))?;
        wait_for("a bpffs", Duration::from_secs(10), || Ok(ready.exists().then_some(())))
            .with_context(|| keeper.log())?;
        Ok(Self { keeper, directory })
    }

    /// The directory of pins that daemons are given.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.directory.join("bpf/auditor")
    }

    /// What enters the namespace and becomes the program that follows.
    #[must_use]
    pub fn wrapper(&self) -> Vec<String> {
        vec!["/usr/bin/nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.keeper.pid()), "--".to_owned()]
    }

    /// Starts a daemon that pins here.
    pub fn daemon(&self, docker_host: &str, flags: &[&str]) -> Result<Auditor> {
        self.daemon_of(None, docker_host, flags)
    }

    /// The same of another binary.
    pub fn daemon_of(&self, binary: Option<&Path>, docker_host: &str, flags: &[&str]) -> Result<Auditor> {
        let pins = format!("--bpffs={}", self.pins().display());
        let flags: Vec<&str> = [pins.as_str()].into_iter().chain(flags.iter().copied()).collect();
        let wrapper = self.wrapper();
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        Auditor::start_binary_behind(binary, &wrapper, docker_host, &flags)
    }

    /// Runs one of the commands in there, whatever it ends with.
    pub fn auditor(&self, args: &[&str]) -> Result<Output> {
        let wrapper = self.wrapper();
        let (program, before) = wrapper.split_first().context("no wrapper")?;
        let mut command = Command::new(program);
        command.args(before).arg(auditord::binary()?).args(args).env_remove("DOCKER_HOST");
        command.output().with_context(|| format!("running auditor {args:?}"))
    }

    /// Runs a shell's words in there; gives what they write.
    pub fn shell(&self, script: &str) -> Result<String> {
        let wrapper = self.wrapper();
        let (program, before) = wrapper.split_first().context("no wrapper")?;
        let output = Command::new(program).args(before).args(["sh", "-euc", script]).output()?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
