//! Bounded reading of JSON by the rules of Go's `encoding/json`, which is what reads profiles in the engine and the
//! runtime: keys match whatever their case, the last of two equal keys wins, null is the same as absent, unknown keys
//! are passed over. Keys that differ in case alone are refused: the later one counts, and which that is is lost here.

use serde_json::Value;

use super::ProfileError;

/// What is read at most. The largest real profiles have some 20 kB. Depth is bounded by `serde_json` (128).
pub const MAX_BYTES: usize = 10 << 20;

/// Parses a whole document.
pub(super) fn parse_document(bytes: &[u8]) -> Result<Value, ProfileError> {
    if bytes.len() > MAX_BYTES {
        return Err(ProfileError::TooLarge { size: bytes.len(), limit: MAX_BYTES });
    }
    serde_json::from_slice(bytes).map_err(|err| ProfileError::Json(err.to_string()))
}

/// A value and where it is in the document. Paths are spelled out only when something is wrong.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    value: Option<&'a Value>,
    at: Path<'a>,
}

#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Node<'a>, &'static str),
    Item(&'a Node<'a>, usize),
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value: present(Some(value)), at: Path::Root }
    }

    /// A field; one that is absent reads as empty everywhere.
    pub(super) fn field(&'a self, key: &'static str) -> Result<Self, ProfileError> {
        let value = match self.value {
            None => None,
            Some(Value::Object(map)) => {
                let mut same = map.iter().filter(|(name, _)| same_key(name, key)).map(|(_, value)| value);
                let value = same.next();
                if same.next().is_some() {
                    let field = Self { value: None, at: Path::Key(self, key) };
                    return Err(field.shape("one key, and there are several that differ in case alone; keep one"));
                }
                present(value)
            }
            Some(_) => return Err(self.shape("an object")),
        };
        Ok(Self { value, at: Path::Key(self, key) })
    }

    pub(super) fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    pub(super) fn items(&'a self) -> Result<impl Iterator<Item = Self>, ProfileError> {
        let items = match self.value {
            None => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => return Err(self.shape("a list")),
        };
        Ok(items.iter().enumerate().map(|(at, item)| Self { value: present(Some(item)), at: Path::Item(self, at) }))
    }

    pub(super) fn text(&self) -> Result<&'a str, ProfileError> {
        match self.value {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.shape("a string")),
        }
    }

    /// `None` for an absent or empty string.
    pub(super) fn optional_text(&self) -> Result<Option<String>, ProfileError> {
        self.text().map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, ProfileError> {
        self.items()?.map(|item| item.text().map(str::to_owned)).collect()
    }

    pub(super) fn number(&self) -> Result<Option<u64>, ProfileError> {
        match self.value {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| self.shape("a whole number from 0 to 2^64-1")),
        }
    }

    pub(super) fn shape(&self, expected: &'static str) -> ProfileError {
        ProfileError::Shape { path: self.path(), expected }
    }

    pub(super) fn refused(&self, reason: &'static str) -> ProfileError {
        ProfileError::Refused { path: self.path(), reason }
    }

    /// Reads one of the specification's words.
    pub(super) fn word<T>(&self, what: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ProfileError> {
        let text = self.text()?;
        parse(text).ok_or_else(|| {
            // Enough to recognise it by: the text is a stranger's and may have megabytes.
            let word = text.chars().take(64).collect();
            ProfileError::UnknownWord { path: self.path(), what, word }
        })
    }

    pub(super) fn path(&self) -> String {
        match self.at {
            Path::Root => "top level".to_owned(),
            Path::Key(Node { at: Path::Root, .. }, key) => key.to_owned(),
            Path::Key(parent, key) => format!("{}.{key}", parent.path()),
            Path::Item(parent, at) => format!("{}[{at}]", parent.path()),
        }
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// Keys are the same whatever their case, by Unicode's simple folding: the long s and the Kelvin sign are letters too.
pub(super) fn same_key(key: &str, field: &str) -> bool {
    let fold = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key == field || key.chars().map(fold).eq(field.chars().map(fold))
}
