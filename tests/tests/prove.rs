//! `auditor profile prove` with a real engine: what holds is said to hold, what does not is named in one line, and no
//! container is left.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::auditord::binary;
use tests::engine::CgroupMode;
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::profile;
use tests::stage::Stage;

/// Where profiles are, and the engine that has the image.
struct Place {
    stage: &'static Stage,
    directory: tempfile::TempDir,
    default: Value,
}

impl Place {
    fn new() -> Result<Self> {
        let stage = Stage::shared(CgroupMode::Unified)?;
        let default = profile::default_profile(&stage.engine)?;
        Ok(Self { stage, directory: tempfile::tempdir()?, default })
    }

    fn without(&self, names: &[&str]) -> Result<PathBuf> {
        let mut custom = self.default.clone();
        profile::forbid(&mut custom, names);
        let file = self.directory.path().join(format!("without-{}.json", names.join("-")));
        std::fs::write(&file, custom.to_string()).context("writing a profile")?;
        Ok(file)
    }

    fn command(&self, file: &std::path::Path, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(["profile", "prove"]).arg(file).args(args).env("DOCKER_HOST", self.stage.engine.host());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    fn prove(&self, file: &std::path::Path, args: &[&str]) -> Result<Output> {
        let output = self.command(file, args)?.output().context("running auditor")?;
        ensure!(self.left()?.is_empty(), "a container is left: {}", self.left()?);
        Ok(output)
    }

    fn proof(&self, names: &[&str], args: &[&str]) -> Result<(Option<i32>, Value)> {
        let output = self.prove(&self.without(names)?, &[&["--output=json", "--image", BUSYBOX], args].concat())?;
        let mut list: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
        Ok((output.status.code(), list.pop().context("an empty list")?))
    }

    /// Containers of prove's that are there.
    fn left(&self) -> Result<String> {
        self.stage.engine.client(["ps", "--all", "--quiet", "--filter", "label=auditor.throwaway"])
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const MKDIR: [&str; 5] = ["--", "/bin/sh", "-e", "-c", "mkdir /tmp/a"];

#[test]
fn a_profile_that_holds_is_said_to() -> Result<()> {
    let place = Place::new()?;
    let confined = ["--user=1000", "--cap-drop=ALL", "--no-new-privileges", "--tty", "--init"];
    for options in [&[][..], &confined[..], &["--runtime=crun"][..]] {
        let (code, proof) = place.proof(&[], &[options, &MKDIR].concat())?;
        ensure!(code == Some(0), "{options:?}: {proof}");
        ensure!(proof["started"] == true && proof["ended"] == true && proof["exit_code"] == 0, "{proof}");
        ensure!(proof["denied"] == Value::Array(Vec::new()) && proof["reason"].is_null(), "{proof}");
    }
    Ok(())
}

#[test]
fn a_start_that_fails_is_one_line() -> Result<()> {
    let place = Place::new()?;
    let (code, proof) = place.proof(&["capset"], &MKDIR)?;
    ensure!(code == Some(1) && proof["started"] == false, "{proof}");
    let expected =
        "runc could not start it: the profile denies capset (ERRNO 1), which runc needs between the filter and execve";
    ensure!(proof["reason"] == expected, "{proof}");
    ensure!(proof["denied"][0]["name"] == "capset" && proof["denied"][0]["count"] == 1, "{proof}");

    let (code, proof) = place.proof(&["setresuid"], &[&["--runtime=crun"][..], &MKDIR].concat())?;
    ensure!(code == Some(1) && proof["started"] == false, "{proof}");
    ensure!(proof["reason"].as_str().is_some_and(|reason| reason.contains("denies setresuid (ERRNO 1)")), "{proof}");

    let (code, proof) = place.proof(&[], &["--", "/no/such/program"])?;
    ensure!(code == Some(1) && proof["started"] == false, "{proof}");
    ensure!(proof["reason"].as_str().is_some_and(|reason| reason.contains("no such file")), "{proof}");
    Ok(())
}

#[test]
fn what_a_command_is_denied_is_counted() -> Result<()> {
    let place = Place::new()?;
    let (code, proof) = place.proof(&["mkdir", "mkdirat"], &MKDIR)?;
    ensure!(code == Some(1) && proof["started"] == true && proof["exit_code"] == 1, "{proof}");
    ensure!(proof["reason"] == "the command ended with exit code 1; the profile denied mkdir (ERRNO 1)", "{proof}");
    ensure!(proof["output"].to_string().contains("Operation not permitted"), "{proof}");

    let tries = ["--", "/bin/sh", "-c", "mkdir /tmp/a; mkdir /tmp/b; mkdir /tmp/c; true"];
    let (code, proof) = place.proof(&["mkdir", "mkdirat"], &tries)?;
    ensure!(code == Some(1) && proof["exit_code"] == 0 && proof["reason"].is_null(), "{proof}");
    ensure!(proof["denied"][0]["name"] == "mkdir" && proof["denied"][0]["count"] == 3, "{proof}");

    let (code, proof) = place.proof(&[], &["--time-limit=2s", "--", "/bin/sleep", "1000"])?;
    ensure!(code == Some(0) && proof["started"] == true && proof["ended"] == false, "{proof}");
    Ok(())
}

#[test]
fn what_cannot_be_tried_is_an_error() -> Result<()> {
    let place = Place::new()?;
    let file = place.without(&[])?;
    let output = place.prove(&file, &["--image=no-such-image:ever", "--", "/bin/true"])?;
    ensure!(output.status.code() == Some(2) && said(&output).contains("no-such-image"), "{}", said(&output));
    let output =
        place.prove(&file, &["--docker-host=unix:///nonexistent.sock", "--image", BUSYBOX, "--", "/bin/true"])?;
    ensure!(output.status.code() == Some(2) && said(&output).contains("no such socket"), "{}", said(&output));
    ensure!(output.stdout.is_empty(), "{}", said(&output));
    Ok(())
}

#[test]
fn a_signal_leaves_no_container() -> Result<()> {
    let place = Place::new()?;
    // Somebody else's, with a name and a label as ours have them.
    let others = ["create", "--name=auditor-prove-1-1", "--label=auditor.throwaway=1", BUSYBOX, "/bin/true"];
    let other = place.stage.engine.client(others)?;
    for (signal, name) in [
        (Signal::SIGINT, "SIGINT"),
        (Signal::SIGTERM, "SIGTERM"),
        (Signal::SIGHUP, "SIGHUP"),
        (Signal::SIGQUIT, "SIGQUIT"),
    ] {
        let args = ["--image", BUSYBOX, "--", "/bin/sleep", "1000"];
        let child = place.command(&place.without(&[])?, &args)?.spawn().context("running auditor")?;
        wait_for("a container", Duration::from_secs(30), || {
            let running = place.stage.engine.client(["ps", "--quiet", "--filter", "label=auditor.throwaway"])?;
            Ok((!running.is_empty()).then_some(()))
        })?;
        kill(Pid::from_raw(i32::try_from(child.id())?), signal).context("sending a signal")?;
        let output = child.wait_with_output().context("waiting for auditor")?;
        ensure!(output.status.code() == Some(2) && said(&output).contains(name), "{}", said(&output));
        let left = place.left()?;
        ensure!(other.trim().starts_with(left.trim()) && !left.trim().is_empty(), "left: {left}, of others: {other}");
    }
    place.stage.engine.client(["rm", "--force", "auditor-prove-1-1"])?;
    Ok(())
}

fn allowed(profile: &Value) -> usize {
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    rules
        .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
        .filter_map(|rule| rule["names"].as_array())
        .map(Vec::len)
        .sum()
}

#[test]
fn a_minimized_profile_works_and_is_not_larger_than_the_suggestion() -> Result<()> {
    let place = Place::new()?;
    let work = ["/bin/sh", "-e", "-c", "mkdir /tmp/a; echo hello > /tmp/a/b; grep -c hello /tmp/a/b; rm -r /tmp/a"];
    let learned = ["run", "--name=prove-learn", BUSYBOX];
    place.stage.engine.client([&learned[..], &work].concat())?;
    let (suggestion, _) = place.stage.auditor.suggest("prove-learn")?;
    let args = ["--minimize", "--budget=1m", "--network=none", "--image", BUSYBOX, "--"];
    let output = place.prove(&place.without(&[])?, &[&args[..], &work].concat())?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    let small: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    let suggestion: Value = serde_json::from_str(&suggestion)?;
    ensure!(allowed(&small) <= allowed(&suggestion), "{} > {}", allowed(&small), allowed(&suggestion));

    let file = place.directory.path().join("small.json");
    std::fs::write(&file, &output.stdout)?;
    let again = place.prove(&file, &[&["--network=none", "--image", BUSYBOX, "--"], &work[..]].concat())?;
    ensure!(again.status.code() == Some(0), "{}", said(&again));
    Ok(())
}

/// From its second run on the command makes a call that it did not make in the first: tried without, it comes back. With no
/// time for any try all of it stays, which is said, and what is written was proved all the same.
#[test]
fn what_a_later_run_needs_comes_back_and_a_budget_ends_the_search() -> Result<()> {
    let place = Place::new()?;
    let work = ["/bin/sh", "-e", "-c", "if [ -e /state/seen ]; then mkdir /tmp/a; else echo > /state/seen; fi"];
    for (budget, is_enough) in [("2m", true), ("1ms", false)] {
        let state = place.directory.path().join(budget);
        std::fs::create_dir(&state)?;
        let (flag, volume) = (format!("--budget={budget}"), format!("--volume={}:/state", state.display()));
        let args = ["--minimize", &flag, &volume, "--network=none", "--image", BUSYBOX, "--"];
        let output = place.prove(&place.without(&[])?, &[&args[..], &work].concat())?;
        ensure!(output.status.code() == Some(0), "{}", said(&output));
        let small: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
        let has = |name: &str| small.to_string().contains(&format!("\"{name}\""));
        ensure!(has("mkdir") && has("ptrace") != is_enough, "{budget}: {}", said(&output));
        let told = String::from_utf8_lossy(&output.stderr).contains("were not tried within the budget");
        ensure!(told != is_enough, "{budget}: {}", said(&output));
    }
    Ok(())
}

/// Without counts a command that does without what it was refused would pass for a proof.
#[test]
fn nothing_is_minimized_where_nobody_counts() -> Result<()> {
    let place = Place::new()?;
    let prove = place.command(&place.without(&[])?, &["--minimize", "--image", BUSYBOX, "--", "/bin/true"])?;
    // Without the capabilities that eBPF programs are loaded with.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(prove.get_program()).args(prove.get_args());
    let output = command.env("DOCKER_HOST", place.stage.engine.host()).output().context("running setpriv")?;
    ensure!(output.status.code() == Some(2) && output.stdout.is_empty(), "{}", said(&output));
    ensure!(said(&output).contains("where calls are not counted"), "{}", said(&output));
    ensure!(place.left()?.is_empty(), "a container is left: {}", place.left()?);
    Ok(())
}
