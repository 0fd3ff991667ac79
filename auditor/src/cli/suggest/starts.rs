//! Of which starts: all that count, or those that the user picks.

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;

use super::super::{Error, time};
use crate::evidence::{Evidence, Workload};
use crate::report::history::describe;
use crate::suggest::Material;

#[derive(Debug, Args)]
pub(super) struct Starts {
    /// Leave out starts that ended before: a time (RFC 3339), or an age as 12h or 7d
    #[arg(long, value_name = "TIME|AGE", value_parser = time::parse)]
    since: Option<Timestamp>,
    /// Leave out this start (an id, or how it begins, from auditor history IMAGE); may be given more than once
    #[arg(long, value_name = "START")]
    exclude: Vec<String>,
}

impl Starts {
    /// Marks what is left out.
    pub(super) fn pick(&self, evidence: &mut Evidence) -> Result<(), Error> {
        for id in &self.exclude {
            let mut known = false;
            for start in evidence.starts.iter_mut().filter(|start| !id.is_empty() && start.id.starts_with(id.as_str()))
            {
                (start.excluded, known) = (true, true);
            }
            if !known {
                return Err(Error::NoSuchStart(id.clone()));
            }
        }
        if let Some(since) = self.since {
            evidence.starts.iter_mut().filter(|start| start.until < since).for_each(|start| start.excluded = true);
        }
        Ok(())
    }
}

/// Workloads that a note names.
const NAMED: usize = 4;
/// Digits of an image's digest that a note shows.
const DIGITS: usize = 12;

/// What is added up, where that is more than one start of one container.
pub(super) fn of_several(material: &Material) -> Option<String> {
    let evidence = &material.evidence;
    let all = evidence.starts.len();
    let counted = evidence.counted().count();
    let containers: BTreeSet<&str> = evidence.counted().map(|start| start.container.as_str()).collect();
    let left_out = if counted < all { format!("; {} left out", all - counted) } else { String::new() };
    let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    (containers.len() > 1 || counted < all || !material.others.is_empty()).then(|| {
        let (starts, containers) = (plural(counted, "start"), plural(containers.len(), "container"));
        format!("of {}: {starts} of {containers}{left_out}", workloads(material))
    })
}

/// What was put together, each by its image and command; with an image's digest, where names do not tell them apart.
fn workloads(material: &Material) -> String {
    let all: Vec<&Workload> = [&material.evidence.workload].into_iter().chain(&material.others).collect();
    let names = &material.evidence.image_names;
    let images: BTreeSet<&str> = all.iter().map(|workload| workload.image.as_str()).collect();
    let describe = |workload: &&Workload| match images.len() {
        1 => describe(workload, names),
        _ => {
            let digest = workload.image.strip_prefix("sha256:").unwrap_or(&workload.image);
            let image = digest.get(..DIGITS).unwrap_or(digest).to_owned();
            describe(&Workload { image, command: workload.command.clone() }, &[])
        }
    };
    let mut words: Vec<String> = all.iter().take(NAMED).map(describe).collect();
    if all.len() > NAMED {
        words.push(format!("{} more", all.len() - NAMED));
    }
    if all.len() == 1 {
        return words.concat();
    }
    format!(
        "{} workloads together ({}; auditor history has their ids, each of which can be named)",
        all.len(),
        words.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Command, Evidence};
    use crate::profile::Runtime;
    use crate::syscall::Abi;

    #[test]
    fn what_is_put_together_is_named() {
        let workload = |image: &str, word: &str| Workload {
            image: format!("sha256:{}", image.repeat(32)),
            command: Command::Line(vec![word.to_owned()]),
        };
        let material = |others| Material {
            evidence: Evidence {
                workload: workload("aa", "web"),
                image_names: vec!["shop:1".to_owned()],
                starts: Vec::new(),
            },
            profile: None,
            runtime: Runtime::Runc,
            host: Abi::NATIVE,
            others,
        };
        assert_eq!(of_several(&material(Vec::new())), None);
        for (others, wanted) in [
            (vec![workload("aa", "job")], "of 2 workloads together (shop:1 (web); shop:1 (job); "),
            (vec![workload("bb", "web")], "of 2 workloads together (aaaaaaaaaaaa (web); bbbbbbbbbbbb (web); "),
            ((0..9).map(|at| workload("aa", &at.to_string())).collect(), "of 10 workloads together (shop:1 (web); "),
        ] {
            let said = of_several(&material(others)).unwrap();
            assert!(said.starts_with(wanted) && said.ends_with("): 0 starts of 0 containers"), "{said}");
        }
    }
}
