//! Suggestions with conditions on arguments, those that only log, and the formats of others: by those who read them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::bundle::Bundles;
use tests::engine::{CRUN, CgroupMode};
use tests::image::BUSYBOX;
use tests::profile;
use tests::stage::Stage;

/// Sockets of two kinds, operations of prctl, ioctl and ptrace, memory that is read, a namespace for mounts.
const ASKED: [&str; 9] = [
    "41(1,1,0,0,0,0)",
    "41(2,80802,0,0,0,0)",
    "53(1,1,0,0,0,0)",
    "157(3,0,0,0,0,0)",
    "16(0,5401,0,0,0,0)",
    "101(11,0,0,0,0,0)",
    "10(0,0,1,0,0,0)",
    "135(ffffffff,0,0,0,0,0)",
    "272(20000,0,0,0,0,0)",
];

/// Netlink and a stream, another operation of each (TIOCSTI among them), executable memory, another namespace.
const NOT_ASKED: [&str; 9] = [
    "41(10,3,0,0,0,0)",
    "41(2,1,0,0,0,0)",
    "53(1,2,0,0,0,0)",
    "157(4,1,0,0,0,0)",
    "16(0,5412,0,0,0,0)",
    "101(4206,0,0,0,0,0)",
    "10(0,0,5,0,0,0)",
    "135(8,0,0,0,0,0)",
    "272(4000000,0,0,0,0,0)",
];

fn number(call: &str) -> Result<u64> {
    let (number, _) = call.split_once('(').context("a call")?;
    Ok(number.parse()?)
}

/// How often each of these calls was refused.
fn denied(stage: &Stage, container: &str) -> Result<BTreeMap<u64, u64>> {
    let rows = stage.auditor.rows(container)?;
    let ours = ASKED.iter().map(|call| number(call)).collect::<Result<Vec<u64>>>()?;
    Ok(ours.into_iter().map(|nr| (nr, rows.get(&("x86_64".to_owned(), nr)).map_or(0, |row| row.denied))).collect())
}

/// `show --args` has the sockets of [`ASKED`], and no others: neither runtime makes one under the filter.
fn sockets_are_shown_in_words(stage: &Stage, container: &str) -> Result<()> {
    let (shown, _) = stage.auditor.run(&["show", "--args", "-o", "json", container])?;
    let shown: Value = serde_json::from_str(&shown)?;
    let calls = shown[0]["arguments"].as_array().context("no arguments")?;
    let socket = calls.iter().find(|call| call["name"] == "socket").context("no socket")?;
    let expected = json!([
        {"args": {"family": 1, "type": 1}, "text": "family=AF_UNIX, type=SOCK_STREAM", "calls": 1},
        {"args": {"family": 2, "type": 0x80802}, "text": "family=AF_INET, type=SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC", "calls": 1},
    ]);
    ensure!(socket["values"] == expected && socket["overflowed"] == 0, "{socket}");
    let (table, _) = stage.auditor.run(&["show", "--args", container])?;
    ensure!(table.contains("family=AF_UNIX, type=SOCK_STREAM"), "{table}");
    Ok(())
}

fn only_what_was_asked_for_passes(stage: &Stage) -> Result<()> {
    for (runtime, options) in [("runc", &[][..]), ("crun", &[CRUN][..])] {
        let options = [options, &["--cap-add=SYS_ADMIN"]].concat();
        let (learn, same, more) = (format!("{runtime}-learn"), format!("{runtime}-same"), format!("{runtime}-more"));
        stage.groundtruth(&learn, &options, &[&["wants"][..], &ASKED].concat())?;
        sockets_are_shown_in_words(stage, &learn)?;
        let (suggestion, notes) = stage.auditor.run(&["suggest", "--args", &learn])?;
        let conditions =
            notes.lines().find(|note| note.starts_with("--args: what was not seen")).context(notes.clone())?;
        for name in ["ioctl", "mprotect", "personality", "prctl", "ptrace", "socket", "socketpair", "unshare"] {
            ensure!(conditions.contains(name), "{name}: {notes}");
        }
        let dir = tempfile::tempdir()?;
        let option = profile::option(&suggestion, dir.path(), &learn)?;
        let options = [&options[..], &[option.as_str()]].concat();
        let context = || format!("{runtime} under\n{suggestion}\n{notes}");
        stage.groundtruth(&same, &options, &[&["wants"][..], &ASKED].concat()).with_context(context)?;
        let refused = denied(stage, &same)?;
        ensure!(refused.values().all(|count| *count == 0), "{refused:?} {}", context());
        stage.groundtruth(&more, &options, &[&["wants"][..], &ASKED, &NOT_ASKED].concat()).with_context(context)?;
        let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
        for call in NOT_ASKED {
            *expected.entry(number(call)?).or_default() += 1;
        }
        ensure!(denied(stage, &more)? == expected, "{:?} {}", denied(stage, &more)?, context());
        // Other starts need other operations of the runtime.
        let busy = ["--user=1000:1000", "--cap-drop=ALL"];
        for (name, extra) in [("user", &busy[..]), ("free", &["--security-opt=no-new-privileges"]), ("tty", &["--tty"])]
        {
            let extra = [&options[..], extra].concat();
            stage
                .groundtruth(&format!("{runtime}-{name}"), &extra, &["wants", "41(1,1,0,0,0,0)"])
                .with_context(context)?;
        }
    }
    Ok(())
}

/// A shell's work under its own suggestion with conditions, by both runtimes.
fn a_shell_works_under_its_conditions(stage: &Stage) -> Result<()> {
    let script = "mkdir -p /tmp/a/b && cd /tmp/a && echo hello > one && cp one two && ls -lR /tmp && stty -a < /dev/null; \
                  wget -q -O /dev/null http://127.0.0.1:1/; (sleep 0.1; true) & wait; rm -r /tmp/a && sleep 0.1";
    let command = [BUSYBOX, "/bin/sh", "-c", script];
    for (runtime, options) in [("runc", &[][..]), ("crun", &[CRUN][..])] {
        let name = format!("{runtime}-shell");
        stage.engine.client([&["run", "--name", &name][..], options, &command].concat())?;
        stage.engine.client(["start", "--attach", &name])?;
        let (suggestion, notes) = stage.auditor.run(&["suggest", "--args", &name])?;
        let dir = tempfile::tempdir()?;
        let option = profile::option(&suggestion, dir.path(), &name)?;
        let before = stage.auditor.show(&name)?["denials"].clone();
        for start in ["first", "second"] {
            let again = format!("{name}-{start}");
            let ran = stage.engine.client([&["run", "--name", &again, &option][..], options, &command].concat());
            ran.with_context(|| format!("{again} under\n{suggestion}\n{notes}"))?;
            let after = stage.auditor.settled(&again)?;
            let once = before.as_u64().unwrap_or_default() / 2;
            ensure!(after["denials"] == once, "{}: {suggestion}\n{notes}", stage.auditor.run(&["denials", &again])?.0);
        }
        let lives = format!("{name}-lives");
        let sleep = ["/bin/busybox", "sleep", "1000"];
        stage
            .engine
            .client([&["run", "--detach", "--name", &lives, &option][..], options, &[BUSYBOX], &sleep].concat())?;
        stage.engine.client(["exec", &lives, "/bin/sh", "-c", "echo hello"])?;
        stage.engine.client(["rm", "--force", &lives])?;
    }
    Ok(())
}

/// Under a profile that logs what it would deny everything runs, `denials` and `show` tell of it, and the next suggestion
/// keeps it.
fn the_staged_way_in(stage: &Stage) -> Result<()> {
    let known = ["work", "124*3"];
    stage.groundtruth("stage-learn", &[], &known)?;
    let (suggestion, notes) = stage.auditor.run(&["suggest", "--mode=log", "stage-learn"])?;
    let dir = tempfile::tempdir()?;
    let option = profile::option(&suggestion, dir.path(), "staged")?;
    // getpgid was not seen; acct is what the active profile denies.
    stage.groundtruth_once_known("stage-run", &[&option], &["work", "124*3", "121@1*4", "163*2"])?;
    let shown = stage.auditor.settled("stage-run")?;
    let rows = tests::auditord::rows(&shown)?;
    let row = |nr: u64| rows.get(&("x86_64".to_owned(), nr)).cloned().with_context(|| format!("no {nr}: {notes}"));
    ensure!((row(124)?.calls, row(124)?.action) == (3, None), "{:?}", row(124)?);
    ensure!((row(121)?.calls, row(121)?.denied) == (4, 0), "{:?}", row(121)?);
    ensure!(row(121)?.action.as_deref() == Some("SCMP_ACT_LOG"), "{:?}", row(121)?);
    ensure!((row(163)?.calls, row(163)?.denied) == (0, 2), "{:?}", row(163)?);
    let (lines, _) = stage.auditor.run(&["denials", "-o", "json", "stage-run"])?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let of = |name: &str| lines.iter().filter(|line| line["name"] == name).cloned().collect::<Vec<_>>();
    let would: Vec<Value> = of("getpgid");
    ensure!(would.iter().all(|line| line["outcome"] == "would_be_denied") && !would.is_empty(), "{would:?}");
    ensure!(would.iter().filter_map(|line| line["count"].as_u64()).sum::<u64>() == 4, "{would:?}");
    ensure!(of("getsid").is_empty(), "{lines:?}");
    let (table, _) = stage.auditor.run(&["show", "stage-run"])?;
    ensure!(table.contains("allowed and logged: would be denied"), "{table}");
    // The next one: what was logged stays, what nobody called is refused.
    let (second, notes) = stage.auditor.run(&["suggest", "stage-run"])?;
    ensure!(notes.contains("logged meanwhile, for review: getpgid (x86_64), 4 times"), "{notes}");
    let option = profile::option(&second, dir.path(), "second")?;
    stage.groundtruth("stage-last", &[&option], &["work", "124*3", "121@1*4", "39*2", "163*1"])?;
    let rows = stage.auditor.rows("stage-last")?;
    let row = |nr: u64| rows.get(&("x86_64".to_owned(), nr)).cloned().with_context(|| format!("no {nr}: {notes}"));
    ensure!((row(121)?.calls, row(121)?.denied) == (4, 0), "{:?}", row(121)?);
    ensure!(row(163)?.denied == 1, "{:?}", row(163)?);
    Ok(())
}

/// runc reads the OCI form, and systemd the unit's settings; both without a complaint.
fn formats(stage: &Stage) -> Result<()> {
    let script = "mkdir /tmp/a && rmdir /tmp/a && echo done";
    stage.engine.client(["run", "--name", "formats", BUSYBOX, "/bin/sh", "-c", script])?;
    let text = |format: &str| stage.auditor.run(&["suggest", "--args", "--format", format, "formats"]);
    let (oci, _) = text("oci")?;
    let bundles = Bundles::new()?;
    let configuration = bundles.configuration(&oci, &["/bin/sh", "-c", script], false)?;
    let ran = bundles.run(&configuration, Duration::from_secs(30))?;
    ensure!((ran.code, ran.output.trim()) == (Some(0), "done"), "{ran:?}\n{oci}");
    let refused = bundles.configuration(&oci, &["/bin/sh", "-c", "chmod 700 /tmp"], false)?;
    let ran = bundles.run(&refused, Duration::from_secs(30))?;
    ensure!(ran.code != Some(0) && ran.output.contains("not permitted"), "{ran:?}");

    let (unit, notes) = text("systemd")?;
    ensure!(
        notes.contains("systemd: there are no conditions, so these are allowed whatever their arguments"),
        "{notes}"
    );
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("formats.service");
    std::fs::write(&file, format!("{unit}ExecStart=/bin/true\n"))?;
    let verified =
        Command::new("systemd-analyze").arg("verify").arg(&file).output().context("running systemd-analyze")?;
    let said = String::from_utf8_lossy(&verified.stderr);
    // Calls newer than its libseccomp are all that it may not know.
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("formats.service")).collect();
    let is_newer = |line: &&str| {
        line.contains("Failed to parse system call") && unit.contains(&format!("{}:ENOSYS", last_word(line)))
    };
    ensure!(verified.status.success() && complaints.iter().all(is_newer), "{said}\n{unit}");

    let (object, _) = text("spo")?;
    ensure!(object.starts_with("apiVersion: security-profiles-operator.x-k8s.io/v1beta1\n"), "{object}");
    ensure!(object.contains("\n  name: \"formats\"\n"), "{object}");
    // The same evidence, the same bytes.
    for format in ["docker", "oci", "spo", "systemd"] {
        ensure!(text(format)? == text(format)?, "{format}");
    }
    let base =
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]});
    let small = dir.path().join("small.json");
    std::fs::write(&small, base.to_string())?;
    let path = small.to_str().context("a path")?;
    let output = stage.auditor.output(&["suggest", "--base", path, "formats"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("left out: mkdir (x86_64)"), "{said}");
    Ok(())
}

fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().unwrap_or(line)
}

#[test]
fn each_format_is_read_by_its_reader() -> Result<()> {
    formats(Stage::shared(CgroupMode::Unified)?)
}

tests::on_both! {
    only_what_was_asked_for_passes
    a_shell_works_under_its_conditions
    the_staged_way_in
}
