//! What was typed, turned into a call into the library; one file a verb.
//!
//! stdout carries data and nothing else, stderr carries notes and errors, one line each. Exit codes are part of the
//! contract: see [`Outcome`] and [`Error`].

mod check_config;
mod completions;
mod daemon;
mod denials;
mod doctor;
mod filter;
mod history;
mod journal;
mod man;
mod output;
mod profile;
mod ps;
mod record;
mod show;
mod suggest;
mod time;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

pub use self::journal::Stderr;
use crate::config::{Config, ConfigError};
use crate::control::{self, ClientError, Request, Response};
use crate::daemon::DaemonError;
use crate::docker::DockerError;
use crate::evidence::ArchiveError;
use crate::http::SettingsError;
use crate::kernel::PinsError;
use crate::profile::merge::MergeError;
use crate::profile::{ProfileError, RenderError};
use crate::prove::ProveError;
use crate::recording::RecordingError;
use crate::recording::enter::EnterError;
use crate::recording::unit::UnitError;
use crate::report::escape;
use crate::report::filter::FilterError;
use crate::suggest::{AllowError, SuggestError};
use output::Output;
use profile::{SourceError, TargetError};

/// How long a command waits for the daemon.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says what the containers' seccomp profiles denied, what they allow for nothing, and which smaller profile would do.
#[derive(Debug, Parser)]
#[command(name = "auditor", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 clean, 1 findings, 2 error, 3 this host cannot be audited.")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Global {
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = "AUDITOR_SOCKET", default_value = Config::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// How to write the answer
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Do not cut long names and ids
    #[arg(long, global = true)]
    no_trunc: bool,
    /// When to use colour (auto: on a terminal, unless NO_COLOR is set)
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

impl Global {
    /// The control socket, where it is not the default: a configuration file may then still name another.
    fn given_socket(&self) -> Option<PathBuf> {
        (self.socket != Path::new(Config::DEFAULT_SOCKET)).then(|| self.socket.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For scripts: an array of objects; denials are one object a line
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The daemon: count, compare, answer (systemd runs this)
    Daemon(daemon::Arguments),
    /// Containers at a glance
    Ps,
    /// One container, syscall by syscall
    Show(show::Arguments),
    /// What was refused, why, and what would allow it
    Denials(denials::Arguments),
    /// A smaller profile: JSON on stdout and nothing else
    Suggest(suggest::Arguments),
    /// Run a command in a cgroup of its own, then suggest; no daemon, no Docker
    Record(record::Arguments),
    /// What `record` starts, to become the command
    #[command(name = record::enter::VERB, hide = true)]
    RecordEnter(record::enter::Arguments),
    /// What was seen of each image: since when, over how many starts
    History(history::Arguments),
    /// Work on profile files; no daemon needed
    Profile(profile::Arguments),
    /// What the kernel enforces on one container: the filters of its tasks, call by call
    Filter(filter::Arguments),
    /// Can this host be audited, and if not, why
    Doctor(doctor::Arguments),
    /// Check the daemon's configuration file
    CheckConfig(check_config::Arguments),
    /// Write a shell completion script to stdout
    Completions(completions::Arguments),
    /// Write the man pages into a directory
    Man(man::Arguments),
}

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to complain of.
    Clean,
    /// A check found something.
    Findings,
    /// This host cannot be audited.
    CannotAudit,
    /// A command was run, and this is its exit code.
    Command(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Clean => Self::SUCCESS,
            Outcome::Findings => Self::from(1),
            Outcome::CannotAudit => Self::from(3),
            Outcome::Command(code) => Self::from(code),
        }
    }
}

/// Why a command could not do it.
#[derive(Debug, Error)]
pub enum Error {
    /// The daemon did not answer, or said no.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// It answered something else.
    #[error("the daemon answered another question; are the daemon and this command of one version?")]
    WrongAnswer,
    /// stdout or a file could not be written.
    #[error("writing {what}: {source}")]
    Write {
        /// Where to.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A filter cannot be shown.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Pins cannot be removed.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The daemon cannot run.
    #[error(transparent)]
    Run(#[from] DaemonError),
    /// Nothing can be recorded.
    #[error(transparent)]
    Record(#[from] RecordingError),
    /// Nobody knows which unit is meant.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The command to record was not started.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The web configuration is wrong.
    #[error(transparent)]
    Web(#[from] SettingsError),
    /// A file was not read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An option names what there is not.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A file holds no profile that a runtime takes.
    #[error("{name}: {source}")]
    Profile {
        /// The file.
        name: String,
        /// What is wrong.
        source: ProfileError,
    },
    /// A call that was decided on is none.
    #[error("{option}: {source}")]
    Allow {
        /// Where it was named.
        option: &'static str,
        /// Why it is none.
        source: AllowError,
    },
    /// A file holds no evidence.
    #[error("{name}: {source}")]
    Archive {
        /// The file.
        name: String,
        /// What is wrong.
        source: ArchiveError,
    },
    /// Files hold evidence that does not make one suggestion.
    #[error("suggest --evidence: {0}")]
    Files(&'static str),
    /// A file has more than is read.
    #[error("{name}: more than {limit} MiB; export workload by workload")]
    TooLarge {
        /// The file.
        name: String,
        /// MiB.
        limit: u64,
    },
    /// One start alone is more than the daemon takes.
    #[error("{name}: the start {start} is larger than what a daemon can have counted; nothing more was imported")]
    StartTooLarge {
        /// The file.
        name: String,
        /// Its id.
        start: String,
    },
    /// A word names no workload.
    #[error("no such workload: {}; see auditor history", escape::capped(.0, escape::NAME_WIDTH))]
    NoSuchWorkload(String),
    /// A word names no start.
    #[error("no start of it has an id that begins with {}; see auditor history IMAGE", escape::capped(.0, escape::NAME_WIDTH))]
    NoSuchStart(String),
    /// Everything would be forgotten.
    #[error("name what to forget: a workload or an image, or --before TIME")]
    NothingToForget,
    /// There is no suggestion.
    #[error(transparent)]
    Suggest(#[from] SuggestError),
    /// A profile cannot be written in a format.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The engine's address is none.
    #[error(transparent)]
    Engine(#[from] DockerError),
    /// A profile could not be tried out.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// Profiles have no union.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// No ABI has such a call.
    #[error("no system call is called \"{}\"{}", escape::capped(.name, escape::NAME_WIDTH), did_you_mean(.near))]
    NoSuchCall {
        /// As it was typed.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// No event loop.
    #[error("starting the event loop: {0}")]
    Runtime(io::Error),
    /// A value has no JSON form.
    #[error("writing JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Whoever read our output has gone, as `head` does: not worth a word.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code of the contract.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            _ if self.is_quiet() => ExitCode::SUCCESS,
            // Less sure than was demanded: a finding, not a failure.
            Self::Suggest(error) if error.is_finding() => ExitCode::from(1),
            Self::Run(error) if error.host_cannot_be_audited() => ExitCode::from(3),
            Self::Record(error) if error.host_cannot_be_audited() => ExitCode::from(3),
            Self::Enter(error) => ExitCode::from(error.exit_code()),
            _ => ExitCode::from(2),
        }
    }
}

/// Reads the command line; ends the process with usage or version where that was asked for or needed.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// What is logged unless `AUDITOR_LOG` says otherwise: the daemon tells what it does, a command is silent but
    /// for its errors.
    #[must_use]
    pub const fn log_level(&self) -> LevelFilter {
        match self.verb {
            Verb::Daemon(_) => LevelFilter::INFO,
            _ => LevelFilter::WARN,
        }
    }

    /// Does what was typed.
    ///
    /// # Errors
    /// When it cannot be done; the message is for the user.
    pub fn run(self) -> Result<Outcome, Error> {
        let out = Output::new(&self.global);
        match self.verb {
            Verb::Daemon(arguments) => daemon::run(&self.global, arguments),
            Verb::Ps => ps::run(&self.global, &out),
            Verb::Show(arguments) => show::run(&self.global, &out, &arguments),
            Verb::Denials(arguments) => denials::run(&self.global, &out, &arguments),
            Verb::Suggest(arguments) => suggest::run(&self.global, &out, &arguments),
            Verb::Record(arguments) => record::run(&self.global, &out, &arguments),
            Verb::RecordEnter(arguments) => record::enter::run(&arguments),
            Verb::History(arguments) => history::run(&self.global, &out, arguments),
            Verb::Profile(arguments) => profile::run(&self.global, &out, &arguments),
            Verb::Filter(arguments) => filter::run(&self.global, &out, &arguments),
            Verb::Doctor(arguments) => doctor::run(&self.global, &out, arguments),
            Verb::CheckConfig(arguments) => check_config::run(&arguments),
            Verb::Completions(arguments) => completions::run(&out, &arguments),
            Verb::Man(arguments) => man::run(&arguments),
        }
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

fn ask(global: &Global, request: &Request) -> Result<Response, Error> {
    Ok(control::call(&global.socket, request, PATIENCE)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
