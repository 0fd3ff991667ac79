//! The shared structures as aya wants them: plain old data.

use auditor_ebpf::{
    ArgumentKey, ArgumentShare, CGROUP_NAME_LEN, Calls, DenialCount, DenialKey, Event, FileId, Filter, FilterCopy,
    Flow, ForeignCounts, ForeignKey, LastCgroup, NativeCounts, Offsets, Reading, Refusal, RuntimeCounts, Slot,
    TaskFilters, Watch,
};
use aya::Pod;

macro_rules! plain_old_data {
    ($($name:ident($inner:ty)),+ $(,)?) => {$(
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        // SAFETY: the structure is `repr(C)`, `Copy`, made of integers alone, and valid for every bit pattern.
        unsafe impl Pod for $name {}
    )+};
}

plain_old_data!(
    ArgumentKeyRecord(ArgumentKey),
    ArgumentShareRecord(ArgumentShare),
    CallsRecord(Calls),
    DenialCountRecord(DenialCount),
    DenialKeyRecord(DenialKey),
    FileIdRecord(FileId),
    FilterRecord(Filter),
    FlowRecord(Flow),
    ForeignCountsRecord(ForeignCounts),
    ForeignKeyRecord(ForeignKey),
    LastCgroupRecord(LastCgroup),
    NativeCountsRecord(NativeCounts),
    OffsetsRecord(Offsets),
    ReadingRecord(Reading),
    RuntimeCountsRecord(RuntimeCounts),
    SlotRecord(Slot),
    WatchRecord(Watch),
);

/// Reads an event out of the ring's bytes; `None` when there are too few of them.
pub fn parse_event(bytes: &[u8]) -> Option<Event> {
    let name = bytes.get(16..16 + CGROUP_NAME_LEN)?.try_into().ok()?;
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let cgroup_id = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
    Some(Event { kind: word(0)?, slot: word(4)?, cgroup_id, name })
}

/// Reads a refusal out of the ring's bytes; `None` when there are too few of them.
pub fn parse_refusal(bytes: &[u8]) -> Option<Refusal> {
    // SAFETY: the structure is `repr(C)`, made of integers alone, and valid for every bit pattern.
    unsafe { parse(bytes) }
}

/// Reads what an iterator says of a task; `None` when there are too few bytes.
pub fn parse_task(bytes: &[u8]) -> Option<TaskFilters> {
    // SAFETY: as above.
    unsafe { parse(bytes) }
}

/// Reads what is known of a filter out of the ring's bytes; `None` when there are too few of them.
pub fn parse_copy(bytes: &[u8]) -> Option<FilterCopy> {
    // SAFETY: as above.
    unsafe { parse(bytes) }
}

/// Reads a structure from the first of the bytes.
///
/// # Safety
/// It must be valid for every bit pattern.
unsafe fn parse<T>(bytes: &[u8]) -> Option<T> {
    // SAFETY: there are enough bytes, wherever they lie; the rest is the caller's promise.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
