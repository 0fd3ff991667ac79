//! `auditor profile check FILE...`

use std::path::PathBuf;

use clap::Args;

use super::source;
use super::target::Target;
use crate::cli::output::{Output, note};
use crate::cli::{Error, Global, Outcome};
use crate::profile::check::{self, Severity};
use crate::report::findings::{self, FileFinding};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Profiles in Docker's or the OCI format; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(_global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let target = arguments.target.resolve()?;
    let sources = arguments.files.iter().map(|path| source::read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for source in &sources {
        let findings = check::check(&source.bytes, &target);
        if findings.is_empty() {
            note(&format!("{}: no findings", source.name));
        }
        found.extend(findings.into_iter().map(|finding| FileFinding { file: source.name.clone(), finding }));
    }
    out.write(&found, |style| findings::lines(&found, style))?;
    let clean = found.iter().all(|found| found.finding.severity == Severity::Note);
    Ok(if clean { Outcome::Clean } else { Outcome::Findings })
}
