//! `demo AUDITOR`: the product's story in half a minute, with a private engine and a container of busybox.
//!
//! Started by `cargo xtask demo`, which builds the auditor and sets the machine up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tests::auditord::{Auditor, use_binary};
use tests::engine::{CgroupMode, Engine};
use tests::image::{self, BUSYBOX};
use tests::profile;

/// What the container does. It ends well only if all of it works.
const WORK: &str = "mkdir /tmp/work && cd /tmp/work && ls -l / > list && sort list | uniq > sorted && \
    grep -c bin sorted && tar -czf all.tar.gz list sorted && date && sleep 0.2 && rm -r /tmp/work && echo done";

fn main() -> Result<()> {
    let auditor = std::env::args_os().nth(1).context("usage: demo AUDITOR")?;
    use_binary(PathBuf::from(auditor));
    say("starting a private container engine, with an image of busybox, and the auditor's daemon");
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    // In the daemon's directory the profiles go with it, also after Ctrl-C.
    let outcome = story(&engine, &auditor, auditor.directory());
    say("ending the daemon and the engine, and removing what they made");
    outcome
}

fn story(engine: &Engine, auditor: &Auditor, dir: &Path) -> Result<()> {
    say("a container does some work under the engine's default profile: docker run --name app busybox sh -c '...'");
    run(engine, "app", None)?;
    print(auditor, &["ps"])?;
    say("what it called, what that is allowed by, and how much more is allowed for nothing: auditor show app");
    print(auditor, &["show", "app"])?;

    say("the same work under the default profile without mkdir: docker run --security-opt seccomp=nomkdir.json ...");
    let mut forbidding = profile::default_profile(engine)?;
    profile::forbid(&mut forbidding, &["mkdir"]);
    let option = profile::option(&forbidding.to_string(), dir, "nomkdir")?;
    ensure!(!work(engine, "strict", Some(&option))?, "mkdir worked although the profile denies it");
    let shown = auditor.show("strict")?;
    let denied = shown["syscalls"].as_array().into_iter().flatten().find(|row| row["name"] == "mkdir");
    let row = denied.context("no row of mkdir in auditor show")?;
    ensure!(row["denied"] == 1, "the denial of mkdir was not counted: {row}");
    say("the program was told \"Operation not permitted\"; the auditor says why");
    println!("    {} denied {} time, {} errno {}", row["name"], row["denied"], row["action"], row["errno"]);

    say("a smaller profile, from what the container really did: auditor suggest app > app.json");
    let (suggestion, notes) = auditor.suggest("app")?;
    indent(&notes);
    let option = profile::option(&suggestion, dir, "app")?;
    let size = fs::metadata(dir.join("app.json")).context("measuring the suggestion")?.len();
    say(&format!("the suggestion ({size} bytes of JSON) is put to use: the same work under it"));
    run(engine, "app-confined", Some(&option))?;
    print(auditor, &["ps"])?;
    let (before, after) = (auditor.show("app")?, auditor.show("app-confined")?);
    ensure!(after["denials"] == 0, "the suggestion denied something: {after}");
    let (before, after) = (permitted(&before)?, permitted(&after)?);
    say(&format!("it worked, nothing was denied, and {after} system calls are allowed instead of {before}"));
    Ok(())
}

/// Calls that a container's profile allows, always or for some arguments.
fn permitted(shown: &Value) -> Result<u64> {
    let number = |key: &str| shown[key].as_u64().with_context(|| format!("no {key} in auditor show"));
    Ok(number("allowed")? + number("conditional")?)
}

/// Runs the container; it must end well.
fn run(engine: &Engine, name: &str, option: Option<&str>) -> Result<()> {
    if !work(engine, name, option)? {
        bail!("the work in container {name} failed");
    }
    Ok(())
}

/// Runs the container, shows what it writes, and says whether it ended well.
fn work(engine: &Engine, name: &str, option: Option<&str>) -> Result<bool> {
    let mut line = vec!["run", "--name", name];
    line.extend(option);
    line.extend([BUSYBOX, "/bin/sh", "-c", WORK]);
    let output = engine.output(line)?;
    indent(&String::from_utf8_lossy(&output.stdout));
    indent(&String::from_utf8_lossy(&output.stderr));
    Ok(output.status.success())
}

fn print(auditor: &Auditor, args: &[&str]) -> Result<()> {
    let (table, _) = auditor.run(args)?;
    indent(&table);
    Ok(())
}

fn say(text: &str) {
    println!("demo: {text}");
}

fn indent(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}
