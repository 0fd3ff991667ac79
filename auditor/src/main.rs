//! The `auditor` command and daemon.
fn main() {}
