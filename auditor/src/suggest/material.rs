//! Everything that a suggestion is made from, as it is handed from whoever counted to whoever suggests.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Options, Request, RuntimeFloor, SuggestError, Suggestion, program_started, suggest};
use crate::evidence::{Evidence, Workload};
use crate::profile::oci::parse_seccomp;
use crate::profile::{HostArch, Profile, ProfileError, Runtime};
use crate::syscall::Abi;

/// What was seen, under what, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub struct Material {
    /// What was seen.
    pub evidence: Evidence,
    /// The active profile; `None` for what runs without a filter.
    pub profile: Option<Profile>,
    /// Who makes a filter of it.
    pub runtime: Runtime,
    /// The ABI of the host's 64-bit programs.
    pub host: Abi,
    /// What else was put together with the workload that the evidence names: other images of one name, other commands.
    pub others: Vec<Workload>,
}

/// Material whose profile no runtime would take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the profile: {0}")]
pub struct MalformedMaterial(ProfileError);

#[derive(Serialize, Deserialize)]
struct Wire {
    evidence: Evidence,
    /// As the OCI runtime specification has it.
    profile: Option<serde_json::Value>,
    runtime: Runtime,
    host: Abi,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Workload>,
}

impl From<Material> for Wire {
    fn from(material: Material) -> Self {
        let Material { evidence, profile, runtime, host, others } = material;
        // What was rendered is JSON.
        let profile = profile.and_then(|profile| serde_json::from_str(&profile.render_oci()).ok());
        Self { evidence, profile, runtime, host, others }
    }
}

impl TryFrom<Wire> for Material {
    type Error = MalformedMaterial;

    fn try_from(wire: Wire) -> Result<Self, MalformedMaterial> {
        let Wire { evidence, profile, runtime, host, others } = wire;
        let parse = |json: serde_json::Value| parse_seccomp(json.to_string().as_bytes());
        let profile = profile.map(parse).transpose().map_err(MalformedMaterial)?;
        Ok(Self { evidence, profile, runtime, host, others })
    }
}

impl Material {
    /// Makes a smaller profile.
    ///
    /// # Errors
    /// As for [`suggest()`]; [`SuggestError::NeverStarted`] for what is the record of failed starts alone.
    pub fn suggest(&self, options: &Options) -> Result<Suggestion, SuggestError> {
        let starts = self.evidence.counted().filter(|start| start.from_first_call).count();
        if self.profile.is_some() && starts > 0 && !program_started(&self.evidence.counters()) {
            return Err(SuggestError::NeverStarted);
        }
        suggest(&Request {
            evidence: &self.evidence,
            profile: self.profile.as_ref(),
            host: HostArch::of(self.host).with(self.runtime),
            floor: if options.without_runtime { &RuntimeFloor::NONE } else { RuntimeFloor::of(self.runtime) },
            options,
        })
    }
}
