//! What the fuzzer said when it was done, and the sum over its runs.

use std::fmt;
use std::fs;

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
        Ok(Self {
            executions: after("stat::number_of_executed_units:").context("the fuzzer's log has no statistics")?,
            seconds: duration(log).unwrap_or(0),
            edges: after(" cov: ").unwrap_or(0),
            features: after(" ft: ").unwrap_or(0),
            megabytes: after("stat::peak_rss_mb:").unwrap_or(0),
        })
    }

    /// All runs of a target up to now, if there were any.
    pub fn so_far(target: &str) -> Option<Self> {
        let text = fs::read_to_string(work().join("outcomes").join(target)).ok()?;
        let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
        let mut next = || numbers.next();
        Some(Self { executions: next()?, seconds: next()?, edges: next()?, features: next()?, megabytes: next()? })
    }

    /// Adds a run.
    pub fn add(&self, target: &str) -> Result<()> {
        let before = Self::so_far(target).unwrap_or_default();
        let directory = work().join("outcomes");
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let numbers = [
            before.executions + self.executions,
            before.seconds + self.seconds,
            before.edges.max(self.edges),
            before.features.max(self.features),
            before.megabytes.max(self.megabytes),
        ];
        let path = directory.join(target);
        fs::write(&path, numbers.map(|number| number.to_string()).join(" ") + "\n")
            .with_context(|| format!("writing {}", path.display()))
    }
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
