//! `deny`: what the dependencies may be, as `deny.toml` says.
//!
//! cargo-deny checks all of it, and takes a quarter of an hour to build; its advisories are in a repository of their own,
//! which has to be fetched. So `cargo xtask test` does without: licences, duplicates and sources are read from `cargo
//! metadata` here. What is left to cargo-deny: advisories, yanked versions, licence texts that do not fit their names.

mod expression;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::repo;

const VERSION: &str = "0.20.2";
/// Where cargo gets packages from when nobody says otherwise.
const REGISTRY: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Runs cargo-deny, and builds it first where it is not there.
pub fn run() -> Result<()> {
    let program = repo::tools().join("bin/cargo-deny");
    if !program.is_file() {
        println!("deny: building cargo-deny {VERSION} into {} (a quarter of an hour)", repo::tools().display());
        let mut install = repo::command("cargo");
        install.args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"]);
        repo::run(install.arg(repo::tools()))?;
    }
    repo::run(repo::command(program).args(["check", "licenses", "bans", "sources", "advisories"]))
}

/// What of it can be told from `cargo metadata`.
pub fn check() -> Result<()> {
    let path = repo::root().join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let rules = Rules::parse(&text).with_context(|| format!("reading {}", path.display()))?;
    let args = ["metadata", "--format-version=1", "--locked", "--all-features"];
    let metadata: Value = serde_json::from_str(&repo::read(repo::command("cargo").args(args))?)?;
    let packages = metadata["packages"].as_array().context("no packages in cargo metadata")?;
    let faults = rules.faults(packages);
    if !faults.is_empty() {
        bail!("dependencies that deny.toml does not allow:\n{}", faults.join("\n"));
    }
    println!("deny: licences, duplicates and sources of {} packages are as deny.toml has them", packages.len());
    Ok(())
}

/// The part of `deny.toml` that is checked here.
#[derive(Debug, Default)]
struct Rules {
    licences: BTreeSet<String>,
    exceptions: BTreeMap<String, BTreeSet<String>>,
    may_be_twice: BTreeSet<String>,
}

impl Rules {
    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse()?;
        let list = |section: &str, key: &str| {
            let list = table.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_array);
            list.with_context(|| format!("no list {section}.{key}"))
        };
        let words = |list: &[toml::Value]| -> BTreeSet<String> {
            list.iter().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
        };
        let name = |entry: &toml::Value| -> Result<String> {
            let name = entry.get("crate").and_then(toml::Value::as_str);
            Ok(name.context("an entry without a crate")?.to_owned())
        };
        let exception = |entry: &toml::Value| -> Result<(String, BTreeSet<String>)> {
            let allow = entry.get("allow").and_then(toml::Value::as_array).context("an exception without licences")?;
            Ok((name(entry)?, words(allow)))
        };
        Ok(Self {
            licences: words(list("licenses", "allow")?),
            exceptions: list("licenses", "exceptions")?.iter().map(exception).collect::<Result<_>>()?,
            may_be_twice: list("bans", "skip")?.iter().map(name).collect::<Result<_>>()?,
        })
    }

    /// What is not allowed, one line each; a rule that nothing needs is a fault too.
    fn faults(&self, packages: &[Value]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in packages {
            let text = |key: &str| package[key].as_str().unwrap_or_default();
            let (name, version, licence) = (text("name"), text("version"), text("license"));
            versions.entry(name).or_default().push(version);
            let allowed = |word: &str| {
                self.licences.contains(word) || self.exceptions.get(name).is_some_and(|more| more.contains(word))
            };
            if !expression::holds(licence, &allowed) {
                faults.push(format!("{name} {version}: its licence is {licence:?}"));
            }
            if package["source"].as_str().is_some_and(|source| source != REGISTRY) {
                faults.push(format!("{name} {version}: it comes from {}", text("source")));
            }
        }
        for (name, versions) in &versions {
            if versions.len() > 1 && !self.may_be_twice.contains(*name) {
                faults.push(format!("{name}: there are several of it: {}", versions.join(", ")));
            }
        }
        let is_twice = |name: &String| versions.get(name.as_str()).is_some_and(|versions| versions.len() > 1);
        let needless = self.may_be_twice.iter().filter(|name| !is_twice(name));
        faults.extend(needless.map(|name| format!("{name}: it may be there twice, and is not; take out the rule")));
        let gone = self.exceptions.keys().filter(|name| !versions.contains_key(name.as_str()));
        faults.extend(gone.map(|name| format!("{name}: it has an exception, and is not there; take out the rule")));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::parse(
            "[licenses]\nallow = ['MIT']\nexceptions = [{ crate = 'x', allow = ['LGPL'] }]\n\
             [bans]\nskip = [{ crate = 'twice', reason = '' }]\n",
        )
        .unwrap()
    }

    fn package(name: &str, version: &str, licence: &str, source: Option<&str>) -> Value {
        serde_json::json!({ "name": name, "version": version, "license": licence, "source": source })
    }

    #[test]
    fn each_rule_can_be_broken() {
        let fine = [
            package("x", "1", "LGPL", Some(REGISTRY)),
            package("twice", "1", "MIT", None),
            package("twice", "2", "GPL OR MIT", None),
        ];
        assert_eq!(rules().faults(&fine), Vec::<String>::new());
        for (package, wanted) in [
            (package("y", "1", "LGPL", None), "y 1: its licence is \"LGPL\""),
            (package("y", "1", "", None), "y 1: its licence is \"\""),
            (package("y", "1", "MIT", Some("git+https://example.org/y")), "y 1: it comes from git+"),
            (package("x", "2", "MIT", Some(REGISTRY)), "x: there are several of it: 1, 2"),
        ] {
            let faults = rules().faults(&[&fine[..], &[package]].concat());
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(wanted), "{faults:?}");
        }
        let faults = rules().faults(&[]);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
