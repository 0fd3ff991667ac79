//! An hour of containers that come and go. `cargo xtask soak` builds and starts it.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use tests::auditord;
use tests::process::built;
use tests::soak::{self, Plan, document};

/// From so many minutes on the numbers say something about growth, and are written down.
const LONG: u64 = 20;

fn main() -> ExitCode {
    match run() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("soak: {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Gives what is wrong.
fn run() -> Result<Vec<String>> {
    // Whoever started us holds signals back for itself, and may be killed: the wardens clean up after us.
    SigSet::all().thread_unblock().context("letting signals through")?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("asking to end with the caller")?;
    let minutes = std::env::args().nth(1).context("how many minutes?")?.parse().context("a number of minutes")?;
    if std::env::var_os("AUDITOR_TEST_BINARY").is_none() {
        auditord::use_binary(built("auditor")?);
    }
    println!("soak: {minutes} minutes of containers that come and go");
    let report = soak::run(if minutes <= 1 { Plan::short() } else { Plan::minutes(minutes) })?;
    let text = document::render(&report);
    println!("{text}");
    if minutes >= LONG {
        let path = document::path();
        std::fs::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
        println!("soak: wrote {}", path.display());
    }
    Ok(report.faults(minutes >= LONG))
}
