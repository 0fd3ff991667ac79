//! What a container is called when nobody may be wrong about it: its 64-digit id, and its cgroup's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The engine's id of a container: 256 bits, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId([u8; 32]);

/// A text that is not a container id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a container id: 64 lower-case hex digits are wanted")]
pub struct NotAContainerId;

impl ContainerId {
    /// Digits in the written form.
    pub const DIGITS: usize = 64;
    /// Digits that people are shown, as by `docker ps`.
    pub const SHORT_DIGITS: usize = 12;

    /// Reads the written form.
    ///
    /// # Errors
    /// For anything but 64 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self, NotAContainerId> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(NotAContainerId);
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Ok(Self(bytes))
    }

    /// The first 12 digits, as `docker ps` shows them.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(Self::SHORT_DIGITS);
        text
    }

    /// Whether the id starts with these digits. The empty text is no prefix of any id.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        !prefix.is_empty() && prefix.len() <= Self::DIGITS && self.to_string().starts_with(prefix)
    }
}

fn digit(byte: u8) -> Result<u8, NotAContainerId> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(NotAContainerId),
    }
}

impl FromStr for ContainerId {
    type Err = NotAContainerId;

    fn from_str(text: &str) -> Result<Self, NotAContainerId> {
        Self::parse(text)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerId({self})")
    }
}

impl Serialize for ContainerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContainerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The kernel's 64-bit id of a cgroup in the default hierarchy: what `bpf_get_current_cgroup_id` returns. It is the
/// inode number of the cgroup's directory (`kernfs_node.id`, fs/kernfs/inode.c: `inode->i_ino = kernfs_ino(kn)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CgroupId(pub u64);

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn written_form_is_what_was_parsed() {
        let id = ContainerId::parse(ID).unwrap();
        assert_eq!(id.to_string(), ID);
        assert_eq!(id.short(), "0123456789ab");
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{ID}\""));
        assert_eq!(serde_json::from_str::<ContainerId>(&format!("\"{ID}\"")).unwrap(), id);
    }

    #[test]
    fn only_sixty_four_lower_case_hex_digits_are_an_id() {
        let upper = ID.to_uppercase();
        let longer = format!("{ID}0");
        for text in ["", "abc", &ID[1..], &upper, &longer, &ID.replace('0', "g"), &ID.replace("01", "é")] {
            assert_eq!(ContainerId::parse(text), Err(NotAContainerId), "{text}");
        }
    }

    #[test]
    fn prefix_is_a_start_of_the_written_form() {
        let id = ContainerId::parse(ID).unwrap();
        for (prefix, wanted) in [("0", true), ("0123456789ab", true), (ID, true), ("", false), ("1", false)] {
            assert_eq!(id.starts_with(prefix), wanted, "{prefix}");
        }
        assert!(!id.starts_with(&format!("{ID}0")));
    }
    proptest::proptest! {
        #[test]
        fn every_id_is_what_its_written_form_parses_to(bytes: [u8; 32]) {
            let id = ContainerId(bytes);
            proptest::prop_assert_eq!(ContainerId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn no_text_breaks_the_parser(text: String) {
            let _ = ContainerId::parse(&text);
        }
    }
}
