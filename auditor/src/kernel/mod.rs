//! The kernel half, seen from the daemon: load, attach, give slots, read counters. The only user of aya.

mod argument;
mod bitmap;
mod counted;
mod decode;
mod empty;
mod error;
mod feature;
mod filters;
mod follow;
#[doc(hidden)]
pub mod hostile;
mod occupancy;
mod offset;
mod pinned;
mod pins;
mod program;
mod record;
mod refusal;
mod set;
mod slot;
mod takeover;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

pub use argument::ArgumentsBySlot;
use auditor_ebpf::{EVENT_NO_SLOT, EVENT_SLOT_REMOVED, EVENT_SLOT_TAKEN};
pub use bitmap::Bitmap;
pub use counted::Counted;
pub use decode::counted_nr;
pub use empty::EmptyPair;
pub use error::KernelError;
pub use feature::missing_features;
pub use filters::{Chain, FilterId, FilterReading, FilterScope, InstalledFilter, SeccompMode, TaskFilters};
pub use follow::{Comers, Executor, Existing};
pub use occupancy::MapUse;
pub use offset::VMLINUX_BTF;
pub use pins::{Pins, PinsError, Replaced};
pub use program::ProgramStatus;
pub use refusal::{EventCounts, Refusal, RefusalKind};
pub use slot::{SlotOwner, SlotState};

use object::{Object as _, ObjectSection as _};

use aya_log::EbpfLogger;
use log::Log;

use aya::maps::{Array, HashMap, MapData, PerCpuArray, Queue, RingBuf};
use aya::{Btf, Ebpf, EbpfLoader};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use record::{FileIdRecord, FilterRecord, FlowRecord, LastCgroupRecord, OffsetsRecord, ReadingRecord, WatchRecord};

use crate::container::CgroupId;
use crate::syscall::Abi;

/// The programs, built by `cargo xtask build-ebpf` from `auditor-ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("auditor.bpf.o");

/// Number of a slot: where the counters of one container cgroup are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotNr(pub u32);

/// The calls that the kernel lets through without running the filter at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlwaysAllowed {
    /// Filters stacked on the task that they were read from.
    pub filters: u32,
    /// Of the 64-bit ABI.
    pub native: Bitmap,
    /// Of the 32-bit ABI.
    pub compat: Bitmap,
}

/// Things that could not be counted, each a number that only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Calls whose exit cannot be paired because the kernel had no memory for the task's record.
    pub task_storage: u64,
    /// Calls by foreign ABIs that found no room.
    pub foreign: u64,
    /// Denials that found no room.
    pub denial: u64,
    /// Exits of which it cannot be said whether they were denials.
    pub ambiguous_exit: u64,
    /// Container cgroups that found no slot.
    pub untracked_cgroup: u64,
    /// Cgroups inside containers that found no room: what runs in them is not counted.
    pub nested_cgroup: u64,
    /// Events that found the ring full; no count is lost by that.
    pub event: u64,
    /// Runs that the kernel left out because a program was running on that CPU already.
    pub recursion: u64,
}

impl Losses {
    /// Losses that make some container's numbers too small.
    #[must_use]
    pub const fn of_counts(&self) -> u64 {
        self.task_storage + self.foreign + self.denial + self.ambiguous_exit + self.nested_cgroup + self.recursion
    }
}

/// Something the kernel half reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelEvent {
    /// A container's cgroup was created and counts in this slot.
    SlotTaken(SlotNr, CgroupId),
    /// Its cgroup is gone.
    SlotRemoved(SlotNr, CgroupId),
    /// A container's cgroup of this name was created and nothing counts it.
    NoSlot(CgroupId, String),
}

/// `None` for what a program of another version says.
fn event_of(event: &auditor_ebpf::Event) -> Option<KernelEvent> {
    let (slot, cgroup) = (SlotNr(event.slot), CgroupId(event.cgroup_id));
    match event.kind {
        EVENT_SLOT_TAKEN => Some(KernelEvent::SlotTaken(slot, cgroup)),
        EVENT_SLOT_REMOVED => Some(KernelEvent::SlotRemoved(slot, cgroup)),
        EVENT_NO_SLOT => Some(KernelEvent::NoSlot(cgroup, decode::name(&event.name))),
        _ => None,
    }
}

/// The loaded programs and their maps. They are detached when it is dropped, unless they are pinned.
pub struct Kernel {
    ebpf: Ebpf,
    /// The attached programs' links, unless they are pinned.
    links: Vec<set::Link>,
    /// What keeps counting without us.
    pinned: Option<set::Pinned>,
    /// `CLOCK_BOOTTIME` in nanoseconds when this process took the programs over from another; `None` where it attached
    /// them itself.
    taken_over_ns: Option<u64>,
    counted: Counted,
    cgroups: HashMap<MapData, u64, u32>,
    nested: Array<MapData, u32>,
    free_slots: Queue<MapData, u32>,
    has_runtime: Array<MapData, u32>,
    filters: Array<MapData, FilterRecord>,
    lost: PerCpuArray<MapData, u64>,
    last_cgroup: PerCpuArray<MapData, LastCgroupRecord>,
    /// The programs' global `GENERATION`.
    generation: Array<MapData, u32>,
    /// The programs' global `ATTACHED`.
    attached: Array<MapData, u32>,
    events: RingBuf<MapData>,
    refusals: RingBuf<MapData>,
    flows: Array<MapData, FlowRecord>,
    watches: Array<MapData, WatchRecord>,
    /// By slot: what its refusals said so far of those that were not sent.
    unsent: Vec<refusal::Unsent>,
    reading: Array<MapData, ReadingRecord>,
    known_filters: HashMap<MapData, u64, u8>,
    copies: RingBuf<MapData>,
    /// Number of the latest reading of filters.
    readings: u32,
    /// Why filters cannot be read, where they cannot.
    no_filters: Option<String>,
    log: EbpfLogger<&'static dyn Log>,
}

/// Nested cgroups that fit for every slot on average.
const CGROUPS_PER_SLOT: u32 = 16;
/// One container may have so much of that room: 1 in 8.
const NESTED_SHARE: u32 = 8;
/// And so many however few slots there are.
const NESTED_AT_LEAST: u32 = 64;
/// Foreign and denied calls that fit for every slot on average; entries take memory only when they are used, their
/// table 16 bytes each. One container can have some 2,000 of the one and 12,000 of the other if it sets out to.
const RARE_CALLS_PER_SLOT: u32 = 64;
/// Filters that fit in one reading for every slot on average; entries take memory only when they are used.
const FILTERS_PER_SLOT: u32 = 64;
/// So many fit however few slots there are.
const FILTERS: u32 = 4096;
/// So many fit however few slots there are.
const RARE_CALLS: u32 = 65_536;

impl Kernel {
    /// Loads the programs and maps for so many containers at a time, and attaches nothing yet.
    ///
    /// # Errors
    /// When the host cannot run them: see [`KernelError`].
    pub fn load(slot_count: u32) -> Result<Self, KernelError> {
        Self::load_counting(slot_count, true, None)
    }

    /// The same, but new containers take no slot: only cgroups count that [`Kernel::follow_cgroup`] or
    /// [`Kernel::adopt`] names, each with those that are created inside it. `executor` is the program that systemd sets
    /// services up with, where it has one: see [`Comers::Services`].
    ///
    /// # Errors
    /// As for [`Kernel::load`].
    pub fn load_without_containers(slot_count: u32, executor: Option<Executor>) -> Result<Self, KernelError> {
        Self::load_counting(slot_count, false, executor)
    }

    fn load_counting(slot_count: u32, containers: bool, executor: Option<Executor>) -> Result<Self, KernelError> {
        let mut kernel = Self::load_into(slot_count, containers, executor, None)?;
        program::load_tracepoints(&mut kernel.ebpf)?;
        kernel.fill_free_slots()?;
        Ok(kernel)
    }

    /// Loads programs and maps. Where a directory of pins is given, the maps that are pinned there are taken, and those that
    /// are not are pinned there; but for the programs' globals, which are for the caller.
    fn load_into(
        slot_count: u32,
        containers: bool,
        executor: Option<Executor>,
        pins: Option<&Path>,
    ) -> Result<Self, KernelError> {
        let offsets = OffsetsRecord(offset::read_offsets()?);
        let btf = Btf::from_sys_fs().map_err(|error| KernelError::NoBtf(error.to_string()))?;
        let rare_calls = slot_count.saturating_mul(RARE_CALLS_PER_SLOT).max(RARE_CALLS);
        // What nobody would be shown is not written.
        let log_level = log::max_level() as u8;
        let (calls, containers) = (argument::calls(), u32::from(containers));
        let executor = FileIdRecord(executor.map_or(auditor_ebpf::FileId::NONE, Executor::file));
        let nested_limit = (slot_count.saturating_mul(CGROUPS_PER_SLOT) / NESTED_SHARE).max(NESTED_AT_LEAST);
        let mut loader = loader(&btf, &offsets);
        loader
            .override_global("CALLS", &calls, true)
            .override_global("COUNT_CONTAINERS", &containers, true)
            .override_global("NESTED_LIMIT", &nested_limit, true)
            .override_global("EXECUTOR", &executor, true)
            .override_global(aya_log::LEVEL, &log_level, false)
            .map_max_entries("CGROUPS", slot_count.saturating_mul(CGROUPS_PER_SLOT))
            .map_max_entries("NESTED", slot_count)
            .map_max_entries("FREE_SLOTS", slot_count)
            .map_max_entries("SLOTS", slot_count)
            .map_max_entries("NATIVE", slot_count)
            .map_max_entries("HAS_RUNTIME", slot_count)
            .map_max_entries("RUNTIME", slot_count)
            .map_max_entries("ARGUMENTS", slot_count.saturating_mul(auditor_ebpf::ARGUMENTS_PER_SLOT))
            .map_max_entries("ARGUMENT_SHARES", slot_count)
            .map_max_entries("FOREIGN", rare_calls)
            .map_max_entries("DENIALS", rare_calls)
            .map_max_entries("FILTERS", slot_count)
            .map_max_entries("SLOT_LOST", slot_count)
            .map_max_entries("FLOWS", slot_count)
            .map_max_entries("SHARES", slot_count)
            .map_max_entries("WATCHES", slot_count)
            .map_max_entries("KNOWN_FILTERS", slot_count.saturating_mul(FILTERS_PER_SLOT).max(FILTERS))
            .map_max_entries("REFUSALS", refusal::ring_bytes(slot_count));
        if let Some(directory) = pins {
            for map in pins::MAPS {
                loader.map_pin_path(map, directory.join(map));
            }
        }
        let mut ebpf = loader.load(OBJECT).map_err(|error| KernelError::from_load(&error))?;
        for (name, file) in pins::GLOBALS {
            let pin = pins.map(|directory| directory.join(file)).filter(|pin| !pin.exists());
            if let (Some(pin), Some(map)) = (pin, ebpf.map(name)) {
                map.pin(&pin).map_err(|error| KernelError::pin(&pin, &error))?;
            }
        }
        program::load_iterator(&mut ebpf, &btf, program::SEED)?;
        let no_filters = program::load_iterator(&mut ebpf, &btf, filters::READ_FILTERS).err();
        Ok(Self {
            counted: Counted::of(slot_count, |name| take_any(&mut ebpf, name))?,
            cgroups: take(&mut ebpf, "CGROUPS")?,
            nested: take(&mut ebpf, "NESTED")?,
            free_slots: take(&mut ebpf, "FREE_SLOTS")?,
            has_runtime: take(&mut ebpf, "HAS_RUNTIME")?,
            filters: take(&mut ebpf, "FILTERS")?,
            lost: take(&mut ebpf, "LOST")?,
            last_cgroup: take(&mut ebpf, "LAST_CGROUP")?,
            generation: take(&mut ebpf, pins::GENERATION)?,
            attached: take(&mut ebpf, pins::ATTACHED)?,
            events: take(&mut ebpf, "EVENTS")?,
            refusals: take(&mut ebpf, "REFUSALS")?,
            flows: take(&mut ebpf, "FLOWS")?,
            watches: take(&mut ebpf, "WATCHES")?,
            reading: take(&mut ebpf, "READING")?,
            known_filters: take(&mut ebpf, "KNOWN_FILTERS")?,
            copies: take(&mut ebpf, "COPIES")?,
            readings: 0,
            no_filters: no_filters.map(|error| error.to_string()),
            unsent: vec![refusal::Unsent::default(); slot_count as usize],
            log: EbpfLogger::init(&mut ebpf).map_err(|error| KernelError::map("AYA_LOGS", &error))?,
            ebpf,
            links: Vec::new(),
            pinned: None,
            taken_over_ns: None,
        })
    }

    fn fill_free_slots(&mut self) -> Result<(), KernelError> {
        for slot in 0..self.slot_count() {
            self.free_slots.push(slot, 0).map_err(|error| KernelError::map("FREE_SLOTS", &error))?;
        }
        Ok(())
    }

    /// Starts counting. `existing` is asked for the container cgroups that are there already, once new ones can no longer
    /// be missed; those that found no slot are returned.
    ///
    /// Exits are watched last: by then every task that is in the middle of a call is known to be. Where the programs were
    /// taken over they count already, and cgroups that have a slot keep it.
    ///
    /// # Errors
    /// When a program cannot be attached, a map not be written, or something not be pinned.
    pub fn attach(&mut self, existing: impl FnOnce() -> Vec<Existing>) -> Result<Vec<CgroupId>, KernelError> {
        if self.taken_over_ns.is_some() {
            return self.adopt(&existing());
        }
        if let Some(pinned) = &mut self.pinned {
            // Who counted before us ends here: what it has counted is final, and nothing is counted twice.
            pinned.detach_replaced()?;
        }
        self.links.extend(program::attach(&mut self.ebpf, &program::BEFORE_SEED)?);
        let refused = self.adopt(&existing())?;
        self.links.extend(program::attach(&mut self.ebpf, &program::AFTER_SEED)?);
        let all = auditor_ebpf::ALL_ATTACHED;
        self.attached.set(0, all, 0).map_err(|error| KernelError::map(pins::ATTACHED, &error))?;
        if let Some(pinned) = &mut self.pinned {
            pinned.publish(&mut self.ebpf, std::mem::take(&mut self.links))?;
        }
        Ok(refused)
    }

    /// Whether the programs run: a call of this very process is looked for. Every CPU notes the generation in which it
    /// counted last; after it was raised, the call that reads the notes is the first to be noted in it.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn is_counting(&mut self) -> Result<bool, KernelError> {
        let now = self.raise_generation()?;
        let last = self.last_cgroup.get(&0, 0).map_err(|error| KernelError::map("LAST_CGROUP", &error))?;
        Ok(last.iter().any(|last| last.0.generation == now))
    }

    /// Hash of the sources that the programs were built from, in hex: what `cargo xtask build-ebpf` put into them.
    #[must_use]
    pub fn source_hash() -> Option<String> {
        let object = object::File::parse(OBJECT).ok()?;
        let hash = object.section_by_name("source_hash")?.data().ok()?;
        String::from_utf8(hash.to_vec()).ok()
    }

    /// How many containers fit.
    #[must_use]
    pub const fn slot_count(&self) -> u32 {
        self.counted.slot_count()
    }

    /// Something to wait on that becomes readable when there are events. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the process has no more file descriptors.
    pub fn watch_events(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let fd = self.events.as_fd().try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays open, and the same, for as long as it is registered.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
    }

    /// The next event that has been reported, if any.
    pub fn next_event(&mut self) -> Option<KernelEvent> {
        loop {
            let item = self.events.next()?;
            let Some(event) = record::parse_event(&item) else { continue };
            if let Some(event) = event_of(&event) {
                return Some(event);
            }
        }
    }

    /// Writes what the programs had to say to the log.
    pub fn write_log(&mut self) {
        self.log.flush();
    }

    /// The always-allowed bitmaps of the first filter seen in a slot; `None` when none was seen yet.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn always_allowed(&self, slot: SlotNr) -> Result<Option<AlwaysAllowed>, KernelError> {
        let filter = self.filters.get(&slot.0, 0).map_err(|error| KernelError::map("FILTERS", &error))?.0;
        Ok((filter.seen != 0).then(|| AlwaysAllowed {
            filters: filter.depth,
            native: Bitmap::new(filter.allow_native),
            compat: Bitmap::new(filter.allow_compat),
        }))
    }

    /// What could not be counted so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn losses(&self) -> Result<Losses, KernelError> {
        let of = |kind: u32| -> Result<u64, KernelError> {
            let values = self.lost.get(&kind, 0).map_err(|error| KernelError::map("LOST", &error))?;
            Ok(values.iter().sum())
        };
        Ok(Losses {
            task_storage: of(auditor_ebpf::LOST_TASK_STORAGE)?,
            foreign: of(auditor_ebpf::LOST_FOREIGN)?,
            denial: of(auditor_ebpf::LOST_DENIAL)?,
            ambiguous_exit: of(auditor_ebpf::LOST_AMBIGUOUS)?,
            untracked_cgroup: of(auditor_ebpf::LOST_CGROUP)?,
            nested_cgroup: of(auditor_ebpf::LOST_NESTED)?,
            event: of(auditor_ebpf::LOST_EVENT)?,
            recursion: self.programs().iter().filter_map(|program| program.recursion_misses).sum(),
        })
    }

    /// The state of each program.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramStatus> {
        program::statuses(|name| match &self.pinned {
            Some(pinned) => pinned.program(name),
            None => self.ebpf.program(name).and_then(|program| program.fd().ok()).map(|fd| fd.as_fd()),
        })
    }
}

/// The 32-bit ABI of the machine this was built for.
#[must_use]
pub const fn compat_abi() -> Abi {
    if cfg!(target_arch = "aarch64") { Abi::Arm } else { Abi::I386 }
}

/// What the counters of several slots say, by slot.
pub type CountersBySlot = BTreeMap<SlotNr, crate::counters::Counters>;

/// What every use of the object needs: the kernel's types, and where its fields are.
fn loader<'a>(btf: &'a Btf, offsets: &'a OffsetsRecord) -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    loader.btf(Some(btf)).allow_unsupported_maps().override_global("OFFSETS", offsets, true);
    loader
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, KernelError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    T::try_from(take_any(ebpf, name)?).map_err(|error| KernelError::map(name, &error))
}

fn take_any(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, KernelError> {
    ebpf.take_map(name).ok_or_else(|| KernelError::Map { map: name, reason: "not in the eBPF object".to_owned() })
}
