//! `auditor profile diff A B`

use std::path::PathBuf;

use clap::Args;

use super::source;
use super::target::{Target, meant};
use crate::cli::output::{Output, note};
use crate::cli::{Error, Global, Outcome};
use crate::profile::HostArch;
use crate::profile::compare::{self, Kind};
use crate::report::diff;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The profile to compare with, in Docker's or the OCI format; - is stdin
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The profile that is compared
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Show only where B lets something through that A does not, and say so by the exit code
    #[arg(long)]
    widened: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(_global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let target = arguments.target.resolve()?;
    source::refuse_stdin_twice([&arguments.a, &arguments.b])?;
    let (a, b) = (source::read(&arguments.a)?, source::read(&arguments.b)?);
    let resolve = |source| super::parse(source)?.resolve(&target).map_err(|error| super::unusable(source, error));
    let (left, right) = (resolve(&a)?, resolve(&b)?);
    let host = HostArch::of(target.native);
    note(&format!("A is {}, B is {}, {}", a.name, b.name, meant(&target)));
    let mut found = compare::compare((&left, &left.evaluate(host)), (&right, &right.evaluate(host)));
    if arguments.widened {
        found.retain(|difference| matches!(difference.kind, Kind::Wider | Kind::Unknown));
    }
    out.write(&found, |style| diff::text(&found, style))?;
    Ok(if found.is_empty() { Outcome::Clean } else { Outcome::Findings })
}
