//! `-o json`: arrays of objects, one trailing line break, nothing else.

use serde::Serialize;

/// The objects one a line: for streams, and for lists that grow.
///
/// # Errors
/// As for [`array`].
pub fn lines<T: Serialize>(objects: &[T]) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for object in objects {
        text += &serde_json::to_string(object)?;
        text.push('\n');
    }
    Ok(text)
}

/// The objects as an indented JSON array.
///
/// # Errors
/// When a value has no JSON form, which those of [`crate::report::view`] always have.
pub fn array<T: Serialize>(objects: &[T]) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(objects).map(|text| text + "\n")
}
