//! Evidence in a file, to be taken from one host to another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Evidence;
use crate::profile::oci::parse_seccomp;
use crate::profile::{Profile, ProfileError};

/// The version of the format. Fields may be added to it; a file of another version is refused.
pub const VERSION: u64 = 1;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    /// By workload.
    pub workloads: Vec<Evidence>,
    /// The profiles that are named there, by SHA-256.
    pub profiles: BTreeMap<String, Profile>,
}

/// Why a file is no evidence.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Not JSON, or not of this shape.
    #[error("no evidence of auditor's: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of another version.
    #[error("evidence of version {0}; this auditor reads version {VERSION}")]
    Version(u64),
    /// A profile that no runtime takes.
    #[error("a profile in it: {0}")]
    Profile(#[from] ProfileError),
}

#[derive(Serialize, Deserialize)]
struct File {
    auditor_evidence: u64,
    #[serde(default)]
    workloads: Vec<Evidence>,
    /// As the OCI runtime specification has them.
    #[serde(default)]
    profiles: Vec<serde_json::Value>,
}

impl Archive {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are no evidence of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        struct Head {
            auditor_evidence: u64,
        }
        // The version first: what comes with another one may have another shape.
        let head: Head = serde_json::from_slice(bytes)?;
        if head.auditor_evidence != VERSION {
            return Err(ArchiveError::Version(head.auditor_evidence));
        }
        let file: File = serde_json::from_slice(bytes)?;
        let mut profiles = BTreeMap::new();
        for profile in file.profiles {
            let profile = parse_seccomp(profile.to_string().as_bytes())?;
            profiles.insert(profile.sha256(), profile);
        }
        Ok(Self { workloads: file.workloads, profiles })
    }

    /// The file's text, one workload and one profile a line.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let lines =
            |rows: Vec<String>| if rows.is_empty() { String::new() } else { format!("\n{}\n", rows.join(",\n")) };
        let workloads = self.workloads.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let one_line = |profile: &Profile| {
            let value: serde_json::Value = serde_json::from_str(&profile.render_oci())?;
            serde_json::to_string(&value)
        };
        let profiles = self.profiles.values().map(one_line).collect::<Result<Vec<_>, _>>()?;
        Ok(format!(
            "{{\"auditor_evidence\": {VERSION}, \"workloads\": [{}], \"profiles\": [{}]}}\n",
            lines(workloads),
            lines(profiles)
        ))
    }
}

impl Evidence {
    /// The same in parts whose JSON has about `limit` bytes at most, but for those of a single start.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn into_parts(self, limit: usize) -> Result<Vec<Self>, serde_json::Error> {
        let empty = Self { starts: Vec::new(), ..self.clone() };
        let mut parts = Vec::new();
        let (mut part, mut size) = (empty.clone(), 0);
        for start in self.starts {
            let bytes = serde_json::to_string(&start)?.len();
            if size + bytes > limit && !part.starts.is_empty() {
                parts.push(std::mem::replace(&mut part, empty.clone()));
                size = 0;
            }
            size += bytes;
            part.starts.push(start);
        }
        parts.push(part);
        Ok(parts)
    }
}
