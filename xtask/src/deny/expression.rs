//! Licence expressions, as SPDX has them: `MIT OR (Apache-2.0 WITH LLVM-exception AND Zlib)`, and `MIT/Apache-2.0` of old.

/// Whether licences that are allowed are enough. What cannot be read is not.
pub fn holds(text: &str, allowed: &impl Fn(&str) -> bool) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let result = either(&mut rest, allowed);
    result == Some(true) && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &impl Fn(&str) -> bool) -> Option<bool> {
    let mut result = both(rest, allowed)?;
    while let Some((&"OR", behind)) = rest.split_first() {
        *rest = behind;
        result |= both(rest, allowed)?;
    }
    Some(result)
}

fn both(rest: &mut &[&str], allowed: &impl Fn(&str) -> bool) -> Option<bool> {
    let mut result = one(rest, allowed)?;
    while let Some((&"AND", behind)) = rest.split_first() {
        *rest = behind;
        result &= one(rest, allowed)?;
    }
    Some(result)
}

fn one(rest: &mut &[&str], allowed: &impl Fn(&str) -> bool) -> Option<bool> {
    let (word, behind) = rest.split_first()?;
    *rest = behind;
    if *word == "(" {
        let result = either(rest, allowed)?;
        let (&")", behind) = rest.split_first()? else { return None };
        *rest = behind;
        return Some(result);
    }
    // An exception gives more rights, and takes none.
    if let [exception, ..] = *rest
        && *exception == "WITH"
    {
        *rest = rest.get(2..)?;
    }
    Some(allowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_that_is_allowed_is_enough() {
        let allowed = |word: &str| ["MIT", "Zlib"].contains(&word);
        for text in
            ["MIT", "GPL OR MIT", "MIT/GPL", "MIT AND Zlib", "(GPL OR MIT) AND Zlib", "GPL WITH x OR MIT WITH y"]
        {
            assert!(holds(text, &allowed), "{text}");
        }
        for text in ["", "GPL", "MIT AND GPL", "(MIT OR GPL) AND GPL", "MIT GPL", "(MIT", "MIT OR", "MIT WITH"] {
            assert!(!holds(text, &allowed), "{text}");
        }
    }
}
