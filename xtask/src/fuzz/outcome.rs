//! What the fuzzer said when it was done, and the sum over its runs.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::work;

/// How one target fared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Inputs that were run.
    pub executions: u64,
    /// Seconds that took.
    pub seconds: u64,
    /// Edges of the program that were reached.
    pub edges: u64,
    /// Features: edges by how often, and comparisons.
    pub features: u64,
    /// Most memory, in megabytes.
    pub megabytes: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executions, seconds, edges, features, .. } = self;
        write!(f, "{executions} executions in {seconds} s, {edges} edges, {features} features")
    }
}

impl Outcome {
    /// Reads libFuzzer's log.
    pub fn parse(log: &str) -> Result<Self> {
        let after = |word: &str| -> Option<u64> {
            let at = log.rfind(word)?;
            log[at + word.len()..].split_whitespace().next()?.parse().ok()
        };
        let executions = after("stat::number_of_executed_units:").context("the fuzzer's log has no statistics")?;
        // One that was interrupted says only how many there were in a second.
        let by_speed = || executions.checked_div(after("stat::average_exec_per_sec:")?);
        Ok(Self {
            executions,
            seconds: duration(log).or_else(by_speed).unwrap_or(0),
            edges: after(" cov: ").unwrap_or(0),
            features: after(" ft: ").unwrap_or(0),
            megabytes: after("stat::peak_rss_mb:").unwrap_or(0),
        })
    }

    /// This and another run of the same target.
    pub fn and(self, other: Self) -> Self {
        Self {
            executions: self.executions + other.executions,
            seconds: self.seconds + other.seconds,
            edges: self.edges.max(other.edges),
            features: self.features.max(other.features),
            megabytes: self.megabytes.max(other.megabytes),
        }
    }
}

/// The logs of runs of a target that are not in the document yet.
pub fn logs(target: &str) -> Result<Vec<PathBuf>> {
    let directory = work().join("logs");
    let is_of = |name: &str| {
        let middle = name.strip_prefix(target).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".log"));
        middle.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut found = Vec::new();
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_of) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// `Done 1000 runs in 12 second(s)`; where the fuzzer stopped for a crash it does not say.
fn duration(log: &str) -> Option<u64> {
    let line = log.lines().rfind(|line| line.starts_with("Done "))?;
    line.split(" in ").nth(1)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzer_s_last_words_are_understood() {
        let log = "#1\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 40Mb\n\
            #100\tDONE   cov: 12 ft: 34 corp: 3/9b lim: 512 exec/s: 0 rss: 41Mb\nDone 100 runs in 2 second(s)\n\
            stat::number_of_executed_units: 100\nstat::peak_rss_mb:              41\n";
        let wanted = Outcome { executions: 100, seconds: 2, edges: 12, features: 34, megabytes: 41 };
        assert_eq!(Outcome::parse(log).unwrap(), wanted);
        assert!(Outcome::parse("it was killed").is_err());
    }
}
