//! How a command ends that cannot do what it is asked: nothing on standard output, one clear line, and its exit code.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{auditord, http};

/// The exit code of an error.
pub const ERROR: i32 = 2;
/// That of a host that cannot be audited.
pub const CANNOT_AUDIT: i32 = 3;

/// Nothing on stdout, one line on stderr that has these words, and this exit code.
pub fn one_line(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{}: {said}", output.status);
    ensure!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let [line] = said.lines().collect::<Vec<_>>()[..] else { bail!("not one line: {said}") };
    for word in words {
        ensure!(line.contains(word), "no {word:?} in: {line}");
    }
    Ok(())
}

/// A daemon that should end at once, behind these words; the time limit is for one that does not.
pub fn daemon(wrapper: &[&str], socket: &Path, flags: &[&str]) -> Result<Output> {
    let address = format!("--web.listen-address={}", http::free_port()?);
    let mut command = Command::new("timeout");
    command.arg("20").args(wrapper).arg(auditord::binary()?).arg("--socket").arg(socket).arg("daemon");
    command.args(["--docker-host=unix:///nonexistent/docker.sock"]).args(flags).stdin(Stdio::null());
    if !flags.iter().any(|flag| flag.starts_with("--bpffs")) {
        command.arg("--bpffs=none");
    }
    if !flags.iter().any(|flag| flag.starts_with("--web.listen-address")) {
        command.arg(address);
    }
    command.output().context("running a daemon")
}
