//! `auditor profile VERB FILE...`: profiles as files. No daemon is asked, unless a container is named.

mod check;
mod diff;
mod explain;
mod merge;
mod prove;
pub(super) mod source;
pub(super) mod target;

use clap::{Args, Subcommand};

use super::output::Output;
use super::{Error, Global, Outcome};
use crate::profile::ProfileError;
use crate::profile::docker::{self, DockerProfile};
use source::Source;
pub use source::SourceError;
pub use target::TargetError;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Does engine and runtime take it, and does it do what it says
    Check(check::Arguments),
    /// What happens to a call, and which rule decides
    Explain(explain::Arguments),
    /// How two profiles differ in what they do; exit code 1 where they do
    Diff(diff::Arguments),
    /// One profile that lets through what any of them does: JSON on stdout and nothing else
    Merge(merge::Arguments),
    /// Start a throwaway container under it: does it start, does the command work, what is denied
    Prove(Box<prove::Arguments>),
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    match &arguments.verb {
        Verb::Check(arguments) => check::run(global, out, arguments),
        Verb::Explain(arguments) => explain::run(global, out, arguments),
        Verb::Diff(arguments) => diff::run(global, out, arguments),
        Verb::Merge(arguments) => merge::run(global, out, arguments),
        Verb::Prove(arguments) => prove::run(global, out, arguments),
    }
}

pub(super) fn parse(source: &Source) -> Result<DockerProfile, Error> {
    docker::parse_file(&source.bytes).map_err(|error| unusable(source, error))
}

pub(super) fn unusable(source: &Source, error: ProfileError) -> Error {
    Error::Profile { name: source.name.clone(), source: error }
}
