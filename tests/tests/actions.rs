//! Every action of seccomp(2), by a container's own profile: what was refused is counted as refused, with the action and
//! the errno, and nothing else is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::auditord::{Row, rows};
use tests::engine::{CRUN, LISTENER, RUNC};
use tests::groundtruth::{self, Key, compare};
use tests::process::wait_for;
use tests::profile;
use tests::stage::Stage;

/// Calls that neither the C library nor the runtime makes, by the action that a profile has for them. The names mean
/// these numbers: getsid 124, 147; getpgid 121, 132; getpgrp 111, 65; times 100, 43; sched_get_priority_max 146, 159.
fn every_action() -> Value {
    json!([
        {"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
        {"names": ["getpgrp"], "action": "SCMP_ACT_TRAP"},
        {"names": ["times"], "action": "SCMP_ACT_TRACE"},
        {"names": ["sched_get_priority_max"], "action": "SCMP_ACT_LOG"},
        {"names": ["sched_get_priority_min"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
            "args": [{"index": 0, "value": 99, "op": "SCMP_CMP_EQ"}]},
        {"names": ["sched_get_priority_min"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 99, "op": "SCMP_CMP_NE"}]},
    ])
}

/// What the above does to calls of the three conventions.
const GIVEN: [&str; 13] = [
    "--given=124=errno:13",
    "--given=i386:147=errno:13",
    "--given=x32:124=errno:13",
    "--given=121=errno:0",
    "--given=i386:132=errno:0",
    "--given=x32:121=errno:0",
    "--given=111=trap",
    "--given=i386:65=trap",
    "--given=x32:111=trap",
    "--given=100=trace",
    "--given=i386:43=trace",
    "--given=x32:100=trace",
    "--given=147@99=errno:5",
];

const CALLS: [&str; 18] = [
    "124*5",
    "i386:147*6",
    "x32:124*7",
    "121*8",
    "i386:132*9",
    "x32:121*10",
    "111*11",
    "i386:65*12",
    "x32:111*13",
    "100*14",
    "i386:43*15",
    "x32:100*16",
    "146@1*17",
    "i386:159@1*18",
    "x32:146@1*19",
    "147@99*20",
    "147@1*21",
    "140*22",
];

/// The option for Docker's default profile with these rules in the place of what it has for the same names.
fn option(stage: &Stage, dir: &Path, rules: &Value) -> Result<String> {
    let mut profile = profile::default_profile(&stage.engine)?;
    let list = rules.as_array().context("a list of rules")?;
    let names: Vec<&str> =
        list.iter().flat_map(|rule| rule["names"].as_array().into_iter().flatten()).filter_map(Value::as_str).collect();
    profile::forbid(&mut profile, &names);
    profile["syscalls"].as_array_mut().context("no rules")?.extend(list.iter().cloned());
    profile::option(&profile.to_string(), dir, "actions")
}

/// What was refused, but for what the C library tries first to make a thread.
fn denied(rows: &BTreeMap<Key, Row>) -> Vec<(&str, u64)> {
    let list = rows.iter().filter(|(_, row)| row.denied > 0).map(|(key, _)| (key.0.as_str(), key.1));
    list.filter(|key| *key != ("x86_64", 435)).collect()
}

/// The actions that a program survives, in threads and processes, and a filter of its own on top.
fn refusals_are_counted_with_their_actions(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let option = option(stage, dir.path(), &every_action())?;
    for (name, runtime) in [("survived", &[][..]), ("survivedcrun", &[CRUN][..])] {
        let ways = ["work", "--threads=2", "--forks=3", "--clones=2", "--vforks=2", "--filter=140=errno:7"];
        let line = [&ways[..], &GIVEN, &CALLS].concat();
        let issued = groundtruth::parse(&stage.groundtruth(name, &[runtime, &[&option]].concat(), &line)?)?;
        let shown = stage.auditor.settled(name)?;
        let rows = rows(&shown)?;
        compare(&rows, &issued, true).with_context(|| name.to_owned())?;
        let by = |abi: &str, nr| {
            let row = rows.get(&(abi.to_owned(), nr)).cloned().unwrap_or_default();
            (row.verdict, row.action.unwrap_or_default(), row.errno)
        };
        let is = |verdict: &str, action: &str, errno| (verdict.to_owned(), format!("SCMP_ACT_{action}"), errno);
        for (abi, nr, expected) in [
            ("x86_64", 124, is("denied", "ERRNO", Some(13))),
            ("i386", 147, is("denied", "ERRNO", Some(13))),
            ("x32", 124, is("denied", "ERRNO", Some(13))),
            ("x86_64", 121, is("denied", "ERRNO", Some(0))),
            ("i386", 65, is("denied", "TRAP", None)),
            ("x32", 111, is("denied", "TRAP", None)),
            ("x86_64", 100, is("denied", "TRACE", Some(38))),
            ("i386", 43, is("denied", "TRACE", Some(38))),
            ("x86_64", 147, is("conditional", "ERRNO", Some(5))),
        ] {
            ensure!(by(abi, nr) == expected, "{name}: {abi} {nr}: {:?}, not {expected:?}", by(abi, nr));
        }
        // What is logged runs, and what only a filter of the program's own refused the profile allows.
        ensure!(by("x86_64", 146).0 == "allowed" && by("x86_64", 140).0 == "allowed", "{name}");
        let expected =
            [("i386", 43), ("i386", 65), ("i386", 132), ("i386", 147), ("x32", 100), ("x32", 111), ("x32", 121)];
        let native = [100, 111, 121, 124, 140, 147].map(|nr| ("x86_64", nr));
        ensure!(denied(&rows) == [&expected[..], &[("x32", 124)], &native].concat(), "{name}: {:?}", denied(&rows));
    }
    Ok(())
}

/// The actions that end somebody: a process alone, with other threads, and one thread of many.
fn deaths_are_counted_with_their_actions(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let rules = json!([
        {"names": ["getsid"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["getpgid"], "action": "SCMP_ACT_KILL_THREAD"},
        {"names": ["times"], "action": "SCMP_ACT_KILL"},
        {"names": ["getpgrp"], "action": "SCMP_ACT_TRAP"},
    ]);
    let option = option(stage, dir.path(), &rules)?;
    for (name, action, company, calls) in [
        ("killed", "kill_process", &[][..], &["124", "i386:147", "x32:124"][..]),
        ("killedincompany", "kill_process", &["company"], &["124", "i386:147"]),
        ("killedalone", "kill_thread", &[], &["121", "100"]),
        ("killedofmany", "kill_thread", &["company"], &["121", "i386:132", "x32:121", "100"]),
        ("trapped", "trap", &[], &["111", "i386:65"]),
    ] {
        let line = [&["die", action, "7"][..], company, &["given"], calls].concat();
        let issued = groundtruth::parse(&stage.groundtruth(name, &[&option], &line)?)?;
        let rows = stage.auditor.rows(name)?;
        compare(&rows, &issued, true).with_context(|| name.to_owned())?;
        ensure!(denied(&rows).len() == calls.len(), "{name}: {:?}", denied(&rows));
        for (key, _) in issued.iter().filter(|(_, issued)| issued.denied > 0) {
            let row = &rows[key];
            ensure!(row.denied == 7 && row.calls == 0 && row.verdict == "denied", "{name}: {key:?}: {row:?}");
            let expected = format!("SCMP_ACT_{}", action.to_uppercase());
            ensure!(row.action.as_deref() == Some(&expected), "{name}: {key:?}: {row:?}, not {expected}");
        }
    }
    Ok(())
}

/// A supervisor outside the container, which gets the listener from the runtime.
struct Supervisor(Child);

impl Supervisor {
    fn start(socket: &Path, answer: &str) -> Result<Self> {
        let mut command = Command::new(groundtruth::program()?);
        let supervisor = Self(command.arg("listen").arg(socket).arg(answer).spawn().context("starting a supervisor")?);
        wait_for("the supervisor", Duration::from_secs(10), || Ok(socket.exists().then_some(())))?;
        Ok(supervisor)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// `SCMP_ACT_NOTIFY`: who decides is not in the container. An answer is no denial, whatever it says.
fn a_supervisor_s_answers_are_no_denials(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let option = option(stage, dir.path(), &json!([{"names": ["getsid"], "action": "SCMP_ACT_NOTIFY"}]))?;
    for (number, (answer, reached)) in
        [("errno:13", 0), ("value:7", 0), ("errno:1", 0), ("continue", 9)].into_iter().enumerate()
    {
        let runtime = if number % 2 == 0 { RUNC } else { CRUN };
        let socket = dir.path().join(format!("listener{number}"));
        let _supervisor = Supervisor::start(&socket, answer)?;
        let (name, variable) = (format!("asked{number}"), format!("--env={LISTENER}={}", socket.display()));
        stage.groundtruth(&name, &[runtime, &variable, &option], &["work", "124*9", "121*4"])?;
        let shown = stage.auditor.settled(&name)?;
        let rows = rows(&shown)?;
        let row = rows.get(&("x86_64".to_owned(), 124)).cloned().unwrap_or_default();
        ensure!((row.calls, row.denied) == (reached, 0), "{answer} by {runtime}: {row:?}");
        ensure!(rows[&("x86_64".to_owned(), 121)].calls == 4);
        ensure!(denied(&rows).is_empty(), "{answer} by {runtime}: {:?}", denied(&rows));
    }
    Ok(())
}

tests::on_both! {
    refusals_are_counted_with_their_actions
    deaths_are_counted_with_their_actions
    a_supervisor_s_answers_are_no_denials
}
