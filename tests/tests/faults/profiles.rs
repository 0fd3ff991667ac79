//! Profiles that are wrong, as files and in the bundles of containers that run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditord::{self, Auditor};
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth::{self, compare};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;

/// A fault, its text, the finding, and whether a container can have been started with it.
struct Row {
    name: &'static str,
    text: String,
    finding: &'static str,
    starts: bool,
}

fn rows() -> Vec<Row> {
    let allow = |rules: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rules}]}}"#);
    let rule = |more: &str| format!(r#"{{"names": ["acct"], "action": "SCMP_ACT_ERRNO"{more}}}"#);
    let arg = |index: u32, op: &str| format!(r#", "args": [{{"index": {index}, "value": 1, "op": "{op}"}}]"#);
    let row = |name, finding, starts, text| Row { name, text, finding, starts };
    let large = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "x": "{}"}}"#, "x".repeat(10_000_000));
    vec![
        row("notjson", "json-syntax", false, "not JSON".to_owned()),
        row("megabytes", "unknown-field", true, large),
        row("deep", "json-syntax", false, "[".repeat(1_000_000)),
        row(
            "contradictory",
            "conflicting-actions",
            true,
            allow(&format!("{}, {}", rule(r#", "errnoRet": 38"#), rule(r#", "errnoRet": 13"#))),
        ),
        row(
            "conditions",
            "conflicting-conditions",
            false,
            allow(&[rule(&arg(0, "SCMP_CMP_EQ")), rule(&arg(0, "SCMP_CMP_EQ")).replace("ERRNO", "LOG")].join(", ")),
        ),
        row("action", "unknown-action", false, allow(&rule("").replace("SCMP_ACT_ERRNO", "SCMP_ACT_WHATEVER"))),
        row(
            "arch",
            "unknown-architecture",
            false,
            allow(&rule("")).replacen('{', r#"{"architectures": ["SCMP_ARCH_Z80"], "#, 1),
        ),
        row("operator", "unknown-operator", false, allow(&rule(&arg(0, "SCMP_CMP_ALMOST")))),
        row("callname", "unknown-syscall", true, allow(&rule("").replace("acct", r#"acct", "no_such_call"#))),
        row("bothnames", "name-and-names", true, allow(&rule(r#", "name": "acct""#))),
        row(
            "errno",
            "errno-without-effect",
            true,
            allow(&format!(
                "{}, {}",
                rule(""),
                rule(r#", "errnoRet": 3"#).replace("acct", "mkdir").replace("ERRNO", "LOG")
            )),
        ),
        row("index", "argument-index", false, allow(&rule(&arg(6, "SCMP_CMP_EQ")))),
    ]
}

/// In an address space of 2 GB, of which a debug build needs the most for itself.
#[test]
fn each_fault_of_a_profile_has_its_finding_within_bounds() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("profile.json");
    let duplicate = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "action": "SCMP_ACT_LOG"}]}"#;
    let duplicate = Row { name: "duplicate", text: duplicate.to_owned(), finding: "duplicate-key", starts: true };
    for row in rows().iter().chain([&duplicate]) {
        std::fs::write(&file, &row.text)?;
        let asked = Instant::now();
        let mut command = Command::new("prlimit");
        command.arg("--as=2000000000").arg(auditord::binary()?).args(["profile", "check", "--output=json"]).arg(&file);
        let output = command.output()?;
        let took = asked.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        let found: Vec<Value> = serde_json::from_str(&said).with_context(|| {
            format!("{}: {} {said} {}", row.name, output.status, String::from_utf8_lossy(&output.stderr))
        })?;
        ensure!(
            found.iter().any(|finding| finding["id"] == row.finding),
            "{}: no {} in {found:?}",
            row.name,
            row.finding
        );
        ensure!(output.status.code() == Some(1), "{}: {}", row.name, output.status);
        ensure!(took < Duration::from_secs(5) && said.len() < 100_000, "{}: {took:?}, {} bytes", row.name, said.len());
    }
    // More than anybody's profile has is not read.
    std::fs::write(&file, " ".repeat(40_000_000))?;
    let output = Command::new(auditord::binary()?).args(["profile", "check"]).arg(&file).output()?;
    tests::ending::one_line(&output, tests::ending::ERROR, &["profile.json", "MiB"])
}

/// A container's bundle that somebody spoiled after its start: what is declared is what can be read, and no more.
#[test]
fn a_bundle_with_a_faulty_profile_is_unknown_where_it_cannot_be_read() -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    let rows = rows();
    for row in &rows {
        engine.client(["run", "--detach", "--name", row.name, BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
        spoil(&engine.bundle(row.name)?.join("config.json"), &row.text).with_context(|| row.name)?;
    }
    let auditor = Auditor::start(&engine.host(), &[])?;
    for row in &rows {
        let issued = groundtruth::parse(&engine.client(["exec", row.name, "/groundtruth", "work", "124*9"])?)?;
        let shown = wait_for("the engine's word", Duration::from_secs(20), || {
            let shown = auditor.show(row.name)?;
            Ok((shown["state"] == "running" && shown["effective"]["mode"] == "filter").then_some(shown))
        })?;
        // What is counted does not depend on it.
        compare(&auditord::rows(&shown)?, &issued, true).with_context(|| row.name)?;
        if row.starts {
            ensure!(shown["allowed"].as_u64().is_some_and(|allowed| allowed > 300), "{}: {shown}", row.name);
            // It is another one than the kernel has.
            ensure!(shown["effective"]["matches_declared"] != true, "{}: {}", row.name, shown["effective"]);
            continue;
        }
        for field in ["allowed", "conditional", "denied", "unused"] {
            ensure!(shown[field].is_null(), "{}: {field} is {}", row.name, shown[field]);
        }
        let output = auditor.output(&["suggest", row.name])?;
        tests::ending::one_line(&output, tests::ending::ERROR, &["profile"]).with_context(|| row.name)?;
    }
    ensure!(auditor.get("/readyz")?.status == 200, "{}", auditor.get("/readyz")?.body);
    Ok(())
}

/// Puts a text in the place of the profile in a bundle, which is not JSON any more where that is not.
fn spoil(config: &Path, profile: &str) -> Result<()> {
    let mut spec: Value = serde_json::from_slice(&std::fs::read(config)?)?;
    spec["linux"]["seccomp"] = Value::from("THE PROFILE");
    let text = spec.to_string().replacen("\"THE PROFILE\"", profile, 1);
    std::fs::write(config, text).context("spoiling a bundle's configuration")
}
