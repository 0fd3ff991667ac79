//! `auditor check-config FILE`

use std::path::PathBuf;

use clap::Args;

use super::output::note;
use super::{Error, Outcome};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The daemon's configuration, as for `--config`
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    config::check_file(&arguments.file)?;
    note(&format!("{}: no errors", arguments.file.display()));
    Ok(Outcome::Clean)
}
