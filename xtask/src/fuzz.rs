//! `fuzz`: bytes that nobody sent yet, for everything that reads bytes; `docs/fuzz.md` says how that went.

mod document;
mod inputs;
mod outcome;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use self::outcome::Outcome;
use crate::repo;
use crate::setup::{self, Group};

/// The compiler's target, named so that what runs at build time is built without instruments.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Executions of each target when nothing else is said.
const RUNS: u64 = 10_000_000;

/// What is to be done.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One target; all of them when none is named, one after the other.
    target: Option<String>,
    /// Stop a target after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop a target after so many executions (10 million unless --seconds is given).
    #[arg(long)]
    runs: Option<u64>,
    /// What watches over them meanwhile.
    #[arg(long, value_enum, default_value_t = Sanitizer::Leak)]
    sanitizer: Sanitizer,
    /// Keep in the tree what reached new code, as little of it as does.
    #[arg(long)]
    keep: bool,
    /// Run nothing: add to docs/fuzz.md what the logs of earlier runs say.
    #[arg(long)]
    write: bool,
    /// Run what was built before, whatever has changed since.
    #[arg(long)]
    no_build: bool,
}

/// What watches over a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sanitizer {
    /// What is not freed.
    Leak,
    /// Also what is read and written outside of what was allocated; it costs more than twice the time.
    Address,
}

impl Sanitizer {
    /// As the compiler spells it.
    const fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Address => "address",
        }
    }
}

/// One target, as the fuzz package tells of it.
struct Target {
    name: String,
    reads: String,
    law: String,
    max_len: u64,
}

/// Builds the fuzzer and runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::run(&[Group::Fuzz])?;
    let targets = targets()?;
    if arguments.write {
        return document::add(&targets);
    }
    let wanted: Vec<&Target> =
        targets.iter().filter(|target| arguments.target.as_ref().is_none_or(|name| *name == target.name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("there is no such target; these are: {}", names.join(" "));
    }
    let runs = arguments.runs.or(arguments.seconds.is_none().then_some(RUNS));
    let binary = build(arguments.sanitizer, arguments.no_build)?;
    for target in wanted {
        let outcome = throw(target, &binary, runs, arguments.seconds)?;
        println!("fuzz: {}: {outcome}", target.name);
        if arguments.keep {
            inputs::keep(target, &binary)?;
        }
    }
    document::add(&targets)
}

fn targets() -> Result<Vec<Target>> {
    let listed = repo::read(repo::command("cargo").args(["run", "--quiet", "--package", "fuzz", "--bin", "targets"]))?;
    let target = |line: &str| -> Result<Target> {
        let value: serde_json::Value = serde_json::from_str(line).context("reading the list of targets")?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let max_len = value["max_len"].as_u64().unwrap_or(4096);
        Ok(Target { name: text("name"), reads: text("reads"), law: text("law"), max_len })
    };
    listed.lines().map(target).collect()
}

/// Builds the fuzzer's program with a sanitizer, and with what tells it which code was reached.
fn build(sanitizer: Sanitizer, is_built: bool) -> Result<PathBuf> {
    let coverage = ["level=4", "inline-8bit-counters", "pc-table", "trace-compares"]
        .map(|option| format!("-Cllvm-args=-sanitizer-coverage-{option}"))
        .join(" ");
    let sanitizer = sanitizer.name();
    let directory = repo::target().join(format!("fuzz-{sanitizer}"));
    let binary = directory.join(TRIPLE).join("fuzz/fuzz");
    if is_built {
        return Ok(binary);
    }
    let flags =
        format!("-Zsanitizer={sanitizer} -Cpasses=sancov-module {coverage} --cfg fuzzing -Cforce-frame-pointers=yes");
    let mut cargo = repo::command("cargo");
    cargo
        .args(["build", "--quiet", "--package", "fuzz", "--bin", "fuzz", "--profile", "fuzz", "--features", "fuzzer"])
        .args(["--target", TRIPLE, "--target-dir"])
        .arg(&directory)
        // The sanitizers are in every toolchain, and their option is a nightly's alone.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags);
    println!("fuzz: building with -Zsanitizer={sanitizer}");
    repo::run(&mut cargo)?;
    Ok(binary)
}

/// Everything that the fuzzer leaves behind.
fn work() -> PathBuf {
    repo::target().join("fuzz")
}

/// The fuzzer's program for a target.
fn program(target: &Target, binary: &PathBuf) -> Command {
    let mut command = repo::command(binary);
    command.env("AUDITOR_FUZZ_TARGET", &target.name);
    command
}

/// Runs one target to its end.
fn throw(target: &Target, binary: &PathBuf, runs: Option<u64>, seconds: Option<u64>) -> Result<Outcome> {
    let (seeds, found) = (inputs::unpack(&target.name)?, work().join("corpus").join(&target.name));
    let logs = work().join("logs");
    let crashes = work().join("crashes");
    for directory in [&found, &logs, &crashes] {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let log = logs.join(format!("{}.{}.log", target.name, outcome::logs(&target.name)?.len()));
    println!("fuzz: {}: writing to {}", target.name, log.display());
    let mut command = program(target, binary);
    command
        .args(["-print_final_stats=1", "-detect_leaks=1", "-timeout=10", "-rss_limit_mb=2048"])
        .arg("-malloc_limit_mb=256")
        .arg(format!("-max_len={}", target.max_len))
        .arg(format!("-runs={}", runs.map_or(-1, |runs| i64::try_from(runs).unwrap_or(i64::MAX))))
        .arg(format!("-max_total_time={}", seconds.unwrap_or(0)))
        .arg(format!("-dict={}", repo::root().join("tests/fuzz/words.dict").display()))
        .arg(format!("-artifact_prefix={}/{}-", crashes.display(), target.name))
        .args([&found, &seeds]);
    let file = fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
    command.stderr(file.try_clone().context("sharing the log")?).stdout(file);
    let status = command.status().with_context(|| format!("running {}", binary.display()))?;
    let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
    let outcome = Outcome::parse(&text)?;
    if !status.success() {
        bail!(
            "{}: {status} after {} executions; see {}, and run the input that it names again",
            target.name,
            outcome.executions,
            log.display()
        );
    }
    Ok(outcome)
}
