//! What the daemon hands over.

use serde::{Deserialize, Serialize};

use crate::report::view::ReasonView;

/// The filters of a container's tasks, as the kernel holds them now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterAnswer {
    /// The container's whole id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether the kernel enforces what was declared.
    pub matches_declared: Option<bool>,
    /// Why not, or why it only looks otherwise.
    pub reasons: Vec<ReasonView>,
    /// Each filter once.
    pub filters: Vec<HeldFilter>,
    /// The tasks, by the filters that they are under.
    pub stacks: Vec<HeldStack>,
}

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFilter {
    /// Its instructions (`struct sock_filter`, 8 bytes each) in hex; `None` where the kernel keeps none that can be read.
    pub instructions: Option<String>,
    /// It is the declared profile's.
    pub is_declared: bool,
}

/// Tasks that are under the same filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStack {
    /// Indices into [`FilterAnswer::filters`], the newest filter first.
    pub filters: Vec<usize>,
    /// Whether there are older ones that were not read.
    pub cut: bool,
    /// The tasks.
    pub tasks: Vec<HeldTask>,
}

/// A thread, by the numbers that the host sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTask {
    /// Its process.
    pub pid: u32,
    /// Itself.
    pub tid: u32,
    /// Its name.
    pub comm: String,
}
