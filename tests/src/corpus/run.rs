//! One container, run to its end, however it ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::process::wait_for;

/// What became of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The runtime started its program.
    pub started: bool,
    /// It ended well.
    pub worked: bool,
    /// How it ended, and the last lines that it wrote.
    pub end: String,
    /// How long it took.
    pub took: Duration,
}

/// Makes a container and runs it. What still runs after `limit` is killed: a program that was refused something may
/// wait for ever.
pub fn run(engine: &Engine, name: &str, options: &[&str], line: &[&str], limit: Duration) -> Result<Ran> {
    engine.client([&["create", "--name", name], options, line].concat())?;
    run_with(engine, name, limit, || Ok(()))
}

/// The same with a container that exists, and with something that is done once it was started.
pub fn run_with(engine: &Engine, name: &str, limit: Duration, meanwhile: impl FnOnce() -> Result<()>) -> Result<Ran> {
    let began = Instant::now();
    let start = engine.output(["start", name])?;
    if !start.status.success() {
        let end = String::from_utf8_lossy(&start.stderr).trim().to_owned();
        return Ok(Ran { started: false, worked: false, end, took: began.elapsed() });
    }
    meanwhile()?;
    let ended = wait_for("the container's end", limit, || {
        std::thread::sleep(Duration::from_millis(80));
        Ok((engine.client(["inspect", "--format", "{{.State.Running}}", name])? == "false").then_some(()))
    });
    let late = ended.is_err();
    if late {
        engine.output(["kill", name])?;
    }
    let state = engine.inspect(name)?;
    let code = state["State"]["ExitCode"].as_i64().context("no exit code in docker inspect")?;
    let log = engine.output(["logs", "--tail", "12", name])?;
    let how = if late { format!("did not end within {limit:?}") } else { format!("exit code {code}") };
    let end = format!("{how}\n{}{}", String::from_utf8_lossy(&log.stdout), String::from_utf8_lossy(&log.stderr));
    Ok(Ran { started: true, worked: !late && code == 0, end, took: began.elapsed() })
}
