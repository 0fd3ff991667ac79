//! What the kernel enforces: the filters that a container's tasks are under, and how that differs from what was
//! declared.

mod compare;

use crate::filter::{Outcome, Program, SeccompData, Stack};

pub use compare::{Asked, Comparison, Declared, Difference, Differences, Reason, Unclear, compare, differences};

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

    /// The filter that decides a call of a thread, by its index, and what it does: if the thread was seen, by the filters
    /// that it has; else by those of any other, if there is only one that does what `wanted` asks for.
    #[must_use]
    pub fn decides(&self, tid: u32, call: &SeccompData, wanted: impl Fn(Outcome) -> bool) -> Option<(usize, Outcome)> {
        let decides = |stack: &Stacked| {
            let programs = stack.filters.iter().map(|index| self.filters.get(*index)?.program().cloned());
            let programs = Stack(programs.collect::<Option<_>>().filter(|_| !stack.cut)?);
            let (outcome, by) = programs.run(call);
            Some((*stack.filters.get(by?)?, outcome)).filter(|(_, outcome)| wanted(*outcome))
        };
        if let Some(own) = self.stacks.iter().find(|stack| stack.tasks.iter().any(|task| task.tid == tid)) {
            return decides(own);
        }
        let mut found = self.stacks.iter().filter_map(decides);
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}
