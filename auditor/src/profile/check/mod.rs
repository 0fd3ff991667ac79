//! What is wrong with a profile as a text: what engine and runtime refuse, in their words, and what they pass over
//! without a word.
//!
//! The facts are those of moby's profiles/seccomp, runc's libcontainer/specconv and libcontainer/seccomp, and
//! libseccomp's api.c and db.c; `tests/tests/profile_check.rs` holds every one of them against the real programs.

mod document;
mod finding;
mod model;
mod read;
mod resolve;
mod rules;
mod start;

use self::document::{Document, SyntaxError};
use self::finding::Findings;
pub use self::finding::{Finding, MAX_SHOWN, Severity};
use super::docker::{KernelVersion, Target};
use super::{Arch, MAX_BYTES, Policy};

/// For what a profile is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What the engine resolves a profile for.
    pub target: Target,
    /// The runtime.
    pub runc: RuncVersion,
}

/// runc's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuncVersion(pub u64, pub u64, pub u64);

impl RuncVersion {
    /// Newer than any of which something is known.
    pub const NEWEST: Self = Self(u64::MAX, 0, 0);
    /// Takes the flags of a filter.
    const WITH_FLAGS: Self = Self(1, 2, 0);
    /// Puts its ENOSYS stub before the native ABI also where the profile names no architectures.
    const WITH_NATIVE_STUB: Self = Self(1, 1, 15);

    const fn first_with(arch: Arch) -> Self {
        match arch {
            Arch::Riscv64 => Self(1, 2, 0),
            Arch::Loongarch64 => Self(1, 5, 0),
            _ => Self(1, 0, 0),
        }
    }

    /// Reads `1.1` or `1.1.5+ds1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let KernelVersion(major, minor) = KernelVersion::parse_release(text)?;
        let patch = text.splitn(3, '.').nth(2).unwrap_or("0");
        let digits = patch.find(|c: char| !c.is_ascii_digit()).map_or(patch, |end| &patch[..end]);
        Some(Self(major, minor, digits.parse().ok()?))
    }
}

/// What a check comes to.
#[derive(Debug)]
pub struct Checked {
    /// In the order of the text.
    pub findings: Vec<Finding>,
    /// What the profile does on the host, unless it was refused or is none.
    pub policy: Option<Policy>,
}

/// Checks a profile, in Docker's format or as an OCI object, alone or in a whole OCI configuration.
#[must_use]
pub fn check(text: &[u8], host: &Host) -> Checked {
    let mut found = Findings::default();
    let policy = inspect(text, host, &mut found);
    Checked { findings: found.finish(text), policy }
}

/// The line on which each rule begins, counted from 1; none where the text is no profile.
#[must_use]
pub fn rule_lines(text: &[u8]) -> Vec<usize> {
    let Ok(document) = Document::parse(text) else { return Vec::new() };
    let Some(model) = read::read(&document, &mut Findings::default()) else { return Vec::new() };
    let (mut line, mut seen) = (1, 0);
    let mut lines = Vec::new();
    for rule in &model.rules {
        line += text.get(seen..rule.at).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        seen = rule.at;
        lines.push(line);
    }
    lines
}

fn inspect(text: &[u8], host: &Host, found: &mut Findings) -> Option<Policy> {
    if text.len() > MAX_BYTES {
        found.error("too-large", 0, || {
            format!("more than the {MAX_BYTES} bytes that are read of a profile; is this the right file?")
        });
        return None;
    }
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(SyntaxError { at, words }) => {
            found.error("json-syntax", at, || format!("not readable as JSON: {words}"));
            return None;
        }
    };
    let model = read::read(&document, found)?;
    if found.has_errors() {
        return None;
    }
    rules::check_text(&model, host, found);
    let resolved = resolve::resolve(&model, host, found)?;
    if found.has_errors() {
        return None;
    }
    rules::check_rules(&model, &resolved, host, found);
    let policy = start::policy_of(&resolved.profile, host);
    start::check(&model, &policy, host, found);
    start::check_pitfalls(&model, &policy, host, found);
    Some(policy)
}
