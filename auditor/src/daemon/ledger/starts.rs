//! The containers' starts as evidence: what the store is to have, and what is to be forgotten.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Ledger;
use crate::control::Live;
use crate::daemon::record::Record;
use crate::evidence::{Evidence, Start, Workload};
use crate::store::{Batch, Saved};

impl Ledger {
    /// What an earlier daemon saw of starts that went on when it ended. Those that are counted now go on from there.
    pub fn take_interrupted(&mut self, starts: Vec<Start>) {
        for start in starts {
            if let Some(start) = self.records.values_mut().try_fold(start, |start, record| record.seen_before(start)) {
                self.unfinished.insert(start.id.clone(), start);
            }
        }
    }

    /// Starts of which nobody ever said what was run.
    pub const fn lost_starts(&self) -> u64 {
        self.lost_starts
    }

    /// Forgets the starts of these workloads, or of all, that are over and were counted last `before` then; and of those
    /// that go on, what an earlier daemon saw.
    pub fn forget(&mut self, workloads: Option<&BTreeSet<String>>, before: Option<Timestamp>) {
        for record in self.records.values_mut() {
            let meant = |workload: Workload| workloads.is_none_or(|meant| meant.contains(&workload.id()));
            if record.workload().is_some_and(meant) {
                record.forget(before);
            }
        }
    }

    /// Whether a start is over that the store does not have yet.
    pub fn has_ended_starts_to_keep(&self) -> bool {
        self.records.values().any(Record::has_ended_starts_to_keep)
    }

    /// What the store does not have yet.
    pub fn take_unkept(&mut self, number: u64) -> Batch {
        // Before the starts: what is no evidence yet is in the accounts.
        let accounts = self.take_accounts(number);
        let engine = self.engine.as_ref();
        let mut batch = Batch { accounts, number, ..Batch::default() };
        for record in self.records.values_mut() {
            batch.running.extend(record.running().map(str::to_owned));
            let Some(evidence) = record.take_unkept(engine) else { continue };
            let active = record.declared.active();
            batch.profiles.extend(active.map(|active| (active.sha256.clone(), active.profile.render_oci())));
            let Evidence { workload, image_names, starts } = evidence;
            batch.starts.extend(starts.into_iter().map(|start| Saved {
                workload: workload.clone(),
                image_names: image_names.clone(),
                start,
            }));
        }
        batch.running.extend(self.unfinished.keys().cloned());
        batch
    }

    /// Whoever was to be found running was found by now: what is left of an earlier daemon is over.
    pub fn give_up_unfinished(&mut self) {
        self.unfinished.clear();
    }

    /// What was seen of each container of which it is known what it runs, with the profiles of OCI JSON by SHA-256.
    pub fn evidence(&self) -> Vec<Live> {
        let engine = self.engine.as_ref();
        let known = self.records.values().filter(|record| record.workload().is_some() && record.was_counted());
        known
            // What was forgotten is no evidence, though the container is still known.
            .filter(|record| record.has_starts())
            .map(|record| Live {
                evidence: record.evidence(engine),
                profile: record.declared.active().map(|active| (active.sha256.clone(), active.profile.clone())),
                runs: record.is_live(),
            })
            .collect()
    }
}
