//! Prints the targets, one JSON object a line, for `cargo xtask fuzz`.

use fuzz::ALL;

fn main() {
    for target in ALL {
        let (name, reads, law, max_len) = (target.name, target.reads, target.law, target.max_len);
        println!("{}", serde_json::json!({ "name": name, "reads": reads, "law": law, "max_len": max_len }));
    }
}
