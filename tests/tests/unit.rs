//! A systemd unit, as far as its cgroup makes one: counted from its next start on, without a daemon. Needs root and a
//! kernel that takes the programs; fails without.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use auditor::cgroupfs::Root;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::auditord;
use tests::cage::{Cage, output_of, start_in};
use tests::counting::alone;
use tests::groundtruth;
use tests::process::wait_for;

/// `auditor suggest --unit`, and the line by which it says that it counts.
struct Watcher {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    first: String,
}

impl Watcher {
    fn start(slice: &Cage, name: &str, flags: &[&str]) -> Result<Self> {
        let below = slice.path().strip_prefix(Root::find(None)?.path())?.join(name);
        let mut command = Command::new(auditord::binary()?);
        command.args(["suggest", "--unit"]).arg(below).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting auditor suggest --unit")?;
        let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut first = String::new();
        stderr.read_line(&mut first)?;
        Ok(Self { child, stderr, first })
    }

    /// Exit code, stdout, and what stderr has more.
    fn end(mut self, tell: bool) -> Result<(Option<i32>, String, String)> {
        if tell {
            kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGINT)?;
        }
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().context("no stdout")?.read_to_string(&mut stdout)?;
        self.stderr.read_to_string(&mut stderr)?;
        Ok((self.child.wait()?.code(), stdout, stderr))
    }
}

/// One start of the unit, as systemd makes it: the cgroup, and after a moment the process, which sets itself up there and
/// becomes the program. Gone when it has ended.
fn run_once(slice: &Cage, name: &str, call: &str) -> Result<()> {
    let unit = slice.nested(name)?;
    std::thread::sleep(Duration::from_millis(200));
    let program = groundtruth::program()?;
    let line = ["serve", &unit.display().to_string(), "--", &program.display().to_string(), "work", call];
    let output = Command::new(program).args(line).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    gone(&unit)
}

fn gone(unit: &Path) -> Result<()> {
    wait_for("the unit's end", Duration::from_secs(10), || Ok(fs::remove_dir(unit).is_ok().then_some(())))
}

#[test]
fn the_next_start_of_a_unit_is_counted_whole() -> Result<()> {
    let _alone = alone();
    let slice = Cage::named("system.slice")?;
    let watcher = Watcher::start(&slice, "web.service", &[])?;
    assert_eq!(watcher.first, "web.service does not run; its next start is waited for\n");
    run_once(&slice, "web.service", "124*30")?;
    let (code, profile, notes) = watcher.end(true)?;
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains("web.service: 1 start seen, 1 counted from the first call\n"), "{notes}");
    assert!(profile.contains("SystemCallFilter=") && profile.contains("getsid"), "{profile}");
    // No runtime is going to start it: what runc needs is left out. And what systemd did before the program was executed,
    // since it puts the filter in force after that.
    for systemd_s in ["unshare", "mount", "setgroups", "capset"] {
        assert!(!profile.split_whitespace().any(|name| name == systemd_s), "{systemd_s}: {profile}");
    }
    assert!(profile.contains("execve"), "{profile}");
    Ok(())
}

/// A start that was counted from its first call and of which something was lost is not enough either.
#[test]
fn a_start_with_losses_is_not_enough() -> Result<()> {
    let _alone = alone();
    let slice = Cage::named("system.slice")?;
    for (flags, wanted) in [(&[][..], Some(1)), (&["--allow-incomplete"], Some(0))] {
        let watcher = Watcher::start(&slice, "web.service", flags)?;
        let unit = slice.nested("web.service")?;
        std::thread::sleep(Duration::from_millis(200));
        output_of(start_in(&unit, groundtruth::program()?, &["trace", "abandon", "124*3"])?)?;
        gone(&unit)?;
        let (code, _, notes) = watcher.end(true)?;
        assert_eq!(code, wanted, "{notes}");
        assert!(notes.contains("1 start seen, 1 counted from the first call\n"), "{notes}");
        assert!(wanted == Some(0) || notes.contains("calls or events were lost"), "{notes}");
    }
    Ok(())
}

#[test]
fn a_unit_that_runs_is_not_enough_until_it_was_started_anew() -> Result<()> {
    let _alone = alone();
    let slice = Cage::named("system.slice")?;
    let unit = slice.nested("web.service")?;
    let mut running = start_in(&unit, groundtruth::program()?, &["inflight", "1", "600000"])?;
    wait_for("a process in the unit", Duration::from_secs(10), || {
        Ok(auditor::cgroupfs::is_populated(&unit).then_some(()))
    })?;
    for (flags, wanted) in [(&["--for", "3s"][..], Some(1)), (&["--for", "3s", "--allow-incomplete"], Some(0))] {
        let watcher = Watcher::start(&slice, "web.service", flags)?;
        assert!(watcher.first.starts_with("web.service runs and is counted from now on; "), "{}", watcher.first);
        output_of(start_in(&unit, groundtruth::program()?, &["work", "121@1*5"])?)?;
        let (code, _, notes) = watcher.end(false)?;
        assert_eq!(code, wanted, "{notes}");
    }
    // What it did before it was started anew, its end too, is in it.
    let watcher = Watcher::start(&slice, "web.service", &["--format", "docker"])?;
    output_of(start_in(&unit, groundtruth::program()?, &["work", "121@1*5"])?)?;
    running.kill()?;
    running.wait()?;
    gone(&unit)?;
    run_once(&slice, "web.service", "124*30")?;
    let (code, profile, notes) = watcher.end(true)?;
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains("web.service: 2 starts seen, 1 counted from the first call\n"), "{notes}");
    assert!(profile.contains("\"getpgid\"") && profile.contains("\"getsid\""), "{profile}");
    Ok(())
}

#[test]
fn a_name_that_no_unit_has_is_an_error_that_says_what_to_do() -> Result<()> {
    let _alone = alone();
    let slice = Cage::named("system.slice")?;
    let rows =
        [("", "is no unit's name"), ("../x", "is no unit's name"), ("nowhere/at/all.service", "is systemd running")];
    for (name, said) in rows {
        let output = auditord::command(Path::new("/nonexistent"), &["suggest", "--unit", name])?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let (one, other) = (slice.nested("a.slice")?, slice.nested("b.slice")?);
    let name = format!("auditor-test-{}.service", std::process::id());
    for around in [&one, &other] {
        fs::create_dir(around.join(&name))?;
    }
    let output =
        auditord::command(Path::new("/nonexistent"), &["suggest", "--unit", name.trim_end_matches(".service")])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("more than one unit is called") && stderr.contains("/b.slice/"), "{stderr}");
    Ok(())
}
