//! The program that issues known numbers of known calls (its own crate, `tests/groundtruth`), and what it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::auditord::Row;

/// The program, built so that it runs in an image that has nothing else.
pub fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = PROGRAM.get() {
        return Ok(path);
    }
    let root = crate::root();
    // Its own directory: flags differ from the workspace's, and cargo may hold the other one's lock.
    let target = root.join("target/static");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--locked", "--release", "--package", "groundtruth", "--target-dir"]).arg(&target);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").env_remove("CARGO_ENCODED_RUSTFLAGS").current_dir(root);
    let output = build.output().context("running cargo")?;
    if !output.status.success() {
        bail!("building groundtruth: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(PROGRAM.get_or_init(|| target.join("release/groundtruth")))
}

/// A call by its convention and number.
pub type Key = (String, u64);

/// What was issued of one call, by what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Issued {
    /// Reached the kernel before the program had a filter of its own.
    pub before: u64,
    /// Reached the kernel under a filter of its own.
    pub under: u64,
    /// Of those before, gave an error.
    pub errors_before: u64,
    /// Of those under it.
    pub errors_under: u64,
    /// Refused by a filter of its own, in whatever way.
    pub denied: u64,
    /// Neither reached the kernel nor was refused: a supervisor or a tracer had it.
    pub elsewhere: u64,
}

impl Issued {
    /// The same for a program that had its container's filter from its first call on.
    #[must_use]
    pub const fn as_confined(self) -> Self {
        Self {
            before: 0,
            under: self.before + self.under,
            errors_before: 0,
            errors_under: self.errors_before + self.errors_under,
            ..self
        }
    }
}

/// What was issued, by call.
pub type Truth = BTreeMap<Key, Issued>;

/// Adds what another run has issued.
pub fn add(total: &mut Truth, more: &Truth) {
    for (key, more) in more {
        let sum = total.entry(key.clone()).or_default();
        sum.before += more.before;
        sum.under += more.under;
        sum.errors_before += more.errors_before;
        sum.errors_under += more.errors_under;
        sum.denied += more.denied;
        sum.elsewhere += more.elsewhere;
    }
}

/// Parses the program's last line.
pub fn parse(output: &str) -> Result<Truth> {
    let line = output.lines().last().context("groundtruth wrote nothing")?;
    let rows: Vec<Value> = serde_json::from_str(line).with_context(|| format!("parsing groundtruth's {line}"))?;
    let mut issued = BTreeMap::<Key, Issued>::new();
    for row in rows {
        let number = |name: &str| row[name].as_u64().with_context(|| format!("no {name} in {row}"));
        let text = |name: &str| row[name].as_str().with_context(|| format!("no {name} in {row}"));
        let entry = issued.entry((text("abi")?.to_owned(), number("nr")?)).or_default();
        let count = number("issued")?;
        match (text("fate")?, row["own_filter"].as_bool()) {
            ("reached", Some(true)) => {
                entry.under += count;
                entry.errors_under += number("failed")?;
            }
            ("reached", Some(false)) => {
                entry.before += count;
                entry.errors_before += number("failed")?;
            }
            ("errno" | "signalled" | "thread_killed", _) => entry.denied += count,
            _ => entry.elsewhere += count,
        }
    }
    Ok(issued)
}

/// Compares the daemon's rows with what was issued: equal, not about. `confined`: by its container's filter, from its
/// first call on. Calls that were not issued are not looked at: libraries and runtimes make them as they like.
pub fn compare(rows: &BTreeMap<Key, Row>, issued: &BTreeMap<Key, Issued>, confined: bool) -> Result<()> {
    ensure!(!issued.is_empty(), "nothing was issued");
    for (key, issued) in issued.iter().filter(|(key, _)| is_known(key)) {
        let row = rows.get(key).cloned().unwrap_or_default();
        let issued = if confined { issued.as_confined() } else { *issued };
        let expected = (issued.under, issued.before, issued.errors_under, issued.errors_before, issued.denied);
        let counted = (row.calls, row.unfiltered, row.errors, row.unfiltered_errors, row.denied);
        ensure!(
            counted == expected,
            "(calls, unfiltered, errors of both, denied) of {key:?} are {counted:?}; issued were {expected:?}"
        );
    }
    Ok(())
}

/// Leaves out what the program's libraries and the container's runtime also call: these totals nobody knows.
fn is_known(key: &Key) -> bool {
    // rt_sigreturn, execve, tgkill.
    key.0 != "x86_64" || !matches!(key.1, 15 | 59 | 234)
}
