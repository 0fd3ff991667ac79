//! The daemon under test, and its commands: the real binary, with a socket and a port of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::groundtruth::Key;
use crate::http::{self, Answer};
use crate::process::{Guarded, Ward, built, wait_for};

/// A running daemon.
#[derive(Debug)]
pub struct Auditor {
    daemon: Guarded,
    address: SocketAddr,
    dir: PathBuf,
}

/// One row of `show`, with the fields that are compared with the truth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Calls under a filter.
    pub calls: u64,
    /// Calls without one.
    pub unfiltered: u64,
    /// Errors of those under a filter.
    pub errors: u64,
    /// Errors of those without one.
    pub unfiltered_errors: u64,
    /// Refused calls.
    pub denied: u64,
    /// `allowed`, `conditional`, `denied`, `unknown`.
    pub verdict: String,
    /// What refuses it.
    pub action: Option<String>,
    /// With which errno.
    pub errno: Option<u64>,
}

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Takes this binary, which somebody else has built, for all that follows.
pub fn use_binary(path: PathBuf) {
    _ = BINARY.set(path);
}

/// The `auditor` binary of this workspace, up to date; or the one that `AUDITOR_TEST_BINARY` names.
pub fn binary() -> Result<&'static Path> {
    if let Some(path) = std::env::var_os("AUDITOR_TEST_BINARY") {
        use_binary(path.into());
    }
    if let Some(path) = BINARY.get() {
        return Ok(path);
    }
    // Cargo builds another package's library for a test, but not its binary.
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--workspace", "--bin", "auditor"]).current_dir(crate::root());
    let output = build.output().context("running cargo")?;
    if !output.status.success() {
        bail!("building auditor: {}", String::from_utf8_lossy(&output.stderr));
    }
    let path = built("auditor")?;
    Ok(BINARY.get_or_init(|| path))
}

impl Auditor {
    /// Starts the daemon for an engine, with more flags, and waits until it is ready.
    pub fn start(docker_host: &str, flags: &[&str]) -> Result<Self> {
        Self::launch(docker_host, flags)?.ready()
    }

    /// The same behind another program's words, which becomes the daemon.
    pub fn start_behind(wrapper: &[&str], docker_host: &str, flags: &[&str]) -> Result<Self> {
        Self::start_binary_behind(None, wrapper, docker_host, flags)
    }

    /// The same of another binary than the one under test.
    pub fn start_binary_behind(
        binary: Option<&Path>,
        wrapper: &[&str],
        docker_host: &str,
        flags: &[&str],
    ) -> Result<Self> {
        Self::launch_behind(binary, wrapper, docker_host, flags)?.ready()
    }

    /// Waits until it is ready again, after it was started anew.
    pub fn wait_ready(&self) -> Result<()> {
        let ready = wait_for("the daemon's readiness", Duration::from_secs(60), || {
            if !self.daemon.is_running() {
                bail!("the daemon ended");
            }
            Ok(self.get("/readyz").is_ok_and(|answer| answer.status == 200).then_some(()))
        });
        ready.with_context(|| format!("the daemon's log:\n{}", self.log()))
    }

    /// The same as another user, who owns the daemon's directory; the wrapper has to become that user.
    pub fn start_as(user: u32, wrapper: &[&str], docker_host: &str, flags: &[&str]) -> Result<Self> {
        Self::launch_as(user, wrapper, docker_host, flags)?.ready()
    }

    /// The same, and does not wait.
    pub fn launch_as(user: u32, wrapper: &[&str], docker_host: &str, flags: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir().context("making a directory for the daemon")?.keep();
        chown(&dir, Some(user), Some(user)).with_context(|| format!("giving {} away", dir.display()))?;
        Self::launch_in(dir, None, wrapper, docker_host, flags)
    }

    fn ready(self) -> Result<Self> {
        self.wait_ready()?;
        Ok(self)
    }

    /// Starts the daemon and does not wait.
    pub fn launch(docker_host: &str, flags: &[&str]) -> Result<Self> {
        Self::launch_behind(None, &[], docker_host, flags)
    }

    fn launch_behind(other: Option<&Path>, wrapper: &[&str], docker_host: &str, flags: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir().context("making a directory for the daemon")?.keep();
        Self::launch_in(dir, other, wrapper, docker_host, flags)
    }

    fn launch_in(
        dir: PathBuf,
        other: Option<&Path>,
        wrapper: &[&str],
        docker_host: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let address = http::free_port()?;
        let binary = match other {
            Some(other) => other.display().to_string(),
            None => binary()?.display().to_string(),
        };
        let mut line: Vec<String> = wrapper.iter().map(|&word| word.to_owned()).chain([binary]).collect();
        line.extend([
            "daemon".to_owned(),
            format!("--socket={}", dir.join("auditor.sock").display()),
            format!("--docker-host={docker_host}"),
            format!("--web.listen-address={address}"),
        ]);
        if !flags.iter().any(|flag| flag.starts_with("--state-dir")) {
            line.push(format!("--state-dir={}", dir.join("state").display()));
        }
        // Pins outlive their daemon: only tests that are about them have any.
        if !flags.iter().any(|flag| flag.starts_with("--bpffs")) {
            line.push("--bpffs=none".to_owned());
        }
        line.extend(flags.iter().map(|&flag| flag.to_owned()));
        let (program, args) = line.split_first().context("no program")?;
        let ward = Ward { directory: Some(dir.clone()), ..Ward::default() };
        let daemon = Guarded::start(Path::new(program), args, &ward, &dir.join("log"))?;
        Ok(Self { daemon, address, dir })
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("auditor.sock")
    }

    /// Its own directory, which goes with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.dir
    }

    /// Where it serves metrics.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> &Guarded {
        &self.daemon
    }

    /// The same, to stop and start it.
    pub const fn process_mut(&mut self) -> &mut Guarded {
        &mut self.daemon
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Asks its web server.
    pub fn get(&self, path: &str) -> Result<Answer> {
        http::get(self.address, path)
    }

    /// Runs one of the commands, whatever it ends with.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        command(&self.socket(), args)
    }

    /// Runs one that must succeed; gives its two streams.
    pub fn run(&self, args: &[&str]) -> Result<(String, String)> {
        let output = self.output(args)?;
        let stdout = String::from_utf8(output.stdout).context("what auditor wrote")?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("auditor {args:?}: {}: {stderr}", output.status);
        }
        Ok((stdout, stderr))
    }

    /// Runs `ps -o json`.
    pub fn ps(&self) -> Result<Vec<Value>> {
        let (stdout, _) = self.run(&["ps", "--output=json", "--no-trunc"])?;
        serde_json::from_str(&stdout).with_context(|| format!("parsing {stdout}"))
    }

    /// Runs `show -o json` for a container that the daemon may be about to learn of.
    pub fn show(&self, container: &str) -> Result<Value> {
        let args = ["show", "--output=json", "--no-trunc", container];
        let stdout = wait_for("a container to show", Duration::from_secs(10), || {
            let output = self.output(&args)?;
            Ok(output.status.success().then_some(output.stdout))
        })
        .or_else(|_| self.run(&args).map(|(stdout, _)| stdout.into_bytes()))?;
        let list: Vec<Value> = serde_json::from_slice(&stdout).context("parsing auditor show")?;
        list.into_iter().next().with_context(|| format!("auditor show {container} gave an empty list"))
    }

    /// The same, once the daemon has heard from the engine what the container runs under: that takes a moment after a
    /// start, on a slow machine a longer one.
    pub fn settled(&self, container: &str) -> Result<Value> {
        let mut last = Value::Null;
        let settled = wait_for("what a container runs under", Duration::from_secs(20), || {
            last = self.show(container)?;
            let is_unknown = |value: &Value| value.as_str() == Some("unknown");
            let runs = last["state"] == "running";
            let unknown = is_unknown(&last["profile"]["kind"]) || (runs && is_unknown(&last["effective"]["mode"]));
            let begun = last["state"].is_string() && last["state"] != "created";
            Ok((!unknown && begun).then_some(()))
        });
        settled.with_context(|| format!("{}, {}", last["profile"], last["effective"]))?;
        Ok(last)
    }

    /// The rows of `show`, by ABI and number.
    pub fn rows(&self, container: &str) -> Result<BTreeMap<Key, Row>> {
        rows(&self.show(container)?)
    }

    /// Runs `suggest` and gives the profile's text and the notes.
    pub fn suggest(&self, container: &str) -> Result<(String, String)> {
        self.run(&["suggest", container])
    }

    /// The page that Prometheus reads.
    pub fn metrics(&self) -> Result<String> {
        Ok(self.get("/metrics")?.body)
    }

    /// Waits until a series has a value.
    pub fn wait_sample(&self, series: &str, limit: Duration, fits: impl Fn(f64) -> bool) -> Result<f64> {
        let mut last = None;
        wait_for(series, limit, || {
            let Ok(metrics) = self.metrics() else { return Ok(None) };
            last = sample(&metrics, series);
            Ok(last.filter(|value| fits(*value)))
        })
        .with_context(|| format!("the last was {last:?}; the daemon's log:\n{}", self.log()))
    }
}

/// The value of a series that has these first words on its line: its name, and its labels if it has any.
#[must_use]
pub fn sample(metrics: &str, series: &str) -> Option<f64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok())
}

/// Runs `auditor` against a socket.
pub fn command(socket: &Path, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.arg("--socket").arg(socket).args(args).stdin(Stdio::null()).env_remove("DOCKER_HOST");
    command.output().with_context(|| format!("running auditor {args:?}"))
}

/// The rows of a container as `show -o json` gives it.
pub fn rows(container: &Value) -> Result<BTreeMap<Key, Row>> {
    let list = container["syscalls"].as_array().context("no syscalls in auditor show")?;
    let mut rows = BTreeMap::new();
    for row in list {
        let number = |name: &str| row[name].as_u64().with_context(|| format!("no {name} in {row}"));
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        // Numbers outside the table are -1, and of no interest here.
        let Some(nr) = row["nr"].as_u64() else { continue };
        let key = (text("abi").with_context(|| format!("no ABI in {row}"))?, nr);
        let value = Row {
            calls: number("calls")?,
            unfiltered: number("unfiltered_calls")?,
            errors: number("errors")?,
            unfiltered_errors: number("unfiltered_errors")?,
            denied: number("denied")?,
            verdict: text("verdict").unwrap_or_default(),
            action: text("action"),
            errno: row["errno"].as_u64(),
        };
        rows.insert(key, value);
    }
    Ok(rows)
}
