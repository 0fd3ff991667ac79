//! Profiles for tests: Docker's default one as the engine resolved it, with something taken away.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::engine::Engine;
use crate::image::BUSYBOX;

/// The engine's default profile, as it is in the bundle of a container that has it.
pub fn default_profile(engine: &Engine) -> Result<Value> {
    default_profile_of(engine, BUSYBOX)
}

/// The same, by way of another image that has busybox.
pub fn default_profile_of(engine: &Engine, image: &str) -> Result<Value> {
    let container = engine.client([
        "run",
        "--detach",
        "--rm",
        "--name",
        "profile-source",
        image,
        "/bin/busybox",
        "sleep",
        "100",
    ])?;
    let config = engine.bundle(&container)?.join("config.json");
    let text = std::fs::read(&config).with_context(|| format!("reading {}", config.display()))?;
    engine.client(["rm", "--force", &container])?;
    let mut config: Value = serde_json::from_slice(&text).context("parsing a bundle")?;
    Ok(config["linux"]["seccomp"].take())
}

/// Takes names out of all of a profile's rules.
pub fn forbid(profile: &mut Value, names: &[&str]) {
    let rules = profile["syscalls"].as_array_mut().into_iter().flatten();
    for rule in rules {
        if let Some(list) = rule["names"].as_array_mut() {
            list.retain(|name| !names.iter().any(|forbidden| name == forbidden));
        }
    }
    if let Some(rules) = profile["syscalls"].as_array_mut() {
        rules.retain(|rule| rule["names"].as_array().is_some_and(|names| !names.is_empty()));
    }
}

/// Writes a profile to a file and gives the option that puts a container under it.
pub fn option(profile: &str, dir: &Path, name: &str) -> Result<String> {
    let file: PathBuf = dir.join(format!("{name}.json"));
    std::fs::write(&file, profile).with_context(|| format!("writing {}", file.display()))?;
    Ok(format!("--security-opt=seccomp={}", file.display()))
}
