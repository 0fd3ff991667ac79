//! Bytes in place of the kernel: what reads its records and its BTF, for tests that throw bytes at it. No record leaves
//! this room, only what is made of one.

use auditor_ebpf::{DenialCount, DenialKey, FilterCopy, ForeignCounts, ForeignKey, TaskFilters};
use btf_rs::Btf;

use super::{FilterReading, KernelEvent, Refusal, decode, event_of, filters, offset, record, refusal};
use crate::counters::Counters;

/// What the ring of events would tell.
#[must_use]
pub fn event(bytes: &[u8]) -> Option<KernelEvent> {
    record::parse_event(bytes).and_then(|event| event_of(&event))
}

/// What the ring of refusals would tell.
#[must_use]
pub fn refusal(bytes: &[u8]) -> Option<Refusal> {
    record::parse_refusal(bytes).map(|event| refusal::decode_refusal(&event, 0))
}

/// What a reading of filters would tell. The first byte says how many copies follow, each with as many instructions as
/// it says itself; behind them are the tasks of one walk, and of the next, half and half.
#[must_use]
pub fn filters(bytes: &[u8]) -> FilterReading {
    let Some((count, mut rest)) = bytes.split_first() else { return FilterReading::default() };
    let mut copies = Vec::new();
    for _ in 0..count % 8 {
        let Some(copy) = record::parse_copy(rest) else { break };
        let length = size_of::<FilterCopy>() + copy.len.min(32) as usize * 8;
        let (copy, behind) = rest.split_at(length.min(rest.len()));
        copies.push(copy);
        rest = behind;
    }
    let tasks: Vec<TaskFilters> = rest.chunks(size_of::<TaskFilters>()).filter_map(record::parse_task).collect();
    let (before, now) = tasks.split_at(tasks.len() / 2);
    filters::settled(&copies, before, now)
}

/// What the maps of rare calls would come to: a byte of a choice, then a key and its counts, and so on.
#[must_use]
pub fn counters(bytes: &[u8]) -> Counters {
    let mut counters = Counters::default();
    for entry in bytes.chunks(49) {
        let word = |at: usize| {
            let bytes = entry.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        // Counters of 64 bits never come near their end.
        let count = |at: usize| word(at) >> 16;
        let [b0, b1, b2, b3, ..] = word(1).to_ne_bytes();
        let nr = u16::from_ne_bytes([b2, b3]);
        if entry.first().is_some_and(|choice| choice & 1 == 0) {
            let key = DenialKey { slot: 0, abi: b0, kind: b1, nr };
            let denial = DenialCount { count: count(9), last_errno: word(17), last_ns: word(25) };
            decode::add_denials(&mut counters, key, [denial]);
        } else {
            let key = ForeignKey { slot: 0, abi: u16::from_ne_bytes([b0, b1]), nr };
            let (calls, unfiltered, errors) = (count(9), count(17), count(25));
            let counts = ForeignCounts {
                calls,
                unfiltered,
                errors,
                unfiltered_errors: count(33),
                runtime: count(41).min(calls),
            };
            decode::add_foreign(&mut counters, key, counts);
        }
    }
    counters
}

/// Whether these bytes would do for a kernel's BTF.
#[must_use]
pub fn btf(bytes: &[u8]) -> bool {
    let Ok(btf) = Btf::from_bytes(bytes) else { return false };
    // Whatever the first field that is missing, the others are looked for too.
    offset::look_for_all(&btf);
    offset::offsets_in(&btf).is_ok()
}
