//! Counting without a daemon: every count is what the program says that it did. Needs root and a kernel that takes the
//! programs; fails without.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auditor::cgroupfs::Root;
use auditor::container::ContainerId;
use auditor::evidence::Start;
use auditor::recording::{About, Recording};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::auditord::{self, Auditor, Row, rows};
use tests::cage::Cage;
use tests::counting::{alone, assert_equal};
use tests::engine::CgroupMode;
use tests::groundtruth::{self, Key};
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::stage::Stage;

const CALLS: [&str; 5] = ["work", "--threads=3", "--forks=5", "124*100", "i386:147*20"];

#[test]
fn a_recording_counts_a_container_that_comes_later_from_its_first_call() -> Result<()> {
    let _alone = alone();
    let name = format!("{:064x}", 0x00c0_ffee_u64 << 32 | u64::from(std::process::id()));
    let mut recording = Recording::of_container(ContainerId::parse(&name)?)?;
    recording.look()?;
    assert!(recording.counted().is_none());
    let other = Cage::new()?;
    other.run(groundtruth::program()?, &["work", "124*7"])?;
    drop(other);
    let cage = Cage::named(&name)?;
    let issued = groundtruth::parse(&cage.run(groundtruth::program()?, &CALLS)?)?;
    drop(cage);
    recording.look()?;
    assert!(recording.has_ended());
    let counted = recording.counted().context("the container was not seen")?;
    assert_equal(&issued, &counted.counters(), &[("x86_64", 124), ("i386", 147)])?;
    let start = counted.start(About { container: name.clone(), ..About::default() })?;
    assert_eq!((start.from_first_call, start.lost, start.container), (true, 0, name));
    assert!(start.began <= start.until);
    Ok(())
}

#[test]
fn a_recording_of_a_cgroup_with_somebody_in_it_does_not_know_the_first_calls() -> Result<()> {
    let _alone = alone();
    let cage = Cage::named("some.service")?;
    let empty = Recording::of_cgroup(cage.path())?;
    assert!(start_of(&empty)?.from_first_call);
    let mut child = cage.start("sleep".as_ref(), &["30"])?;
    wait_for("a process in the cgroup", Duration::from_secs(10), || {
        Ok(auditor::cgroupfs::is_populated(cage.path()).then_some(()))
    })?;
    let mut recording = Recording::of_cgroup(cage.path())?;
    let issued = groundtruth::parse(&cage.run(groundtruth::program()?, &CALLS)?)?;
    recording.look()?;
    child.kill().context("ending sleep")?;
    child.wait()?;
    assert!(!start_of(&recording)?.from_first_call);
    let counted = recording.counted().context("nothing was counted")?;
    assert_equal(&issued, &counted.counters(), &[("x86_64", 124), ("i386", 147)])
}

fn start_of(recording: &Recording) -> Result<Start> {
    Ok(recording.counted().context("nothing was counted")?.start(About::default())?)
}

/// What a command to be recorded does after it has said, by a file, that it runs.
fn once_running(directory: &Path, script: &str) -> (PathBuf, String) {
    let sign = directory.join("running");
    let script = format!("echo running > {}; {script}", sign.display());
    (sign, script)
}

/// `auditor record` with its words, to its end.
fn record(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(auditord::binary()?);
    command.arg("record").args(words).stdin(Stdio::null());
    command.output().with_context(|| format!("running auditor record {words:?}"))
}

/// The same in the background.
fn recording(words: &[&str]) -> Result<Child> {
    let mut command = Command::new(auditord::binary()?);
    command.arg("record").args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().with_context(|| format!("running auditor record {words:?}"))
}

/// A file that is named gets the profile, whatever is to be on stdout.
#[test]
fn the_file_has_the_profile_also_where_the_output_is_json() -> Result<()> {
    let _alone = alone();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("true.json");
    let file = path.display().to_string();
    for words in [&["-c", "-o", "json", "-w", &file, "--", "true"][..], &["-o", "json", "-w", &file, "--", "true"]] {
        let output = record(words)?;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let profile: Value = serde_json::from_slice(&fs::read(&path)?)?;
        ensure!(profile["defaultAction"] == "SCMP_ACT_ERRNO", "{words:?}: {profile}");
        fs::remove_file(&path)?;
        ensure!(output.stdout.is_empty() != words.contains(&"-c"), "{words:?}: {}", text(&output.stdout));
    }
    Ok(())
}

fn wait_until_there(path: &Path) -> Result<()> {
    wait_for("the command's start", Duration::from_secs(30), || Ok(path.exists().then_some(())))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows of `record -c -o json`.
fn counted(output: &Output) -> Result<BTreeMap<Key, Row>> {
    let list: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}{}", text(&output.stdout), text(&output.stderr)))?;
    rows(&serde_json::json!({ "syscalls": list }))
}

/// Cgroups that a record made, of whatever process.
fn left_behind() -> Result<Vec<PathBuf>> {
    let root = Root::find(None)?;
    let names = fs::read_dir(root.path())?.flatten().map(|entry| entry.path());
    Ok(names
        .filter(|path| path.file_name().is_some_and(|name| text(name.as_encoded_bytes()).contains("auditor-record")))
        .collect())
}

fn own_cgroup(child: &Child) -> Result<PathBuf> {
    Ok(Root::find(None)?.path().join(format!("auditor-record-{}", child.id())))
}

const JSON: [&str; 4] = ["-c", "-o", "json", "--"];

#[test]
fn counts_are_what_the_program_did_from_its_execution_on() -> Result<()> {
    let _alone = alone();
    let program = groundtruth::program()?.display().to_string();
    let scenario = [
        "work",
        "--threads=4",
        "--forks=20",
        "--vforks=20",
        "--clones=20",
        "--execs=10",
        "--execs32=3",
        "--filter=100=errno:7",
        "124*1000",
        "121@999999*500",
        "100*30",
        "i386:147*200",
        "x32:124*70",
    ];
    let output = record(&[&JSON[..], &[&program], &scenario].concat())?;
    assert_eq!(output.status.code(), Some(0));
    groundtruth::compare(&counted(&output)?, &groundtruth::parse(&text(&output.stderr))?, false)?;

    // The execution of the program is the first call that is counted, and nothing of the way there is.
    let output = record(&[&JSON[..], &[&program, "none"]].concat())?;
    let rows = counted(&output)?;
    let execve = &rows[&("x86_64".to_owned(), 59)];
    assert_eq!((execve.unfiltered, execve.unfiltered_errors), (1, 0));
    assert!(!rows.contains_key(&("x86_64".to_owned(), 293)), "a signal's pipe: {rows:?}");
    Ok(())
}

/// The counts and errors of each call, as a summary by strace or by us has them, but for calls that never return:
/// strace leaves them out.
fn summary(table: &str) -> BTreeMap<String, (u64, u64)> {
    let mut calls = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [share, .., name] = words[..] else { continue };
        if share.parse::<f64>().is_err() || ["total", "exit", "exit_group"].contains(&name) {
            continue;
        }
        // strace has the time as well: in seconds, and for one call.
        let before = if words[1].contains('.') { 3 } else { 1 };
        let mut numbers = words[before..words.len() - 1].iter().map(|word| word.parse().unwrap_or(u64::MAX));
        calls.insert(name.to_owned(), (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)));
    }
    calls
}

#[test]
fn the_summary_is_that_of_strace() -> Result<()> {
    let _alone = alone();
    let scripts = [
        "ls /etc/hostname > /dev/null",
        "for i in 1 2 3; do /bin/true; done; cat /etc/passwd > /dev/null; cat /nonexistent 2> /dev/null; true",
    ];
    for script in scripts {
        let line = ["/bin/sh", "-c", script];
        let ours = record(&[&["-c", "--"], &line[..]].concat())?;
        let strace = Command::new("strace").args(["-f", "-c", "--"]).args(line).output().context("running strace")?;
        assert_eq!((ours.status.code(), text(&ours.stdout)), (Some(0), String::new()));
        let (ours, theirs) = (summary(&text(&ours.stderr)), summary(&text(&strace.stderr)));
        ensure!(theirs.len() > 10, "{}", text(&strace.stderr));
        assert_eq!(ours, theirs, "{script}");
    }
    Ok(())
}

#[test]
fn the_exit_code_is_the_command_s() -> Result<()> {
    let _alone = alone();
    let directory = tempfile::tempdir()?;
    let no_program = directory.path().join("script");
    fs::write(&no_program, "neither\n")?;
    fs::set_permissions(&no_program, fs::Permissions::from_mode(0o755))?;
    let no_program = no_program.display().to_string();
    let rows: [(&[&str], i32, &str); 7] = [
        (&["true"], 0, ""),
        (&["sh", "-c", "exit 3"], 3, ""),
        (&["sh", "-c", "kill -SEGV $$"], 139, ""),
        (&["no-such-program"], 127, "auditor: start no-such-program: no such program in PATH\n"),
        (&["/no/such/program"], 127, "auditor: start /no/such/program: no such program\n"),
        (&["/etc/passwd"], 126, "auditor: start /etc/passwd: permission denied\n"),
        (&[&no_program], 126, "not a program of this machine, and no line #! says what it is for\n"),
    ];
    for (line, code, said) in rows {
        let output = record(&[&JSON[..], line].concat())?;
        assert_eq!(output.status.code(), Some(code), "{line:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).ends_with(said), "{line:?}: {}", text(&output.stderr));
        // What was never started has no counts.
        assert_eq!(output.stdout.is_empty(), !said.is_empty(), "{line:?}");
    }
    assert_eq!(left_behind()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn the_command_is_told_the_signals_and_has_those_it_would_have_without_us() -> Result<()> {
    let _alone = alone();
    let directory = tempfile::tempdir()?;
    for (signal, number) in [(Signal::SIGTERM, 15), (Signal::SIGUSR1, 10), (Signal::SIGINT, 2)] {
        let (sign, script) = once_running(directory.path(), "while :; do sleep 0.05; done");
        let script = format!("trap 'exit {}' {number}; {script}", 40 + number);
        let child = recording(&["-c", "--", "/bin/sh", "-c", &script])?;
        wait_until_there(&sign)?;
        kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
        let output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(40 + number), "{}", text(&output.stderr));
        assert!(text(&output.stderr).ends_with("total\n"));
        fs::remove_file(sign)?;
    }
    // Blocked and ignored signals are inherited: of those that we take, the command must see nothing.
    let words = ["-c", "--", "grep", "-E", "^(SigBlk|ShdPnd|SigPnd)", "/proc/self/status"];
    let zero = "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n";
    assert_eq!(text(&record(&words)?.stdout), zero);
    // And SIGPIPE, which a Rust program ignores, ends a command that writes to nobody.
    let piped = record(&["-c", "--", "sh", "-c", "(yes; echo $? >&2) | head -n 1 > /dev/null"])?;
    assert!(text(&piped.stderr).starts_with("141\n"), "{}", text(&piped.stderr));
    Ok(())
}

#[test]
fn what_the_command_leaves_running_is_counted_until_it_ends() -> Result<()> {
    let _alone = alone();
    let program = groundtruth::program()?.display().to_string();
    let script = format!("setsid sh -c 'sleep 1; exec {program} work 124*50' > /dev/null 2>&1 < /dev/null & exit 7");
    let output = record(&[&JSON[..], &["sh", "-c", &script]].concat())?;
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(counted(&output)?[&("x86_64".to_owned(), 124)].unfiltered, 50);
    let note = text(&output.stderr);
    assert!(note.starts_with("the command has ended; ") && note.contains("still runs and is counted"), "{note}");

    let output = record(&[&["--no-wait"], &JSON[..], &["sh", "-c", &script]].concat())?;
    assert_eq!(output.status.code(), Some(7));
    assert!(!counted(&output)?.contains_key(&("x86_64".to_owned(), 124)));
    let note = text(&output.stderr);
    assert!(note.contains("] still runs, and what it calls from now on is not counted"), "{note}");
    assert_eq!(left_behind()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn cgroups_inside_are_counted_and_go_with_it() -> Result<()> {
    let _alone = alone();
    let program = groundtruth::program()?.display().to_string();
    let root = Root::find(None)?.path().display().to_string();
    let script = format!(
        "own={root}$(sed -n s/^0:://p /proc/self/cgroup); mkdir -p $own/a/b && echo $$ > $own/a/b/cgroup.procs && \
         exec {program} work --forks=3 124*25"
    );
    let output = record(&[&JSON[..], &["sh", "-c", &script]].concat())?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    groundtruth::compare(&counted(&output)?, &groundtruth::parse(&text(&output.stderr))?, false)?;
    assert_eq!(left_behind()?, [] as [PathBuf; 0]);
    Ok(())
}

#[test]
fn a_daemon_counts_nothing_of_it_and_the_other_way_round() -> Result<()> {
    let _alone = alone();
    let daemon = Auditor::start("unix:///nonexistent/docker.sock", &[])?;
    let program = groundtruth::program()?.display().to_string();
    let cage = Cage::new()?;
    let before = cage.run(program.as_ref(), &["work", "216*11"])?;
    let output = record(&[&JSON[..], &[&program, "work", "--forks=4", "216*100"]].concat())?;
    groundtruth::compare(&counted(&output)?, &groundtruth::parse(&text(&output.stderr))?, false)?;
    // Of all the containers that somebody may run meanwhile it is one alone that makes this call: ours.
    for container in daemon.ps()? {
        let id = container["id"].as_str().context("a container without an id")?;
        let made = daemon.rows(id)?.get(&("x86_64".to_owned(), 216)).is_some_and(|row| row.calls + row.unfiltered > 0);
        assert_eq!(made, id == cage.name(), "{id}");
    }
    groundtruth::compare(&daemon.rows(&cage.name())?, &groundtruth::parse(&before)?, false)
}

#[test]
fn without_privilege_it_says_so_in_one_line_and_ends_with_3() -> Result<()> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(auditord::binary()?);
    let output = command.args(["record", "--", "true"]).output()?;
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count(), output.stdout.len()), (Some(3), 1, 0), "{said}");
    assert!(said.starts_with("auditor: ") && said.contains("run as root"), "{said}");
    Ok(())
}

#[test]
fn what_a_killed_record_left_is_removed_by_the_next_one() -> Result<()> {
    let _alone = alone();
    let directory = tempfile::tempdir()?;
    let (sign, script) = once_running(directory.path(), "exec sleep 60");
    let mut child = recording(&["-c", "--", "sh", "-c", &script])?;
    wait_until_there(&sign)?;
    let cgroup = own_cgroup(&child)?;
    child.kill()?;
    child.wait()?;
    // What runs there is not touched.
    record(&["-c", "--", "true"])?;
    assert!(cgroup.exists());
    let pid: i32 = fs::read_to_string(cgroup.join("cgroup.procs"))?.trim().parse()?;
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    wait_for("the end of what was left", Duration::from_secs(10), || {
        Ok((!auditor::cgroupfs::is_populated(&cgroup)).then_some(()))
    })?;
    record(&["-c", "--", "true"])?;
    assert!(!cgroup.exists());
    Ok(())
}

#[test]
fn the_command_runs_as_the_user_that_was_asked_for() -> Result<()> {
    let _alone = alone();
    let output =
        record(&["-c", "--user", "65534:65533", "--", "grep", "-E", "^(Uid|Gid|Groups)", "/proc/self/status"])?;
    let ids = "Uid:\t65534\t65534\t65534\t65534\nGid:\t65533\t65533\t65533\t65533\n";
    assert!(text(&output.stdout).starts_with(ids), "{}{}", text(&output.stdout), text(&output.stderr));
    let output = record(&["--user", "no-such-user", "--", "true"])?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

#[test]
fn a_long_command_line_costs_no_call_more() -> Result<()> {
    let _alone = alone();
    let program = groundtruth::program()?.display().to_string();
    let word = "none".to_owned();
    let words: Vec<&str> = std::iter::repeat_n(word.as_str(), 40_000).collect();
    let own = |calls: &BTreeMap<Key, Row>| -> u64 {
        // brk, mmap and munmap: the program's own are as many for any number of words.
        [9, 11, 12].iter().map(|nr| calls.get(&("x86_64".to_owned(), *nr)).map_or(0, |row| row.unfiltered)).sum()
    };
    let plain = counted(&record(&[&JSON[..], &["/bin/true"]].concat())?)?;
    let long = counted(&record(&[&JSON[..], &["/bin/true"], &words].concat())?)?;
    assert_eq!(own(&long), own(&plain), "{program}");
    Ok(())
}

#[test]
fn recordings_in_files_make_one_suggestion() -> Result<()> {
    let _alone = alone();
    let directory = tempfile::tempdir()?;
    let program = groundtruth::program()?.display().to_string();
    let file = |name: &str| directory.path().join(name).display().to_string();
    for (name, call) in [("one", "124*3"), ("two", "121@1*3")] {
        let output = record(&["-c", "--evidence", &file(name), "--", &program, "work", call])?;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let nowhere = Path::new("/nonexistent");
    let words = ["suggest", "--evidence", &file("one"), "--evidence", &file("two")];
    let output = auditord::command(nowhere, &words)?;
    let (profile, notes) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{notes}");
    assert!(notes.contains("2 starts of the command, "), "{notes}");
    assert!(profile.contains("\"getsid\"") && profile.contains("\"getpgid\""), "{profile}");
    let output = auditord::command(nowhere, &["suggest", "--evidence", "/etc/passwd"])?;
    assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(2), 1));
    Ok(())
}

const WORK: &str = "
    mkdir -p /tmp/a/b && cd /tmp/a && echo hello > one && cp one two && mv two b/three && ln -s one four
    ls -l / > list; sort list | uniq | wc -l && tar -cf all.tar list && gzip all.tar
    sed -n 1,3p list && awk '{ n += NF } END { print n }' list && find . -type f -exec md5sum {} + && chmod 600 one
    date && id && uname -a && sleep 0.1 && rm -r /tmp/a";

/// Recorded on the host, without an engine: a container that does the same runs under the profile.
#[test]
fn a_container_that_does_the_same_runs_under_the_profile() -> Result<()> {
    let _alone = alone();
    let directory = tempfile::tempdir()?;
    let profile = directory.path().join("profile.json").display().to_string();
    let line = ["/bin/busybox", "sh", "-e", "-c", WORK];
    // In a directory tree of its own, as the container has it: nothing is left on the host.
    let tree = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /tmp && exec \"$@\"", "sh"];
    let recorded = record(&[&["--write", &profile, "--"], &tree[..], &line].concat())?;
    assert_eq!(recorded.status.code(), Some(0), "{}", text(&recorded.stderr));
    assert!(text(&recorded.stdout).contains("uid=0(root)"), "the command keeps its stdout");
    let notes = text(&recorded.stderr);
    assert!(notes.contains("1 start of the command, ") && notes.contains(", complete\n"), "{notes}");
    // The same on stdout, alone: what the command writes is on stderr.
    let output = record(&[&["--"], &tree[..], &line].concat())?;
    assert!(serde_json::from_slice::<Value>(&output.stdout)?["syscalls"].is_array());
    assert!(text(&output.stderr).contains("uid=0(root)"));

    let stage = Stage::shared(CgroupMode::Unified)?;
    let option = format!("--security-opt=seccomp={profile}");
    for start in 1..=3 {
        let name = format!("recorded-{start}");
        let ran = stage.engine.client([&["run", "--name", &name, &option, BUSYBOX], &line[..]].concat());
        ran.with_context(|| fs::read_to_string(&profile).unwrap_or_default())?;
        let shown = stage.auditor.settled(&name)?;
        assert_eq!((&shown["profile"]["kind"], &shown["denials"]), (&"custom".into(), &0.into()), "{shown}");
    }
    // And one that does something else does not.
    let other = ["run", "--rm", &option, BUSYBOX, "/bin/busybox", "hostname", "other"];
    assert!(!stage.engine.output(other)?.status.success());
    Ok(())
}
