//! The program that issues known numbers of known calls (its own crate, `tests/groundtruth`), and what it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

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
    /// Of the two above, gave an error.
    pub errors: u64,
    /// Refused by a filter of its own, in whatever way.
    pub denied: u64,
    /// Neither reached the kernel nor was refused: a supervisor or a tracer had it.
    pub elsewhere: u64,
}

/// Parses the program's last line.
pub fn parse(output: &str) -> Result<BTreeMap<Key, Issued>> {
    let line = output.lines().last().context("groundtruth wrote nothing")?;
    let rows: Vec<Value> = serde_json::from_str(line).with_context(|| format!("parsing groundtruth's {line}"))?;
    let mut issued = BTreeMap::<Key, Issued>::new();
    for row in rows {
        let number = |name: &str| row[name].as_u64().with_context(|| format!("no {name} in {row}"));
        let text = |name: &str| row[name].as_str().with_context(|| format!("no {name} in {row}"));
        let entry = issued.entry((text("abi")?.to_owned(), number("nr")?)).or_default();
        let count = number("issued")?;
        match (text("fate")?, row["own_filter"].as_bool()) {
            ("reached", Some(own_filter)) => {
                *(if own_filter { &mut entry.under } else { &mut entry.before }) += count;
                entry.errors += number("failed")?;
            }
            ("errno" | "signalled" | "thread_killed", _) => entry.denied += count,
            _ => entry.elsewhere += count,
        }
    }
    Ok(issued)
}
