//! `auditor profile explain FILE [NAME...]`

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use super::source;
use super::target::{Target, meant};
use crate::cli::output::{Output, note};
use crate::cli::{Error, Global, Outcome};
use crate::filter::Diagrams;
use crate::profile::check;
use crate::profile::explain::Explainer;
use crate::report::{explain, near};
use crate::syscall::{self, Abi};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A profile in Docker's or the OCI format, or a whole OCI configuration; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The calls that are asked about [default: all, in lists]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(_global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let target = arguments.target.resolve()?;
    let source = source::read(&arguments.file)?;
    refuse_unknown(&arguments.names)?;
    let profile = super::parse(&source)?;
    note(&meant(&target));
    let lines = check::rule_lines(&source.bytes);
    let explainer = Explainer::new(profile, lines, target).map_err(|error| super::unusable(&source, error))?;
    let abis: Vec<Abi> = explainer.policy().abis().collect();
    let mut found = Vec::new();
    if arguments.names.is_empty() {
        for (abi, name) in abis.into_iter().flat_map(|abi| syscall::all(abi).map(move |(_, name)| (abi, name))) {
            found.extend(explainer.explain(&mut Diagrams::new(), abi, name));
        }
        out.write(&found, |style| explain::summary(&found, style))?;
    } else {
        for name in &arguments.names {
            let before = found.len();
            for abi in &abis {
                found.extend(explainer.explain(&mut Diagrams::new(), *abi, name));
            }
            if found.len() == before {
                let abis: Vec<&str> = abis.iter().map(|abi| abi.as_str()).collect();
                note(&format!("{name}: no call of {}", abis.join(" or ")));
            }
        }
        out.write(&found, |style| explain::calls(&found, style))?;
    }
    Ok(Outcome::Clean)
}

fn refuse_unknown(names: &[String]) -> Result<(), Error> {
    let known: BTreeSet<&str> = Abi::ALL.into_iter().flat_map(syscall::all).map(|(_, name)| name).collect();
    match names.iter().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(Error::NoSuchCall { near: near::near(known, name), name: name.clone() }),
        None => Ok(()),
    }
}
