//! runc, for machines whose root lacks a capability: takes what root does not have out of what a container asks for.
//!
//! `--privileged` asks for every capability there is, and runc refuses to give what it does not have itself.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Error, Result};
use serde_json::Value;
use tests::engine::missing_capabilities;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let missing = missing_capabilities()?;
    for pair in args.windows(2) {
        let (file, process) = match pair[0].to_str() {
            Some("--bundle") => (PathBuf::from(&pair[1]).join("config.json"), "/process"),
            Some("--process") => (PathBuf::from(&pair[1]), ""),
            _ => continue,
        };
        let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut spec: Value = serde_json::from_slice(&text).with_context(|| format!("parsing {}", file.display()))?;
        let sets = spec.pointer_mut(&format!("{process}/capabilities")).and_then(Value::as_object_mut);
        for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
            set.retain(|name| !missing.iter().any(|missing| name == missing));
        }
        fs::write(&file, spec.to_string()).with_context(|| format!("writing {}", file.display()))?;
    }
    Err(Error::new(Command::new("runc").args(args).exec()).context("running runc"))
}
