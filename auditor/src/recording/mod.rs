//! Counting without a daemon: the kernel programs for one cgroup, for as long as somebody wants to know what is called
//! there.
//!
//! A recording has programs and maps of its own, so it works beside a daemon, and neither counts for the other.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

pub use self::error::RecordingError;
use crate::cgroupfs;
use crate::container::{CgroupId, ContainerId};
use crate::counters::{Counters, Tally};
use crate::evidence::{Arguments, Seen, Start};
use crate::kernel::{Kernel, SlotNr, SlotOwner, SlotState};
use crate::procfs;
use crate::profile::Runtime;
use crate::syscall::{Abi, SyscallNr};

/// Containers that start elsewhere meanwhile take slots as well, until the next look gives them back.
const SLOTS: u32 = 64;

/// What is called within this time after the start is the program's start-up.
const STARTUP: Duration = Duration::from_secs(60);

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
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
    /// Whether a filter is in force; `None` where nobody knows.
    pub confined: Option<bool>,
}

/// Counts what happens in one cgroup and in those inside it. Nothing is counted any more once it is dropped.
pub struct Recording {
    kernel: Kernel,
    subject: Subject,
    slot: Option<(SlotNr, SlotOwner)>,
    /// Nothing could be called before counting began.
    from_first_call: bool,
    began: (Timestamp, Duration),
    until: (Timestamp, Duration),
    seen: BTreeMap<(Abi, SyscallNr), Seen>,
    lost: u64,
    /// The cgroup is gone, and what was read of it is final.
    ended: bool,
}

impl Recording {
    /// Counts in a cgroup that is there, from now on: from the first call of whoever comes, if nobody is in it yet.
    ///
    /// # Errors
    /// The cgroup is not there, or the host cannot be audited.
    pub fn of_cgroup(directory: &Path) -> Result<Self, RecordingError> {
        let gone = |source| RecordingError::NoCgroup { path: directory.to_owned(), source };
        let id = cgroupfs::id_at(directory).map_err(gone)?;
        let mut recording = Self::loaded(Subject::Cgroup(id))?;
        let refused = recording.kernel.attach(|| vec![(id, cgroupfs::nested_in(directory))])?;
        if let Some(cgroup) = refused.first() {
            return Err(crate::kernel::KernelError::NoSlot(cgroup.0).into());
        }
        // Asked when counting has begun: whoever comes from now on is counted.
        recording.from_first_call = !cgroupfs::is_populated(directory);
        recording.look()?;
        Ok(recording)
    }

    /// Counts a container that is going to be started, from its first call on.
    ///
    /// # Errors
    /// The host cannot be audited.
    pub fn of_container(id: ContainerId) -> Result<Self, RecordingError> {
        let mut recording = Self::loaded(Subject::Container(id))?;
        recording.kernel.attach(Vec::new)?;
        Ok(recording)
    }

    fn loaded(subject: Subject) -> Result<Self, RecordingError> {
        let now = now()?;
        Ok(Self {
            kernel: Kernel::load(SLOTS)?,
            subject,
            slot: None,
            from_first_call: true,
            began: now,
            until: now,
            seen: BTreeMap::new(),
            lost: 0,
            ended: false,
        })
    }

    /// Reads the counters. How exactly it is known when a call was made first and last is how often this is done.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn look(&mut self) -> Result<(), RecordingError> {
        if self.ended {
            return Ok(());
        }
        let now = now()?;
        // Owners first: a slot that is marked as removed by now gets no more counts.
        let owners = self.kernel.owners()?;
        let mine = owners.iter().find(|(slot, owner)| match &self.slot {
            Some((mine, _)) => mine == *slot,
            None => self.is_subject(owner),
        });
        if let Some((slot, owner)) = mine {
            if self.slot.is_none() {
                self.begin(*slot, owner, now)?;
            }
            let counters = self.kernel.counters(&BTreeSet::from([*slot]))?.remove(slot).unwrap_or_default();
            // Nobody knows whose runs were left out.
            self.lost = self.kernel.lost_in(*slot)? + self.kernel.losses()?.recursion;
            self.until = now;
            let elapsed = now.1.saturating_sub(self.began.1);
            take(&mut self.seen, &counters, now.0, elapsed <= STARTUP);
            self.ended = owner.state == SlotState::Removed;
        }
        let own = self.slot.as_ref().map(|(slot, _)| *slot);
        let others = owners.iter().filter(|(slot, owner)| Some(**slot) != own && owner.state == SlotState::Removed);
        let others: BTreeSet<SlotNr> = others.map(|(slot, _)| *slot).collect();
        if !others.is_empty() {
            self.kernel.release(&others)?;
        }
        Ok(())
    }

    fn is_subject(&self, owner: &SlotOwner) -> bool {
        match self.subject {
            Subject::Cgroup(id) => owner.cgroup == id,
            Subject::Container(id) => cgroupfs::container_id_of(&format!("/{}", owner.name)) == Some(id),
        }
    }

    fn begin(&mut self, slot: SlotNr, owner: &SlotOwner, now: (Timestamp, Duration)) -> Result<(), RecordingError> {
        let since = Duration::from_nanos(owner.since_ns);
        let wall = procfs::wall_time_of(since).map_err(no_clock)?;
        self.began = (wall, since.min(now.1));
        if matches!(self.subject, Subject::Container(_)) {
            self.from_first_call = owner.from_first_call;
        }
        self.slot = Some((slot, owner.clone()));
        Ok(())
    }

    /// Whether the cgroup was there at the latest look or before.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.slot.is_some()
    }

    /// Whether it was gone at the latest look: what was counted is final.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// What was counted up to the latest look.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { tallies: self.seen.iter().map(|(key, seen)| (*key, seen.tally)).collect() }
    }

    /// Calls and events that are known to be lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// All of it, as evidence of one start, up to the latest look.
    ///
    /// # Errors
    /// The kernel gives no random name for it.
    pub fn start(&self, about: About) -> Result<Start, RecordingError> {
        let About { container, name, profile, confined } = about;
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
            runtime: Runtime::default(),
            confined,
            excluded: false,
            calls: self.seen.clone(),
            arguments: Arguments::default(),
        })
    }
}

/// Takes in what the counters say now.
fn take(seen: &mut BTreeMap<(Abi, SyscallNr), Seen>, counters: &Counters, now: Timestamp, starting: bool) {
    for (key, tally) in &counters.tallies {
        let one = seen.entry(*key).or_insert(Seen { tally: Tally::default(), startup_calls: 0, first: now, last: now });
        if one.tally != *tally {
            one.tally = *tally;
            one.last = now;
        }
        if starting {
            one.startup_calls = tally.calls.saturating_sub(tally.runtime_calls);
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
fn unique_id() -> Result<String, RecordingError> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|source| RecordingError::System { doing: "reading /proc/sys/kernel/random/uuid", source })?;
    Ok(text.trim().to_owned())
}
