//! `auditor completions SHELL`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::output::Output;
use super::{Cli, Error, Outcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell to complete in
    shell: Shell,
}

pub(super) fn run(out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    // Into memory first: clap_complete panics when a write fails.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "auditor", &mut script);
    out.write_text(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Clean)
}
