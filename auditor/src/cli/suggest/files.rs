//! `auditor suggest --evidence FILE...`: from what `record --evidence` and `history export` wrote; no daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use crate::cli::Error;
use crate::cli::history::archive::read_archive;
use crate::cli::profile::source::refuse_stdin_twice;
use crate::evidence::Evidence;
use crate::profile::{Profile, Runtime};
use crate::suggest::Material;
use crate::syscall::Abi;

#[derive(Debug, Args)]
pub(in crate::cli) struct Files {
    /// From the evidence in this file, of record --evidence or history export (- is stdin); no daemon. May be given more
    /// than once: then from all of it together
    #[arg(long, value_name = "FILE", conflicts_with = "unit")]
    evidence: Vec<PathBuf>,
}

impl Files {
    /// All of it together, if files are named; of what ran under a profile, if one is said by how its SHA-256 begins.
    pub(in crate::cli) fn read(&self, wanted: Option<&str>) -> Result<Option<Material>, Error> {
        refuse_stdin_twice(&self.evidence)?;
        let mut all: Option<Evidence> = None;
        let mut profiles = BTreeMap::new();
        for path in &self.evidence {
            let (_, archive) = read_archive(path)?;
            profiles.extend(archive.profiles);
            for evidence in archive.workloads {
                match &mut all {
                    // Whoever names the files says that it is one thing.
                    Some(all) => all.join(evidence),
                    None => all = Some(evidence),
                }
            }
        }
        if self.evidence.is_empty() {
            return Ok(None);
        }
        let mut evidence = all.ok_or(Error::Files("there is no workload in the files"))?;
        if let Some(wanted) = wanted {
            let is_under = |profile: &String| !wanted.is_empty() && profile.starts_with(wanted);
            evidence.starts.retain(|start| start.profile.as_ref().is_some_and(is_under));
            if evidence.starts.is_empty() {
                return Err(Error::Files(
                    "no start in the files ran under a profile whose SHA-256 begins as --profile",
                ));
            }
        }
        let runtimes: BTreeSet<Runtime> = evidence.counted().map(|start| start.runtime).collect();
        let profile = profile(&evidence, &mut profiles)?;
        match (runtimes.len(), runtimes.first()) {
            (0 | 1, first) => {
                let runtime = first.copied().unwrap_or_default();
                Ok(Some(Material { evidence, profile, runtime, host: Abi::NATIVE, others: Vec::new() }))
            }
            _ => Err(Error::Files("the starts in the files had different runtimes; take the files one by one")),
        }
    }
}

/// The one profile that all starts had.
fn profile(evidence: &Evidence, known: &mut BTreeMap<String, Profile>) -> Result<Option<Profile>, Error> {
    let named: Vec<Option<&str>> = evidence.profiles().into_iter().collect();
    match named[..] {
        [] | [None] => Ok(None),
        [Some(sha256)] => match known.remove(sha256) {
            Some(profile) => Ok(Some(profile)),
            None => Err(Error::Files("the profile that the starts ran under is not in the files")),
        },
        _ => Err(Error::Files(
            "the starts in the files ran under different profiles; name one by --profile SHA256, or take the files one by one",
        )),
    }
}
