//! Recorded outputs, for tests: `AUDITOR_RECORD=1 cargo test` writes them anew, and the diff is reviewed.

use std::{env, fs, path::Path};

/// Asserts that the output is what `auditor/tests/golden/NAME` holds.
pub(crate) fn assert_recorded(name: &str, output: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("AUDITOR_RECORD").is_some() {
        fs::write(&path, output).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(output, recorded, "{name} differs from what is recorded");
}
