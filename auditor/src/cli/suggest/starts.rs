//! Of which starts: all that count, or those that the user picks.

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;

use super::super::{Error, time};
use crate::evidence::Evidence;
use crate::report::history::describe;

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

/// What is added up, where that is more than one start of one container.
pub(super) fn of_several(evidence: &Evidence) -> Option<String> {
    let all = evidence.starts.len();
    let counted = evidence.counted().count();
    let containers: BTreeSet<&str> = evidence.counted().map(|start| start.container.as_str()).collect();
    let what = describe(&evidence.workload, &evidence.image_names);
    let left_out = if counted < all { format!("; {} left out", all - counted) } else { String::new() };
    let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    (containers.len() > 1 || counted < all).then(|| {
        format!("of {what}: {} of {}{left_out}", plural(counted, "start"), plural(containers.len(), "container"))
    })
}
