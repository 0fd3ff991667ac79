//! Repository tasks: `cargo xtask <task>`.

mod bench;
mod build_ebpf;
mod cgroups;
mod corpus;
mod demo;
mod deny;
mod dist;
mod faults;
mod floor;
mod fuzz;
mod repo;
mod sanitize;
mod setup;
mod soak;
mod suites;
mod supervise;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Repository tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the other tasks need and is missing (as root, by apt and cargo).
    Setup {
        /// Only these groups; all of them when none is named.
        #[arg(value_enum)]
        groups: Vec<setup::Group>,
    },
    /// Build the kernel half from source into the object that `auditor` embeds.
    BuildEbpf {
        /// Change nothing: prove that the committed object comes from the source.
        #[arg(long)]
        check: bool,
    },
    /// Measure what counting costs.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: bench::What,
    },
    /// Show what the auditor does, with a private container engine (as root; installs what is missing).
    Demo,
    /// Build the Debian package target/dist/auditor_VERSION_ARCH.deb, and have lintian judge it.
    Dist(dist::Options),
    /// Record real programs, and run them under what is suggested (as root; installs what is missing).
    Corpus {
        /// Only the programs of the small image.
        #[arg(long, conflicts_with = "programs")]
        short: bool,
        /// Only these programs; all of them when none is named, and docs/corpus.md is written then.
        #[arg(value_name = "PROGRAM")]
        programs: Vec<String>,
    },
    /// Measure what container runtimes need once their filter is in force, and write the table (as root; some minutes).
    Floor {
        /// Change nothing: measure a few configurations again and compare.
        #[arg(long)]
        check: bool,
    },
    /// Throw bytes that nobody sent yet at everything that reads bytes, and write docs/fuzz.md (hours, for all targets).
    Fuzz(fuzz::Arguments),
    /// Containers that come and go for an hour, and a daemon that must not change; writes docs/soak.md (as root).
    Soak {
        /// For so many minutes; from 20 on docs/soak.md is written.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// Check the dependencies with cargo-deny, by deny.toml (builds it first; needs the network for the advisories).
    Deny {
        /// Only what can be told without it: licences, duplicates, sources.
        #[arg(long)]
        quick: bool,
    },
    /// Run what reaches unsafe code, and the daemon, under AddressSanitizer (as root; installs what is missing).
    Sanitize {
        /// Without the daemon and its container engine.
        #[arg(long)]
        short: bool,
    },
    /// Check formatting, lints and the kernel half, and run all tests (as root; installs what is missing).
    Test {
        /// Also rebuild the kernel half from nothing, try new random cases, and test the daemon as it is shipped.
        #[arg(long)]
        full: bool,
    },
    /// Run the tests that make things go wrong, and write the table of faults (as root; installs what is missing).
    Faults,
    /// Boot Debian machines with other kernels in qemu, and test the kernel half and the package in them (as root).
    Vm {
        /// Only this part (not of arm64 and bare); repeatable, all of them when none is named.
        #[arg(long, value_enum, value_name = "PART")]
        only: Vec<vm::Part>,
        /// Series of Debian's kernels, for example 6.1; arm64, another processor; or bare, this one without Debian and an
        /// engine. 6.1, 6.12 and arm64 when none is named.
        kernels: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup { groups } => setup::run(&groups),
        Task::BuildEbpf { check: false } => build_ebpf::run(),
        Task::BuildEbpf { check: true } => build_ebpf::check(),
        Task::Bench { what } => bench::run(what),
        Task::Demo => demo::run(),
        Task::Dist(options) => dist::run(&options),
        Task::Corpus { short, programs } => corpus::run(short, &programs),
        Task::Floor { check } => floor::run(check),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Soak { minutes } => soak::run(minutes),
        Task::Deny { quick: true } => deny::check(),
        Task::Deny { quick: false } => deny::run(),
        Task::Sanitize { short } => sanitize::run(short),
        Task::Test { full } => test::run(full),
        Task::Faults => faults::run(),
        Task::Vm { kernels, only } => vm::run(&kernels, &only),
    }
}
