//! `-o json`: arrays of objects, one trailing line break, nothing else.

use serde::Serialize;

/// The objects as an indented JSON array.
///
/// # Errors
/// When a value has no JSON form, which those of [`crate::report::view`] always have.
pub fn array<T: Serialize>(objects: &[T]) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(objects).map(|text| text + "\n")
}
