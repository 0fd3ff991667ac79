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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::assert_recorded;
    use crate::profile::check::{Host, RuncVersion, check};
    use crate::profile::docker::{KernelVersion, Target};
    use crate::report::json;
    use crate::syscall::Abi;

    fn findings() -> Vec<FileFinding> {
        let text = include_bytes!("../../tests/data/check/everything.json");
        let capabilities = vec!["CAP_CHOWN".to_owned()];
        let target = Target { native: Abi::X86_64, kernel: KernelVersion(6, 1), capabilities, drops_oci_fields: false };
        let found = check(text, &Host { target, runc: RuncVersion(1, 1, 5) }).findings;
        found.into_iter().map(|finding| FileFinding { file: "everything\u{1b}.json".to_owned(), finding }).collect()
    }

    #[test]
    fn lines_and_objects_are_as_recorded() {
        let found = findings();
        assert_recorded("profile-check.txt", &lines(&found, &Style::default()));
        assert_recorded("profile-check.json", &json::array(&found).unwrap());
        let colour = lines(&found, &Style { colour: true, ..Style::default() });
        assert!(colour.contains(": \u{1b}[33mwarning\u{1b}[0m: "), "{colour}");
    }
}
