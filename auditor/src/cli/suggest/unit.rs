//! `auditor suggest --unit NAME`: a systemd service, counted here and now; no daemon.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;

use crate::cgroupfs::Root;
use crate::cli::Error;
use crate::cli::denials::parse_duration;
use crate::cli::output::note;
use crate::evidence::{Command, Evidence, Workload};
use crate::profile::Runtime;
use crate::recording::RecordingError;
use crate::recording::command::Signals;
use crate::recording::unit::{Unit, watch};
use crate::suggest::{Allowance, Material};
use crate::syscall::{Abi, known_name};

#[derive(Debug, Args)]
pub(in crate::cli) struct Flags {
    /// Count a systemd unit from now on, until Ctrl-C, and suggest a filter for it; no daemon. Start it anew meanwhile,
    /// so that a whole start is counted
    #[arg(long, value_name = "NAME")]
    unit: Option<String>,
    /// With --unit: for how long, for example 10m
    #[arg(long = "for", value_name = "DURATION", requires = "unit", value_parser = parse_duration)]
    window: Option<SignedDuration>,
    /// With --unit: where cgroup2 is mounted [default: as /proc/self/mountinfo says]
    #[arg(long, value_name = "DIR", requires = "unit")]
    cgroup_root: Option<PathBuf>,
}

/// What was counted of a unit.
pub(in crate::cli) struct Recorded {
    pub(in crate::cli) name: String,
    pub(in crate::cli) material: Material,
}

impl Recorded {
    /// What systemd itself calls between a filter and the program, and was not seen to because there was no filter: with
    /// `Type=exec` it says so to the manager before the last call (`exec_fd` in systemd's `src/core/exec-invoke.c`).
    pub(in crate::cli) fn of_systemd(&self) -> Option<Allowance> {
        let evidence = &self.material.evidence;
        let has_filter = evidence.counted().all(|start| start.confined == Some(true));
        let seen = evidence.counters().tallies.keys().any(|(abi, nr)| known_name(*abi, *nr) == Some(WRITE));
        (!has_filter && !seen).then(|| Allowance { name: WRITE.to_owned(), abi: Some(Abi::NATIVE) })
    }
}

const WRITE: &str = "write";

impl Flags {
    pub(in crate::cli) const fn is_given(&self) -> bool {
        self.unit.is_some()
    }

    /// Counts the unit, if one is named.
    pub(in crate::cli) fn record(&self) -> Result<Option<Recorded>, Error> {
        let Some(name) = &self.unit else { return Ok(None) };
        let root = Root::find(self.cgroup_root.as_deref()).map_err(RecordingError::from)?;
        let unit = Unit::find(&root, name)?;
        let signals = Signals::take()?;
        let window = self.window.map(SignedDuration::unsigned_abs);
        let starts = watch(&unit, window, &signals, note)?;
        let whole = starts.iter().filter(|start| start.from_first_call).count();
        note(&format!("{}: {} seen, {whole} counted from the first call", unit.name, plural(starts.len(), "start")));
        let workload = Workload { image: unit.name.clone(), command: Command::Service(unit.name.clone()) };
        let evidence = Evidence { workload, image_names: Vec::new(), starts };
        let material =
            Material { evidence, profile: None, runtime: Runtime::default(), host: Abi::NATIVE, others: Vec::new() };
        Ok(Some(Recorded { name: unit.name, material }))
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
