//! Counting without a daemon: the kernel programs for one cgroup, for as long as somebody wants to know what is called
//! there.
//!
//! A recording has programs and maps of its own, so it works beside a daemon, and neither counts for the other.

pub mod command;
pub mod enter;
mod error;
mod executor;
pub mod unit;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

pub use self::error::RecordingError;
pub use self::user::{User, UserError};
use crate::cgroupfs;
use crate::container::{CgroupId, ContainerId};
use crate::counters::{Counters, Tally};
use crate::evidence::{ByFilter, STARTUP, Seen, Start, of_program};
use crate::kernel::{Comers, Kernel, SlotNr, SlotOwner, SlotState};
use crate::procfs;
use crate::profile::Runtime;
use crate::syscall::{Abi, SyscallNr};

/// Containers that start elsewhere meanwhile take slots as well, until the next look gives them back. And for each slot
/// there is room for some cgroups inside the one that is counted.
const SLOTS: u32 = 64;

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Nobody,
    Cgroup(CgroupId),
    Container(ContainerId),
}

/// What only the caller knows of what is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The container's id; empty where there is none.
    pub container: String,
    /// Its name.
    pub name: Option<String>,
    /// SHA-256 of the profile that it runs under; `None` without one.
    pub profile: Option<String>,
    /// Who makes a filter of it.
    pub runtime: Runtime,
    /// Whether a filter is in force; `None` where nobody knows.
    pub confined: Option<bool>,
}

/// Counts what happens in one cgroup and in those inside it. Nothing is counted any more once it is dropped.
pub struct Recording {
    kernel: Kernel,
    subject: Subject,
    comers: Comers,
    /// Nobody was in the cgroup before counting began.
    found_empty: bool,
    counted: Option<Counted>,
}

/// What was counted of one cgroup up to the latest look.
#[derive(Debug, Clone)]
pub struct Counted {
    slot: SlotNr,
    from_first_call: bool,
    began: (Timestamp, Duration),
    until: (Timestamp, Duration),
    seen: BTreeMap<(Abi, SyscallNr), Seen>,
    /// The counters at the last look of the first minute, if there was one.
    startup: Option<Counters>,
    arguments: ByFilter,
    lost: u64,
    ended: bool,
}

impl Recording {
    /// Counts in a cgroup that is there, from now on: from the first call of whoever comes, if nobody is in it yet.
    ///
    /// # Errors
    /// The cgroup is not there, or the host cannot be audited.
    pub fn of_cgroup(directory: &Path) -> Result<Self, RecordingError> {
        let mut recording = Self::ready(Comers::Programs)?;
        recording.follow(directory)?;
        Ok(recording)
    }

    /// Counts a container that is going to be started, from its first call on.
    ///
    /// # Errors
    /// The host cannot be audited.
    pub fn of_container(id: ContainerId) -> Result<Self, RecordingError> {
        let mut kernel = Kernel::load(SLOTS)?;
        kernel.attach(Vec::new)?;
        Ok(Self { kernel, subject: Subject::Container(id), comers: Comers::Programs, found_empty: true, counted: None })
    }

    /// Counts nobody yet, so that [`Recording::follow`] has nothing left to do that takes long. These come into the
    /// cgroups that are followed.
    ///
    /// # Errors
    /// The host cannot be audited.
    pub fn ready(comers: Comers) -> Result<Self, RecordingError> {
        let executor = if comers == Comers::Services { executor::find() } else { None };
        let mut kernel = Kernel::load_without_containers(SLOTS, executor)?;
        kernel.attach(Vec::new)?;
        Ok(Self { kernel, subject: Subject::Nobody, comers, found_empty: false, counted: None })
    }

    /// Goes over to another cgroup. Returns what was counted of the one before.
    ///
    /// # Errors
    /// The cgroup is not there, or a map cannot be used.
    pub fn follow(&mut self, directory: &Path) -> Result<Option<Counted>, RecordingError> {
        let gone = |source| RecordingError::NoCgroup { path: directory.to_owned(), source };
        let id = cgroupfs::id_at(directory).map_err(gone)?;
        if self.subject == Subject::Cgroup(id) {
            return Ok(None);
        }
        let empty = !cgroupfs::is_populated(directory);
        // First of all: somebody may be on the way into it.
        self.kernel.follow_cgroup(id, &cgroupfs::nested_in(directory), empty, self.comers)?;
        // Asked again when counting has begun: whoever comes from now on is counted.
        let empty = empty && !cgroupfs::is_populated(directory);
        self.look()?;
        let before = self.counted.take();
        if let Some(before) = &before {
            if !before.ended {
                self.kernel.stop_following(before.slot)?;
            }
            self.kernel.release(&BTreeSet::from([before.slot]))?;
        }
        (self.subject, self.found_empty) = (Subject::Cgroup(id), empty);
        self.look()?;
        Ok(before)
    }

    /// Reads the counters. How exactly it is known when a call was made first and last is how often this is done.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn look(&mut self) -> Result<(), RecordingError> {
        if self.has_ended() {
            return Ok(());
        }
        let now = now()?;
        // Owners first: a slot that is marked as removed by now gets no more counts.
        let owners = self.kernel.owners()?;
        let own = self.counted.as_ref().map(|counted| counted.slot);
        let mine = owners.iter().find(|(slot, owner)| own.map_or_else(|| self.is_subject(owner), |own| own == **slot));
        if let Some((slot, owner)) = mine {
            let counters = self.kernel.counters(&BTreeSet::from([*slot]))?.remove(slot).unwrap_or_default();
            let arguments = self.kernel.arguments(*slot)?;
            // Nobody knows whose runs were left out.
            let lost = self.kernel.lost_in(*slot)? + self.kernel.losses()?.recursion;
            let mut counted = match self.counted.take() {
                Some(counted) => counted,
                None => self.begin(*slot, owner, now)?,
            };
            counted.take(&counters, now);
            (counted.arguments, counted.lost) = (arguments, lost);
            counted.ended = owner.state == SlotState::Removed;
            self.counted = Some(counted);
        }
        self.release_others(&owners)
    }

    /// Gives back the slots of containers that are none of ours.
    fn release_others(&mut self, owners: &BTreeMap<SlotNr, SlotOwner>) -> Result<(), RecordingError> {
        let own = self.counted.as_ref().map(|counted| counted.slot);
        let others = owners.iter().filter(|(slot, owner)| Some(**slot) != own && owner.state == SlotState::Removed);
        let others: BTreeSet<SlotNr> = others.map(|(slot, _)| *slot).collect();
        if !others.is_empty() {
            self.kernel.release(&others)?;
        }
        Ok(())
    }

    fn is_subject(&self, owner: &SlotOwner) -> bool {
        match self.subject {
            Subject::Nobody => false,
            Subject::Cgroup(id) => owner.cgroup == id,
            Subject::Container(id) => cgroupfs::container_id_of(&format!("/{}", owner.name)) == Some(id),
        }
    }

    fn begin(&self, slot: SlotNr, owner: &SlotOwner, now: (Timestamp, Duration)) -> Result<Counted, RecordingError> {
        let since = Duration::from_nanos(owner.since_ns).min(now.1);
        let wall = procfs::wall_time_of(since).map_err(no_clock)?;
        Ok(Counted {
            slot,
            from_first_call: self.found_empty && owner.from_first_call,
            began: (wall.min(now.0), since),
            until: now,
            seen: BTreeMap::new(),
            startup: None,
            arguments: ByFilter::default(),
            lost: 0,
            ended: false,
        })
    }

    /// What was counted up to the latest look; `None` as long as the cgroup was not there.
    #[must_use]
    pub const fn counted(&self) -> Option<&Counted> {
        self.counted.as_ref()
    }

    /// Whether the cgroup was gone at the latest look: what was counted is final.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.counted.as_ref().is_some_and(|counted| counted.ended)
    }
}

impl Counted {
    fn take(&mut self, counters: &Counters, now: (Timestamp, Duration)) {
        self.until = now;
        if self.from_first_call && now.1.saturating_sub(self.began.1) <= Duration::from_secs(STARTUP) {
            self.startup = Some(counters.clone());
        }
        take(&mut self.seen, counters, now.0);
    }

    /// The calls.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { tallies: self.seen.iter().map(|(key, seen)| (*key, seen.tally)).collect() }
    }

    /// Calls and events that are known to be lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// All of it, as evidence of one start.
    ///
    /// # Errors
    /// The kernel gives no random name for it.
    pub fn start(&self, about: About) -> Result<Start, RecordingError> {
        let About { container, name, profile, runtime, confined } = about;
        let calls = self.seen.iter().map(|(key, seen)| {
            let startup = self.startup.as_ref().map(|startup| startup.tallies.get(key).copied().unwrap_or_default());
            (*key, Seen { startup_calls: startup.map(|tally| of_program(&tally, confined)), ..*seen })
        });
        Ok(Start {
            id: unique_id()?,
            container,
            name,
            began: self.began.0,
            until: self.until.0.max(self.began.0),
            seconds: self.until.1.saturating_sub(self.began.1).as_secs(),
            from_first_call: self.from_first_call,
            lost: self.lost,
            profile,
            runtime,
            confined,
            excluded: false,
            exclusions: 0,
            calls: calls.collect(),
            arguments: self.arguments.of_workload(confined),
            summary: false,
        })
    }
}

/// Takes in what the counters say now.
fn take(seen: &mut BTreeMap<(Abi, SyscallNr), Seen>, counters: &Counters, now: Timestamp) {
    for (key, tally) in &counters.tallies {
        let one =
            seen.entry(*key).or_insert(Seen { tally: Tally::default(), startup_calls: None, first: now, last: now });
        if one.tally != *tally {
            one.tally = *tally;
            one.last = now;
        }
    }
}

/// The time by the wall clock, and by the one that nobody sets.
fn now() -> Result<(Timestamp, Duration), RecordingError> {
    Ok((Timestamp::now(), procfs::boot_time().map_err(no_clock)?))
}

fn no_clock(source: std::io::Error) -> RecordingError {
    RecordingError::System { doing: "reading the boot-time clock", source }
}

/// A name that nothing else on any host has.
///
/// # Errors
/// The kernel gives no random one.
pub fn unique_id() -> Result<String, RecordingError> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|source| RecordingError::System { doing: "reading /proc/sys/kernel/random/uuid", source })?;
    Ok(text.trim().replace('-', ""))
}
