//! What is wrong with a profile as a text: what engine and runtime refuse, and what they pass over without a word.

use serde::Serialize;

use super::docker::{Target, parse_docker};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No container starts with it, or it is no profile.
    Error,
    /// It does not do what it says, or what it says does harm.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The spelling used in JSON and in lines for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing that was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// Which kind of finding: does not change between versions.
    pub id: &'static str,
    /// What, where, and what to do.
    pub message: String,
}

/// Checks a profile for a host and a container.
#[must_use]
pub fn check(bytes: &[u8], target: &Target) -> Vec<Finding> {
    let result = parse_docker(bytes).and_then(|profile| profile.resolve(target));
    let finding = |message| Finding { line: 1, column: 1, severity: Severity::Error, id: "refused", message };
    result.err().map(|error| finding(error.to_string())).into_iter().collect()
}
