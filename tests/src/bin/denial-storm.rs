//! What refused calls cost the daemon: `cargo xtask bench denials`.
//!
//! Programs in tracked control groups make calls that their filters refuse, as fast as they can. Meanwhile the daemon's
//! own time is read from `/proc`. What the calls themselves cost the machine is not part of that.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tests::auditord::{Auditor, binary};
use tests::cage::Cage;
use tests::groundtruth;
use tests::process::wait_for;

/// How long each load is measured.
const MEASURED: Duration = Duration::from_secs(10);
/// `getsid`, which nothing else calls.
const RULE: &str = "--filter=124=errno:1";
/// More than any machine makes in the time: the storm is ended, not waited for.
const ENDLESS: &str = "124*100000000000";

fn main() -> Result<()> {
    let auditor = Auditor::start("unix:///nonexistent/docker.sock", &[])?;
    println!("| refusing containers | followers | refusals a second | daemon, % of one CPU |");
    println!("|---|---|---|---|");
    for (containers, followers) in [(0, 0), (1, 0), (1, 4), (8, 0), (8, 4)] {
        measure(&auditor, containers, followers)?;
    }
    Ok(())
}

fn measure(auditor: &Auditor, containers: usize, followers: usize) -> Result<()> {
    let cages = (0..containers).map(|_| Cage::new()).collect::<Result<Vec<_>>>()?;
    let _following = Children((0..followers).map(|_| follow(auditor)).collect::<Result<_>>()?);
    let storm = || cages.iter().map(|cage| cage.start(groundtruth::program()?, &["work", RULE, ENDLESS])).collect();
    let storm = Children(Result::<Vec<Child>>::from(storm())?);
    // The filters are in, and what begins with a storm is over.
    std::thread::sleep(Duration::from_secs(3));
    let before = (Instant::now(), cpu_seconds(auditor)?, refusals(auditor)?);
    std::thread::sleep(MEASURED);
    let after = (Instant::now(), cpu_seconds(auditor)?, refusals(auditor)?);
    let seconds = (after.0 - before.0).as_secs_f64();
    let rate = |after: f64, before: f64| (after - before) / seconds;
    let (refusals, busy) = (rate(after.2, before.2), 100.0 * rate(after.1, before.1));
    println!("| {containers} | {followers} | {refusals:.0} | {busy:.2} |");
    drop(storm);
    // Gone from the daemon's books as well: the next load begins with none.
    drop(cages);
    std::thread::sleep(Duration::from_secs(3));
    Ok(())
}

/// Started programs that end with this.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

fn follow(auditor: &Auditor) -> Result<Child> {
    let mut command = Command::new(binary()?);
    command.arg("--socket").arg(auditor.socket()).args(["denials", "--follow", "-o", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting a follower")
}

/// What the daemon has used so far: `utime` and `stime` of proc(5).
fn cpu_seconds(auditor: &Auditor) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", auditor.process().pid()))?;
    let (_, fields) = stat.rsplit_once(')').context("a process's state")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|field| field.parse().unwrap_or(0)).sum();
    ensure!(ticks > 0, "a daemon that has used no time");
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("clock ticks")?;
    Ok(ticks as f64 / per_second as f64)
}

/// Refusals that were counted.
fn refusals(auditor: &Auditor) -> Result<f64> {
    let page = wait_for("the metrics", Duration::from_secs(10), || Ok(auditor.metrics().ok()))?;
    let lines = page.lines().filter(|line| line.starts_with("auditor_seccomp_denials_total{"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
