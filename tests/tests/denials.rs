//! `auditor denials` against real containers: who wanted what, what refused it, and that the advice works.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::auditord::{Auditor, binary};
use tests::engine::CgroupMode;
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::profile;
use tests::stage::Stage;

/// How long a follower may take to be told of what has happened.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lines of `denials -o json` of a container that the daemon may be about to learn of.
fn denials(auditor: &Auditor, container: &str) -> Result<Vec<Value>> {
    auditor.show(container)?;
    let (stdout, _) = auditor.run(&["denials", "-o", "json", container])?;
    stdout.lines().map(|line| serde_json::from_str(line).with_context(|| format!("parsing {line}"))).collect()
}

/// The lines about a call: libraries are refused `clone3`, whatever a program does.
fn about(auditor: &Auditor, container: &str, name: &str) -> Result<Vec<Value>> {
    let mut lines = denials(auditor, container)?;
    lines.retain(|line| line["name"] == name);
    Ok(lines)
}

/// The one line about a call.
fn one(auditor: &Auditor, container: &str, name: &str) -> Result<Value> {
    let lines = about(auditor, container, name)?;
    match lines.as_slice() {
        [line] => Ok(line.clone()),
        _ => anyhow::bail!("not one line about {name}: {lines:#?}"),
    }
}

fn count(lines: &[Value]) -> u64 {
    lines.iter().filter_map(|line| line["count"].as_u64()).sum()
}

/// Docker's default profile as the engine resolved it, without some calls.
fn without(stage: &Stage, names: &[&str]) -> Result<Value> {
    let mut profile = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut profile, names);
    Ok(profile)
}

/// A profile with the change that the advice tells of.
fn applied(profile: &Value, change: &Value) -> Result<Value> {
    let mut changed = profile.clone();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for removal in list(&change["remove"]) {
        let rule = usize::try_from(removal["rule"].as_u64().context("a rule's place")?)?;
        let names = changed["syscalls"][rule]["names"].as_array_mut().context("a rule's names")?;
        names.retain(|name| *name != removal["name"]);
    }
    for (key, additions) in [("architectures", &change["architectures"]), ("syscalls", &change["syscalls"])] {
        if changed[key].is_null() {
            changed[key] = json!([]);
        }
        changed[key].as_array_mut().context("a list")?.extend(list(additions));
    }
    Ok(changed)
}

/// A refused call is told with its arguments, and the advice, made a profile, lets the container do what it wanted.
fn the_advice_works(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let profile = without(stage, &["mkdir"])?;
    let option = profile::option(&profile.to_string(), dir.path(), "nomkdir")?;
    let script = ["/bin/sh", "-c", "mkdir /tmp/a; mkdir /tmp/b; exit 0"];
    stage.engine.client([&["run", "--name", "advised", &option, BUSYBOX], &script[..]].concat())?;
    let line = one(&stage.auditor, "advised", "mkdir")?;
    assert_eq!(line["count"], 2, "{line}");
    assert_eq!((&line["action"], &line["errno"]), (&json!("SCMP_ACT_ERRNO"), &json!(1)), "{line}");
    assert_eq!((&line["comm"], &line["abi"], &line["nr"]), (&json!("mkdir"), &json!("x86_64"), &json!(83)), "{line}");
    assert_eq!((&line["container"], &line["seen"]), (&json!("advised"), &json!(true)), "{line}");
    assert_eq!(line["id"].as_str(), Some(stage.engine.id("advised")?.as_str()));
    assert_eq!(line["arguments"][1], json!({"name": "mode", "text": "0777"}), "{line}");
    assert_eq!(line["args"].as_array().map(Vec::len), Some(2), "{line}");
    assert_eq!(line["decided_by"]["kind"], "default", "{line}");
    assert_eq!(line["advice"]["wanted"], "wanted to make a directory", "{line}");
    let (pid, inner) = (line["pid"].as_u64(), line["container_pid"].as_u64());
    ensure!(pid > inner && inner > Some(0) && line["tid"].as_u64() == pid, "{line}");

    let changed = applied(&profile, &line["advice"]["change"])?;
    let option = profile::option(&changed.to_string(), dir.path(), "advised")?;
    let script = ["/bin/sh", "-c", "mkdir /tmp/a && mkdir /tmp/b"];
    stage.engine.client([&["run", "--name", "heeded", &option, BUSYBOX], &script[..]].concat())?;
    assert_eq!(denials(&stage.auditor, "heeded")?, Vec::<Value>::new());

    // The same for a condition: a personality that the default does not let through.
    let args = ["wants", "135(40000)"];
    stage.groundtruth("persona", &[], &args)?;
    let line = one(&stage.auditor, "persona", "personality")?;
    assert_eq!(line["arguments"][0]["text"], "PER_LINUX|ADDR_NO_RANDOMIZE", "{line}");
    let changed = applied(&profile::default_profile(&stage.engine)?, &line["advice"]["change"])?;
    let option = profile::option(&changed.to_string(), dir.path(), "persona")?;
    stage.groundtruth("persona2", &[&option], &args)?;
    assert_eq!(about(&stage.auditor, "persona2", "personality")?, Vec::<Value>::new());
    Ok(())
}

/// `show` ends with the last denials, and people are told in lines that no program can disturb.
fn what_people_see_is_whole_and_clean(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let option = profile::option(&without(stage, &["mkdir"])?.to_string(), dir.path(), "hostile")?;
    let script = "p=\"$(printf '/tmp/\\033[2J\\nz')\"; cp /groundtruth \"$p\" && \"$p\" work 83@1";
    stage.engine.client(["run", "--name", "hostile", &option, BUSYBOX, "/bin/sh", "-c", script])?;
    let line = one(&stage.auditor, "hostile", "mkdir")?;
    assert_eq!(line["comm"], "\u{1b}[2J\nz", "{line}");
    for args in [&["denials", "hostile"][..], &["denials", "--no-trunc"], &["show", "hostile"]] {
        let (text, _) = stage.auditor.run(args)?;
        ensure!(text.contains("\\u{1b}[2J\\nz["), "{text}");
        ensure!(text.chars().all(|one| one == '\n' || !one.is_control()), "{text:?}");
    }
    let shown = stage.auditor.show("hostile")?;
    let last = shown["last_denials"].as_array().context("no denials in show")?;
    ensure!(last.iter().any(|denial| denial["name"] == "mkdir"), "{last:#?}");
    ensure!(stage.auditor.ps()?.iter().all(|view| view.get("last_denials").is_none()), "ps is as it was");
    Ok(())
}

/// Each action, by each way of calling, is named as what it was.
fn every_action_is_named(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    // `getsid`, `times` and others that the libraries never call.
    let mut profile = without(stage, &["getsid", "times", "sysinfo", "getpgid", "syncfs"])?;
    let rule = |name: &str, action: &str| json!({"names": [name], "action": action});
    let rules = profile["syscalls"].as_array_mut().context("rules")?;
    rules.push(rule("getpgid", "SCMP_ACT_TRAP"));
    rules.push(rule("sysinfo", "SCMP_ACT_KILL_PROCESS"));
    rules.push(rule("times", "SCMP_ACT_KILL_THREAD"));
    rules.push(json!({"names": ["syncfs"], "action": "SCMP_ACT_TRACE"}));
    let kill_process = rules.len() - 3;
    let option = profile::option(&profile.to_string(), dir.path(), "actions")?;
    let rows = [
        ("errno", "124(5)", "getsid", "SCMP_ACT_ERRNO", "denied"),
        ("thread", "100(0)", "times", "SCMP_ACT_KILL_THREAD", "killed"),
        ("trace", "306(1)", "syncfs", "SCMP_ACT_TRACE", "denied"),
        ("trap", "121(1)", "getpgid", "SCMP_ACT_TRAP", "killed"),
        ("process", "99(0)", "sysinfo", "SCMP_ACT_KILL_PROCESS", "killed"),
        ("compat", "i386:147(7)", "getsid", "SCMP_ACT_ERRNO", "denied"),
        ("x32", "x32:124(9)", "getsid", "SCMP_ACT_ERRNO", "denied"),
    ];
    for (container, wish, name, action, outcome) in rows {
        let line = ["run", "--name", container, &option, BUSYBOX, "/groundtruth", "wants", wish];
        // Some of them die of it.
        stage.engine.output(line)?;
        let line = one(&stage.auditor, container, name)?;
        assert_eq!((line["action"].as_str(), line["outcome"].as_str()), (Some(action), Some(outcome)), "{line}");
        assert_eq!(line["decided_by"]["kind"], if action == "SCMP_ACT_ERRNO" { "default" } else { "rule" }, "{line}");
        assert_eq!(line["count"], 1, "{line}");
        ensure!(line["advice"]["change"].is_object(), "{line}");
    }
    assert_eq!(one(&stage.auditor, "compat", "getsid")?["abi"], "i386");
    assert_eq!(one(&stage.auditor, "x32", "getsid")?["abi"], "x32");
    assert_eq!(one(&stage.auditor, "process", "sysinfo")?["decided_by"]["rules"], json!([kill_process]));
    Ok(())
}

/// Threads that a filter ends one by one, all of them told or counted; and whole processes.
fn sudden_deaths_are_told(stage: &Stage) -> Result<()> {
    stage.groundtruth("threads", &[], &["die", "kill_thread", "50", "company", "124"])?;
    let lines = about(&stage.auditor, "threads", "getsid")?;
    assert_eq!(count(&lines), 50, "{lines:#?}");
    ensure!(lines.iter().all(|line| line["action"] == "SCMP_ACT_KILL_THREAD"), "{lines:#?}");
    // The program's own filter did it, and the profile has nothing to do with it.
    ensure!(
        lines.iter().filter(|line| line["seen"] == true).all(|line| line["decided_by"]["kind"] == "another_filter")
    );
    stage.groundtruth("processes", &[], &["die", "kill_process", "5", "124"])?;
    let lines = about(&stage.auditor, "processes", "getsid")?;
    assert_eq!(count(&lines), 5, "{lines:#?}");
    assert_eq!(lines[0]["outcome"], "killed");
    Ok(())
}

/// What a program's supervisor answers is told as that, and is no denial.
fn what_a_supervisor_answers_is_told_as_that(stage: &Stage) -> Result<()> {
    stage.groundtruth("supervised", &[], &["supervise", "errno:5", "124*3"])?;
    let lines = about(&stage.auditor, "supervised", "getsid")?;
    assert_eq!(count(&lines), 3, "{lines:#?}");
    for line in &lines {
        assert_eq!((&line["outcome"], &line["action"]), (&json!("answered"), &json!("SCMP_ACT_NOTIFY")), "{line}");
        assert_eq!((&line["errno"], &line["advice"]["change"]), (&json!(5), &Value::Null), "{line}");
    }
    Ok(())
}

/// What a profile logs and lets through is told as what it would deny; what it allows is not told.
fn a_logging_profile_tells_what_it_would_deny(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut profile = without(stage, &["getsid"])?;
    profile["defaultAction"] = json!("SCMP_ACT_LOG");
    profile.as_object_mut().context("a profile")?.remove("defaultErrnoRet");
    let option = profile::option(&profile.to_string(), dir.path(), "logging")?;
    stage.groundtruth_once_known("logging", &[&option], &["work", "124*3", "39*5"])?;
    let line = one(&stage.auditor, "logging", "getsid")?;
    assert_eq!((&line["outcome"], &line["action"]), (&json!("would_be_denied"), &json!("SCMP_ACT_LOG")), "{line}");
    assert_eq!(line["count"], 3, "{line}");
    ensure!(line["advice"]["remedy"].as_str().is_some_and(|text| text.starts_with("before the profile enforces, ")));
    let rows = stage.auditor.rows("logging")?;
    let row = &rows[&("x86_64".to_owned(), 124)];
    assert_eq!((row.calls, row.denied), (3, 0), "a logged call is no denial: {row:?}");
    Ok(())
}

/// A storm in one container is told in bounds, exactly; and takes nothing from another.
fn a_storm_is_counted_and_disturbs_nobody(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let option = profile::option(&without(stage, &["getsid", "mkdir"])?.to_string(), dir.path(), "storm")?;
    let run =
        ["run", "--detach", "--name", "storm", &option, BUSYBOX, "/groundtruth", "work", "--threads=2", "124*500000"];
    stage.engine.client(run)?;
    stage.engine.client(["run", "--name", "quiet", &option, BUSYBOX, "/bin/sh", "-c", "mkdir /tmp/a; exit 0"])?;
    let line = one(&stage.auditor, "quiet", "mkdir")?;
    assert_eq!((&line["count"], &line["seen"]), (&json!(1), &json!(true)), "{line}");
    stage.engine.client(["wait", "storm"])?;
    let lines = about(&stage.auditor, "storm", "getsid")?;
    assert_eq!(count(&lines), 1_000_000, "{lines:#?}");
    let all = denials(&stage.auditor, "storm")?;
    assert_eq!(stage.auditor.show("storm")?["denials"], count(&all));
    ensure!(lines.len() == 2 && lines.iter().any(|line| line["seen"] == false), "{lines:#?}");
    let page = stage.auditor.metrics()?;
    ensure!(page.contains("auditor_lost_events_total{reason=\"denial_not_seen\"}"), "{page}");
    Ok(())
}

/// A command that follows.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(socket: &Path, container: &str) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("--socket").arg(socket).args(["denials", "--follow", "-o", "json", container]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines })
    }

    /// The next line, but for those about `clone3`.
    fn next(&mut self) -> Result<Value> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).context("nothing more is told")?;
            let parsed: Value = serde_json::from_str(&line).with_context(|| format!("parsing {line:?}"))?;
            if parsed["name"] != "clone3" {
                return Ok(parsed);
            }
        }
    }

    /// Lines until they stand for so many refusals.
    fn until(&mut self, refusals: u64) -> Result<Vec<Value>> {
        let mut lines = Vec::new();
        while count(&lines) < refusals {
            lines.push(self.next()?);
        }
        assert_eq!(count(&lines), refusals, "{lines:#?}");
        Ok(lines)
    }

    /// Ends it as Ctrl-C does; what it noted.
    fn interrupt(&mut self) -> Result<String> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
        let mut stderr = String::new();
        self.child.stderr.take().context("no stderr")?.read_to_string(&mut stderr)?;
        self.child.wait()?;
        Ok(stderr)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // One that was interrupted is gone already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What is past comes first, then what comes, within a tenth of a second; and nothing twice.
fn a_follower_sees_what_happens_when_it_happens(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let option = profile::option(&without(stage, &["mkdir"])?.to_string(), dir.path(), "follow")?;
    stage.engine.client([
        "run",
        "--detach",
        "--name",
        "followed",
        &option,
        BUSYBOX,
        "/bin/busybox",
        "sleep",
        "1000",
    ])?;
    let mkdir = |mode: u32| {
        let wish = format!("83(0,{mode:x})");
        stage.engine.client(["exec", "followed", "/groundtruth", "wants", &wish]).map(drop)
    };
    mkdir(0o700)?;
    mkdir(0o700)?;
    stage.auditor.show("followed")?;
    let mut follower = Follower::start(&stage.auditor.socket(), "followed")?;
    let past = follower.until(2)?;
    assert_eq!(past.len(), 1, "{past:#?}");
    mkdir(0o701)?;
    let told = follower.next()?;
    let told_at = jiff::Timestamp::now();
    let happened: jiff::Timestamp = told["time"].as_str().context("a time")?.parse()?;
    assert_eq!((&told["arguments"][1]["text"], &told["count"]), (&json!("0701"), &json!(1)), "{told}");
    let took = told_at.duration_since(happened);
    ensure!(took < jiff::SignedDuration::from_millis(100), "it took {took}");
    // A storm is folded, and no refusal is told twice or never.
    stage.engine.output(["exec", "followed", "/groundtruth", "work", "83@1*100000"])?;
    let storm = follower.until(100_000)?;
    ensure!(storm.len() < 20, "{} lines for one storm", storm.len());
    assert_eq!(follower.interrupt()?, "");
    stage.engine.client(["rm", "--force", "followed"])?;
    Ok(())
}

tests::on_both! {
    the_advice_works
    what_people_see_is_whole_and_clean
    every_action_is_named
    sudden_deaths_are_told
    what_a_supervisor_answers_is_told_as_that
    a_logging_profile_tells_what_it_would_deny
    a_storm_is_counted_and_disturbs_nobody
    a_follower_sees_what_happens_when_it_happens
}

/// A follower goes on when the daemon is started anew, and says so.
#[test]
fn a_follower_survives_a_restart_of_the_daemon() -> Result<()> {
    let mut stage = Stage::new(CgroupMode::Unified)?;
    let dir = tempfile::tempdir()?;
    let option = profile::option(&without(&stage, &["mkdir"])?.to_string(), dir.path(), "restart")?;
    let run = ["run", "--detach", "--name", "lasting", &option, BUSYBOX, "/bin/busybox", "sleep", "1000"];
    stage.engine.client(run)?;
    stage.auditor.show("lasting")?;
    let mut follower = Follower::start(&stage.auditor.socket(), "lasting")?;
    let mkdir = |stage: &Stage| stage.engine.output(["exec", "lasting", "/bin/busybox", "mkdir", "/tmp/x"]).map(drop);
    mkdir(&stage)?;
    assert_eq!(follower.next()?["name"], "mkdir");
    stage.auditor.process_mut().restart()?;
    wait_for("the new daemon", Duration::from_secs(60), || {
        Ok(stage.auditor.get("/readyz").is_ok_and(|answer| answer.status == 200).then_some(()))
    })?;
    stage.auditor.show("lasting")?;
    let began = Instant::now();
    mkdir(&stage)?;
    let told = follower.next()?;
    assert_eq!((&told["name"], &told["container"]), (&json!("mkdir"), &json!("lasting")), "{told}");
    ensure!(began.elapsed() < Duration::from_secs(20));
    let notes = follower.interrupt()?;
    ensure!(notes.contains("waiting for the daemon\n") && notes.contains("another daemon answers"), "{notes}");
    Ok(())
}

/// Two containers at a time, both told of, each as its own.
#[test]
fn denials_of_all_containers_are_each_told_as_its_own() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    for name in ["first", "second"] {
        stage.groundtruth(name, &[], &["wants", "250(1)"])?;
        stage.auditor.show(name)?;
    }
    let (stdout, _) = stage.auditor.run(&["denials", "-o", "json"])?;
    let lines: Vec<Value> = stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let about = lines.iter().filter(|line| line["name"] == "keyctl");
    let containers: BTreeSet<&str> = about.filter_map(|line| line["container"].as_str()).collect();
    ensure!(containers.contains("first") && containers.contains("second"), "{containers:?}");
    Ok(())
}
