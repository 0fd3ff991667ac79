//! A row of the tables, and what is done with it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tests::auditord;

/// A profile, and what is expected of it on both sides.
pub struct Row {
    pub name: &'static str,
    pub profile: String,
    pub real: Real,
    /// The ids of what the command finds, but for notes: each once, in alphabetical order.
    pub finds: &'static [&'static str],
    /// A shell command in the container, and what is in its output.
    pub shows: Option<(&'static str, &'static str)>,
}

/// What the real programs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Real {
    /// A container starts, and its program ends well.
    Starts,
    /// None starts; these are the words for it, in the output of both sides.
    Refuses(&'static str),
    /// The start never ends.
    Hangs,
    /// A container starts, and its program does not end well.
    Breaks,
}

pub fn row(name: &'static str, finds: &'static [&'static str], profile: impl Into<String>) -> Row {
    Row { name, profile: profile.into(), real: Real::Starts, finds, shows: None }
}

impl Row {
    pub fn refused(self, words: &'static str) -> Self {
        Self { real: Real::Refuses(words), ..self }
    }

    pub fn is(self, real: Real) -> Self {
        Self { real, ..self }
    }

    pub fn shows(self, command: &'static str, output: &'static str) -> Self {
        Self { shows: Some((command, output)), ..self }
    }

    /// The program of its container.
    pub fn program(&self) -> Vec<&'static str> {
        match self.shows {
            Some((command, _)) => vec!["/bin/sh", "-c", command],
            None => vec!["/bin/true"],
        }
    }
}

/// A profile that allows what the rules do not say otherwise.
pub fn allow(rules: &str) -> String {
    format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rules}]}}"#)
}

/// The same with a rule about a call that nobody makes, and something more in it.
pub fn acct(more: &str) -> String {
    allow(&format!(r#"{{"names": ["acct"], "action": "SCMP_ACT_ERRNO"{more}}}"#))
}

/// The same with something more at the top.
pub fn top(more: &str) -> String {
    format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}}], {more}}}"#
    )
}

/// Two rules for a call that nobody makes, which give another errno each.
pub fn two(name: &str, first: &str, second: &str) -> String {
    let rule = |errno: u8, args: &str| {
        format!(r#"{{"names": ["{name}"], "action": "SCMP_ACT_ERRNO", "errnoRet": {errno}, "args": [{args}]}}"#)
    };
    format!("{}, {}", rule(5, first), rule(6, second))
}

/// A condition.
pub fn arg(index: u32, operator: &str, value: u64) -> String {
    format!(r#"{{"index": {index}, "value": {value}, "op": "SCMP_CMP_{operator}"}}"#)
}

/// What the real programs did.
pub struct Reality {
    /// `None` where it did not end.
    pub code: Option<i32>,
    pub output: String,
    /// The container's program ran, so its exit code is its own.
    pub ran: bool,
}

/// Every way in which a row disagrees with either side.
pub fn disagreements(row: &Row, reality: &Reality, file: &Path, versions: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let Reality { code, output, ran } = reality;
    let real = match (row.real, code) {
        (Real::Starts, Some(0)) => true,
        (Real::Breaks, Some(code)) => *ran && *code != 0,
        (Real::Refuses(words), Some(code)) => *code != 0 && output.contains(words),
        (Real::Hangs, None) => true,
        _ => false,
    };
    if !real {
        found.push(format!("really ended with {code:?}: {output}"));
    }
    if let Some((_, shown)) = row.shows.filter(|(_, shown)| !output.contains(shown)) {
        found.push(format!("no {shown:?} in {output:?}"));
    }
    let findings = check(file, versions)?;
    let mut ids: Vec<&str> =
        findings.iter().filter(|(_, severity, _)| severity != "note").map(|(id, ..)| id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids != row.finds {
        found.push(format!("the command finds {ids:?}"));
    }
    let errors: Vec<&str> =
        findings.iter().filter(|(_, severity, _)| severity == "error").map(|(.., message)| message.as_str()).collect();
    match row.real {
        Real::Starts | Real::Breaks if !errors.is_empty() => found.push(format!("the command refuses it: {errors:?}")),
        Real::Refuses(words) if !errors.iter().any(|error| error.contains(words)) => {
            found.push(format!("the command gives other reasons: {errors:?}"));
        }
        Real::Hangs if !errors.iter().any(|error| error.contains("waits for ever")) => {
            found.push(format!("the command gives other reasons: {errors:?}"));
        }
        _ => {}
    }
    Ok(found.into_iter().map(|what| format!("{}: {what}", row.name)).collect())
}

/// What the command finds in a file: id, severity, message.
fn check(file: &Path, versions: &[&str]) -> Result<Vec<(String, String, String)>> {
    let mut command = Command::new(auditord::binary()?);
    command.args(["profile", "check", "--output", "json"]).args(versions).arg(file);
    let output = command.output().context("running the command")?;
    let Some(code @ (0 | 1)) = output.status.code() else {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    };
    let list: Vec<Value> = serde_json::from_slice(&output.stdout).context("parsing what the command says")?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let list: Vec<_> =
        list.iter().map(|finding| (text(finding, "id"), text(finding, "severity"), text(finding, "message"))).collect();
    let clean = list.iter().all(|(_, severity, _)| severity == "note");
    ensure!(clean == (code == 0), "exit code {code} with {list:?}");
    Ok(list)
}

/// Fails with all disagreements at once.
pub fn agree(disagreements: &[String]) -> Result<()> {
    ensure!(disagreements.is_empty(), "{} disagreements:\n{}", disagreements.len(), disagreements.join("\n"));
    Ok(())
}
