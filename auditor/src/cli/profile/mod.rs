//! `auditor profile VERB FILE...`: profiles as files. No daemon is asked, unless a container is named.

mod check;
mod source;
mod target;

use clap::{Args, Subcommand};

use super::output::Output;
use super::{Error, Global, Outcome};
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
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    match &arguments.verb {
        Verb::Check(arguments) => check::run(global, out, arguments),
    }
}
