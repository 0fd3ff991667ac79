//! Prometheus metrics, made from a snapshot at each scrape.
//!
//! No number lives here between scrapes: what the daemon forgets (a container that is gone for good) is gone from the
//! next scrape too. What is not known has no sample; a zero is a measured zero.

mod budget;
mod collect;
mod definitions;

use std::time::Duration;

use prometheus::{Encoder as _, TextEncoder};
use thiserror::Error;

use crate::report::snapshot::Snapshot;

pub use definitions::{ALL, Definition, Kind, render_reference};

/// The content type of [`render`]'s text, exactly.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How metrics are rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether calls and errors are told apart by syscall; without it they are sums (`syscall="other"`). Denials keep
    /// their syscalls.
    pub per_syscall: bool,
    /// Most series with a label `syscall`, over all containers.
    pub max_syscall_series: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { per_syscall: true, max_syscall_series: 20_000 }
    }
}

/// Why there is no text.
#[derive(Debug, Error)]
#[error("writing the metrics as text: {0}")]
pub struct RenderError(#[from] prometheus::Error);

/// The text of one scrape; `gathering` is how long it took to get the snapshot.
///
/// # Errors
/// Only if a family breaks the format's rules, which tests exclude.
pub fn render(snapshot: &Snapshot, options: &Options, gathering: Duration) -> Result<Vec<u8>, RenderError> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&collect::families(snapshot, options, gathering), &mut text)?;
    Ok(text)
}
