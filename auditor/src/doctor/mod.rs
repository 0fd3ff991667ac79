//! Can this host be audited, and if not, why?
//!
//! Facts first, rules after: [`Facts::gather`] asks the host and judges nothing, [`findings`] judges and asks nothing,
//! so every rule is tested without a host that breaks it.

mod facts;
mod rules;

use serde::Serialize;

use crate::report::escape::printable;
use crate::report::table::{Align, Paint, Style, Table};

pub use facts::{Bundles, Cgroups, Clocks, Engine, Facts, Pinned, Places, State, Unit};
pub use rules::findings;

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in one or two words.
    pub check: &'static str,
    /// How it is.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The host can be audited, with something missing.
    Warn,
    /// The host cannot be audited.
    Fail,
}

/// The worst of the findings.
#[must_use]
pub fn worst(findings: &[Finding]) -> Status {
    findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok)
}

/// The findings for people, one line each.
#[must_use]
pub fn table(findings: &[Finding], style: &Style) -> String {
    let mut table = Table::new(&[("STATUS", Align::Left), ("CHECK", Align::Left), ("FOUND", Align::Left)]);
    for finding in findings {
        let (paint, word) = match finding.status {
            Status::Ok => (Paint::Plain, "ok"),
            Status::Warn => (Paint::Yellow, "warn"),
            Status::Fail => (Paint::Red, "FAIL"),
        };
        let found = match &finding.advice {
            Some(advice) => format!("{}: {advice}", finding.detail),
            None => finding.detail.clone(),
        };
        table.row(paint, vec![word.to_owned(), finding.check.to_owned(), printable(&found)]);
    }
    table.render(style)
}
