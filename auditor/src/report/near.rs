//! Did you mean: names that look like a mistyped one.

use crate::report::escape::{LABEL_WIDTH, capped};

/// Most names that are offered.
const OFFERED: usize = 3;

/// The names that look most like the word, safe to print.
#[must_use]
pub fn near(names: impl IntoIterator<Item = impl AsRef<str>>, word: &str) -> Vec<String> {
    // The distance is quadratic in the length, and nobody mistypes a name of a thousand characters.
    const LONGEST: usize = 64;
    // Every name contains the empty word.
    if word.is_empty() || word.len() > LONGEST {
        return Vec::new();
    }
    let length = word.chars().count();
    let limit = (length / 3).clamp(1, 3);
    let rank = |name: &str| if name.contains(word) { 0 } else { distance(name, word) };
    // The difference of the lengths is a bound of the distance, and costs nothing.
    let may_be = |name: &str| name.chars().count().abs_diff(length) <= limit || name.contains(word);
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .filter(|name| name.as_ref().len() <= LONGEST && may_be(name.as_ref()))
        .map(|name| (rank(name.as_ref()), name.as_ref().to_owned()))
        .filter(|(rank, _)| *rank <= limit)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(OFFERED).map(|(_, name)| capped(&name, LABEL_WIDTH)).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) that turn one text into the other, in whatever case.
fn distance(left: &str, right: &str) -> usize {
    strsim::osa_distance(&left.to_ascii_lowercase(), &right.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_understood() {
        let names = ["mkdir", "mkdirat", "mknod", "ptrace"];
        assert_eq!(near(names, "mkdri"), ["mkdir"]);
        assert_eq!(near(names, "ptrce"), ["ptrace"]);
        assert!(near(names, "nanosleep").is_empty());
        assert!(near(names, "").is_empty());
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        for (left, right, edits) in [("web", "wbe", 1), ("web", "web", 0), ("", "abc", 3), ("nginx", "ngnix", 1)] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
