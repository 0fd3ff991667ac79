//! Files without end, and one byte more than may be read: each is refused in one line, soon, and named.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use auditor::bundle;

const ENDLESS: &str = "/dev/zero";

/// The one line that is said of it.
fn refused(args: &[&str]) -> String {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_auditor")).args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{args:?}: {said}");
    assert!(output.stdout.is_empty() && began.elapsed() < Duration::from_secs(60), "{args:?}: {:?}", began.elapsed());
    said
}

/// A file of so many bytes that takes no room.
fn sized(directory: &Path, name: &str, bytes: u64) -> String {
    let path = directory.join(name);
    File::create(&path).unwrap().set_len(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn configurations_are_read_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    for file in [ENDLESS.to_owned(), sized(directory.path(), "auditor.toml", (1 << 20) + 1)] {
        assert!(refused(&["check-config", &file]).contains(": more than 1048576 bytes"));
        assert!(refused(&["daemon", "--config", &file]).contains(": more than 1048576 bytes"));
    }
    let web = sized(directory.path(), "web.yml", (64 << 10) + 1);
    assert!(refused(&["check-config", "--web.config.file", &web]).contains(": more than 65536 bytes"));
    assert!(refused(&["check-config", "--web.config.file", ENDLESS]).contains("not a file"));
    // What it names as well.
    sized(directory.path(), "huge.pem", (1 << 20) + 1);
    fs::write(&web, "tls_server_config: {cert_file: huge.pem, key_file: huge.pem}\n").unwrap();
    assert!(refused(&["check-config", "--web.config.file", &web]).contains("huge.pem: more than 1048576 bytes"));
}

#[test]
fn profiles_and_evidence_are_read_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    for file in [ENDLESS.to_owned(), sized(directory.path(), "profile.json", (10 << 20) + 1)] {
        for verb in ["check", "explain", "merge"] {
            assert!(refused(&["profile", verb, &file]).contains("more than the 10 MiB"), "{verb}");
        }
    }
    assert!(refused(&["history", "import", ENDLESS]).contains("256 MiB"));
}

#[test]
fn bundles_are_read_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    sized(directory.path(), "config.json", (10 << 20) + 1);
    let error = bundle::read(directory.path()).unwrap_err().to_string();
    assert!(error.ends_with("config.json: more than 10485760 bytes"), "{error}");
}
