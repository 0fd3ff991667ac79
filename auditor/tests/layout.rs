//! Maps of one layout number are alike: a daemon reads what another version's programs counted by that number alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use auditor_ebpf::LAYOUT;

/// Constants that say what a number in a map means.
const MEANINGS: [&str; 9] =
    ["ABI_", "CLASS_", "REFUSED_", "LOGGED", "LOST_", "NATIVE_", "FOREIGN_NRS", "NR_OUTSIDE", "COMERS_"];

/// A source without comments and attributes, an item a line.
fn items(path: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../auditor-ebpf/src").join(path);
    let text = fs::read_to_string(&path).unwrap();
    let mut found = Vec::new();
    let mut item = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("//") || line.starts_with("#[") || line.starts_with("#!") {
            continue;
        }
        item += line;
        item.push(' ');
        if item.matches('{').count() == item.matches('}').count() && (line.ends_with(';') || line.ends_with('}')) {
            found.push(std::mem::take(&mut item).trim_end().to_owned());
        }
    }
    found
}

#[test]
fn a_layout_that_has_changed_has_another_number() {
    let is_told = |item: &String| {
        item.starts_with("pub struct")
            || item.strip_prefix("pub const ").is_some_and(|rest| MEANINGS.iter().any(|name| rest.starts_with(name)))
    };
    let mut layout = String::new();
    for item in items("lib.rs").iter().filter(|item| is_told(item)) {
        writeln!(layout, "{item}").unwrap();
    }
    for item in items("maps.rs").iter().filter(|item| item.starts_with("pub static")) {
        writeln!(layout, "{item}").unwrap();
    }
    assert!(layout.contains("pub static NATIVE:") && layout.contains("pub struct NativeCounts"), "{layout}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/layout-{LAYOUT}.txt"));
    match fs::read_to_string(&path) {
        // What was released under a number stays what it is: there is no recording it anew.
        Ok(recorded) => assert!(layout == recorded, "the maps have changed: raise LAYOUT in auditor-ebpf/src/lib.rs"),
        Err(_) => {
            let records = std::env::var_os("AUDITOR_RECORD").is_some();
            assert!(records, "{} is not there: AUDITOR_RECORD=1 cargo test writes it", path.display());
            fs::write(&path, layout).unwrap();
        }
    }
}
