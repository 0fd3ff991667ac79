//! `limited-runc`, `limited-crun`: the runtime by the name that this is called by, for machines that lack something. Takes out of
//! what a container asks for what the runtime cannot give here.
//!
//! `--privileged` asks for every capability there is, and runtimes refuse to give what they do not have themselves.
//! Docker always asks for rules about devices, and on version 2 crun wants to lock any amount of memory for the program
//! that it makes of them; and for a weight of block I/O, though of 0.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Error, Result};
use serde_json::Value;
use tests::engine::{LISTENER, missing_capabilities};

fn main() -> Result<()> {
    let mut args = std::env::args_os();
    let name = args.next().context("called without a name")?;
    let name = Path::new(&name).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let runtime = name.strip_prefix("limited-").with_context(|| format!("{name} is not limited-RUNTIME"))?.to_owned();
    let args: Vec<_> = args.collect();
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
        if runtime == "crun"
            && let Some(resources) = spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut)
        {
            resources.retain(|name, _| match name.as_str() {
                "devices" => !missing.contains(&"CAP_SYS_RESOURCE"),
                "blockIO" => has_block_io(),
                _ => true,
            });
        }
        if let Some(socket) = listener_of(&spec)
            && let Some(seccomp) = spec.pointer_mut("/linux/seccomp").and_then(Value::as_object_mut)
        {
            seccomp.insert("listenerPath".to_owned(), socket.into());
        }
        fs::write(&file, spec.to_string()).with_context(|| format!("writing {}", file.display()))?;
    }
    Err(Error::new(Command::new(&runtime).args(args).exec()).context(format!("running {runtime}")))
}

/// Where the supervisor of a container listens: Docker's profiles have no word for it, so it is in the environment.
fn listener_of(spec: &Value) -> Option<String> {
    let environment = spec.pointer("/process/env")?.as_array()?;
    let value = environment.iter().find_map(|entry| entry.as_str()?.strip_prefix(LISTENER)?.strip_prefix('='));
    value.map(str::to_owned)
}

/// Whether there is a controller of block I/O; in one version 2 hierarchy it may be missing.
fn has_block_io() -> bool {
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    controllers.map_or(true, |names| names.split_whitespace().any(|name| name == "io"))
}
