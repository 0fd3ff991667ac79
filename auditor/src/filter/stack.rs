//! All filters of a task, and which of them decides.

use super::diagram::{Diagram, Diagrams};
use super::outcome::prevails;
use super::{Outcome, Program, SeccompData, Unknown};
use crate::syscall::{Abi, SyscallNr};

/// The filters of a task, newest first, as the kernel keeps them (`struct seccomp_filter::prev`). Without any, all is
/// allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Stack(pub Vec<Program>);

impl Stack {
    /// What happens to a call, and which filter decided: of those with the most restrictive action the newest. `None`
    /// where all allow it.
    #[must_use]
    pub fn run(&self, data: &SeccompData) -> (Outcome, Option<usize>) {
        let mut value = Outcome::ALLOW.to_ret();
        let mut by = None;
        for (index, program) in self.0.iter().enumerate() {
            let answer = program.value(data);
            if prevails(answer, value) {
                (value, by) = (answer, Some(index));
            }
        }
        (Outcome::from_ret(value), by)
    }

    /// What happens to a call, as a function of its arguments.
    ///
    /// # Errors
    ///
    /// Where that depends on something else, or is too intertwined to be told within bounds.
    pub fn analyze(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<Diagram, Unknown> {
        diagrams.refresh();
        let mut value = diagrams.leaf(Outcome::ALLOW.to_ret())?;
        for program in &self.0 {
            let answer = program.explore(diagrams, abi, nr)?;
            value =
                diagrams.apply(value, answer, |value, answer| if prevails(answer, value) { answer } else { value })?;
        }
        diagrams.conclude(value)
    }
}
