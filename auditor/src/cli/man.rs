//! `auditor man DIR`

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use super::{Cli, Error, Outcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the pages go; it must exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    clap_mangen::generate_to(Cli::command(), &arguments.directory).map_err(|source| Error::Write {
        what: format!("the man pages into {}", arguments.directory.display()),
        source,
    })?;
    Ok(Outcome::Clean)
}
