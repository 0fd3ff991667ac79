//! stdout: data alone, in the format, width and colour that fit.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::{Colour, Error, Format, Global};
use crate::report::json;
use crate::report::table::Style;

/// Narrowest and widest that lists are wrapped at.
const WIDTHS: (usize, usize) = (40, 120);

/// Where and how a command writes.
pub(super) struct Output {
    format: Format,
    pub(super) style: Style,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let colour = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                // https://no-color.org: set and not empty.
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && !refused && !dumb
            }
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = columns.unwrap_or(Style::default().width).clamp(WIDTHS.0, WIDTHS.1);
        Self { format: global.output, style: Style { colour, truncate: !global.no_trunc, width } }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes the objects as JSON, or the table made from them.
    pub(super) fn write<T: Serialize>(&self, objects: &[T], table: impl FnOnce(&Style) -> String) -> Result<(), Error> {
        self.write_text(&match self.format {
            Format::Table => table(&self.style),
            Format::Json => json::array(objects)?,
        })
    }

    /// Writes the objects as JSON, one a line, or the text made from them.
    pub(super) fn write_lines<T: Serialize>(
        &self,
        objects: &[T],
        text: impl FnOnce(&Style) -> String,
    ) -> Result<(), Error> {
        self.write_text(&match self.format {
            Format::Table => text(&self.style),
            Format::Json => json::lines(objects)?,
        })
    }

    /// Writes a text as it is.
    pub(super) fn write_text(&self, text: &str) -> Result<(), Error> {
        self.write_bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(super) fn write_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|source| Error::Write { what: "the answer".to_owned(), source })
    }
}

/// A note for people, on stderr. If nobody reads it, nothing is lost.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", crate::report::escape::printable(text));
}
