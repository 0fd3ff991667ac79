//! `auditor filter`: what the kernel enforces on one container, call by call, and what each of its filters is.
//!
//! The daemon hands over the filters' bytes; everything said of them is worked out here.

mod answer;
mod calls;
mod text;

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::filter::{Program, ProgramError, Stack};
use crate::report::table::Style;
use crate::report::view::ReasonView;

pub use answer::{FilterAnswer, HeldFilter, HeldStack, HeldTask};
pub use calls::{EnforcedCall, EnforcedCase};

/// Why a filter cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    /// The daemon's answer holds something that is no filter.
    #[error("filter {number}: what the daemon read from the kernel is no filter: {source}; please report this")]
    Garbled {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        source: ProgramError,
    },
    /// The daemon's answer holds something that is no number of a filter, or no bytes.
    #[error("the daemon's answer makes no sense; are the daemon and this command of one version?")]
    Senseless,
    /// There is no filter.
    #[error("no task of the container has a filter")]
    None,
    /// There are several.
    #[error(
        "the container's tasks have {filters} filters: say which one with --filter N, as auditor filter numbers them"
    )]
    Several {
        /// How many.
        filters: usize,
    },
    /// There is none of that number.
    #[error("--filter {number}: the container's tasks have {filters}, numbered from 1")]
    NoSuchFilter {
        /// The number that was given.
        number: usize,
        /// How many there are.
        filters: usize,
    },
    /// The kernel keeps none that can be read.
    #[error("filter {number}: the kernel keeps no copy of it that can be read (CONFIG_CHECKPOINT_RESTORE)")]
    Unreadable {
        /// Which, from 1.
        number: usize,
    },
    /// A word that is no call's name.
    #[error("no such system call: {name}{}", did_you_mean(.near))]
    NoSuchCall {
        /// The word, safe to print.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// A listing and bytes are what they are.
    #[error("--disassemble and --raw have no JSON form; leave --output away")]
    NoJson,
    /// Bytes would be written to a terminal.
    #[error("--raw writes bytes, which a terminal cannot show: redirect them to a file, or use --disassemble")]
    Terminal,
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// The filters of a container's tasks.
#[derive(Debug, Clone)]
pub struct Held {
    answer: FilterAnswer,
    programs: Vec<Option<Program>>,
}

impl Held {
    /// Takes what the daemon answered.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn of(answer: FilterAnswer) -> Result<Self, FilterError> {
        let mut programs = Vec::new();
        for (index, filter) in answer.filters.iter().enumerate() {
            let program = match &filter.instructions {
                None => None,
                Some(hex) => {
                    let bytes = bytes_of(hex).ok_or(FilterError::Senseless)?;
                    let garbled = |source| FilterError::Garbled { number: index + 1, source };
                    Some(Program::parse(&bytes).map_err(garbled)?)
                }
            };
            programs.push(program);
        }
        let known = |stack: &HeldStack| stack.filters.iter().all(|index| *index < programs.len());
        if !answer.stacks.iter().all(known) {
            return Err(FilterError::Senseless);
        }
        Ok(Self { answer, programs })
    }

    /// A filter's bytes, as the kernel takes them.
    ///
    /// # Errors
    /// When there is no such filter, or several and none was chosen.
    pub fn bytes(&self, chosen: Option<usize>) -> Result<Vec<u8>, FilterError> {
        let number = match (chosen, self.programs.len()) {
            (_, 0) => return Err(FilterError::None),
            (None, 1) => 1,
            (None, filters) => return Err(FilterError::Several { filters }),
            (Some(number), _) => number,
        };
        Ok(self.program(number)?.to_bytes())
    }

    fn program(&self, number: usize) -> Result<&Program, FilterError> {
        let filters = self.programs.len();
        let program = number.checked_sub(1).and_then(|index| self.programs.get(index));
        let program = program.ok_or(FilterError::NoSuchFilter { number, filters })?;
        program.as_ref().ok_or(FilterError::Unreadable { number })
    }

    /// The instructions of one filter, or of each, in words.
    ///
    /// # Errors
    /// When there is no such filter.
    pub fn listing(&self, chosen: Option<usize>, style: &Style) -> Result<String, FilterError> {
        if self.programs.is_empty() {
            return Err(FilterError::None);
        }
        let mut out = String::new();
        for number in chosen.map_or(1..=self.programs.len(), |number| number..=number) {
            let program = self.program(number)?;
            out += &text::filter_line(&self.summary(number - 1), style);
            out += &program.disassemble();
            out.push('\n');
        }
        Ok(out)
    }

    fn summary(&self, index: usize) -> FilterSummary {
        let program = self.programs[index].as_ref();
        let tasks = self.answer.stacks.iter().filter(|stack| stack.filters.contains(&index));
        FilterSummary {
            number: index + 1,
            instructions: program.map(|program| program.instructions().len()),
            sha256: program
                .map(|program| Sha256::digest(program.to_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()),
            is_declared: self.answer.filters[index].is_declared,
            tasks: tasks.flat_map(|stack| &stack.tasks).map(TaskView::of).collect(),
        }
    }

    /// The programs of a stack, where all are known.
    fn stack(&self, stack: &HeldStack) -> Option<Stack> {
        if stack.cut {
            return None;
        }
        stack.filters.iter().map(|index| self.programs[*index].clone()).collect::<Option<_>>().map(Stack)
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

/// What the kernel enforces on a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnforcedView {
    /// The engine's 64-digit id.
    pub id: String,
    /// The engine's name.
    pub name: Option<String>,
    /// Whether it is what was declared.
    pub matches_declared: Option<bool>,
    /// Why not, or why it only looks otherwise.
    pub reasons: Vec<ReasonView>,
    /// Each filter once.
    pub filters: Vec<FilterSummary>,
    /// The tasks, by the filters that they are under.
    pub stacks: Vec<StackView>,
}

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilterSummary {
    /// From 1.
    pub number: usize,
    /// How long it is; `None` where it cannot be read.
    pub instructions: Option<usize>,
    /// Of its bytes, in hex.
    pub sha256: Option<String>,
    /// It is the declared profile's.
    pub is_declared: bool,
    /// Who has it.
    pub tasks: Vec<TaskView>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// Its process, by the number that the host sees.
    pub pid: u32,
    /// Itself, likewise.
    pub tid: u32,
    /// Its name.
    pub comm: String,
}

impl TaskView {
    fn of(task: &HeldTask) -> Self {
        Self { pid: task.pid, tid: task.tid, comm: task.comm.clone() }
    }
}

/// What happens to the calls of some tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackView {
    /// Numbers of their filters, the newest first.
    pub filters: Vec<usize>,
    /// Whether there are more, older ones, that could not be read.
    pub cut: bool,
    /// The tasks.
    pub tasks: Vec<TaskView>,
    /// Call by call, on every ABI that the machine has; `None` where a filter cannot be read.
    pub syscalls: Option<Vec<EnforcedCall>>,
}

impl EnforcedView {
    /// Works out what the filters do, to these calls or, if there are none, to all: each stack, or one filter alone.
    ///
    /// # Errors
    /// When a name is no call's, or there is no such filter.
    pub fn of(held: &Held, names: &[String], alone: Option<usize>) -> Result<Self, FilterError> {
        let wanted = calls::wanted(names)?;
        let answer = &held.answer;
        let chosen = match alone {
            None => answer.stacks.clone(),
            Some(number) => {
                held.program(number)?;
                let index = number - 1;
                let under = answer.stacks.iter().filter(|stack| stack.filters.contains(&index));
                let tasks = under.flat_map(|stack| stack.tasks.iter().cloned()).collect();
                vec![HeldStack { filters: vec![index], cut: false, tasks }]
            }
        };
        let stacks = chosen.iter().map(|stack| StackView {
            filters: stack.filters.iter().map(|index| index + 1).collect(),
            cut: stack.cut,
            tasks: stack.tasks.iter().map(TaskView::of).collect(),
            syscalls: held.stack(stack).map(|programs| calls::enforced(&programs, &stack.filters, &wanted)),
        });
        Ok(Self {
            id: answer.id.clone(),
            name: answer.name.clone(),
            matches_declared: answer.matches_declared,
            reasons: answer.reasons.clone(),
            filters: (0..held.programs.len()).map(|index| held.summary(index)).collect(),
            stacks: stacks.collect(),
        })
    }

    /// For people. With `all`, a row for each call.
    #[must_use]
    pub fn table(&self, style: &Style, all: bool) -> String {
        text::table(self, style, all)
    }
}

#[cfg(test)]
mod tests;
