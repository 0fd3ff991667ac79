//! A private container engine: its own dockerd with its own containerd, state, socket and cgroup layout.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

pub use crate::process::Cgroups as CgroupMode;
use crate::process::{Guarded, Ward, built, wait_for};

/// The other runtime, as the option `--runtime` has it.
pub const CRUN: &str = "--runtime=crun";

/// The same with runc, for what needs a word with the runtime: see [`LISTENER`].
pub const RUNC: &str = "--runtime=limited-runc";

/// The variable of a container's environment that has the socket of its supervisor, to which the runtime sends the
/// filter's listener.
pub const LISTENER: &str = "AUDITOR_TEST_LISTENER";

/// The runtimes of an engine besides runc, and the programs behind them, which work also where root lacks something.
const RUNTIMES: [(&str, &str); 2] = [(LIMITED, "limited-runc"), ("crun", "limited-crun")];

/// The runtime that makes privileged containers also where root lacks a capability.
const LIMITED: &str = "limited-runc";

/// A running engine. Dropping it ends its containers and removes all that it made.
#[derive(Debug)]
pub struct Engine {
    daemon: Guarded,
    state: PathBuf,
    mode: CgroupMode,
}

impl Engine {
    /// Starts an engine with its containers' cgroups in one version 2 hierarchy, or in the hybrid layout.
    pub fn start(mode: CgroupMode) -> Result<Self> {
        Self::configured(mode, &serde_json::json!({}))
    }

    /// The same with a configuration, as in `daemon.json`.
    pub fn configured(mode: CgroupMode, configuration: &Value) -> Result<Self> {
        // The warden's to remove, when nothing is mounted in it any more.
        let state = tempfile::Builder::new().prefix("engine-").tempdir().context("making a state directory")?.keep();
        let at = |name: &str| state.join(name).display().to_string();
        let mut args = vec![
            format!("--data-root={}", at("data")),
            format!("--exec-root={}", at("exec")),
            format!("--pidfile={}", at("pid")),
            format!("--config-file={}", at("daemon.json")),
            format!("--host=unix://{}", at("docker.sock")),
            format!("--cgroup-parent=/{}", cgroup_parent(&state)?),
            "--bridge=none".to_owned(),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
        ];
        for (runtime, program) in RUNTIMES {
            symlink(built("limited-runtime")?, state.join(program)).context("naming a runtime")?;
            args.push(format!("--add-runtime={runtime}={}", at(program)));
        }
        fs::write(state.join("daemon.json"), configuration.to_string())
            .context("writing the engine's configuration")?;
        let ward = Ward { cgroups: Some(mode), engine: true, directory: Some(state.clone()) };
        let program = program("dockerd")?;
        let daemon = Guarded::start(&program, &args, &ward, &state.join("log"))?;
        let engine = Self { daemon, state, mode };
        engine.wait_ready()?;
        Ok(engine)
    }

    /// How the engine's control groups are laid out.
    #[must_use]
    pub const fn mode(&self) -> CgroupMode {
        self.mode
    }

    /// The engine's address, as in `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("docker.sock")
    }

    /// Its own directory, which goes with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.state
    }

    /// What the engine's daemon wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The engine's command line client, with nothing of the user's own configuration.
    #[must_use]
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).args(args);
        command.env("DOCKER_CONFIG", self.state.join("client")).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a client command, whatever it ends with.
    pub fn output<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        let mut command = self.docker(args);
        command.output().with_context(|| format!("running {command:?}"))
    }

    /// Runs a client command that must succeed, and gives what it wrote to standard output, trimmed.
    pub fn client<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let mut command = self.docker(args);
        let output = command.output().with_context(|| format!("running {command:?}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("{command:?}: {}\n{stdout}\n{}", output.status, stderr.trim());
        }
        Ok(stdout)
    }

    /// Whether it has an image of this tag.
    pub fn has_image(&self, tag: &str) -> Result<bool> {
        Ok(self.output(["image", "inspect", tag])?.status.success())
    }

    /// Makes an image of a directory tree.
    pub fn import_image(&self, tree: &Path, tag: &str) -> Result<()> {
        let mut pack = Command::new("tar");
        pack.args(["--create", "--one-file-system", "--numeric-owner", "--directory"]).arg(tree).arg(".");
        let mut packer = pack.stdout(Stdio::piped()).spawn().context("running tar")?;
        let archive = packer.stdout.take().context("tar has no output")?;
        let mut import = self.docker(["import", "-", tag]);
        let output = import.stdin(archive).output().context("running docker import")?;
        let packed = packer.wait().context("waiting for tar")?;
        if !output.status.success() || !packed.success() {
            bail!("importing {} as {tag}: {}", tree.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// What the engine says about a container.
    pub fn inspect(&self, container: &str) -> Result<Value> {
        let text = self.client(["container", "inspect", container])?;
        let mut list: Vec<Value> = serde_json::from_str(&text).context("parsing docker inspect")?;
        list.pop().with_context(|| format!("docker inspect {container} gave nothing"))
    }

    /// A container's full id.
    pub fn id(&self, container: &str) -> Result<String> {
        self.client(["container", "inspect", "--format", "{{.Id}}", container])
    }

    /// The OCI bundle of a running container.
    pub fn bundle(&self, container: &str) -> Result<PathBuf> {
        let bundle =
            self.state.join("exec/containerd/daemon/io.containerd.runtime.v2.task/moby").join(self.id(container)?);
        if !bundle.join("config.json").is_file() {
            bail!("no bundle at {}", bundle.display());
        }
        Ok(bundle)
    }

    /// The cgroup of a container that exists, in the one version 2 hierarchy.
    pub fn cgroup(&self, container: &str) -> Result<PathBuf> {
        Ok(cgroup2()?.join(cgroup_parent(&self.state)?).join(self.id(container)?))
    }

    /// Sends the engine's daemon a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.daemon.signal(signal)
    }

    /// Kills the engine's daemon, which has no time to end its containers.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.signal(Signal::SIGKILL)?;
        wait_for("dockerd's end", Duration::from_secs(10), || Ok((!self.daemon.is_running()).then_some(())))
    }

    /// Stops the engine's daemon, and with it its containers.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.pause()
    }

    /// Starts it again with the same state, stopped before or not.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.restart()?;
        self.wait_ready()
    }

    fn wait_ready(&self) -> Result<()> {
        let ready = wait_for("the engine's answer", Duration::from_secs(60), || {
            if !self.daemon.is_running() {
                bail!("dockerd ended");
            }
            Ok(self.ping().then_some(()))
        });
        ready.with_context(|| format!("dockerd's log:\n{}", self.log()))
    }

    fn ping(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let mut answer = String::new();
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.ends_with("OK")
    }
}

/// The directory that an engine with this state has in each hierarchy: its own, so that all in it is its to remove.
pub fn cgroup_parent(state: &Path) -> Result<&str> {
    state.file_name().and_then(|name| name.to_str()).context("an engine's directory has a plain name")
}

/// Where this machine's version 2 hierarchy is mounted. There is only one, wherever it is seen from.
fn cgroup2() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    let mut points =
        mounts.lines().filter(|line| line.contains(" - cgroup2 ")).filter_map(|line| line.split(' ').nth(4));
    // Another mount may hide one.
    let point = points.find(|point| Path::new(point).join("cgroup.controllers").is_file());
    Ok(PathBuf::from(point.context("no cgroup2 mount on this machine")?))
}

/// The options that make a container privileged on this machine.
pub fn privileged() -> Result<Vec<String>> {
    let mut options = vec!["--privileged".to_owned()];
    if !missing_capabilities()?.is_empty() {
        options.push(format!("--runtime={LIMITED}"));
    }
    Ok(options)
}

/// The capabilities that the kernel knows and this root lacks, by their names in a bundle.
pub fn missing_capabilities() -> Result<Vec<&'static str>> {
    // Of those that containers and virtual machines for tests are known to withhold.
    const WITHHELD: [(u32, &str); 3] = [(16, "CAP_SYS_MODULE"), (24, "CAP_SYS_RESOURCE"), (25, "CAP_SYS_TIME")];
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let bounding =
        status.lines().find_map(|line| line.strip_prefix("CapBnd:")).context("no CapBnd in /proc/self/status")?;
    let bounding = u64::from_str_radix(bounding.trim(), 16).context("parsing CapBnd in /proc/self/status")?;
    Ok(WITHHELD.iter().filter(|(bit, _)| bounding >> bit & 1 == 0).map(|&(_, name)| name).collect())
}

/// A program of the system's, also from where an ordinary `PATH` does not look.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("no {name}; run `cargo xtask setup`"))
}
