//! What a check found, as lines that editors know: `FILE:LINE:COLUMN: severity: message [id]`.

use std::fmt::Write as _;

use serde::Serialize;

use super::escape::printable;
use super::table::{Paint, Style};
use crate::profile::check::{Finding, Severity};

/// A finding with its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFinding {
    /// As it was typed, or `stdin`.
    pub file: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// One line a finding.
#[must_use]
pub fn lines(findings: &[FileFinding], style: &Style) -> String {
    let mut text = String::new();
    for FileFinding { file, finding } in findings {
        let paint = match finding.severity {
            Severity::Error => Paint::Red,
            Severity::Warning => Paint::Yellow,
            Severity::Note => Paint::Dim,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}:{}:{}: {}: {} [{}]",
            printable(file),
            finding.line,
            finding.column,
            style.paint(paint, finding.severity.as_str()),
            printable(&finding.message),
            finding.id
        );
    }
    text
}
