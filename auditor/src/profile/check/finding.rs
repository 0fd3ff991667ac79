//! What is found, and the list that it is gathered in.

use serde::Serialize;

use crate::report::escape::printable;

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

/// So many findings of one severity are shown of a file; a hostile one has hundreds of thousands.
pub const MAX_SHOWN: usize = 200;

/// Findings by their place in bytes, not in order yet.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<(usize, Severity, &'static str, String)>,
    counts: [usize; 3],
}

impl Findings {
    /// Takes a finding; the message is made only if it is going to be shown. It quotes the file, and is one line all the
    /// same.
    pub(super) fn add(&mut self, severity: Severity, id: &'static str, at: usize, message: impl FnOnce() -> String) {
        let count = &mut self.counts[severity as usize];
        *count += 1;
        if *count <= MAX_SHOWN {
            self.found.push((at, severity, id, printable(&message())));
        }
    }

    pub(super) fn error(&mut self, id: &'static str, at: usize, message: impl FnOnce() -> String) {
        self.add(Severity::Error, id, at, message);
    }

    pub(super) fn warning(&mut self, id: &'static str, at: usize, message: impl FnOnce() -> String) {
        self.add(Severity::Warning, id, at, message);
    }

    pub(super) fn note(&mut self, id: &'static str, at: usize, message: impl FnOnce() -> String) {
        self.add(Severity::Note, id, at, message);
    }

    pub(super) const fn has_errors(&self) -> bool {
        self.counts[Severity::Error as usize] > 0
    }

    /// In the order of the text, with lines and columns.
    pub(super) fn finish(mut self, text: &[u8]) -> Vec<Finding> {
        for severity in [Severity::Error, Severity::Warning, Severity::Note] {
            let more = self.counts[severity as usize].saturating_sub(MAX_SHOWN);
            if more > 0 {
                let message = format!("{more} more findings of severity {} are not shown", severity.as_str());
                self.found.push((text.len(), severity, "more-findings", message));
            }
        }
        self.found.sort();
        let (mut line, mut column, mut at) = (1, 1, 0);
        let place = |(target, severity, id, message): (usize, Severity, &'static str, String)| {
            for byte in &text[at..target.min(text.len()).max(at)] {
                match byte {
                    b'\n' => (line, column) = (line + 1, 1),
                    // The later bytes of a character.
                    0x80..0xc0 => {}
                    _ => column += 1,
                }
            }
            at = at.max(target.min(text.len()));
            Finding { line, column, severity, id, message }
        };
        self.found.into_iter().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_characters() {
        let mut findings = Findings::default();
        for at in [9, 0, 5, 100] {
            findings.note("n", at, String::new);
        }
        let places: Vec<_> = findings.finish("aé\nbcdé\nf".as_bytes()).iter().map(|f| (f.line, f.column)).collect();
        assert_eq!(places, [(1, 1), (2, 2), (2, 5), (3, 2)]);
    }

    #[test]
    fn no_more_are_shown_than_anybody_reads() {
        let mut findings = Findings::default();
        let mut made = 0;
        for at in 0..1_000 {
            findings.warning("w", at, || {
                made += 1;
                String::new()
            });
        }
        findings.error("e", 5, String::new);
        let shown = findings.finish(&[b' '; 1_000]);
        assert_eq!((shown.len(), made), (MAX_SHOWN + 2, MAX_SHOWN));
        assert_eq!(
            shown.last().map(|last| last.message.as_str()),
            Some("800 more findings of severity warning are not shown")
        );
        assert!(shown.iter().any(|finding| finding.severity == Severity::Error));
    }
}
