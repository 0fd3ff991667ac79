//! `faults`: what can go wrong, made to happen, and the table of it in `docs/faults.md`.

mod document;
mod outcome;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

pub use outcome::Outcomes;

use self::table::Table;
use crate::setup::Group;
use crate::supervise::supervise;
use crate::{cgroups, repo, setup, suites};

/// How long output may be under way when the program that wrote it has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Somebody ended the tests: there is nothing to write about those that had no time.
#[derive(Debug)]
pub struct BrokenOff(Signal);

impl fmt::Display for BrokenOff {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the tests were ended by {}", self.0)
    }
}

impl std::error::Error for BrokenOff {}

/// Runs the tests that the table names, and no others.
pub fn run() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the tests load eBPF programs and start a private container engine: run them as root");
    }
    setup::run(&[Group::Engine, Group::Prometheus, Group::Faults])?;
    suites::build()?;
    cgroups::ensure_mounted()?;
    let mut binaries: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for test in Table::read()?.tests()? {
        let filter = test.filter();
        binaries.entry((test.package.clone(), test.target().to_owned())).or_default().push(filter);
    }
    let mut outcomes = Outcomes::default();
    let mut failed = 0;
    for ((package, target), filters) in binaries {
        outcomes.of_package(&package);
        let mut command = suites::command(&[target]);
        command.args(["--", "--test-threads=1"]).args(filters);
        match watch(command, &mut outcomes)? {
            WaitStatus::Exited(_, 0) => {}
            _ => failed += 1,
        }
    }
    write(&outcomes)?;
    if failed > 0 {
        bail!("tests failed in {failed} of the binaries");
    }
    Ok(())
}

/// Writes the table as this run has it; an error when a row does not hold or was not tried.
pub fn write(outcomes: &Outcomes) -> Result<()> {
    let (text, open) = document::render(&Table::read()?, outcomes)?;
    let path = repo::root().join(document::FILE);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    if !open.is_empty() {
        bail!("{}: {}", document::FILE, open.join("; "));
    }
    println!("{} is written, and every row of it holds", document::FILE);
    Ok(())
}

/// Runs tests with their output on ours, and notes what becomes of each.
pub fn watch(mut command: Command, outcomes: &mut Outcomes) -> Result<WaitStatus> {
    // Both streams in one, so that it is known which binary's a test is.
    let (mut output, input) = std::io::pipe().context("making a pipe")?;
    command.stdout(input.try_clone().context("making a pipe")?).stderr(input);
    let (lines, told) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        let mut line = Vec::new();
        while let Ok(length @ 1..) = output.read(&mut bytes) {
            // Whoever looks at it is free to look away.
            let mut stdout = std::io::stdout();
            _ = stdout.write_all(&bytes[..length]).and_then(|()| stdout.flush());
            for &byte in &bytes[..length] {
                if byte == b'\n' {
                    _ = lines.send(String::from_utf8_lossy(&line).into_owned());
                    line.clear();
                } else {
                    line.push(byte);
                }
            }
        }
        _ = lines.send(String::from_utf8_lossy(&line).into_owned());
    });
    let status = supervise(command)?;
    if let WaitStatus::Signaled(_, signal, _) = status {
        return Err(BrokenOff(signal).into());
    }
    // Something that outlived the tests may have the other end still.
    loop {
        match told.recv_timeout(LAST_WORDS) {
            Ok(line) => outcomes.take(&line),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return Ok(status),
        }
    }
}
