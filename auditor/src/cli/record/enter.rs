//! `auditor record-enter`: typed by `auditor record` alone, in the process that becomes the command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Error, Outcome};
use crate::recording::User;
use crate::recording::enter::{Entry, enter};

/// The verb.
pub(in crate::cli) const VERB: &str = "record-enter";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// As whom
    #[arg(long, value_name = "USER")]
    user: Option<User>,
    /// The cgroup's `cgroup.procs`
    entrance: PathBuf,
    /// Signals to take again, by number, with commas
    unblock: String,
    /// What to become
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    let unblock: Vec<i32> = arguments.unblock.split(',').filter_map(|number| number.parse().ok()).collect();
    let entry = Entry {
        entrance: &arguments.entrance,
        user: arguments.user.as_ref(),
        unblock: &unblock,
        command: &arguments.command,
    };
    match enter(&entry)? {}
}
