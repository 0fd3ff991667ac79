//! Containers that were there before their slots.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::ledger::Ledger;
use crate::cgroupfs::{CgroupDir, Root};
use crate::container::ContainerId;
use crate::kernel::{Existing, Kernel};

/// Before the hierarchy is walked again for containers that were not found, or found no slot.
const PAUSE: Duration = Duration::from_secs(10);

/// The container cgroups that are there already, in the form that the kernel half takes. Empty ones are left alone:
/// their containers are gone, or about to start, and then [`Adoption::attempt`] finds them.
pub fn existing(root: &Root, ledger: &mut Ledger) -> Vec<Existing> {
    adoptable(root, ledger, |directory| directory.populated)
}

/// Looks for containers that run and have no slot: they found all slots taken, or were created and not yet started
/// when the daemon came.
#[derive(Debug, Default)]
pub struct Adoption {
    last: Option<(Instant, BTreeSet<ContainerId>)>,
}

impl Adoption {
    /// Gives slots to those that are found, and gives up those that went away while they were being adopted.
    pub fn attempt(&mut self, root: &Root, ledger: &mut Ledger, kernel: &mut Kernel) {
        let abandoned = ledger.abandon(kernel, |cgroup, path| root.id_of(path).is_ok_and(|id| id == cgroup));
        if let Err(error) = abandoned {
            error!(%error, "slots of containers that are gone cannot be given back");
        }
        let uncounted = ledger.uncounted();
        let asked_lately =
            self.last.as_ref().is_some_and(|(when, which)| *which == uncounted && when.elapsed() < PAUSE);
        if uncounted.is_empty() || asked_lately {
            return;
        }
        let wanted = |directory: &CgroupDir| directory.populated && uncounted.contains(&directory.container);
        let cgroups = adoptable(root, ledger, wanted);
        match kernel.adopt(&cgroups) {
            Ok(refused) => refused.into_iter().for_each(|cgroup| ledger.refuse(cgroup)),
            Err(error) => error!(%error, "containers that run already cannot be counted"),
        }
        self.last = Some((Instant::now(), uncounted));
    }
}

fn adoptable(root: &Root, ledger: &mut Ledger, wanted: impl Fn(&CgroupDir) -> bool) -> Vec<Existing> {
    let walk = match root.containers() {
        Ok(walk) => walk,
        Err(error) => {
            warn!(%error, "containers that run already are not counted");
            return Vec::new();
        }
    };
    if walk.skipped > 0 {
        warn!(directories = walk.skipped, "cgroup directories could not be read; containers in them are not counted");
    }
    let adopt = |directory: CgroupDir| {
        let name = directory.path.rsplit('/').next().unwrap_or_default().to_owned();
        ledger.adopt(directory.id, directory.container, directory.path);
        Existing { cgroup: directory.id, name, nested: directory.nested }
    };
    walk.containers.into_iter().filter(wanted).map(adopt).collect()
}
