//! Names from outside (containers, images, labels) made safe to print.
//!
//! Whoever may start a container chooses its labels and image name: an escape sequence in one must not reach the
//! terminal, the log or the metrics of the operator, and ten kilobytes of it must not fill the screen.

use std::fmt::Write as _;

/// Most characters of a name that tables show; `--no-trunc` lifts it.
pub const NAME_WIDTH: usize = 48;

/// Most characters of a name in metric labels and messages.
pub const LABEL_WIDTH: usize = 256;

/// Whether a character can be printed as it is: no control characters, and no invisible or direction-changing ones.
fn is_plain(character: char) -> bool {
    !(character.is_control()
        || matches!(character, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{feff}')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(character, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

/// The text with everything that is not plainly printable written as an escape (`\n`, `\u{1b}`).
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character) {
            out.push(character);
        } else if matches!(character, '\n' | '\r' | '\t') {
            out.extend(character.escape_default());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
    }
    out
}

/// [`printable`], and no more than `width` characters; what was cut is marked by `…`.
#[must_use]
pub fn capped(text: &str, width: usize) -> String {
    // Escapes only ever lengthen a text, so the first `width + 1` characters decide.
    let head: String = text.chars().take(width + 1).collect();
    let safe = printable(&head);
    if safe.chars().count() <= width {
        return safe;
    }
    safe.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_whatever_they_hold() {
        for (raw, expected) in [
            ("web-1", "web-1"),
            ("naïve/ünïcode", "naïve/ünïcode"),
            ("\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("two\nlines\tand\rmore", "two\\nlines\\tand\\rmore"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("del\u{7f}c1\u{9b}", "del\\u{7f}c1\\u{9b}"),
        ] {
            assert_eq!(printable(raw), expected);
        }
    }

    #[test]
    fn long_names_are_cut_and_marked() {
        assert_eq!(capped("abcdef", 6), "abcdef");
        assert_eq!(capped("abcdefg", 6), "abcde…");
        assert_eq!(capped(&"x".repeat(10_000), 48).chars().count(), 48);
        assert_eq!(capped("abcd\n", 5), "abcd…");
    }
}
