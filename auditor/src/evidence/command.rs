//! What tells apart the uses of one image.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes kept of a text somebody outside chose (names, images, labels). Docker's own limit for a name is lower.
pub const TEXT_LIMIT: usize = 256;

/// Bytes and words kept of a command line; one that has more is cut to these many words.
const LIMIT: usize = 2_048;
const WORDS: usize = 64;
const WORDS_SHOWN: usize = 8;

/// What an image is used for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A compose service, as `project/service`.
    Service(String),
    /// Entry point and arguments.
    Line(Vec<String>),
}

impl Command {
    /// The compose service, as `project/service`, where it is one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Service(service) => Some(service),
            Self::Line(_) => None,
        }
    }
}

/// A command line with a limit: what is cut away is still told from other command lines by its hash.
#[must_use]
pub fn short_line(words: Vec<String>) -> Vec<String> {
    if words.iter().map(String::len).sum::<usize>() <= LIMIT && words.len() <= WORDS {
        return words;
    }
    let mut hash = Sha256::new();
    for word in &words {
        hash.update(word.len().to_le_bytes());
        hash.update(word);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut short: Vec<String> = words.iter().take(WORDS_SHOWN).map(|word| capped(word)).collect();
    short.push(format!("... (sha256 {digest})"));
    short
}

/// At most 256 bytes of a text, cut between characters and marked where it was cut.
#[must_use]
pub fn capped(text: &str) -> String {
    if text.len() <= TEXT_LIMIT {
        return text.to_owned();
    }
    let mark = "...";
    let end = (0..=TEXT_LIMIT - mark.len()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_line_is_cut_and_still_told_from_others() {
        let words = |last: &str| short_line(vec!["sh".to_owned(), "-c".to_owned(), "x".repeat(5_000), last.to_owned()]);
        assert_eq!(words("a"), words("a"));
        assert_ne!(words("a"), words("b"));
        assert!(words("a").iter().map(String::len).sum::<usize>() < 1_000);
        assert!(short_line(vec![String::new(); 10_000]).len() < 20);
    }

    #[test]
    fn texts_from_outside_are_capped_between_characters() {
        assert_eq!(capped("short"), "short");
        let long = capped(&"é".repeat(5_000));
        assert!(long.len() <= TEXT_LIMIT && long.ends_with("é..."), "{long}");
    }
}
