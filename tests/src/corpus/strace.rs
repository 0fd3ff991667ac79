//! What `strace -f -c` says of a container, against what was counted.
//!
//! It runs outside the container, so that no call of its own is counted there and hides one that is missing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::stat::Mode;

use crate::process::wait_for;

/// The calls that two ways of looking have of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Calls by name that strace saw.
    pub traced: usize,
    /// Those that were not counted, or less often than strace saw them: there must be none.
    pub missed: Vec<String>,
}

/// Reads the table of `strace -c`: calls by name.
pub fn parse_summary(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("------"));
    lines.next().context("no table in what strace wrote")?;
    let mut calls = BTreeMap::new();
    for line in lines.take_while(|line| !line.starts_with("------")) {
        // % time, seconds, usecs/call, calls, [errors], syscall
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(count), Some(name)) = (words.get(3), words.last()) else { continue };
        let count = count.parse().with_context(|| format!("parsing strace's line {line:?}"))?;
        calls.insert((*name).to_owned(), count);
    }
    ensure!(!calls.is_empty(), "strace's table is empty");
    Ok(calls)
}

/// Holds strace's numbers against those counted of the same program. More may have been counted, never less: a call
/// that does not return is not in strace's table, nor is what was called before strace came.
#[must_use]
pub fn compare(traced: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Compared {
    let missed = traced.iter().filter_map(|(name, &calls)| {
        let here = counted.get(name).copied().unwrap_or(0);
        (here < calls).then(|| format!("{name} ({here} of {calls})"))
    });
    Compared { traced: traced.len(), missed: missed.collect() }
}

/// A directory with a gate in it, at which a container's program waits for strace.
#[derive(Debug)]
pub struct Gate {
    dir: PathBuf,
    /// Open for both directions: so nobody waits for who never comes.
    gate: File,
}

impl Gate {
    /// What the container's shell does first, with the directory at `/gate`.
    pub const WAIT: &'static str = "read go </gate/gate\n";

    /// Makes one in this directory.
    pub fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("gate");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).context("making a gate")?;
        let gate = OpenOptions::new().read(true).write(true).open(&path).context("opening a gate")?;
        Ok(Self { dir: dir.to_owned(), gate })
    }

    /// The option that gives a container the gate.
    #[must_use]
    pub fn option(&self) -> String {
        format!("--volume={}:/gate", self.dir.display())
    }

    /// Has strace trace a process, and all that descend from it, and then opens the gate.
    pub fn trace(&mut self, pid: i64) -> Result<Tracer> {
        let (table, said) = (self.dir.join("table"), self.dir.join("said"));
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-o"]).arg(&table).arg("-p").arg(pid.to_string());
        let log = File::create(&said).with_context(|| format!("creating {}", said.display()))?;
        let child = command.stdin(Stdio::null()).stderr(log).spawn().context("starting strace")?;
        let mut tracer = Tracer { child, table };
        let said = || std::fs::read_to_string(&said).with_context(|| format!("reading {}", said.display()));
        wait_for("strace", Duration::from_secs(120), || {
            if tracer.child.try_wait().context("asking for strace")?.is_some() {
                bail!("strace ended: {}", said()?);
            }
            Ok(said()?.contains("attached").then_some(()))
        })?;
        self.gate.write_all(b"go\n").context("opening the gate")?;
        Ok(tracer)
    }
}

/// A running strace.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    table: PathBuf,
}

impl Tracer {
    /// What it saw, once all that it traces has ended.
    pub fn finish(mut self) -> Result<BTreeMap<String, u64>> {
        wait_for("strace's end", Duration::from_secs(120), || self.child.try_wait().context("asking for strace"))?;
        let text = std::fs::read_to_string(&self.table).context("reading what strace wrote")?;
        parse_summary(&text)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
