//! What the kernel enforces on containers of a real engine, and why it is not what was declared.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auditor::effective;
use auditor::filter::Program;
use auditor::profile::{HostArch, oci};
use serde_json::{Value, json};
use tests::auditord::Auditor;
use tests::engine::{self, CgroupMode, Engine};
use tests::groundtruth;
use tests::image::{self, BUSYBOX};
use tests::process::{Guarded, Ward, wait_for};
use tests::profile;
use tests::stage::Stage;

const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "1000"];
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a container that sleeps.
fn sleeper(engine: &Engine, name: &str, options: &[&str]) -> Result<()> {
    engine.client([&["run", "--detach", "--name", name][..], options, &[BUSYBOX], &SLEEP].concat())?;
    Ok(())
}

/// Waits until the daemon gives these alarming reasons for a container, and no others; gives what `show` said.
fn wait_for_reasons(auditor: &Auditor, container: &str, reasons: &[&str]) -> Result<Value> {
    let mut last = Value::Null;
    let found = wait_for("the reasons", PATIENCE, || {
        last = auditor.show(container)?;
        let matches = last["effective"]["matches_declared"] == Value::Bool(reasons.is_empty());
        // Until the filters were read and compared, less is known.
        let unknown = last["effective"]["reasons"].to_string().contains("effective-unknown");
        Ok((matches && !unknown && alarming(&last) == reasons).then_some(()))
    });
    found.with_context(|| format!("wanted {reasons:?}, found {}", last["effective"]))?;
    Ok(last)
}

fn alarming(shown: &Value) -> Vec<String> {
    let reasons = shown["effective"]["reasons"].as_array();
    let alarming = reasons.into_iter().flatten().filter(|reason| reason["alarming"] == true);
    alarming.filter_map(|reason| reason["reason"].as_str().map(str::to_owned)).collect()
}

/// What `filter` says.
fn filter(auditor: &Auditor, args: &[&str]) -> Result<Value> {
    let (text, _) = auditor.run(&[&["filter", "--output=json"], args].concat())?;
    let mut list: Vec<Value> = serde_json::from_str(&text)?;
    list.pop().context("auditor filter gave nothing")
}

fn row<'a>(stack: &'a Value, abi: &str, name: &str) -> Result<&'a Value> {
    let rows = stack["syscalls"].as_array().context("no calls in a stack")?;
    let row = rows.iter().find(|row| row["abi"] == abi && row["name"] == name);
    row.with_context(|| format!("no {name} by {abi}"))
}

fn a_confined_container(mode: CgroupMode) -> Result<()> {
    let stage = Stage::shared(mode)?;
    sleeper(&stage.engine, "plain", &[])?;
    let shown = wait_for_reasons(&stage.auditor, "plain", &[])?;
    // Docker's default names calls up to a number, and runc answers for the rest: no reason for alarm.
    assert_eq!(shown["effective"]["reasons"][0]["reason"], "runtime-stub", "{}", shown["effective"]);
    let enforced = filter(&stage.auditor, &["plain"])?;
    assert_eq!(enforced["matches_declared"], true);
    assert_eq!(enforced["filters"].as_array().map(Vec::len), Some(1), "{}", enforced["filters"]);
    assert_eq!(enforced["filters"][0]["is_declared"], true);
    let stacks = enforced["stacks"].as_array().context("no stacks")?;
    ensure!(stacks.len() == 1, "{} stacks", stacks.len());
    for verdict in ["allowed", "conditional", "denied"] {
        let rows = stacks[0]["syscalls"].as_array().into_iter().flatten();
        let count = rows.filter(|row| row["abi"] == "x86_64" && row["verdict"] == verdict).count();
        assert_eq!(shown[verdict], count, "{verdict}: what the filter does is what the profile says");
    }
    assert_eq!(row(&stacks[0], "x86_64", "mkdir")?["verdict"], "allowed");
    assert_eq!(row(&stacks[0], "x86_64", "mount")?["errno"], 1);
    assert_eq!(row(&stacks[0], "x86_64", "clone3")?["errno"], 38);
    let clone = row(&stacks[0], "x86_64", "clone")?;
    assert_eq!(clone["verdict"], "conditional");
    assert_eq!(clone["cases"][0]["when"], json!(["arg0 & 0x7e020000 == 0"]), "{clone}");

    // The bytes are the whole filter: they do what the declared profile says, for every call and argument.
    let raw = stage.auditor.output(&["filter", "--raw", "plain"])?;
    assert!(raw.status.success(), "{}", String::from_utf8_lossy(&raw.stderr));
    let program = Program::parse(&raw.stdout)?;
    assert_eq!(enforced["filters"][0]["instructions"], program.instructions().len());
    let config: Value = serde_json::from_slice(&fs::read(stage.engine.bundle("plain")?.join("config.json"))?)?;
    let declared = oci::parse_seccomp(config["linux"]["seccomp"].to_string().as_bytes())?;
    let differences = effective::differences(&declared.evaluate(HostArch::NATIVE), &program);
    assert_eq!(differences, Ok(Vec::new()));
    let (listing, _) = stage.auditor.run(&["filter", "--disassemble", "plain"])?;
    ensure!(listing.contains("mkdir"), "{listing}");
    stage.engine.client(["rm", "--force", "plain"])?;
    Ok(())
}

#[test]
fn a_confined_container_is_under_its_profile_unified() -> Result<()> {
    a_confined_container(CgroupMode::Unified)
}

#[test]
fn a_confined_container_is_under_its_profile_hybrid() -> Result<()> {
    a_confined_container(CgroupMode::Hybrid)
}

#[test]
fn filters_that_a_program_stacks_are_told_apart_and_named_with_who_has_them() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    sleeper(&stage.engine, "stacked", &[])?;
    wait_for_reasons(&stage.auditor, "stacked", &[])?;
    // getsid gets errno 5 from the program's own filter, in all its threads.
    let line = ["exec", "--detach", "stacked", "/groundtruth", "inflight", "3", "20000", "124=errno:5"];
    stage.engine.client(line)?;
    let shown = wait_for_reasons(&stage.auditor, "stacked", &["stacked-filter"])?;
    let text = shown["effective"]["reasons"][0]["text"].as_str().unwrap_or_default();
    ensure!(text.contains("(groundtruth)"), "{text}");
    let enforced = filter(&stage.auditor, &["stacked", "getsid", "getpid"])?;
    let stacks = enforced["stacks"].as_array().context("no stacks")?;
    ensure!(stacks.len() == 2, "{} stacks: {enforced}", stacks.len());
    let of = |filters: usize| stacks.iter().find(|stack| stack["filters"].as_array().map(Vec::len) == Some(filters));
    let (alone, both) = (of(1).context("no stack of one")?, of(2).context("no stack of two")?);
    assert_eq!(row(alone, "x86_64", "getsid")?["verdict"], "allowed");
    let refused = row(both, "x86_64", "getsid")?;
    assert_eq!((&refused["verdict"], &refused["errno"]), (&json!("denied"), &json!(5)), "{refused}");
    // A task's filters are listed newest first, and it is the newest that refuses.
    assert_eq!(refused["filter"], both["filters"][0], "{refused}");
    assert_eq!(row(both, "x86_64", "getpid")?["verdict"], "allowed");
    let tasks = both["tasks"].as_array().context("no tasks")?;
    ensure!(tasks.len() >= 3 && tasks.iter().all(|task| task["comm"] == "groundtruth"), "{tasks:?}");
    let declared: Vec<&Value> = enforced["filters"].as_array().into_iter().flatten().collect();
    assert_eq!(declared.iter().filter(|filter| filter["is_declared"] == true).count(), 1, "{declared:?}");

    // A refusal by such a filter is told with its number.
    let again = "while true; do mkdir /tmp/never; sleep 0.1; done";
    let line =
        ["exec", "--detach", "stacked", "/groundtruth", "under", "83=errno:7", "--", "/bin/busybox", "sh", "-c", again];
    stage.engine.client(line)?;
    let denial = wait_for("the filter of a denial", PATIENCE, || {
        let (text, _) = stage.auditor.run(&["denials", "--output=json", "stacked"])?;
        let denials = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(denials.into_iter().find(|denial| denial["decided_by"]["filter"].is_u64()))
    })?;
    assert_eq!((&denial["name"], &denial["errno"]), (&json!("mkdir"), &json!(7)), "{denial}");
    assert_eq!(denial["decided_by"]["kind"], "another_filter", "{denial}");

    let several = stage.auditor.output(&["filter", "--raw", "stacked"])?;
    assert_eq!(several.status.code(), Some(2));
    ensure!(String::from_utf8_lossy(&several.stderr).contains("--filter N"));
    let ps = stage.auditor.run(&["ps"])?.0;
    ensure!(ps.contains("default! stacked-filter"), "{ps}");
    let metrics = stage.auditor.metrics()?;
    let mismatch = "auditor_seccomp_profile_mismatch_reason{image=\"busybox:latest\",name=\"stacked\",reason=\"stacked-filter\"} 1";
    ensure!(
        metrics.lines().any(|line| is_series(line, "stacked", "stacked-filter")),
        "{mismatch} is not in\n{metrics}"
    );
    stage.engine.client(["rm", "--force", "stacked"])?;
    Ok(())
}

fn is_series(line: &str, name: &str, reason: &str) -> bool {
    line.starts_with("auditor_seccomp_profile_mismatch_reason{")
        && line.contains(&format!("name=\"{name}\""))
        && line.contains(&format!("reason=\"{reason}\""))
        && line.ends_with(" 1")
}

#[test]
fn a_task_without_a_filter_in_a_confined_container_is_found() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    sleeper(&stage.engine, "entered", &[])?;
    wait_for_reasons(&stage.auditor, "entered", &[])?;
    // What an engine's privileged exec leaves in the container: a process in its cgroup, without its filter.
    let procs = stage.engine.cgroup("entered")?.join("cgroup.procs").display().to_string();
    let log = tempfile::NamedTempFile::new()?;
    let args = ["enter".to_owned(), procs, "/bin/busybox".to_owned(), "sleep".to_owned(), "1000".to_owned()];
    let bare = Guarded::start(groundtruth::program()?, &args, &Ward::default(), log.path())?;
    let shown = wait_for_reasons(&stage.auditor, "entered", &["unfiltered-task"])?;
    let text = shown["effective"]["reasons"][0]["text"].as_str().unwrap_or_default();
    ensure!(text.contains("no filter at all on 1 task"), "{text}");
    drop(bare);
    wait_for_reasons(&stage.auditor, "entered", &[])?;
    stage.engine.client(["rm", "--force", "entered"])?;
    Ok(())
}

#[test]
fn a_privileged_container_is_said_to_be_one_and_a_profile_it_ignores_is_an_alarm() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let options = engine::privileged()?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    sleeper(&stage.engine, "mighty", &options)?;
    let shown = wait_for_reasons(&stage.auditor, "mighty", &[])?;
    assert_eq!(shown["effective"]["reasons"][0]["reason"], "privileged", "{}", shown["effective"]);
    assert_eq!(filter(&stage.auditor, &["mighty"])?["stacks"][0]["filters"], json!([]));
    let dir = tempfile::tempdir()?;
    let given = profile::option(&profile::default_profile(&stage.engine)?.to_string(), dir.path(), "given")?;
    sleeper(&stage.engine, "deluded", &[&options[..], &[&given]].concat())?;
    // Engines differ in whether they honour it.
    if stage.engine.client(["exec", "deluded", "/bin/grep", "Seccomp:", "/proc/1/status"])?.ends_with('0') {
        wait_for_reasons(&stage.auditor, "deluded", &["privileged"])?;
    } else {
        wait_for_reasons(&stage.auditor, "deluded", &[])?;
    }
    stage.engine.client(["rm", "--force", "mighty", "deluded"])?;
    Ok(())
}

#[test]
fn calls_by_an_abi_that_the_profile_does_not_name_are_explained() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let mut narrow = profile::default_profile(&stage.engine)?;
    narrow["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    let dir = tempfile::tempdir()?;
    let option = profile::option(&narrow.to_string(), dir.path(), "narrow")?;
    sleeper(&stage.engine, "narrow", &[&option])?;
    wait_for_reasons(&stage.auditor, "narrow", &[])?;
    // The thread that makes the call ends; what waits for it goes with the container.
    stage.engine.client(["exec", "--detach", "narrow", "/groundtruth", "work", "i386:147*1"])?;
    wait_for_reasons(&stage.auditor, "narrow", &["foreign-abi"])?;
    stage.engine.client(["rm", "--force", "narrow"])?;
    Ok(())
}

#[test]
fn a_filter_that_is_not_the_declared_profiles_is_told_with_the_calls_that_differ() -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    sleeper(&engine, "other", &[])?;
    // As if the runtime had installed something else than its bundle says: the bundle says something else.
    let config = engine.bundle("other")?.join("config.json");
    let mut bundle: Value = serde_json::from_slice(&fs::read(&config)?)?;
    profile::forbid(&mut bundle["linux"]["seccomp"], &["mkdir", "ptrace"]);
    fs::write(&config, bundle.to_string())?;
    // The container was there before the daemon.
    let auditor = Auditor::start(&engine.host(), &[])?;
    let shown = wait_for_reasons(&auditor, "other", &["other-filter"])?;
    let text = shown["effective"]["reasons"][0]["text"].as_str().unwrap_or_default();
    ensure!(text.contains("mkdir is SCMP_ACT_ALLOW where the profile says SCMP_ACT_ERRNO (errno 1)"), "{text}");
    ensure!(text.contains("ptrace"), "{text}");
    Ok(())
}

#[test]
fn a_default_that_the_engine_has_changed_since_is_noticed() -> Result<()> {
    let mut engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    let mut changed = profile::default_profile(&engine)?;
    profile::forbid(&mut changed, &["mkdir"]);
    let at = |name: &str| engine.directory().join(name);
    fs::write(at("changed.json"), changed.to_string())?;
    configure(&at("daemon.json"), &json!({ "live-restore": true }))?;
    let settings = json!({ "live-restore": true, "seccomp-profile": at("changed.json") });
    let configuration = at("daemon.json");
    engine.restart()?;
    sleeper(&engine, "old", &[])?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    wait_for_reasons(&auditor, "old", &[])?;
    configure(&configuration, &settings)?;
    engine.restart()?;
    // By what the engine says of itself.
    let shown = wait_for_reasons(&auditor, "old", &["default-changed"])?;
    assert_eq!(shown["profile"]["kind"], "default", "{}", shown["profile"]);
    drop(auditor);
    // By a container that was started later, for a daemon that did not see the change.
    let auditor = Auditor::start(&engine.host(), &[])?;
    sleeper(&engine, "new", &[])?;
    wait_for_reasons(&auditor, "old", &["default-changed"])?;
    wait_for_reasons(&auditor, "new", &[])?;
    Ok(())
}

fn configure(file: &Path, settings: &Value) -> Result<()> {
    fs::write(file, settings.to_string()).with_context(|| format!("writing {}", file.display()))
}

#[test]
fn what_cannot_be_shown_is_one_clear_line() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    sleeper(&stage.engine, "shown", &[])?;
    wait_for_reasons(&stage.auditor, "shown", &[])?;
    stage.engine.client(["run", "--name", "ended", BUSYBOX, "/bin/true"])?;
    for (args, said) in [
        (vec!["shwon"], "did you mean shown"),
        (vec!["shown", "mkdri"], "did you mean mkdir"),
        (vec!["shown", "--raw", "--filter", "2"], "--filter 2: the container's tasks have 1"),
        (vec!["shown", "--disassemble", "--filter", "0"], "--filter 0"),
        (vec!["ended"], "no task of the container runs now"),
    ] {
        let output = stage.auditor.output(&[&["filter"], &args[..]].concat())?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!((stderr.lines().count(), output.stdout.len()), (1, 0), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    stage.engine.client(["rm", "--force", "shown", "ended"])?;
    Ok(())
}
