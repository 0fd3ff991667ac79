//! The story that `cargo xtask demo` tells: a container is watched, something is denied, a smaller profile is suggested
//! and holds. Every command is shown and real, and what the story says of it is checked: a demo that errs fails.

mod teller;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use serde_json::Value;
use teller::{Teller, chapter, claim, shown};
use tests::auditord::{Auditor, Row, rows};
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth::Key;
use tests::process::{built, wait_for};
use tests::{auditord, image, profile};

/// What every container of the story does.
const WORK: &str = "for day in mon tue wed; do mkdir /tmp/$day; done; ls /tmp; \
                    for i in $(seq 1000); do echo $i; done >/tmp/log; wc -l /tmp/log";
const DAYS: u64 = 3;
const LINES: u64 = 1000;
const EPERM: u64 = 1;

const WRITE: u64 = 1;
const MKDIR: u64 = 83;
const CHROOT: u64 = 161;

/// The daemon counts all containers of the machine. Those of other engines have no name for it, and are not the story's.
const PS: &str = "auditor ps | grep -E '^ID|busybox'";
const IMAGE: &str = "busybox";

/// Docker's default profile, as the engine resolved it, and the same without mkdir.
const DEFAULT: &str = "default.json";
const NO_MKDIR: &str = "no-mkdir.json";

/// All lines of an output.
const ALL: usize = usize::MAX;

fn main() -> ExitCode {
    match Story::begin().and_then(|story| story.tell()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Story {
    /// It has the containers, and ends with the story.
    _engine: Engine,
    auditor: Auditor,
    teller: Teller,
    files: PathBuf,
}

impl Story {
    fn begin() -> Result<Self> {
        // Whoever started us holds signals back for itself, and may be killed: the wardens clean up after us.
        SigSet::all().thread_unblock().context("letting signals through")?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("asking to end with the caller")?;

        chapter(
            "0. A container engine and a daemon, both private",
            "All of it goes when the demo ends, however it ends.",
        );
        if UnixStream::connect("/var/run/docker.sock").is_ok() {
            println!("A Docker engine runs on this machine. The demo leaves it and its containers alone.");
        }
        println!("Starting dockerd with its own state, socket and control groups, and importing busybox into it.");
        let engine = Engine::start(CgroupMode::Unified)?;
        engine.import_image(image::busybox_tree(&engine)?.path(), IMAGE)?;

        let default = profile::default_profile_of(&engine, IMAGE)?;
        let mut forbidding = default.clone();
        profile::forbid(&mut forbidding, &["mkdir"]);

        println!("Starting `auditor daemon` with its own socket and port. It only watches: no container is changed.\n");
        auditord::use_binary(built("auditor")?);
        let auditor = Auditor::start(&engine.host(), &[])?;

        let binary = auditord::binary()?;
        let files = binary.ancestors().nth(2).context("the build directory")?.join("demo");
        fs::create_dir_all(&files).with_context(|| format!("making {}", files.display()))?;
        for (name, profile) in [(DEFAULT, default), (NO_MKDIR, forbidding)] {
            let file = files.join(name);
            fs::write(&file, profile.to_string()).with_context(|| format!("writing {}", file.display()))?;
        }
        let programs = binary.parent().context("the build directory")?;
        let teller = Teller::new(&[
            format!("export PATH=\"{}:$PATH\"", programs.display()),
            format!(
                "export DOCKER_HOST={} DOCKER_CONFIG={}",
                engine.host(),
                engine.directory().join("client").display()
            ),
            format!("export AUDITOR_SOCKET={}", auditor.socket().display()),
            format!("WORK='{WORK}'"),
        ]);
        Ok(Self { _engine: engine, auditor, teller, files })
    }

    fn tell(&self) -> Result<()> {
        let allowed = self.default_profile()?;
        self.without_mkdir()?;
        let suggestion = self.suggestion(allowed)?;
        self.under_the_suggestion(&suggestion, allowed)?;
        self.enforced()?;
        self.metrics()?;
        chapter("The end", "The engine, the daemon and the containers go now.");
        println!(
            "Next: `{}/auditor daemon` as root on your own Docker host, then `auditor ps`, `show`, `denials` and `suggest` beside it.",
            shown(auditord::binary()?.parent().context("the build directory")?)
        );
        Ok(())
    }

    /// Gives how many syscalls the default profile allows.
    fn default_profile(&self) -> Result<u64> {
        chapter("1. Docker's default profile", "A container does some work.");
        self.teller.succeed("docker run --name works busybox sh -c \"$WORK\"", ALL)?;
        let (shown, rows) = self.counted("works")?;
        self.teller.succeed(PS, ALL)?;
        self.teller.succeed("auditor show works", 30)?;
        self.teller.succeed("auditor show works | grep 'allowed and never used' --after-context=3", ALL)?;
        let mkdir = row(&rows, MKDIR)?;
        claim(
            mkdir.calls == DAYS && number(&shown, "denials")? == 0,
            &format!("mkdir was called {} times, and nothing was denied", mkdir.calls),
        )?;
        let write = row(&rows, WRITE)?;
        claim(write.calls > LINES, &format!("write was called {} times: {LINES} for the loop", write.calls))?;
        let (allowed, used, unused) = (number(&shown, "allowed")?, number(&shown, "used")?, number(&shown, "unused")?);
        claim(
            unused * 2 > allowed,
            &format!("{used} syscalls were used; of the {allowed} that the profile always allows, {unused} were not"),
        )?;
        Ok(allowed)
    }

    fn without_mkdir(&self) -> Result<()> {
        chapter("2. The profile without mkdir", "The same work under Docker's default profile, mkdir taken out of it.");
        let output = self.teller.run(&run("denied", &self.files.join(NO_MKDIR), "sh -c \"$WORK\""), ALL)?.1;
        let (shown, rows) = self.counted("denied")?;
        self.teller.succeed("auditor show denied", 16)?;
        let told = output.matches("Operation not permitted").count() as u64;
        let mkdir = row(&rows, MKDIR)?;
        claim(
            (told, mkdir.calls, mkdir.denied, mkdir.errno) == (DAYS, 0, DAYS, Some(EPERM))
                && number(&shown, "denials")? == DAYS,
            &format!("mkdir was tried {told} times; denied {} times, with errno {EPERM}", mkdir.denied),
        )?;
        println!("\nWho it was, what it wanted, and what would allow it:");
        let told = self.teller.succeed("auditor denials denied", ALL)?;
        claim(
            told.contains("mkdir(") && told.contains(r#"add {"names":["mkdir"],"action":"SCMP_ACT_ALLOW"}"#),
            "each denial is explained, with the change of the profile that would allow it",
        )
    }

    /// Gives the file with the suggestion.
    fn suggestion(&self, allowed: u64) -> Result<PathBuf> {
        chapter("3. A smaller profile", "What the first container did is enough to suggest a profile for it.");
        let file = self.files.join("suggested.json");
        self.teller.succeed(&format!("auditor suggest works >{}", shown(&file)), ALL)?;
        self.teller.succeed(&format!("cat {}", shown(&file)), 16)?;
        let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let profile: Value = serde_json::from_slice(&text).context("parsing the suggestion")?;
        let rules = profile["syscalls"].as_array().context("no rules in the suggestion")?;
        let rules = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        let names: BTreeSet<_> =
            rules.filter_map(|rule| rule["names"].as_array()).flatten().map(Value::as_str).collect();
        claim(
            names.len() as u64 * 2 < allowed,
            &format!("it allows {} syscalls by name; the default profile allows {allowed}", names.len()),
        )?;
        let (default, suggested) = (shown(&self.files.join(DEFAULT)), shown(&file));
        let (narrower, _) = self.teller.run(&format!("auditor profile diff --widened {default} {suggested}"), 12)?;
        claim(narrower, "it is nowhere wider than the default profile: a pipeline can insist on that")?;
        Ok(file)
    }

    fn under_the_suggestion(&self, file: &Path, allowed: u64) -> Result<()> {
        chapter("4. The suggestion at work", "The same work under the suggested profile.");
        let output = self.teller.succeed(&run("tight", file, "sh -c \"$WORK\""), ALL)?;
        let (shown, rows) = self.counted("tight")?;
        self.teller.succeed(PS, ALL)?;
        claim(
            output.contains("1000 /tmp/log")
                && row(&rows, MKDIR)?.calls == DAYS
                && number(&shown, "denials")? == 0
                && shown["window"]["complete"] == true,
            "it works, every call of it was counted, and nothing was denied",
        )?;
        let (smaller, unused) = (number(&shown, "allowed")?, number(&shown, "unused")?);
        claim(
            smaller * 2 < allowed && unused * 2 < smaller,
            &format!(
                "{smaller} syscalls are always allowed instead of {allowed}, and only {unused} of them are unused"
            ),
        )?;

        println!("\nNow something that the first container never did, and that the default profile allows: chroot.");
        let (success, output) = self.teller.run(&run("intruder", file, "chroot /tmp sh"), ALL)?;
        let (_, works) = self.counted("works")?;
        let (_, rows) = self.counted("intruder")?;
        self.teller.succeed("auditor show intruder", 12)?;
        let (before, chroot) = (row(&works, CHROOT)?, row(&rows, CHROOT)?);
        claim(
            !success
                && output.contains("Operation not permitted")
                && before.verdict == "allowed"
                && (chroot.calls, chroot.denied, chroot.errno) == (0, 1, Some(EPERM)),
            "chroot is refused, and the refusal is on record",
        )
    }

    fn enforced(&self) -> Result<()> {
        chapter("5. What the kernel enforces", "The filter itself, read out of the kernel while the container sleeps.");
        self.teller.succeed("docker run --detach --name sleeps busybox sleep 1000", ALL)?;
        let compared = wait_for("the comparison", Duration::from_secs(30), || {
            Ok((self.auditor.show("sleeps")?["effective"]["reasons"][0]["reason"] == "runtime-stub").then_some(()))
        });
        compared.context("the filter was not compared with the profile")?;
        let filter = self.teller.succeed("auditor filter sleeps mkdir clone mount", ALL)?;
        claim(
            filter.contains("ENFORCED  as declared") && filter.contains("allowed if arg0 & 0x7e020000 == 0"),
            "it is what was declared, call by call and argument by argument",
        )?;
        self.teller.succeed("docker rm --force sleeps", ALL)?;
        Ok(())
    }

    fn metrics(&self) -> Result<()> {
        chapter("6. For Prometheus", "The same numbers, from the daemon's /metrics.");
        let series = "^auditor_(docker_up|seccomp_(denials_total|unused_syscalls).*busybox)";
        let line = format!("busybox wget -q -O - http://{}/metrics | grep -E '{series}'", self.auditor.address());
        let page = self.teller.succeed(&line, ALL)?;
        let holds = |start: &str, label: &str, value: &str| {
            page.lines().any(|line| line.starts_with(start) && line.contains(label) && line.ends_with(value))
        };
        claim(
            holds("auditor_docker_up", "", " 1")
                && holds("auditor_seccomp_denials_total", "syscall=\"mkdir\"", &format!(" {DAYS}"))
                && holds("auditor_seccomp_denials_total", "syscall=\"chroot\"", " 1"),
            "the denials are there, ready for an alert",
        )
    }

    /// A container as the daemon has it, and its rows.
    fn counted(&self, container: &str) -> Result<(Value, BTreeMap<Key, Row>)> {
        let shown = self.auditor.show(container)?;
        let rows = rows(&shown)?;
        Ok((shown, rows))
    }
}

/// The command line that runs a container under the profile in a file.
fn run(name: &str, profile: &Path, command: &str) -> String {
    format!("docker run --name {name} --security-opt seccomp={} busybox {command}", shown(profile))
}

/// A row of the native ABI.
fn row(rows: &BTreeMap<Key, Row>, nr: u64) -> Result<&Row> {
    rows.get(&("x86_64".to_owned(), nr)).with_context(|| format!("auditor show has no row of syscall {nr}"))
}

fn number(container: &Value, name: &str) -> Result<u64> {
    container[name].as_u64().with_context(|| format!("auditor show gives no number for {name}"))
}
