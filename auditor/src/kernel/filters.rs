//! Which filters the tasks of containers have: every one of the chain, read out of the kernel's memory without a stop.
//!
//! The program `read_filters` walks all tasks and copies each filter once, however many tasks have it. It tells filters
//! apart by address, and an address may come to mean another filter once the first one is gone. So the tasks are walked
//! at least twice: what a task was said to have in one walk is believed when in the next one each of its filters' anchors,
//! the task that the filter was copied from, is still there. A task that lives keeps all filters that it had.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;

use auditor_ebpf::{
    CHAIN_DEPTH, FILTER_HAS_LISTENER, FILTER_HAS_PROGRAM, FilterCopy, READ_CHANGED, READ_NO_ROOM, READ_OUT_OF_SHARE,
    Reading,
};
use aya::programs::Iter;

use super::error::chain;
use super::record::ReadingRecord;
use super::{Kernel, KernelError, SlotNr, decode, program, record};
use crate::container::CgroupId;

/// The task iterator.
pub(super) const READ_FILTERS: &str = "read_filters";
/// Walks over all tasks in one reading. The second usually settles everything.
const WALKS: usize = 5;
/// Tasks that are walked between two looks at the ring of copies.
const TASKS_AT_ONCE: usize = 16;

/// One filter of a [`FilterReading`]: the index in its `filters`. It means nothing outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(pub usize);

/// `task_struct.seccomp.mode` (`include/uapi/linux/seccomp.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeccompMode {
    /// No filter: every call goes through.
    Disabled,
    /// `SECCOMP_MODE_STRICT`: read, write, `_exit` and `rt_sigreturn` alone.
    Strict,
    /// `SECCOMP_MODE_FILTER`.
    Filter,
    /// A filter has sentenced it, and it is about to go (`SECCOMP_MODE_DEAD`), or a mode of a newer kernel.
    Other(u32),
}

/// Which filters of a task could be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chain {
    /// These, newest first; none at all for a task without one.
    Known {
        /// Newest first.
        filters: Vec<FilterId>,
        /// How many older ones there are that were not read: the chain is longer than 64.
        older: u32,
    },
    /// They changed whenever they were looked at, or there was no room to read all of them.
    Unknown,
}

/// A task of a container, and its filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFilters {
    /// The container's slot.
    pub slot: SlotNr,
    /// The container's outermost cgroup.
    pub cgroup: CgroupId,
    /// Process, in the host's numbers.
    pub pid: u32,
    /// Thread, in the host's numbers.
    pub tid: u32,
    /// Process, in the numbers of the innermost pid namespace that it is in.
    pub inner_pid: u32,
    /// Thread, in the same numbers.
    pub inner_tid: u32,
    /// The thread's name; bytes that are not UTF-8 are replaced, nothing else is.
    pub comm: String,
    /// Whether and how seccomp looks at its calls.
    pub mode: SeccompMode,
    /// Its filters.
    pub chain: Chain,
}

/// A filter that tasks of containers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledFilter {
    /// The program as it was installed: instructions of 8 bytes (`struct sock_filter`). `None` where the kernel does not
    /// keep it, or has no such field.
    pub program: Option<Vec<u8>>,
    /// Whether it has a supervisor (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
    pub listener: bool,
}

/// The filters of a container's tasks, or of all containers' tasks, as they were at about one moment.
///
/// Tasks that ended while they were read, and tasks that began, may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterReading {
    /// The tasks, by process and thread.
    pub tasks: Vec<TaskFilters>,
    /// Each filter that one of them has, once.
    pub filters: Vec<InstalledFilter>,
}

/// Whose filters to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterScope {
    /// The tasks of the container in this slot.
    Slot(SlotNr),
    /// The tasks of all containers.
    All,
}

/// What names a task: thread and time of its making.
type TaskName = (u32, u64);
/// The records of one walk.
type Walk = BTreeMap<TaskName, auditor_ebpf::TaskFilters>;

/// A filter as it was copied.
struct Copied {
    /// Number of the walk in which that was.
    walk: usize,
    prev: u64,
    anchor: TaskName,
    installed: InstalledFilter,
}

/// The copies of a reading, and where the kernel had them.
#[derive(Default)]
struct Copies {
    /// Number of the walk that goes on, or of the last one.
    walk: usize,
    all: Vec<Copied>,
    by_address: HashMap<u64, usize>,
}

impl Kernel {
    /// Reads the filters of containers' tasks. Nobody is stopped, and tasks that sleep are read like others.
    ///
    /// The work is a walk over all tasks of the host for each of at least two rounds, some hundred nanoseconds for
    /// each task, and one copy for each filter. At most 131,072 instructions in 512 filters are copied for a slot; of
    /// tasks with more the chain is [`Chain::Unknown`].
    ///
    /// # Errors
    /// When the kernel did not take the program, or it cannot be run.
    pub fn read_filters(&mut self, scope: FilterScope) -> Result<FilterReading, KernelError> {
        if let Some(reason) = &self.no_filters {
            return Err(KernelError::Load(reason.clone()));
        }
        let reading = Reading {
            nr: self.readings.wrapping_add(1),
            only_slot_plus_1: match scope {
                FilterScope::Slot(slot) => slot.0 + 1,
                FilterScope::All => 0,
            },
        };
        self.readings = reading.nr;
        self.reading.set(0, ReadingRecord(reading), 0).map_err(|error| KernelError::map("READING", &error))?;
        // One that failed may have left some.
        self.forget_filters(None)?;
        while self.copies.next().is_some() {}
        let result = self.walk_until_settled();
        self.forget_filters(None)?;
        result
    }

    fn walk_until_settled(&mut self) -> Result<FilterReading, KernelError> {
        let mut copies = Copies::default();
        let mut before = self.walk(&mut copies)?;
        let mut open: BTreeSet<TaskName> = before.keys().copied().collect();
        let mut settled = BTreeMap::new();
        for _ in 1..WALKS {
            let now = self.walk(&mut copies)?;
            for name in open.clone() {
                let Some(record) = before.get(&name) else { continue };
                if record.state & READ_OUT_OF_SHARE != 0 {
                    settled.insert(name, (*record, None));
                    open.remove(&name);
                } else if let Some(indices) = copies.settle(name, record, &now) {
                    settled.insert(name, (*record, Some(indices)));
                    open.remove(&name);
                }
            }
            // One that is gone has no filters, and nothing more to tell.
            open.retain(|name| now.contains_key(name));
            let lost = copies.drop_without_anchor(&now);
            if open.is_empty() {
                break;
            }
            self.forget_filters(Some(&lost))?;
            before = now;
        }
        for name in open {
            if let Some(record) = before.get(&name) {
                settled.insert(name, (*record, None));
            }
        }
        Ok(copies.into_reading(settled))
    }

    /// One walk over all tasks. Whatever is copied meanwhile is added.
    fn walk(&mut self, copies: &mut Copies) -> Result<Walk, KernelError> {
        let failed = |reason: String| KernelError::Attach { program: READ_FILTERS, reason };
        let iterator: &mut Iter = program::typed(&mut self.ebpf, READ_FILTERS)?;
        let id = iterator.attach().map_err(|error| failed(chain(&error)))?;
        let link = iterator.take_link(id).map_err(|error| failed(chain(&error)))?;
        let mut file = link.into_file().map_err(|error| failed(chain(&error)))?;
        copies.walk += 1;
        let mut walk = Walk::new();
        // The kernel fills what it is given with whole and parted records, one after the other.
        let mut rest = Vec::new();
        let mut buffer = [0; TASKS_AT_ONCE * size_of::<auditor_ebpf::TaskFilters>()];
        loop {
            let length = file.read(&mut buffer).map_err(|error| failed(error.to_string()))?;
            while let Some(item) = self.copies.next() {
                copies.add(&item);
            }
            if length == 0 {
                return Ok(walk);
            }
            rest.extend_from_slice(&buffer[..length]);
            let mut records = rest.chunks_exact(size_of::<auditor_ebpf::TaskFilters>());
            for task in records.by_ref().filter_map(record::parse_task) {
                walk.insert((task.tid, task.start_ns), task);
            }
            rest = records.remainder().to_vec();
        }
    }

    /// Makes the programs copy filters anew: these, or all.
    fn forget_filters(&mut self, addresses: Option<&[u64]>) -> Result<(), KernelError> {
        let all: Vec<u64>;
        let addresses = match addresses {
            Some(addresses) => addresses,
            None => {
                all = self.known_filters.keys().filter_map(Result::ok).collect();
                &all
            }
        };
        for address in addresses {
            match self.known_filters.remove(address) {
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => {}
                Err(error) => return Err(KernelError::map("KNOWN_FILTERS", &error)),
            }
        }
        Ok(())
    }
}

impl Copies {
    fn add(&mut self, bytes: &[u8]) {
        let Some(copy) = record::parse_copy(bytes) else { return };
        let program = bytes.get(size_of::<FilterCopy>()..).and_then(|rest| rest.get(..copy.len as usize * 8));
        self.by_address.insert(copy.address, self.all.len());
        self.all.push(Copied {
            walk: self.walk,
            prev: copy.prev,
            anchor: (copy.anchor_tid, copy.anchor_start_ns),
            installed: InstalledFilter {
                program: program.filter(|_| copy.flags & FILTER_HAS_PROGRAM != 0).map(<[u8]>::to_vec),
                listener: copy.flags & FILTER_HAS_LISTENER != 0,
            },
        });
    }

    /// The filters that a task had in a walk, if the next one proves it.
    fn settle(&self, name: TaskName, record: &auditor_ebpf::TaskFilters, next: &Walk) -> Option<Vec<usize>> {
        if record.state & (READ_CHANGED | READ_NO_ROOM) != 0 {
            return None;
        }
        let mut indices = Vec::new();
        let mut address = record.head;
        while address != 0 && indices.len() < CHAIN_DEPTH as usize {
            let index = *self.by_address.get(&address)?;
            let copied = self.all.get(index)?;
            // A copy of now says nothing about then.
            if copied.walk == self.walk {
                return None;
            }
            if copied.anchor != name && !has_filters(next, copied.anchor) {
                return None;
            }
            indices.push(index);
            address = copied.prev;
        }
        Some(indices)
    }

    /// Forgets the addresses of filters whose anchors are gone; tasks that were settled keep their copies.
    fn drop_without_anchor(&mut self, now: &Walk) -> Vec<u64> {
        let is_gone = |index: &usize| self.all.get(*index).is_none_or(|copied| !has_filters(now, copied.anchor));
        let lost: Vec<u64> =
            self.by_address.iter().filter(|(_, index)| is_gone(index)).map(|(address, _)| *address).collect();
        for address in &lost {
            self.by_address.remove(address);
        }
        lost
    }

    /// Numbers the filters that tasks have.
    fn into_reading(
        self,
        settled: BTreeMap<TaskName, (auditor_ebpf::TaskFilters, Option<Vec<usize>>)>,
    ) -> FilterReading {
        let mut all: Vec<_> = self.all.into_iter().map(|copied| Some(copied.installed)).collect();
        let mut numbers = HashMap::new();
        let mut reading = FilterReading::default();
        for (record, indices) in settled.into_values() {
            let mut number = |index: usize| {
                *numbers.entry(index).or_insert_with(|| {
                    let installed = all.get_mut(index).and_then(Option::take);
                    reading.filters.push(installed.unwrap_or(InstalledFilter { program: None, listener: false }));
                    FilterId(reading.filters.len() - 1)
                })
            };
            let chain = indices.map_or(Chain::Unknown, |indices| {
                let read = u32::try_from(indices.len()).unwrap_or(u32::MAX);
                let older = if read < CHAIN_DEPTH { 0 } else { record.filter_count.saturating_sub(read) };
                Chain::Known { filters: indices.into_iter().map(&mut number).collect(), older }
            });
            reading.tasks.push(decode_task(&record, chain));
        }
        reading.tasks.sort_by_key(|task| (task.pid, task.tid));
        reading
    }
}

/// What a reading comes to that got these copies in a walk which saw these tasks, and in the next one those.
pub(super) fn settled(
    added: &[&[u8]],
    before: &[auditor_ebpf::TaskFilters],
    now: &[auditor_ebpf::TaskFilters],
) -> FilterReading {
    let walk = |tasks: &[auditor_ebpf::TaskFilters]| -> Walk {
        tasks.iter().map(|task| ((task.tid, task.start_ns), *task)).collect()
    };
    let (before, now) = (walk(before), walk(now));
    let mut copies = Copies { walk: 1, ..Copies::default() };
    added.iter().for_each(|bytes| copies.add(bytes));
    copies.walk = 2;
    let settle = |(name, record): (&TaskName, &auditor_ebpf::TaskFilters)| {
        (*name, (*record, copies.settle(*name, record, &now)))
    };
    let settled = before.iter().map(settle).collect();
    copies.drop_without_anchor(&now);
    copies.into_reading(settled)
}

/// Whether a task was there in a walk, with what it ever had.
fn has_filters(walk: &Walk, name: TaskName) -> bool {
    walk.get(&name).is_some_and(|task| task.head != 0)
}

fn decode_task(record: &auditor_ebpf::TaskFilters, chain: Chain) -> TaskFilters {
    TaskFilters {
        slot: SlotNr(record.slot),
        cgroup: CgroupId(record.cgroup_id),
        pid: record.pid,
        tid: record.tid,
        inner_pid: record.inner_pid,
        inner_tid: record.inner_tid,
        comm: decode::name(&record.comm),
        mode: match record.mode {
            0 => SeccompMode::Disabled,
            1 => SeccompMode::Strict,
            2 => SeccompMode::Filter,
            other => SeccompMode::Other(other),
        },
        chain,
    }
}
