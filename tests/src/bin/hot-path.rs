//! What counting costs a system call: `cargo xtask bench hot-path`.
//!
//! The same tight loop in one run under every setting, round after round, so that the machine's moods hit all of them
//! alike. Only the ratios mean something: nanoseconds are those of this machine at this hour.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use auditor::kernel::{EmptyPair, Existing, Kernel};
use tests::cage::{Cage, output_of};
use tests::groundtruth;
use tests::process::wait_for;

const ROUNDS: usize = 11;
const CALLS: u32 = 300_000;
/// strace stops the program twice a call.
const CALLS_UNDER_STRACE: u32 = 5_000;
/// `getppid`, the cheapest: reads a pointer and returns.
const CHEAPEST: &str = "110";
/// `personality`, which asks and changes nothing with this argument: hardly dearer, and its argument is noted.
const NOTED: &str = "135@4294967295";
/// A filter as Docker's default is for these calls: allowed whatever the arguments, another one refused.
const RULE: &str = "83=errno:1";

/// Where the loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Host,
    Unconfined,
    Confined,
    Noted,
}

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Watcher {
    Nobody,
    Empty,
    Auditor,
    Bpftrace,
    Strace,
}

const PLACES: [(Place, &str); 4] = [
    (Place::Host, "host process"),
    (Place::Unconfined, "container without a filter"),
    (Place::Confined, "confined container"),
    (Place::Noted, "confined container, a call whose argument is noted"),
];

fn main() -> Result<()> {
    let cage = Cage::new()?;
    let mut times = BTreeMap::<(Place, Watcher), Vec<f64>>::new();
    for round in 1..=ROUNDS {
        eprintln!("bench: round {round} of {ROUNDS}");
        for watcher in [Watcher::Nobody, Watcher::Empty, Watcher::Auditor, Watcher::Bpftrace, Watcher::Strace] {
            measure(watcher, &cage, &mut times)?;
        }
    }
    let medians = times.into_iter().map(|(setting, times)| (setting, median(times))).collect();
    print!("{}", table(&medians));
    Ok(())
}

fn measure(watcher: Watcher, cage: &Cage, times: &mut BTreeMap<(Place, Watcher), Vec<f64>>) -> Result<()> {
    // Whatever watches does so until the end of this function.
    let mut empty = None;
    let mut kernel = None;
    let mut tracer = None;
    match watcher {
        Watcher::Nobody | Watcher::Strace => {}
        Watcher::Empty => empty = Some(EmptyPair::attach()?),
        Watcher::Auditor => {
            let mut loaded = Kernel::load(64)?;
            loaded.attach(|| vec![Existing::nameless(cage.id())])?;
            kernel = Some(loaded);
        }
        Watcher::Bpftrace => tracer = Some(Bpftrace::start()?),
    }
    for (place, _) in PLACES {
        times.entry((place, watcher)).or_default().push(clock(place, watcher, cage)?);
    }
    drop((empty, kernel, tracer));
    Ok(())
}

/// Nanoseconds a call.
fn clock(place: Place, watcher: Watcher, cage: &Cage) -> Result<f64> {
    let program = groundtruth::program()?;
    let calls = if watcher == Watcher::Strace { CALLS_UNDER_STRACE } else { CALLS };
    let mut args: Vec<&str> = Vec::new();
    if watcher == Watcher::Strace {
        args.extend(["-f", "-c", "-o", "/dev/null", program.to_str().context("a path in UTF-8")?]);
    }
    // As a container's program: under its filter, and executed under it.
    if matches!(place, Place::Confined | Place::Noted) {
        args.extend(["under", RULE, "--", program.to_str().context("a path in UTF-8")?]);
    }
    let call = format!("{}*{calls}", if place == Place::Noted { NOTED } else { CHEAPEST });
    args.extend(["clock", &call]);
    let program = if watcher == Watcher::Strace { Path::new("strace") } else { program };
    let output = match place {
        Place::Host => {
            let mut command = Command::new(program);
            command.args(&args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            output_of(command.spawn().context("starting the loop")?)?
        }
        Place::Unconfined | Place::Confined | Place::Noted => cage.run(program, &args)?,
    };
    output.trim().parse().with_context(|| format!("a time in {output:?}"))
}

/// Counts by control group and number on enter, as its users do.
struct Bpftrace(Child);

impl Bpftrace {
    fn start() -> Result<Self> {
        let script = r#"
            mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || mount -t tracefs tracefs /sys/kernel/debug/tracing
            exec bpftrace -B none -e 'BEGIN { printf("ready\n") } tracepoint:raw_syscalls:sys_enter { @[cgroup, args->id] = count() } END { clear(@) }'
        "#;
        // In a mount namespace of its own: tracefs is mounted for it alone.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", script]);
        command.env("BPFTRACE_STRLEN", "64").stdin(Stdio::null()).stderr(Stdio::piped());
        let log = tempfile::NamedTempFile::new()?;
        let mut child = command.stdout(log.reopen()?).spawn().context("starting bpftrace")?;
        wait_for("bpftrace to attach", Duration::from_secs(20), || {
            if let Some(status) = child.try_wait()? {
                bail!("bpftrace ended with {status}");
            }
            Ok(std::fs::read_to_string(log.path())?.contains("ready").then_some(()))
        })?;
        Ok(Self(child))
    }
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        // Nothing to keep: the maps go with the process.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn table(medians: &BTreeMap<(Place, Watcher), f64>) -> String {
    let mut out = String::from(
        "| where | nothing attached | empty pair | auditor | bpftrace | strace -f -c | auditor adds, in empty pairs |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (place, name) in PLACES {
        let time = |watcher| medians[&(place, watcher)];
        let base = time(Watcher::Nobody);
        let against_nothing = |watcher| format!("{:.2}", time(watcher) / base);
        let ratio = (time(Watcher::Auditor) - base) / (time(Watcher::Empty) - base);
        _ = writeln!(
            out,
            "| {name} | 1 ({base:.0} ns) | {} | {} | {} | {} | {ratio:.2} |",
            against_nothing(Watcher::Empty),
            against_nothing(Watcher::Auditor),
            against_nothing(Watcher::Bpftrace),
            against_nothing(Watcher::Strace),
        );
    }
    out
}
