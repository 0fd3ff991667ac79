//! Names that are meant to confuse: what a container can choose is escaped wherever it is shown, and cut where it is long.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditord::{Auditor, sample};
use tests::cage::start_in;
use tests::engine::{CgroupMode, program};
use tests::groundtruth;
use tests::image::BUSYBOX;
use tests::profile;
use tests::stage::Stage;

/// Clears screens, ends lines and quotes, makes a label of its own, turns the writing round.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\n\"} 1\nauditor_forged{x=\"\r\t\u{202e}\u{0}é\\";

/// Nothing in it moves a cursor, or looks like more lines than there are.
fn clean(what: &str, text: &str) -> Result<()> {
    let odd = text.chars().find(|&one| one != '\n' && (one.is_control() || one == '\u{202e}'));
    ensure!(odd.is_none(), "{what} has {odd:?}: {text:?}");
    let longest = text.lines().map(str::len).max().unwrap_or_default();
    ensure!(longest < 4096, "{what} has a line of {longest} bytes");
    Ok(())
}

fn everywhere(auditor: &Auditor, name: &str) -> Result<()> {
    let views: [&[&str]; 7] = [
        &["ps"],
        &["show", name],
        &["show", "--all", name],
        &["denials", name],
        &["denials", "--no-trunc", name],
        &["history"],
        &["history", BUSYBOX],
    ];
    for args in views {
        let output = auditor.output(args)?;
        clean(&format!("{args:?}"), &String::from_utf8(output.stdout)?)?;
        clean(&format!("{args:?}"), &String::from_utf8(output.stderr)?)?;
    }
    // Whole, as JSON has it.
    for args in [&["ps", "--output=json"][..], &["show", "--output=json", name], &["history", "--output=json", BUSYBOX]]
    {
        let (text, _) = auditor.run(args)?;
        let _: Value = serde_json::from_str(&text).with_context(|| format!("{args:?}: {text}"))?;
        ensure!(!text.contains('\u{1b}'), "{args:?}: {text:?}");
    }
    let (_, notes) = auditor.run(&["suggest", name, "--allow-incomplete"])?;
    clean("the notes of a suggestion", &notes)?;
    clean("the log", &auditor.log())?;
    let metrics = auditor.metrics()?;
    clean("the metrics", &metrics)?;
    ensure!(
        sample(&metrics, "auditor_forged{x=\"").is_none()
            && !metrics.lines().any(|line| line.starts_with("auditor_forged"))
    );
    let mut promtool = Command::new(program("promtool")?);
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().context("running promtool")?;
    promtool.stdin.take().context("promtool takes no input")?.write_all(metrics.as_bytes())?;
    let output = promtool.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Labels and the command line: what the engine passes on as it is.
#[test]
fn hostile_labels_and_command_lines_are_escaped_and_cut() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    // No argument of a program has a NUL.
    let hostile = HOSTILE.replace('\u{0}', "");
    let long = "x".repeat(10_000);
    for (name, word) in [("labels", &hostile), ("long", &long)] {
        let service = format!("--label=com.docker.compose.service={word}");
        let project = format!("--label=com.docker.compose.project={word}");
        let variable = format!("--env=NAME={word}");
        let line =
            ["run", "--name", name, &service, &project, &variable, BUSYBOX, "/groundtruth", "wants", "124(0)", word];
        // The program finds fault with that word; it was called with it.
        stage.engine.output(line)?;
        stage.auditor.settled(name)?;
        everywhere(&stage.auditor, name)?;
    }
    Ok(())
}

/// What a program calls itself, and asks for and is refused; not UTF-8 either.
#[test]
fn hostile_program_names_are_escaped() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let mut refusing = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut refusing, &["getsid", "mkdir"]);
    let dir = tempfile::tempdir()?;
    let option = profile::option(&refusing.to_string(), dir.path(), "names")?;
    // The second is a busybox as long as its name begins so.
    let script = "p=\"$(printf '/tmp/\\033[2J\\n\"}')\" && cp /groundtruth \"$p\" && \"$p\" work '124*2' && \
                  p=\"$(printf '/tmp/busybox\\377\\376\\200z')\" && cp /bin/busybox \"$p\" && ! \"$p\" mkdir /tmp/a";
    stage.engine.client(["run", "--name", "programs", &option, BUSYBOX, "/bin/sh", "-c", script])?;
    let rows = stage.auditor.rows("programs")?;
    let refused = |nr| rows.get(&("x86_64".to_owned(), nr)).map_or(0, |row| row.denied);
    ensure!((refused(124), refused(83)) == (2, 1), "{rows:?}");
    let (text, _) = stage.auditor.run(&["denials", "--no-trunc", "programs"])?;
    ensure!(text.contains("\\u{1b}[2J") && text.contains('\u{fffd}'), "{text}");
    everywhere(&stage.auditor, "programs")
}

/// Control groups inside a container's: the kernel takes any bytes but a line's end and a slash.
#[test]
fn hostile_control_groups_are_counted_and_shown_nowhere() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.engine.client(["run", "--detach", "--name", "groups", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let around = stage.engine.cgroup("groups")?;
    let names: [&[u8]; 4] = [b"\x1b[2J\"}", b"\xff\xfe\x80", &[b'n'; 255], &[b'a'; 64]];
    let program = groundtruth::program()?;
    let mut inner = around.clone();
    for name in names {
        inner = inner.join(OsStr::from_bytes(name));
        fs::create_dir(&inner).with_context(|| format!("making {}", inner.display()))?;
        let output = start_in(&inner, program, &["work", "124*5"])?.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // The last is named as a container is, and is none of its own.
    let row = &stage.auditor.rows("groups")?[&("x86_64".to_owned(), 124)];
    ensure!(row.calls + row.unfiltered == 20, "{row:?}");
    ensure!(stage.auditor.ps()?.iter().all(|view| view["id"] != "a".repeat(64)));
    everywhere(&stage.auditor, "groups")?;
    stage.engine.client(["rm", "--force", "groups"])?;
    Ok(())
}
