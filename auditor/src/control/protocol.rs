//! What is said over the socket. Additions are compatible, an unknown request is a `bad_request`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::evidence::Evidence;
use crate::report::denial::DenialView;
use crate::report::filter::FilterAnswer;
use crate::report::history::WorkloadView;
use crate::report::snapshot::Health;
use crate::report::view::ContainerView;
use crate::suggest::Material;

/// What a client may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// All containers, without their syscalls.
    Ps,
    /// One container with its syscalls.
    Show {
        /// Name, unique id prefix or compose service.
        container: String,
    },
    /// What a smaller profile is made from.
    Suggest {
        /// As in `Show`, or an image, or a workload's id.
        container: String,
        /// Of what ran under the profile whose SHA-256 begins so.
        #[serde(default)]
        profile: Option<String>,
    },
    /// The workloads that were seen.
    History,
    /// All that was seen of one workload.
    Evidence {
        /// Its whole id.
        workload: String,
    },
    /// Take in what others have counted.
    Import {
        /// Of each workload.
        evidence: Vec<Evidence>,
        /// The profiles that it was counted under, as the OCI runtime specification has them.
        profiles: Vec<serde_json::Value>,
    },
    /// Leave a start out of suggestions, or take it in again.
    Exclude {
        /// Its id, or how that begins.
        start: String,
        /// Which.
        excluded: bool,
    },
    /// Forget what was seen.
    Forget {
        /// Whole ids of workloads; all where there are none.
        workloads: Option<Vec<String>>,
        /// Starts that were counted last before then; all where there is no such time.
        before: Option<Timestamp>,
    },
    /// Refused calls, and with `follow` those to come: then one [`FollowItem`] a line follows the answer, until either
    /// side ends it.
    Denials {
        /// As in `Show`; all containers where there is none.
        container: Option<String>,
        /// Whether to go on with what comes.
        #[serde(default)]
        follow: bool,
        /// The daemon that was followed before, by [`DenialsAnswer::daemon`]: it need not tell again what is past.
        #[serde(default)]
        after: Option<String>,
    },
    /// The filters that a container's tasks are under.
    Filter {
        /// As in `Show`.
        container: String,
    },
    /// How the daemon is.
    Health,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// To `Ps`.
    Containers {
        /// Without syscalls.
        containers: Vec<ContainerView>,
    },
    /// To `Show`.
    Container {
        /// With syscalls.
        container: Box<ContainerView>,
    },
    /// To `Suggest`.
    Material(Box<Material>),
    /// To `History`.
    History {
        /// Those seen last come first.
        workloads: Vec<WorkloadView>,
    },
    /// To `Evidence`.
    Evidence {
        /// What was seen.
        evidence: Box<Evidence>,
        /// The profiles that are named in it, as far as they are known.
        profiles: Vec<serde_json::Value>,
    },
    /// To `Import`.
    Imported {
        /// Starts that were not known.
        new: u64,
        /// Starts of which more is known now.
        more: u64,
    },
    /// To `Exclude`.
    Excluded {
        /// The start's whole id.
        start: String,
    },
    /// To `Forget`.
    Forgotten {
        /// Workloads of which nothing is left.
        workloads: u64,
        /// Starts.
        starts: u64,
    },
    /// To `Denials`.
    Denials(DenialsAnswer),
    /// To `Filter`.
    Filter(Box<FilterAnswer>),
    /// To `Health`.
    Health(Box<Health>),
    /// Instead of any other.
    Failed(Failure),
}

/// Refused calls up to now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialsAnswer {
    /// Which daemon this is: another one knows nothing of what this one told.
    pub daemon: String,
    /// The id of the container that was asked for.
    pub id: Option<String>,
    /// The latest last.
    pub denials: Vec<DenialView>,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum FollowItem {
    /// A refusal, or several that are the same: those since the last line of them.
    Denial(Box<DenialView>),
    /// Refusals that this follower was too slow to be told of.
    Lost {
        /// How many.
        count: u64,
    },
    /// Nothing happened for a while; the daemon is there.
    Alive,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct Failure {
    /// For scripts and exit codes.
    pub kind: FailureKind,
    /// For people: lower case, no full stop.
    pub message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No container or image of that name.
    NoSuchContainer,
    /// More than one container of that name.
    Ambiguous,
    /// The container has no process now.
    NotRunning,
    /// There is no evidence store.
    NoStore,
    /// The container's active profile is not known, so nothing can be said against it.
    NoProfile,
    /// The daemon did not answer in time, or has too many clients.
    Busy,
    /// The request was not understood.
    BadRequest,
    /// The daemon cannot do it, for the reason in the message.
    Internal,
}
