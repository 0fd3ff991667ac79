//! The store as those see it who ask: every call reads or writes the disk and waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::writer::Shared;
use super::{Batch, Saved, StoreError};
use crate::evidence::Evidence;

/// Reads and changes what is kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Library {
    shared: Arc<Shared>,
}

/// A workload by what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// The image by its content.
    pub image: String,
    /// And as users name it.
    pub image_names: Vec<String>,
    /// The compose service, as `project/service`, where it is one.
    pub service: Option<String>,
    /// Starts that were left out to keep the store small.
    pub left_out: u64,
}

/// What was taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Starts that were not known.
    pub new: u64,
    /// Starts of which more is known now.
    pub more: u64,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Workloads of which nothing is left.
    pub workloads: u64,
    /// Starts.
    pub starts: u64,
}

impl Library {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The workloads that are known, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn workloads(&self) -> Result<Vec<Named>, StoreError> {
        let rows = self.shared.with(|file| file.workloads())?;
        let named = |(id, row): (String, super::file::WorkloadRow)| Named {
            id,
            image: row.image,
            image_names: row.image_names,
            left_out: row.left_out,
            service: row.command.service().map(str::to_owned),
        };
        Ok(rows.into_iter().map(named).collect())
    }

    /// All that is known of a workload, by its id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn evidence(&self, workload: &str) -> Result<Option<Evidence>, StoreError> {
        self.shared.with(|file| file.evidence(workload))
    }

    /// A profile by its SHA-256, as the OCI runtime specification has it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn profile(&self, sha256: &str) -> Result<Option<String>, StoreError> {
        self.shared.with(|file| file.profile(sha256))
    }

    /// Takes in what others have counted; the same start is the same start, however often it comes.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing is taken in.
    pub fn merge(&self, evidence: Vec<Evidence>, profiles: BTreeMap<String, String>) -> Result<Taken, StoreError> {
        let saved = |evidence: Evidence| {
            let Evidence { workload, image_names, starts } = evidence;
            starts.into_iter().map(move |start| Saved {
                workload: workload.clone(),
                image_names: image_names.clone(),
                start,
            })
        };
        let batch = Batch { starts: evidence.into_iter().flat_map(saved).collect(), profiles, ..Batch::default() };
        let (new, more) = self.shared.with(|file| file.merge(&batch))?;
        Ok(Taken { new, more })
    }

    /// The starts whose ids begin so: of which workload, and which.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.shared.with(|file| file.find(prefix))
    }

    /// Leaves a start out, or takes it in again.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn exclude(&self, workload: &str, start: &str, excluded: bool) -> Result<(), StoreError> {
        self.shared.with(|file| file.exclude(workload, start, excluded))
    }

    /// Forgets workloads, or what was last counted `before` then of them.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing is forgotten.
    pub fn forget(&self, workloads: &[String], before: Option<Timestamp>) -> Result<Forgotten, StoreError> {
        self.shared.forget(workloads, before);
        let (workloads, starts) = self.shared.with(|file| file.forget(workloads, before))?;
        Ok(Forgotten { workloads, starts })
    }
}
