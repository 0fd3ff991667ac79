//! `auditor check-config FILE`

use std::path::PathBuf;

use clap::Args;

use super::output::note;
use super::{Error, Outcome};
use crate::{config, http};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The daemon's configuration, as for `--config`
    #[arg(value_name = "FILE", required_unless_present = "web_config_file")]
    file: Option<PathBuf>,
    /// A web configuration, as for the daemon's flag of that name; without, the one that FILE names
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    let mut web = arguments.web_config_file.clone();
    let mut checked = Vec::new();
    if let Some(file) = &arguments.file {
        let config = config::check_file(file)?;
        web = web.or(config.web_config_file);
        checked.push(file.clone());
    }
    if let Some(web) = web {
        http::Gate::open(Some(&web))?;
        checked.push(web);
    }
    for file in checked {
        note(&format!("{}: no errors", file.display()));
    }
    Ok(Outcome::Clean)
}
