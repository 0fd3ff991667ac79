//! A process number that is another's by the time somebody looks.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::auditord::Auditor;
use tests::cage::Cage;
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth;
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;
use tests::proxy::Proxy;

/// The engine says that a confined container's process is 123. Before the daemon hears it, 123 dies and an unconfined
/// process outside gets the number: what `/proc/123` says is not the container's.
#[test]
fn a_process_number_that_is_another_s_by_now_tells_nothing_of_the_container() -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    engine.client(["run", "--detach", "--name", "victim", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let pid = engine.inspect("victim")?["State"]["Pid"].as_i64().context("no process")?;
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let cgroup = engine.cgroup("victim")?;
    let proxy = Proxy::new(&engine.socket())?;
    proxy.hold_answers(true);
    let auditor = Auditor::start(&proxy.host(), &[])?;
    wait_for("the engine's answer", Duration::from_secs(10), || Ok((proxy.answered() > 0).then_some(())))?;
    // Who is stopped cannot take the container's cgroup away, nor tell that its process ended.
    engine.signal(Signal::SIGSTOP)?;
    let during = (|| {
        kill(pid, Signal::SIGKILL)?;
        wait_for("the number", Duration::from_secs(5), || Ok((kill(pid, None).is_err()).then_some(())))?;
        let other = Cage::named("other")?;
        let mut reborn = Reborn::start(pid, &other)?;
        ensure!(cgroup.is_dir(), "the container's cgroup is gone");
        proxy.hold_answers(false);
        // Known to the daemon, and looked at for some seconds.
        let shown = wait_for("the container's name", Duration::from_secs(10), || {
            let shown = auditor.show("victim").ok();
            Ok(shown.filter(|shown| shown["name"] == "victim" && shown["state"] == "running"))
        })?;
        unconfused(&shown)?;
        std::thread::sleep(Duration::from_secs(3));
        unconfused(&auditor.show("victim")?)?;
        let metrics = auditor.metrics()?;
        let alarm =
            metrics.lines().find(|line| line.starts_with("auditor_seccomp_profile_mismatch{") && !line.ends_with(" 0"));
        ensure!(alarm.is_none(), "{alarm:?}");
        ensure!(reborn.0.try_wait()?.is_none(), "the number was given up meanwhile");
        Ok(())
    })();
    engine.signal(Signal::SIGCONT)?;
    during
}

/// That it has no filter is true of the process with this number, and not of the container.
fn unconfused(shown: &Value) -> Result<()> {
    let mode = &shown["effective"]["mode"];
    ensure!(mode == "unknown" || mode == "filter", "{}", shown["effective"]);
    ensure!(shown["effective"]["matches_declared"] != false, "{}", shown["effective"]);
    Ok(())
}

/// A process that has a dead one's number.
struct Reborn(std::process::Child);

impl Reborn {
    fn start(pid: Pid, cage: &Cage) -> Result<Self> {
        let program = groundtruth::program()?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(["reborn", &pid.to_string()]);
        // Out of the way of what this process is in, and gone by itself if nobody ends it.
        command
            .arg("/bin/sh")
            .arg("-c")
            .arg(format!("echo $$ > {}/cgroup.procs; exec sleep 60", cage.path().display()));
        let child = command.stdin(Stdio::null()).spawn().context("starting groundtruth")?;
        let reborn = Self(child);
        wait_for("the process of that number", Duration::from_secs(5), || {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            Ok(line.starts_with(b"sleep").then_some(()))
        })?;
        Ok(reborn)
    }
}

impl Drop for Reborn {
    fn drop(&mut self) {
        // Its child goes with the control group that it is in.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
