//! `auditor profile check FILE...`

use std::path::PathBuf;

use clap::Args;

use super::source;
use super::target::Target;
use crate::audit;
use crate::cli::output::{Output, note};
use crate::cli::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::profile::check::{self, Host, RuncVersion, Severity};
use crate::report::findings::{self, FileFinding};
use crate::report::view::ContainerView;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Profiles in Docker's or the OCI format; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The daemon's record of a container: is every call that it was seen to make allowed
    #[arg(long, value_name = "CONTAINER")]
    covers: Option<String>,
    #[command(flatten)]
    target: Target,
    /// The runtime's version; runc before 1.2 takes no flags [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = runc_version)]
    runc: Option<RuncVersion>,
}

fn runc_version(text: &str) -> Result<RuncVersion, &'static str> {
    RuncVersion::parse(text).ok_or("no version of runc; say for example 1.1.5")
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let host = Host { target: arguments.target.resolve()?, runc: arguments.runc.unwrap_or(RuncVersion::NEWEST) };
    let sources = source::read_all(&arguments.files)?;
    let container = arguments.covers.as_ref().map(|container| show(global, container)).transpose()?;
    let mut found = Vec::new();
    for source in &sources {
        let checked = check::check(&source.bytes, &host);
        let mut findings = checked.findings;
        if let (Some(policy), Some(container)) = (&checked.policy, &container) {
            findings.extend(audit::uncovered(policy, container));
        }
        if findings.is_empty() {
            note(&format!("{}: no findings", source.name));
        }
        found.extend(findings.into_iter().map(|finding| FileFinding { file: source.name.clone(), finding }));
    }
    out.write(&found, |style| findings::lines(&found, style))?;
    let clean = found.iter().all(|found| found.finding.severity == Severity::Note);
    Ok(if clean { Outcome::Clean } else { Outcome::Findings })
}

fn show(global: &Global, container: &str) -> Result<Box<ContainerView>, Error> {
    let request = Request::Show { container: container.to_owned() };
    let Response::Container { container } = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    Ok(container)
}
