//! What the daemon takes at one moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::auditord::Auditor;

/// One look at the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since it began.
    pub at: Duration,
    /// Resident memory, in kilobytes.
    pub rss: u64,
    /// Open file descriptors.
    pub fds: u64,
    /// Threads.
    pub threads: u64,
    /// Slots that somebody has.
    pub slots: u64,
    /// Series of a scrape.
    pub series: u64,
    /// Containers that the daemon knows, gone ones for as long as they are kept.
    pub known: u64,
    /// Entries of the kernel maps, by map.
    pub entries: BTreeMap<String, u64>,
    /// Bytes of the evidence store.
    pub store: u64,
}

impl Sample {
    /// Looks.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn take(auditor: &Auditor, at: Duration) -> Result<Self> {
        let process = Path::new("/proc").join(auditor.process().pid().to_string());
        let status = fs::read_to_string(process.join("status")).context("reading the daemon's status")?;
        let number = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).with_context(|| format!("no {name} in the daemon's status"))
        };
        let page = auditor.metrics()?;
        let samples = || page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        // These are whole numbers, and written as such.
        let whole = |text: &str| text.parse().unwrap_or(0);
        let slots = samples().find(|(series, _)| *series == "auditor_slots_used").map_or(0, |(_, value)| whole(value));
        let map = |series: &str| {
            let name = series.strip_prefix("auditor_map_entries{map=\"")?.strip_suffix("\"}")?;
            Some(name.to_owned())
        };
        let store = auditor.directory().join("state/evidence.redb");
        Ok(Self {
            at,
            rss: number("VmRSS:")?,
            fds: fs::read_dir(process.join("fd")).context("reading the daemon's descriptors")?.count() as u64,
            threads: number("Threads:")?,
            slots,
            series: samples().count() as u64,
            known: samples().filter(|(series, _)| series.starts_with("auditor_container_info{")).count() as u64,
            entries: samples().filter_map(|(series, value)| Some((map(series)?, whole(value)))).collect(),
            store: fs::metadata(store).map_or(0, |file| file.len()),
        })
    }
}
