//! The command as scripts see it: exit codes, what is on stdout, and one clear line on stderr.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use auditor::control;
use auditor::counters::Tally;
use auditor::evidence::{self, Archive, Arguments, Evidence, Seen, Start, Workload};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Profile, Runtime};
use auditor::syscall::{self, Abi};
use clap::CommandFactory as _;

/// A daemon's socket, answered from the fixture.
struct Daemon {
    socket: PathBuf,
    _directory: tempfile::TempDir,
    _background: fixture::Background,
}

fn daemon() -> Daemon {
    let background = fixture::Background::start();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("auditor.sock");
    let inside = background.enter();
    let listener = control::bind(&socket, None).unwrap();
    background.spawn(control::serve(listener, fixture::source(fixture::snapshot())));
    drop(inside);
    Daemon { socket, _directory: directory, _background: background }
}

fn auditor(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditor"));
    command.args(arguments).env("AUDITOR_SOCKET", socket);
    for variable in ["AUDITOR_LOG", "COLUMNS", "DOCKER_HOST", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(socket: &Path, arguments: &[&str]) -> Ran {
    let Output { status, stdout, stderr } = auditor(socket, arguments).output().unwrap();
    Ran {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

const NOWHERE: &str = "/nonexistent/auditor.sock";

#[test]
fn what_cannot_be_done_is_one_line_and_exit_code_2() {
    let daemon = daemon();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("auditor.toml");
    std::fs::write(&config, "max_containerz = 5\n").unwrap();
    let config = config.to_str().unwrap();
    for (arguments, words) in [
        (&["show", "shel"][..], "auditor: no such container: shel; did you mean shell?\n"),
        (
            &["show", "ab"],
            "auditor: ab is ambiguous: it could be abcdabcdabcd, shell (abababababab); give a name or a longer id\n",
        ),
        (&["suggest", "nothing"], "auditor: no such container: nothing; see auditor ps\n"),
        (
            &["ps", "--socket", NOWHERE],
            "auditor: cannot reach the daemon at /nonexistent/auditor.sock: no such file; is it running? (systemctl start auditor)\n",
        ),
        (&["check-config", config], "max_containerz"),
        (&["check-config", "/nonexistent"], "/nonexistent"),
        (&["man", "/nonexistent"], "auditor: writing the man pages into /nonexistent: "),
        (&["doctor", "--docker-host", "tcp://127.0.0.1:2375"], "docker_host"),
    ] {
        let ran = run(&daemon.socket, arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("auditor: ") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_socket_that_nobody_answers_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("auditor.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = run(&socket, &["ps"]);
    let expected = format!(
        "auditor: cannot reach the daemon at {}: connection refused; is it running? (systemctl start auditor)\n",
        socket.display()
    );
    assert_eq!((ran.code, ran.stderr), (2, expected));
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_is_0() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "show"], 0),
        (&[], 2),
        (&["frobnicate"], 2),
        (&["show"], 2),
        (&["ps", "-o", "yaml"], 2),
        (&["suggest", "--unit", "nginx", "--profile", "ab"], 2),
        (&["completions", "tcsh-ish"], 2),
    ] {
        assert_eq!(run(Path::new(NOWHERE), arguments).code, code, "{arguments:?}");
    }
}

#[test]
fn ps_and_show_write_tables_and_arrays_of_objects() {
    let daemon = daemon();
    let ps = run(&daemon.socket, &["ps"]);
    assert_eq!((ps.code, ps.stderr.as_str()), (0, ""));
    assert!(ps.stdout.starts_with("ID ") && ps.stdout.lines().count() == 4, "{}", ps.stdout);
    assert!(!ps.stdout.contains('\u{1b}'), "no escape sequence may pass, and no colour into a pipe");

    let json: serde_json::Value = serde_json::from_str(&run(&daemon.socket, &["-o", "json", "ps"]).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert!(json[0].get("syscalls").is_none());

    let show = run(&daemon.socket, &["show", "shell"]);
    assert_eq!(show.stdout, include_str!("golden/show.txt"));
    let show = run(&daemon.socket, &["show", "shell", "--all", "--color", "never"]);
    assert_eq!(show.stdout, include_str!("golden/show-all.txt"));
    let show = run(&daemon.socket, &["show", "shell", "--color", "always"]);
    assert_eq!(show.stdout, include_str!("golden/show-colour.txt"));
    let show = run(&daemon.socket, &["show", "shell", "-o", "json"]);
    assert_eq!(show.stdout, include_str!("golden/show.json"));
}

#[test]
fn suggest_writes_the_profile_alone_to_stdout() {
    let daemon = daemon();
    let ran = run(&daemon.socket, &["suggest", "shell"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("{\n") && ran.stdout.ends_with("\n}\n"), "{}", ran.stdout);
    let profile: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(profile["syscalls"][0]["names"], serde_json::json!(["execve", "mkdir"]));
    let first = ran.stderr.lines().next().unwrap();
    assert_eq!(first, "counted since 2026-11-23T19:00:00Z, 1 start of the container, 0 s in all, complete");
}

#[test]
fn a_suggestion_below_what_is_demanded_is_written_and_found_fault_with() {
    let daemon = daemon();
    let plain = run(&daemon.socket, &["suggest", "shell"]);
    let line = ["suggest", "shell", "--min-starts=2", "--min-window=7d", "--min-coverage=95%"];
    let ran = run(&daemon.socket, &line);
    assert_eq!((ran.code, &ran.stdout), (1, &plain.stdout), "{}", ran.stderr);
    let lines: Vec<_> = ran.stderr.lines().filter_map(|line| line.strip_prefix("below what is demanded: ")).collect();
    assert_eq!(
        lines,
        [
            "--min-starts: 1 whole start was counted, and 2 are demanded",
            "--min-window: 0 s were counted, and 7 d are demanded",
            "--min-coverage: the chance that the next start needs nothing new is unknown from 1 whole start, and 95 % is \
             demanded",
        ]
    );
    assert_eq!(run(&daemon.socket, &["suggest", "shell", "--min-starts=1"]).code, 0);
    for bad in ["--min-starts=0", "--min-starts=some", "--min-window=7", "--min-coverage=95", "--min-coverage=-1"] {
        let ran = run(&daemon.socket, &["suggest", "shell", bad]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{bad}");
        assert!(ran.stderr.contains("invalid value"), "{bad}: {}", ran.stderr);
    }
}

#[test]
fn calls_are_taken_in_by_name() {
    let daemon = daemon();
    let ran = run(&daemon.socket, &["suggest", "shell", "--allow=keyctl", "--allow", "ptrace"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let profile: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let names = profile["syscalls"].as_array().unwrap().iter().flat_map(|rule| rule["names"].as_array().unwrap());
    let names: Vec<_> = names.filter_map(serde_json::Value::as_str).collect();
    assert!(names.contains(&"keyctl") && names.contains(&"ptrace"), "{names:?}");
    for (text, words) in [
        ("mkdri", "auditor: --allow: no system call is called \"mkdri\"; did you mean mkdir?\n"),
        ("mkdir@x64", "auditor: --allow: no ABI is called \"x64\"; there are x86_64, i386, x32, aarch64, arm\n"),
        ("waitpid@x86_64", "auditor: --allow: x86_64 has no call waitpid\n"),
    ] {
        for option in ["--allow", "--reviewed"] {
            let ran = run(&daemon.socket, &["suggest", "shell", option, text]);
            let words = words.replace("--allow", option);
            assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr), (2, "", words));
        }
    }
}

#[test]
fn suggest_says_all_of_it_as_json() {
    let daemon = daemon();
    let ran = run(&daemon.socket, &["-o", "json", "suggest", "shell", "--min-starts=2"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/suggest.json");
    if std::env::var_os("AUDITOR_RECORD").is_some() {
        std::fs::write(&golden, &ran.stdout).unwrap();
    }
    assert_eq!(ran.stdout, std::fs::read_to_string(&golden).unwrap_or_default());
    let parsed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let plain: serde_json::Value = serde_json::from_str(&run(&daemon.socket, &["suggest", "shell"]).stdout).unwrap();
    assert_eq!(parsed[0]["profile"], plain);
}

#[test]
fn suggest_is_written_for_whom_it_is_wanted() {
    let daemon = daemon();
    let ran = run(&daemon.socket, &["suggest", "shell", "--format", "spo"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("\nkind: SeccompProfile\nmetadata:\n  name: \"shell\"\n"), "{}", ran.stdout);
    let ran = run(&daemon.socket, &["suggest", "shell", "--format=spo", "--name=web.1"]);
    assert!(ran.stdout.contains("  name: \"web.1\"\n"), "{}", ran.stdout);
    let ran = run(&daemon.socket, &["suggest", "shell", "--format=spo", "--name=Web_1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.ends_with("say another with --name\n"), "{}", ran.stderr);
    let ran = run(&daemon.socket, &["suggest", "shell", "--format=systemd"]);
    assert!(ran.stdout.starts_with("[Service]\nSystemCallFilter=execve mkdir\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("\nsystemd: "), "{}", ran.stderr);
    let ran = run(&daemon.socket, &["suggest", "shell", "--mode=log"]);
    assert!(ran.stdout.contains("SCMP_ACT_LOG") && ran.stderr.contains("\n--mode log: "), "{}", ran.stderr);
}

#[test]
fn suggest_starts_from_files_that_can_be_read() {
    let daemon = daemon();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let of = |names: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{{"names": [{names}], "action": "SCMP_ACT_ALLOW"}}]}}"#
        )
    };
    let (small, other, bad) = (file("small", &of("\"execve\"")), file("other", &of("\"acct\"")), file("bad", "{]"));
    let ran = run(&daemon.socket, &["suggest", "shell", "--base", &small]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("\nthe base denies what was seen, and it is left out: mkdir (x86_64)\n"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stdout.contains("mkdir") && ran.stdout.contains("execve"), "{}", ran.stdout);
    let ran = run(&daemon.socket, &["suggest", "shell", "--merge", &other, "--merge", &small]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(["acct", "mkdir", "execve"].iter().all(|name| ran.stdout.contains(name)), "{}", ran.stdout);
    for option in ["--base", "--merge"] {
        for (path, said) in [(bad.as_str(), "not readable as JSON"), ("/nowhere/x", "no such file"), ("/", "directory")]
        {
            let ran = run(&daemon.socket, &["suggest", "shell", option, path]);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{option} {path}");
            assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains(said), "{}", ran.stderr);
        }
    }
    let ran = run(&daemon.socket, &["suggest", "shell", "--base=-", "--merge=-"]);
    assert!(ran.code == 2 && ran.stderr.contains("more than once"), "{}", ran.stderr);
}

#[test]
fn filter_writes_bytes_or_words_and_nothing_else_to_stdout() {
    let daemon = daemon();
    let raw = auditor(&daemon.socket, &["filter", "shell", "--raw"]).output().unwrap();
    assert_eq!((raw.status.code(), raw.stdout.as_slice()), (Some(0), fixture::ALLOW_ALL));
    let ran = run(&daemon.socket, &["filter", "shell", "mkdir"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("mkdir") && ran.stdout.contains("allowed"), "{}", ran.stdout);
    let ran = run(&daemon.socket, &["filter", "shell", "mkdir", "--output=json"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list[0]["stacks"][0]["syscalls"][0]["verdict"], "allowed");
    for (arguments, said) in [
        (&["filter", "shell", "mkdri"][..], "did you mean mkdir"),
        (&["filter", "tools"], "no task of the container runs now"),
        (&["filter", "shell", "--raw", "--filter=2"], "--filter 2"),
        (&["filter", "shell", "--raw", "--disassemble"], "cannot be used with"),
    ] {
        let ran = run(&daemon.socket, arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn denials_are_a_list_for_people_and_one_object_a_line_for_scripts() {
    let daemon = daemon();
    let all = run(&daemon.socket, &["denials"]);
    assert_eq!((all.code, all.stderr.as_str()), (0, ""));
    assert!(
        all.stdout.contains("mkdir(pathname=0x7ffd2000, mode=0755) = EPERM (SCMP_ACT_ERRNO) x2\n"),
        "{}",
        all.stdout
    );
    assert!(!all.stdout.contains('\u{1b}'), "no escape sequence may pass");
    let json = run(&daemon.socket, &["denials", "tools", "-o", "json"]);
    let objects: Vec<serde_json::Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), fixture::denials(None).len());
    for key in
        ["time", "container", "id", "pid", "tid", "comm", "abi", "nr", "name", "args", "action", "errno", "count"]
    {
        assert!(objects.iter().all(|object| object.get(key).is_some()), "{key}");
    }
    assert_eq!(run(&daemon.socket, &["denials", "shell"]).stdout, "no denials\n");
    assert_eq!(run(&daemon.socket, &["denials", "shell", "-o", "json"]).stdout, "");
    assert_eq!(run(&daemon.socket, &["denials", "--since", "1s"]).stdout, "no denials\n");
    assert_eq!(run(&daemon.socket, &["denials", "--since", "yesterday"]).code, 2);
    assert_eq!(run(&daemon.socket, &["denials", "toolz"]).code, 2);
}

#[test]
fn show_ends_with_the_last_denials() {
    let daemon = daemon();
    let shown = run(&daemon.socket, &["show", "tools"]);
    assert!(shown.stdout.contains("LAST 10 OF 12 DENIALS (auditor denials has all"), "{}", shown.stdout);
    let json: serde_json::Value =
        serde_json::from_str(&run(&daemon.socket, &["show", "tools", "-o", "json"]).stdout).unwrap();
    assert_eq!(json[0]["last_denials"].as_array().unwrap().len(), fixture::denials(None).len());
}

/// A command that follows, with its output line by line.
struct Follower {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(socket: &Path, arguments: &[&str]) -> Self {
        use std::io::BufRead as _;
        let mut command = auditor(socket, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn object(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Ends it and gives what it noted.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        self.child.wait().unwrap();
        stderr
    }
}

#[test]
fn a_follower_gets_what_is_past_then_what_comes_and_is_told_what_it_missed() {
    let daemon = daemon();
    let mut follower = Follower::start(&daemon.socket, &["denials", "--follow", "tools", "-o", "json"]);
    let past = fixture::denials(None);
    for denial in &past {
        assert_eq!(follower.object(), serde_json::to_value(denial).unwrap());
    }
    assert_eq!(follower.object(), serde_json::to_value(&past[0]).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(follower.end(), "7 refusals are not shown: this command read too slowly\n");
}

#[test]
fn a_follower_survives_the_daemon_and_says_so() {
    let first = daemon();
    let socket = first.socket.clone();
    let mut follower = Follower::start(&socket, &["denials", "-f", "-o", "json"]);
    let past = fixture::denials(None);
    for _ in 0..=past.len() {
        follower.object();
    }
    // The directory stays, the daemon goes.
    let Daemon { _directory: directory, _background: background, .. } = first;
    drop(background);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let background = fixture::Background::start();
    let inside = background.enter();
    let listener = control::bind(&socket, None).unwrap();
    background.spawn(control::serve(listener, fixture::source(fixture::snapshot())));
    drop(inside);
    // Another daemon counts anew: all that it knows is new.
    for denial in &past {
        assert_eq!(follower.object(), serde_json::to_value(denial).unwrap());
    }
    let notes = follower.end();
    assert!(notes.contains("; waiting for the daemon\n"), "{notes}");
    assert!(notes.contains("refusals while no daemon ran are not shown"), "{notes}");
    drop((directory, background));
}

#[test]
fn an_incomplete_record_is_exit_code_1_unless_it_is_allowed() {
    let daemon = daemon();
    let ran = run(&daemon.socket, &["suggest", "tools"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.starts_with("auditor: suggest: the record is incomplete"), "{}", ran.stderr);
    assert_eq!(run(&daemon.socket, &["suggest", "tools", "--allow-incomplete"]).code, 0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let daemon = daemon();
    let mut child = auditor(&daemon.socket, &["show", "shell", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_good_configuration_is_exit_code_0() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("auditor.toml");
    std::fs::write(&config, "max_containers = 5\n[web]\nlisten_address = [\"127.0.0.1:0\"]\n").unwrap();
    let ran = run(Path::new(NOWHERE), &["check-config", config.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
}

#[test]
fn completions_and_man_pages_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(Path::new(NOWHERE), &["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("check-config") && ran.stdout.contains("allow-incomplete"), "{shell}");
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(Path::new(NOWHERE), &["man", directory.path().to_str().unwrap()]).code, 0);
    let mut command = auditor::cli::Cli::command();
    command.build();
    let mut flags = BTreeSet::new();
    let verbs = check_page(&command, "auditor", directory.path(), &mut flags);
    assert!(verbs > 20 && flags.len() > 50, "{verbs} verbs, {} flags", flags.len());
    for (shell, before) in [("bash", "--"), ("zsh", "--"), ("fish", " -l ")] {
        let script = run(Path::new(NOWHERE), &["completions", shell]).stdout;
        let first_word = |text: &str| text.split(|c: char| !is_of_word(c)).next().map(str::to_owned);
        let known: BTreeSet<String> = script.split(before).skip(1).filter_map(first_word).collect();
        let missing: Vec<_> = flags.difference(&known).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
}

/// Where starts ran under several profiles, one is to be named; a name that none has is an error.
#[test]
fn evidence_in_files_is_taken_of_one_profile() {
    let profile = |name: &str| {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["execve", "{name}"], "action": "SCMP_ACT_ALLOW"}}]}}"#
        );
        parse_seccomp(text.as_bytes()).unwrap()
    };
    let start = |profile: &Profile, name: &str| {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let tally = Tally { calls: 3, ..Tally::default() };
        let seen = Seen { tally, startup_calls: Some(3), first: at, last: at };
        let key = |name| (Abi::NATIVE, syscall::number(Abi::NATIVE, name).unwrap());
        Start {
            id: name.repeat(4),
            container: String::new(),
            name: None,
            began: at,
            until: at,
            seconds: 1,
            from_first_call: true,
            lost: 0,
            profile: Some(profile.sha256()),
            runtime: Runtime::default(),
            confined: Some(true),
            excluded: false,
            exclusions: 0,
            summary: false,
            calls: [(key("execve"), seen), (key(name), seen)].into(),
            arguments: Arguments::default(),
        }
    };
    let profiles = [profile("mkdir"), profile("getsid")];
    let starts = vec![start(&profiles[0], "mkdir"), start(&profiles[1], "getsid")];
    let workload = Workload { image: "web".to_owned(), command: evidence::Command::Line(Vec::new()) };
    let evidence = Evidence { workload, image_names: Vec::new(), starts };
    let known = profiles.iter().map(|profile| (profile.sha256(), profile.clone())).collect();
    let archive = Archive { workloads: vec![evidence], profiles: known };
    let directory = tempfile::tempdir().unwrap();
    let file = written(&directory, "evidence.json", archive.render().unwrap().as_bytes());
    let suggest = |more: &[&str]| run(Path::new(NOWHERE), &[&["suggest", "--evidence", &file], more].concat());
    for (code, sha256, words) in [
        (2, None, "name one by --profile SHA256"),
        (2, Some("0x"), "no start in the files ran under a profile"),
        (2, Some(""), "no start in the files ran under a profile"),
    ] {
        let ran = suggest(&sha256.map(|sha256| ["--profile", sha256]).iter().flatten().copied().collect::<Vec<_>>());
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
    for (profile, has, lacks) in [(&profiles[0], "mkdir", "getsid"), (&profiles[1], "getsid", "mkdir")] {
        let ran = suggest(&["--profile", &profile.sha256()[..12]]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains(has) && !ran.stdout.contains(lacks), "{}", ran.stdout);
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

/// That the page of a verb has its long flags, and so have those of the verbs below it. Returns how many there are.
fn check_page(command: &clap::Command, name: &str, directory: &Path, flags: &mut BTreeSet<String>) -> usize {
    let page = std::fs::read_to_string(directory.join(format!("{name}.1")));
    let page = page.unwrap_or_else(|error| panic!("{name}.1: {error}")).replace(r"\fR", "").replace('\\', "");
    for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long) {
        let long = format!("--{flag}");
        let mut found = page.match_indices(&long).map(|(at, found)| &page[at + found.len()..]);
        assert!(found.any(|rest| !rest.starts_with(is_of_word)), "{name}.1 does not know --{flag}");
        flags.insert(flag.to_owned());
    }
    let below = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    1 + below.map(|verb| check_page(verb, &format!("{name}-{}", verb.get_name()), directory, flags)).sum::<usize>()
}

#[test]
fn doctor_gives_one_line_a_check_and_says_no_by_its_exit_code() {
    let cgroupless = tempfile::tempdir().unwrap();
    let root = cgroupless.path().to_str().unwrap();
    let ran = run(Path::new(NOWHERE), &["doctor", "--cgroup-root", root, "-o", "json"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let findings: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let status = |check: &str| {
        let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
        found.unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("cgroups"), "fail");
    assert_eq!(status("daemon"), "warn");
    let table = run(Path::new(NOWHERE), &["doctor", "--cgroup-root", root]).stdout;
    assert_eq!(table.lines().count(), findings.as_array().unwrap().len() + 1);
}

/// What a profile's name looks like on the command line.
fn written(directory: &tempfile::TempDir, name: &str, text: &[u8]) -> String {
    let file = directory.path().join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

const GOOD: &[u8] =
    br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}"#;

#[test]
fn profile_check_needs_no_daemon_and_says_what_it_found_by_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let good = written(&directory, "good.json", GOOD);
    let bad = written(&directory, "bad.json", b"{\n  \"defaultAction\": \"ALLOW\"\n}");
    let large = written(&directory, "large.json", &vec![b' '; (10 << 20) + 1]);
    let nowhere = Path::new(NOWHERE);
    let ran = run(nowhere, &["profile", "check", &good]);
    assert_eq!((ran.code, ran.stdout, ran.stderr), (0, String::new(), format!("{good}: no findings\n")));

    let ran = run(nowhere, &["profile", "check", &good, &bad]);
    let line = "2:20: error: defaultAction: unknown action \"ALLOW\"; runc refuses it: string ALLOW is not a valid action \
                for seccomp [unknown-action]\n";
    assert_eq!((ran.code, ran.stdout), (1, format!("{bad}:{line}")));
    let ran = run(nowhere, &["profile", "check", "-o", "json", &bad]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, json[0]["file"].as_str(), json[0]["line"].as_u64()), (1, Some(bad.as_str()), Some(2)));
    assert_eq!((json[0]["severity"].as_str(), json[0]["id"].as_str()), (Some("error"), Some("unknown-action")));

    for (arguments, words) in [
        (&["/nonexistent"][..], "auditor: reading /nonexistent: no such file"),
        (&[directory.path().to_str().unwrap()], "is a directory"),
        (&[&large], "more than the 10 MiB that are read of a profile"),
        (&[&good, "--cap", "SYS_ADMINISTRATOR"], "no such capability"),
        (&[&good, "--kernel", "new"], "--kernel new"),
        (&[&good, "--arch", "pdp11"], "--arch pdp11"),
        (&[&good, "--docker", "old"], "--docker old"),
        (&[&good, "--covers", "shell"], "cannot reach the daemon"),
    ] {
        let ran = run(nowhere, &[&["profile", "check"], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(run(nowhere, &["profile", "check", &good, "--runc", "old"]).code, 2);
}

#[test]
fn profile_check_reads_stdin() {
    let mut child = auditor(Path::new(NOWHERE), &["profile", "check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = "stdin:1:1: warning: neither defaultAction nor syscalls: the container starts without any filter";
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(words));
}

#[test]
fn profile_check_covers_names_the_calls_of_a_container_that_a_profile_refuses() {
    let daemon = daemon();
    let directory = tempfile::tempdir().unwrap();
    let every_abi = br#"{"architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],"#;
    let good = written(&directory, "good.json", &[&every_abi[..], &GOOD[1..]].concat());
    let foreign = written(&directory, "foreign.json", GOOD);
    let foreign = run(&daemon.socket, &["profile", "check", &foreign, "--covers", "shell"]);
    assert!(foreign.code == 1 && foreign.stdout.contains("add the architecture"), "{}", foreign.stdout);
    let covered = run(&daemon.socket, &["profile", "check", &good, "--covers", "shell"]);
    assert_eq!((covered.code, covered.stdout.as_str()), (0, ""), "{}", covered.stderr);

    let shown = run(&daemon.socket, &["show", "shell", "-o", "json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let rows = shown[0]["syscalls"].as_array().unwrap();
    let made = |row: &&serde_json::Value| row["calls"].as_u64() > Some(0) && row["abi"] == "x86_64";
    let name = rows.iter().find(made).unwrap()["name"].as_str().unwrap();
    let refusing = String::from_utf8_lossy(GOOD).replace("acct", name);
    let narrow = written(&directory, "narrow.json", refusing.as_bytes());
    let ran = run(&daemon.socket, &["profile", "check", &narrow, "--covers", "shell", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let says = |finding: &&serde_json::Value| {
        let words = format!("shell made {name} (x86_64)");
        finding["id"] == "not-covered" && finding["message"].as_str().unwrap().starts_with(&words)
    };
    assert_eq!((ran.code, json.as_array().unwrap().iter().filter(says).count()), (1, 1), "{}", ran.stdout);
    let nobody = run(&daemon.socket, &["profile", "check", &good, "--covers", "nobody"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (2, ""));
}

#[test]
fn the_journal_gets_the_priority_of_each_line() {
    let directory = tempfile::tempdir().unwrap();
    let said = |journal: bool| {
        let path = directory.path().join(format!("log-{journal}"));
        let file = std::fs::File::create(&path).unwrap();
        let of = file.metadata().unwrap();
        let mut command = auditor(Path::new("/nonexistent"), &["check-config", "/nonexistent"]);
        // As systemd says it, of this file or of another.
        let inode = of.ino() + u64::from(!journal);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", of.dev())).stderr(file);
        assert_eq!(command.status().unwrap().code(), Some(2));
        std::fs::read_to_string(path).unwrap()
    };
    assert!(said(true).starts_with("<3>auditor: "), "{}", said(true));
    assert!(said(false).starts_with("auditor: "), "{}", said(false));
}
