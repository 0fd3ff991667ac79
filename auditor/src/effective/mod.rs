//! What the kernel enforces: the filters that a container's tasks are under, and how that differs from what was
//! declared.

mod compare;

use crate::filter::Program;

pub use compare::{Asked, Comparison, Declared, Difference, Differences, Reason, compare, differences};

/// A thread of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its process, by the number that the host sees.
    pub pid: u32,
    /// Itself, likewise.
    pub tid: u32,
    /// Its name, as it likes to be called: not to be trusted.
    pub comm: String,
}

/// A filter that the kernel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// As its maker gave it to the kernel.
    Program(Program),
    /// The kernel keeps no copy of it that can be read, or what was read is none.
    Unreadable,
}

impl Held {
    /// The program, where it is known.
    #[must_use]
    pub const fn program(&self) -> Option<&Program> {
        match self {
            Self::Program(program) => Some(program),
            Self::Unreadable => None,
        }
    }
}

/// Tasks that are under the same filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stacked {
    /// Indices into [`Effective::filters`], the newest filter first.
    pub filters: Vec<usize>,
    /// Whether there are more, older ones, that could not be read.
    pub cut: bool,
    /// The tasks.
    pub tasks: Vec<Task>,
}

impl Stacked {
    /// Whether the tasks have no filter.
    #[must_use]
    pub const fn is_bare(&self) -> bool {
        self.filters.is_empty() && !self.cut
    }
}

/// All filters of a container's tasks, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    /// Each filter once.
    pub filters: Vec<Held>,
    /// The tasks, by what they are under; those of the container's first process first.
    pub stacks: Vec<Stacked>,
}

impl Effective {
    /// How many tasks were looked at.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.stacks.iter().map(|stack| stack.tasks.len()).sum()
    }

    /// The tasks that a filter is on.
    pub fn tasks_under(&self, filter: usize) -> impl Iterator<Item = &Task> {
        self.stacks.iter().filter(move |stack| stack.filters.contains(&filter)).flat_map(|stack| &stack.tasks)
    }
}
