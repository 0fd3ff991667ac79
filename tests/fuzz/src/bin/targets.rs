//! Prints the targets, one JSON object a line, for `cargo xtask fuzz`.

use fuzz::{ALL, Sanitizer};

fn main() {
    for target in ALL {
        let sanitizer = match target.sanitizer {
            Sanitizer::Address => "address",
            Sanitizer::Leak => "leak",
        };
        println!(
            "{}",
            serde_json::json!({
                "name": target.name, "reads": target.reads, "law": target.law, "max_len": target.max_len,
                "sanitizer": sanitizer,
            })
        );
    }
}
