//! Aligned columns, and colour where it was asked for.

use crate::report::escape::{NAME_WIDTH, capped, printable};

/// How text for people is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether escape sequences for colour may be used.
    pub colour: bool,
    /// Whether long names and ids are cut.
    pub truncate: bool,
    /// Columns that lists are wrapped at.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, truncate: true, width: 100 }
    }
}

impl Style {
    /// A name from outside, safe to print, cut where that is wanted.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        if self.truncate { capped(name, NAME_WIDTH) } else { printable(name) }
    }

    /// A container id: 12 digits, as the engine shows them, or all.
    #[must_use]
    pub fn id(&self, id: &str) -> String {
        if self.truncate { printable(id).chars().take(12).collect() } else { printable(id) }
    }

    /// The text in a colour, if there is to be any.
    #[must_use]
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            _ if !self.colour => return text.to_owned(),
            Paint::Bold => "1",
            Paint::Red => "31",
            Paint::Yellow => "33",
            Paint::Green => "32",
            Paint::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What a text's colour says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paint {
    /// Nothing.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Denied, failed.
    Red,
    /// Worth a look.
    Yellow,
    /// As it should be.
    Green,
    /// Of little weight.
    Dim,
}

/// Which side of its column a cell keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a header line. Cells must be printable already.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<(Paint, Vec<String>)>,
}

impl Table {
    /// A table with these headers, in upper case.
    #[must_use]
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell a column.
    pub fn row(&mut self, paint: Paint, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push((paint, cells));
    }

    /// The text, a line break after each line, no blanks at the end of any.
    #[must_use]
    pub fn render(&self, style: &Style) -> String {
        let width = |index: usize| {
            let cells = self.rows.iter().map(|(_, cells)| cells[index].chars().count());
            cells.chain([self.columns[index].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[&str]| {
            let mut line = String::new();
            for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let padding = " ".repeat(width - cell.chars().count());
                match align {
                    Align::Left => line.extend([cell, padding.as_str(), "  "]),
                    Align::Right => line.extend([padding.as_str(), cell, "  "]),
                }
            }
            line.truncate(line.trim_end().len());
            line
        };
        let headers: Vec<&str> = self.columns.iter().map(|(header, _)| *header).collect();
        let mut text = style.paint(Paint::Bold, &line(&headers)) + "\n";
        for (paint, cells) in &self.rows {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            text += &style.paint(*paint, &line(&cells));
            text.push('\n');
        }
        text
    }
}

/// Words separated by blanks, wrapped at `width` and indented by two.
#[must_use]
pub fn wrapped<'a>(words: impl IntoIterator<Item = &'a str>, width: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words {
        let length = word.chars().count();
        if column == 0 || column + 1 + length > width {
            if column > 0 {
                text.push('\n');
            }
            text.push_str("  ");
            column = 2;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    if column > 0 {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_in_no_blanks() {
        let mut table = Table::new(&[("NAME", Align::Left), ("CALLS", Align::Right), ("NOTE", Align::Left)]);
        table.row(Paint::Plain, vec!["ünï".to_owned(), "7".to_owned(), String::new()]);
        table.row(Paint::Red, vec!["longer".to_owned(), "1234567".to_owned(), "x".to_owned()]);
        assert_eq!(table.render(&Style::default()), "NAME      CALLS  NOTE\nünï           7\nlonger  1234567  x\n");
        let coloured = table.render(&Style { colour: true, ..Style::default() });
        assert!(coloured.contains("\x1b[31mlonger  1234567  x\x1b[0m\n"), "{coloured:?}");
    }

    #[test]
    fn lists_wrap_between_words() {
        assert_eq!(wrapped(["aaaa", "bbbb", "cccc"], 12), "  aaaa bbbb\n  cccc\n");
        assert_eq!(wrapped(["wider-than-the-line"], 5), "  wider-than-the-line\n");
        assert_eq!(wrapped([], 5), "");
    }
}
