//! What `strace -f -c` says of a container, against what was counted.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

/// The calls that two ways of looking have of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Calls by name that strace saw.
    pub traced: usize,
    /// Those that were not counted, or less often than strace saw them: there must be none.
    pub missed: Vec<String>,
}

/// Reads the table of `strace -c`: calls by name.
pub fn parse_summary(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("------"));
    lines.next().context("no table in what strace wrote")?;
    let mut calls = BTreeMap::new();
    for line in lines.take_while(|line| !line.starts_with("------")) {
        // % time, seconds, usecs/call, calls, [errors], syscall
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(count), Some(name)) = (words.get(3), words.last()) else { continue };
        let count = count.parse().with_context(|| format!("parsing strace's line {line:?}"))?;
        calls.insert((*name).to_owned(), count);
    }
    ensure!(!calls.is_empty(), "strace's table is empty");
    Ok(calls)
}

/// Holds strace's numbers against those counted in the same container. More may have been counted there, never less:
/// strace itself runs in it, and so does the runtime before the program.
#[must_use]
pub fn compare(traced: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Compared {
    let missed = traced.iter().filter_map(|(name, &calls)| {
        let here = counted.get(name).copied().unwrap_or(0);
        (here < calls).then(|| format!("{name} ({here} of {calls})"))
    });
    Compared { traced: traced.len(), missed: missed.collect() }
}
