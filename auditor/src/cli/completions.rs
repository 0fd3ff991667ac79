//! `auditor completions SHELL`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::output::Output;
use super::{Cli, Error, Global, Outcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell to complete in
    shell: Shell,
}

pub(super) fn run(out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    // Into memory first: clap_complete panics when a write fails.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut for_people(), "auditor", &mut script);
    out.write_text(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Clean)
}

/// The command without what nobody types.
fn for_people() -> clap::Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let bare = clap::Command::new("auditor").version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    Global::augment_args(bare).subcommands(shown)
}
