//! The story of the README, on unified and on hybrid control groups.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tests::auditord::{Row, rows};
use tests::engine::{privileged, program};
use tests::groundtruth::{self, Key};
use tests::image::{self, BUSYBOX, DEBIAN};
use tests::profile;
use tests::stage::Stage;

const MKDIR: u64 = 83;
const PTRACE: u64 = 101;
const PERSONALITY: u64 = 135;
const CLONE: u64 = 56;

fn native(nr: u64) -> Key {
    ("x86_64".to_owned(), nr)
}

/// How many rows of the native ABI a test holds for.
fn count(rows: &BTreeMap<Key, Row>, test: impl Fn(&Row) -> bool) -> u64 {
    rows.iter().filter(|(key, row)| key.0 == "x86_64" && test(row)).count() as u64
}

/// The value of one series of the metrics page.
fn metric(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let line = page.lines().find(|line| {
        let series = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{'));
        series.is_some_and(|rest| labels.iter().all(|(key, value)| rest.contains(&format!("{key}=\"{value}\""))))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// 1. Under the default profile `mkdir` works and is seen; most of what is allowed is not used.
fn mkdir_is_used_and_most_allowances_are_not(stage: &Stage) -> Result<()> {
    stage.engine.client(["run", "--name", "works", BUSYBOX, "/bin/mkdir", "/tmp/new"])?;
    let shown = stage.auditor.settled("works")?;
    let rows = rows(&shown)?;
    let mkdir = &rows[&native(MKDIR)];
    assert_eq!((mkdir.calls, mkdir.errors, mkdir.denied, mkdir.verdict.as_str()), (1, 0, 0, "allowed"));
    assert_eq!(shown["profile"]["kind"], "default", "{}", shown["profile"]);
    assert_eq!(shown["profile"]["source"], "bundle", "{}", shown["profile"]);
    assert_eq!(shown["window"]["complete"], true, "{}", shown["window"]);
    assert_eq!(shown["denials"], 0);
    let number = |name: &str| shown[name].as_u64().with_context(|| format!("no {name}"));
    let (allowed, used, unused) = (number("allowed")?, number("used")?, number("unused")?);
    // How many exactly depends on the engine's version: some 290 to 350.
    assert!((280..400).contains(&allowed), "{allowed} allowed");
    assert!(unused * 2 > allowed, "{unused} of {allowed} unused");
    assert!(used >= 10, "{used} used");
    assert_eq!(unused, count(&rows, |row| row.verdict == "allowed" && row.calls == 0));
    assert_eq!(used, count(&rows, |row| row.calls > 0));
    Ok(())
}

/// 2. Without `mkdir` in the profile every try is a denial, with its errno, in `show` and in the metrics.
fn mkdir_is_denied_as_often_as_it_was_tried(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut profile = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut profile, &["mkdir"]);
    let option = profile::option(&profile.to_string(), dir.path(), "nomkdir")?;
    let script = "for i in 1 2 3 4 5 6; do mkdir /tmp/$i; done";
    let output = stage.engine.output(["run", "--name", "denied", &option, BUSYBOX, "/bin/sh", "-c", script])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("Operation not permitted").count(), 6, "{said}");
    let shown = stage.auditor.settled("denied")?;
    assert_eq!(shown["profile"]["kind"], "custom", "{}", shown["profile"]);
    assert_eq!(shown["denials"], 6);
    let row = &rows(&shown)?[&native(MKDIR)];
    assert_eq!((row.calls, row.denied, row.verdict.as_str(), row.errno), (0, 6, "denied", Some(1)));
    assert_eq!(row.action.as_deref(), Some("SCMP_ACT_ERRNO"));
    let labels = [("name", "denied"), ("abi", "x86_64"), ("syscall", "mkdir"), ("action", "SCMP_ACT_ERRNO")];
    assert_eq!(metric(&stage.auditor.metrics()?, "auditor_seccomp_denials_total", &labels), Some(6.0));
    Ok(())
}

/// 3. Without `ptrace` in the profile `strace` fails in the container, and the reason is there to be read.
fn strace_fails_without_ptrace_and_the_denial_says_why(stage: &Stage) -> Result<()> {
    image::import_debian(&stage.engine)?;
    let dir = tempfile::tempdir()?;
    let mut profile = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut profile, &["ptrace"]);
    let option = profile::option(&profile.to_string(), dir.path(), "noptrace")?;
    let output = stage.engine.output(["run", "--name", "straced", &option, DEBIAN, "strace", "ls"])?;
    assert!(!output.status.success());
    let row = stage.auditor.rows("straced")?.remove(&native(PTRACE)).context("no row of ptrace")?;
    assert!(row.denied >= 1, "{row:?}");
    assert_eq!((row.calls, row.verdict.as_str(), row.errno), (0, "denied", Some(1)), "{row:?}");
    Ok(())
}

/// 4. For the same program `strace -c` and `auditor show` have the same calls and errors, with a filter and without.
fn show_agrees_with_strace(stage: &Stage) -> Result<()> {
    agrees_with_strace(stage, &[])?;
    // What `ls -l` asks of every file, and then does without.
    agrees_with_strace(stage, &["192=errno:95", "191=errno:95"])
}

/// Calls and errors by name. A call that a filter refuses is an error to strace, and a denial to us.
type Calls = BTreeMap<String, (u64, u64)>;

fn agrees_with_strace(stage: &Stage, rules: &[&str]) -> Result<()> {
    let groundtruth = groundtruth::program()?.display().to_string();
    let line = ["/bin/ls", "-lR", "/etc/apt", "/nonexistent"];
    let under = [&[groundtruth.as_str(), "under"][..], rules, &["--"]].concat();
    let under = if rules.is_empty() { &[] } else { &under[..] };
    stage.engine.client(["run", "--detach", "--name", "listing", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let nested = stage.engine.cgroup("listing")?.join("program");
    std::fs::create_dir(&nested).with_context(|| format!("making {}", nested.display()))?;
    let procs = nested.join("cgroup.procs").display().to_string();
    // The container sleeps: what grows is the program's alone.
    let before = calls_of_all(&stage.auditor.show("listing")?)?;
    let enter = [under, &[groundtruth.as_str(), "enter", &procs], &line].concat();
    let entered = Command::new(enter[0]).args(&enter[1..]).output()?;
    assert_eq!(entered.status.code(), Some(2), "{}", String::from_utf8_lossy(&entered.stderr));
    let shown = stage.auditor.show("listing")?;
    let mut counted = calls_of_all(&shown)?;
    stage.engine.client(["rm", "--force", "listing"])?;
    for (name, (calls, errors)) in before {
        let row = counted.entry(name).or_default();
        *row = (row.0 - calls, row.1 - errors);
    }
    counted.retain(|_, row| row.0 > 0);
    // These never return: strace does not count them.
    counted.remove("exit_group");

    let report = tempfile::NamedTempFile::new()?;
    let path = report.path().display().to_string();
    let strace = program("strace")?.display().to_string();
    let trace = [under, &[strace.as_str(), "-c", "-w", "-U", "calls,errors,name", "-o", &path], &line].concat();
    // Without an environment, as above: the program must meet the same world.
    Command::new(trace[0]).env_clear().args(&trace[1..]).output()?;
    let report = std::fs::read_to_string(&path)?;
    let mut traced = Calls::new();
    for row in report.lines() {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let (calls, errors, name) = match fields.as_slice() {
            [calls, name] => (calls, "0", *name),
            [calls, errors, name] => (calls, *errors, *name),
            _ => continue,
        };
        if let (Ok(calls), Ok(errors)) = (calls.parse::<u64>(), errors.parse::<u64>())
            && name != "total"
        {
            traced.insert(name.to_owned(), (calls, errors));
        }
    }
    traced.remove("exit_group");
    assert!(traced.len() > 10, "{report}");
    assert_eq!(counted, traced, "(calls, errors): auditor's, and strace's");
    let refused: u64 = rows(&shown)?.values().map(|row| row.denied).sum();
    assert_eq!(refused > 0, !rules.is_empty(), "{refused} refused");
    Ok(())
}

/// Calls and errors of all tasks, with a filter and without one.
fn calls_of_all(shown: &Value) -> Result<Calls> {
    let list = shown["syscalls"].as_array().context("no syscalls")?;
    let mut calls = Calls::new();
    for row in list {
        let number = |key: &str| row[key].as_u64().with_context(|| format!("no {key} in {row}"));
        let name = row["name"].as_str().context("no name")?.to_owned();
        let made = number("calls")? + number("unfiltered_calls")? + number("denied")?;
        let failed = number("errors")? + number("unfiltered_errors")? + number("denied")?;
        calls.insert(name, (made, failed));
    }
    Ok(calls)
}

/// 5. Unconfined, privileged and custom are told apart, and a condition is not an unused allowance.
fn kinds_are_right_and_conditions_are_not_unused(stage: &Stage) -> Result<()> {
    let kind = |name: &str, options: &[&str]| -> Result<Value> {
        let line = [&["run", "--detach", "--name", name][..], options, &[BUSYBOX, "/bin/busybox", "sleep", "1000"]];
        stage.engine.client(line.concat())?;
        let shown = stage.auditor.settled(name)?;
        stage.engine.client(["rm", "--force", name])?;
        Ok(shown)
    };
    let shown = kind("free", &["--security-opt=seccomp=unconfined"])?;
    assert_eq!((&shown["profile"]["kind"], &shown["effective"]["mode"]), (&"unconfined".into(), &"none".into()));
    let options = privileged()?;
    let shown = kind("mighty", &options.iter().map(String::as_str).collect::<Vec<_>>())?;
    assert_eq!((&shown["profile"]["kind"], &shown["effective"]["mode"]), (&"privileged".into(), &"none".into()));

    conditions_split_one_call(stage)?;

    let dir = tempfile::tempdir()?;
    let mut profile = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut profile, &["swapon", "mkdir"]);
    let shown = kind("conditions", &[&profile::option(&profile.to_string(), dir.path(), "conditions")?])?;
    assert_eq!((&shown["profile"]["kind"], &shown["effective"]["mode"]), (&"custom".into(), &"filter".into()));
    assert_eq!(shown["effective"]["filters"], 1, "{}", shown["effective"]);
    assert_eq!(shown["effective"]["matches_declared"], true, "{}", shown["effective"]);
    let rows = rows(&shown)?;
    let shown_of = |name: &str| {
        let mut list = shown["syscalls"].as_array().into_iter().flatten();
        list.find(|row| row["name"] == name && row["abi"] == "x86_64").cloned().unwrap_or_default()
    };
    for name in ["personality", "clone"] {
        let row = shown_of(name);
        // A row without calls is there for unused allowances alone.
        assert!(row.is_null() || row["verdict"] == "conditional", "{row}");
    }
    assert!(shown["conditional"].as_u64().is_some_and(|count| count >= 2), "{}", shown["conditional"]);
    let unused = count(&rows, |row| row.verdict == "allowed" && row.calls == 0);
    assert_eq!(shown["unused"].as_u64(), Some(unused));
    Ok(())
}

/// The default profile allows five personalities and no other, and `clone` without new namespaces: of one call some are
/// counted and some denied, each as often as it was made.
fn conditions_split_one_call(stage: &Stage) -> Result<()> {
    let allowed = ["135@4294967295*3", "135@0*2", "135@8*4", "135@131072", "135@131080*2"];
    let refused = ["135@67108864*2", "135@1*5", "135@262144*3"];
    stage.groundtruth("persons", &[], &[&["work"][..], &allowed, &refused].concat())?;
    let row = &stage.auditor.rows("persons")?[&native(PERSONALITY)];
    assert_eq!((row.calls, row.denied, row.verdict.as_str(), row.errno), (12, 10, "conditional", Some(1)), "{row:?}");

    // CLONE_NEWUSER, CLONE_NEWNS and CLONE_NEWPID, each with SIGCHLD.
    let refused = ["56@268435473*5", "56@131089*2", "56@536870929"];
    let mut rows = Vec::new();
    for (name, ways, calls) in [("alone", &["work"][..], &["124"][..]), ("clones", &["work", "--clones=6"], &refused)] {
        let calls = if name == "alone" { calls.to_vec() } else { [calls, &["124"]].concat() };
        stage.groundtruth(name, &[], &[ways, &calls].concat())?;
        rows.push(stage.auditor.rows(name)?[&native(CLONE)].clone());
    }
    let [alone, clones] = &rows[..] else { unreachable!("two containers") };
    // Each of the six children makes the refused calls as well.
    let made = (clones.calls - alone.calls, clones.denied - alone.denied, alone.denied);
    assert_eq!(made, (6, 8 * 7, 0), "{alone:?}, {clones:?}");
    assert_eq!((clones.verdict.as_str(), clones.errno), ("conditional", Some(1)), "{clones:?}");
    Ok(())
}

tests::on_both! {
    mkdir_is_used_and_most_allowances_are_not
    mkdir_is_denied_as_often_as_it_was_tried
    strace_fails_without_ptrace_and_the_denial_says_why
    show_agrees_with_strace
    kinds_are_right_and_conditions_are_not_unused
}
