//! Processes that end with whoever started them, however that one ends.
//!
//! A `Drop` does not run in a test that is killed, and a container is nobody's child. So every process of the rig
//! has a warden above it (`src/bin/warden.rs`): it holds the other end of a pipe of ours, and when that end closes,
//! by `drop` or by death, it ends all that ever descended from its program and takes away what they left.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a warden does besides watching.
#[derive(Debug, Clone, Default)]
pub struct Ward {
    /// Runs the program in a mount namespace of its own, with this layout of control groups.
    pub cgroups: Option<Cgroups>,
    /// The program is a container engine with its state in the directory: its containers' cgroups go with it.
    pub engine: bool,
    /// Goes with the program.
    pub directory: Option<PathBuf>,
}

/// What the program finds at `/sys/fs/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// One version 2 hierarchy.
    Unified,
    /// Version 1 hierarchies, and version 2 at `unified`.
    Hybrid,
}

/// A process that a warden watches.
#[derive(Debug)]
pub struct Guarded {
    warden: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    log: File,
    pid: Pid,
}

impl Guarded {
    /// Starts a program with its output in the file `log`.
    pub fn start(program: &Path, args: &[String], ward: &Ward, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        // Open before the program runs: it can be read also when the file has gone with the program.
        let log = File::open(log).with_context(|| format!("opening {}", log.display()))?;
        let mut command = Command::new(built("warden")?);
        match ward.cgroups {
            Some(Cgroups::Unified) => _ = command.arg("--unified"),
            Some(Cgroups::Hybrid) => _ = command.arg("--hybrid"),
            None => {}
        }
        if ward.engine {
            command.arg("--engine");
        }
        if let Some(directory) = &ward.directory {
            command.arg("--directory").arg(directory);
        }
        command.arg("--").arg(program).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(output);
        // Ctrl-C is for the test; the warden must live to clean up.
        let mut warden = command.process_group(0).spawn().context("starting the warden")?;
        let orders = warden.stdin.take();
        let answers = BufReader::new(warden.stdout.take().context("the warden has no output")?);
        let mut guarded = Self { warden, orders, answers, log, pid: Pid::from_raw(0) };
        guarded.pid = guarded.answer().with_context(|| format!("starting {}", program.display()))?;
        Ok(guarded)
    }

    /// The program's process id.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("sending {signal} to {}", self.pid))
    }

    /// Ends the program as its owner would (SIGTERM, in the end SIGKILL) and starts it again in the same place.
    pub fn restart(&mut self) -> Result<()> {
        self.order("restart")?;
        self.pid = self.answer().context("restarting")?;
        Ok(())
    }

    /// Ends the program as its owner would, and leaves the place to a later [`Self::restart`].
    pub fn pause(&mut self) -> Result<()> {
        self.order("stop")?;
        self.answer().context("stopping")?;
        Ok(())
    }

    /// Whether the program has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
    }

    /// What the program wrote so far, both streams.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        let mut at = 0;
        let mut part = [0; 64 * 1024];
        while let Ok(length @ 1..) = self.log.read_at(&mut part, at) {
            text.extend_from_slice(&part[..length]);
            at += length as u64;
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the warden is dismissed")?;
        writeln!(orders, "{order}").context("giving an order to the warden")
    }

    fn answer(&mut self) -> Result<Pid> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("hearing the warden")?;
        match line.trim().parse() {
            Ok(pid) => Ok(Pid::from_raw(pid)),
            Err(_) => bail!("the warden gave up; its log:\n{}", self.log()),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.orders.take());
        _ = self.warden.wait();
    }
}

/// A program of the workspace, beside the running one in the build directory.
///
/// Tests cannot ask cargo for another package's binary, so `cargo xtask test` builds them all before.
pub fn built(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding the running program")?;
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is not built; run `cargo xtask test`, or `cargo build --workspace --bins`"))
}

/// Asks again and again, up to a limit, until there is an answer.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
