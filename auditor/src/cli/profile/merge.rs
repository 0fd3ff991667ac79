//! `auditor profile merge FILE...`

use std::path::PathBuf;

use clap::Args;

use super::source;
use super::target::{Target, meant};
use crate::cli::output::{Output, note};
use crate::cli::{Error, Global, Outcome};
use crate::profile::{HostArch, merge};
use crate::report::escape::{LABEL_WIDTH, capped};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Profiles in Docker's or the OCI format; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where no rules let through what one of the profiles does and nothing more, let the call through altogether
    #[arg(long)]
    widen: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(_global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let target = arguments.target.resolve()?;
    let mut profiles = Vec::new();
    for source in source::read_all(&arguments.files)? {
        let profile = super::parse(&source)?.resolve(&target).map_err(|error| super::unusable(&source, error))?;
        profiles.push(profile);
    }
    let merged = merge::merge(&profiles, HostArch::of(target.native), arguments.widen)?;
    note(&meant(&target));
    merged.notes.iter().for_each(|text| note(text));
    if !merged.taken_over.is_empty() {
        let names = capped(&merged.taken_over.join(", "), LABEL_WIDTH);
        note(&format!("no table knows {names}: their rules are taken over as they are"));
    }
    // The profile alone: what is on stdout is given to `--security-opt seccomp=` as it is.
    out.write_text(&merged.profile.render_docker())?;
    Ok(Outcome::Clean)
}
