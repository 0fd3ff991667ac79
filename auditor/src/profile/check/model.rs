//! A profile as it stands in the text: every part with its place, also what makes no sense.

use super::super::docker::KernelVersion;
use super::super::{Action, Operator};

/// Something, and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub(super) at: usize,
    pub(super) is: T,
}

/// A word as it is spelled, and what it means if it means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<T> {
    pub(super) text: String,
    pub(super) means: Option<T>,
}

/// Whose format it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// What the engine reads; the OCI object is a part of it.
    Docker,
    /// The object `linux.seccomp` of a whole OCI configuration, which the runtime reads.
    OciConfig,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) at: usize,
    pub(super) format: Format,
    pub(super) default_action: Placed<Word<Action>>,
    pub(super) default_errno: Option<Placed<u64>>,
    pub(super) architectures: Vec<Placed<String>>,
    pub(super) arch_map: Vec<ArchMap>,
    pub(super) arch_map_at: usize,
    pub(super) flags: Option<Placed<Vec<Placed<String>>>>,
    pub(super) listener_path: Option<Placed<String>>,
    pub(super) listener_metadata: Option<Placed<String>>,
    pub(super) rules: Vec<Rule>,
    /// In an OCI configuration: what it says of the process.
    pub(super) no_new_privileges: bool,
}

#[derive(Debug)]
pub(super) struct ArchMap {
    pub(super) architecture: Placed<String>,
    pub(super) sub_architectures: Vec<Placed<String>>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) at: usize,
    /// `name`, of Docker's older format.
    pub(super) name: Option<Placed<String>>,
    pub(super) names: Vec<Placed<String>>,
    pub(super) action: Placed<Word<Action>>,
    pub(super) errno: Option<Placed<u64>>,
    pub(super) args: Vec<Arg>,
    pub(super) includes: Filter,
    pub(super) excludes: Filter,
}

impl Rule {
    /// The calls it is about, by whichever of the two fields.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Placed<String>> {
        self.name.iter().chain(&self.names)
    }
}

#[derive(Debug)]
pub(super) struct Arg {
    pub(super) at: usize,
    pub(super) index: Placed<u64>,
    pub(super) value: Placed<u64>,
    pub(super) value_two: Placed<u64>,
    pub(super) operator: Placed<Word<Operator>>,
}

#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) caps: Vec<Placed<String>>,
    pub(super) arches: Vec<Placed<String>>,
    pub(super) min_kernel: Option<Placed<KernelVersion>>,
}
