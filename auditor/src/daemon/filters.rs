//! Looks at the filters of all tasks that are counted, now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::warn;

use super::differing::Differing;
use super::ledger::Ledger;
use crate::effective::{Effective, Held, Stacked, Task};
use crate::filter::Program;
use crate::kernel::{Chain, FilterReading, FilterScope, Kernel, SeccompMode, SlotNr};

/// Between two looks, where nothing hints at a change.
const PAUSE: Duration = Duration::from_secs(5);

/// When the filters were looked at.
#[derive(Debug, Default)]
pub struct Looking {
    last: Option<Instant>,
    soon: bool,
    failed: bool,
    turn: usize,
}

impl Looking {
    /// Something may have changed: not to wait for the next turn.
    pub const fn soon(&mut self) {
        self.soon = true;
    }

    /// Looks, if it is time to, and has compared what was not compared yet.
    pub fn now_and_then(&mut self, ledger: &mut Ledger, kernel: &mut Kernel, differing: &mut Differing) {
        if self.soon || self.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            // Tasks without a filter are believed to have none at the second look.
            self.soon = self.now(ledger, kernel);
        }
        self.turn = self.turn.wrapping_add(1);
        ledger.want_comparisons(differing, self.turn);
    }

    /// Looks. Returns whether another look is wanted soon.
    pub fn now(&mut self, ledger: &mut Ledger, kernel: &mut Kernel) -> bool {
        self.last = Some(Instant::now());
        match kernel.read_filters(FilterScope::All) {
            Ok(reading) => {
                self.failed = false;
                ledger.filters_seen(by_slot(&reading))
            }
            Err(error) => {
                if !self.failed {
                    warn!(%error, "the containers' filters cannot be read, and are not compared with their profiles");
                }
                self.failed = true;
                ledger.filters_not_seen(&error.to_string());
                false
            }
        }
    }
}

/// What was read, container by container.
fn by_slot(reading: &FilterReading) -> BTreeMap<SlotNr, Effective> {
    let mut slots: BTreeMap<SlotNr, Effective> = BTreeMap::new();
    // Each `docker exec` installs the container's filter anew: what has the same bytes is one.
    let mut places: BTreeMap<(SlotNr, Result<&[u8], usize>), usize> = BTreeMap::new();
    for task in &reading.tasks {
        let effective = slots.entry(task.slot).or_default();
        let (filters, cut) = match (&task.chain, task.mode) {
            // Sentenced by a filter: it makes no more calls.
            (_, SeccompMode::Other(_)) => continue,
            (Chain::Known { filters, older }, SeccompMode::Filter | SeccompMode::Disabled) => {
                let place = |id: &crate::kernel::FilterId| {
                    let program = reading.filters.get(id.0).and_then(|filter| filter.program.as_deref());
                    *places.entry((task.slot, program.ok_or(id.0))).or_insert_with(|| {
                        effective.filters.push(held(reading, id.0));
                        effective.filters.len() - 1
                    })
                };
                (filters.iter().map(place).collect(), *older > 0)
            }
            // Strict mode is stricter than any filter, and is none.
            (Chain::Unknown, _) | (_, SeccompMode::Strict) => (Vec::new(), true),
        };
        let one = Task { pid: task.pid, tid: task.tid, comm: task.comm.clone() };
        match effective.stacks.iter_mut().find(|stack| stack.filters == filters && stack.cut == cut) {
            Some(stack) => stack.tasks.push(one),
            None => effective.stacks.push(Stacked { filters, cut, tasks: vec![one] }),
        }
    }
    slots
}

fn held(reading: &FilterReading, index: usize) -> Held {
    let bytes = reading.filters.get(index).and_then(|filter| filter.program.as_deref());
    match bytes.map(Program::parse) {
        Some(Ok(program)) => Held::Program(program),
        Some(Err(error)) => {
            warn!(%error, "what the kernel keeps of a filter is no filter");
            Held::Unreadable
        }
        None => Held::Unreadable,
    }
}
