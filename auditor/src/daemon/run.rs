//! One start of a container, as its slot counts it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::container::{CgroupId, ContainerId};
use crate::counters::{Counters, Tally};
use crate::evidence::{self, ByFilter, Seen, Start, of_program};
use crate::kernel::SlotOwner;
use crate::profile::Runtime;
use crate::syscall::{Abi, SyscallNr};

/// What is called while a start is younger is its start-up.
const STARTUP: Duration = Duration::from_secs(evidence::STARTUP);
/// A start that makes no calls is kept anew after this time: its hours are evidence too.
const IDLE: Duration = Duration::from_secs(300);
/// Digits of a start's id.
const ID_DIGITS: usize = 32;

/// What a start runs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Under {
    /// SHA-256 of the declared profile, where there is one and it was read.
    pub profile: Option<String>,
    /// Who makes a filter of it.
    pub runtime: Runtime,
    /// Whether a filter is in force; `None` where nobody knows.
    pub confined: Option<bool>,
}

impl Under {
    /// Whether it is known.
    pub const fn is_known(&self) -> bool {
        self.profile.is_some() || self.confined.is_some()
    }
}

/// One start.
#[derive(Debug)]
pub struct Run {
    id: String,
    /// `CLOCK_BOOTTIME` when its slot was taken, and when it was last read.
    since: Duration,
    until: Duration,
    /// The same by the wall clock as it was then.
    began: Timestamp,
    last_read: Timestamp,
    from_first_call: bool,
    counters: Counters,
    arguments: ByFilter,
    /// The counters at the last reading of the first minute, where there was one and they were read from the first call on.
    startup: Option<Counters>,
    times: BTreeMap<(Abi, SyscallNr), (Timestamp, Timestamp)>,
    /// What was lost in its slot, and what was lost nobody knows where while it ran.
    lost_in_slot: u64,
    lost_around: u64,
    /// What it ran under, once that may be another start's soon.
    under: Option<Under>,
    /// Whether an earlier daemon's programs counted it from the beginning, and these are the same.
    resumed: bool,
    /// What an earlier daemon saw of it.
    before: Option<Start>,
    /// More calls are known than were kept.
    changed: bool,
    /// How long it had been counted when it was kept, and what it ran under.
    kept: Option<(Duration, Under)>,
}

/// The moment of a reading, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For people.
    pub wall: Timestamp,
    /// `CLOCK_BOOTTIME`, which nobody sets.
    pub boot: Duration,
}

impl Now {
    /// Asks both.
    pub fn read() -> Self {
        Self { wall: Timestamp::now(), boot: crate::procfs::boot_time().unwrap_or_default() }
    }
}

impl Run {
    /// Begins when the slot was taken. `boot` tells the host's present boot from all others, `unfinished` has what an
    /// earlier daemon saw of starts that went on when it ended; `resumed` says that the slot was counted all the time.
    pub fn new(
        container: ContainerId,
        owner: &SlotOwner,
        boot: &str,
        unfinished: &mut BTreeMap<String, Start>,
        resumed: bool,
    ) -> Self {
        let since = Duration::from_nanos(owner.since_ns);
        let began = crate::procfs::wall_time_of(since).unwrap_or_else(|_| Timestamp::now());
        let id = start_id(boot, container, owner.cgroup);
        let before = unfinished.remove(&id);
        let mut run = Self {
            resumed,
            before: None,
            changed: true,
            kept: None,
            id,
            since,
            until: since,
            began,
            last_read: began,
            from_first_call: owner.from_first_call,
            counters: Counters::default(),
            arguments: ByFilter::default(),
            startup: None,
            times: BTreeMap::new(),
            lost_in_slot: 0,
            lost_around: 0,
            under: None,
        };
        before.map(|before| run.seen_before(before));
        run
    }

    /// Whether it was counted from its first call.
    pub const fn is_whole(&self) -> bool {
        self.from_first_call
    }

    /// Its counters, as last read.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether more is known of it than when this was asked last. `now` is what it runs under where that is not settled.
    pub fn take_unkept(&mut self, now: &Under) -> bool {
        let under = self.under.as_ref().unwrap_or(now);
        let same = |(at, was): &(Duration, Under)| self.until.saturating_sub(*at) < IDLE && was == under;
        if !self.changed && self.kept.as_ref().is_some_and(same) {
            return false;
        }
        self.kept = Some((self.until, under.clone()));
        self.changed = false;
        true
    }

    /// It began in a slot of programs that were replaced: this was counted there, and its own counters come on top.
    pub fn continue_from(&mut self, start: Start) {
        (self.before, self.resumed, self.changed) = (Some(start), false, true);
    }

    /// What an earlier daemon saw of it. Given back where that is known already.
    pub fn seen_before(&mut self, start: Start) -> Option<Start> {
        if self.before.is_some() {
            return Some(start);
        }
        if self.resumed {
            for (key, seen) in &start.calls {
                let times = self.times.entry(*key).or_insert((seen.first, seen.last));
                *times = (times.0.min(seen.first), times.1.max(seen.last));
            }
        }
        (self.before, self.changed) = (Some(start), true);
        None
    }

    /// Forgets what an earlier daemon saw of it, if it is to be.
    pub fn forget_before(&mut self, is_to_be: impl Fn(&Start) -> bool) {
        self.before = self.before.take().filter(|before| !is_to_be(before));
    }

    /// Calls and events that were lost of it, or may have been.
    pub const fn lost(&self) -> u64 {
        self.lost_in_slot + self.lost_around
    }

    /// Takes what its slot holds now.
    pub fn counted(&mut self, counters: Counters, now: Now) {
        for (key, tally) in &counters.tallies {
            if self.counters.tallies.get(key) != Some(tally) {
                self.times.entry(*key).or_insert((now.wall, now.wall)).1 = now.wall;
                self.changed = true;
            }
        }
        if self.from_first_call && now.boot.saturating_sub(self.since) < STARTUP {
            self.startup = Some(counters.clone());
        }
        self.counters = counters;
        self.until = self.until.max(now.boot);
        self.last_read = now.wall;
    }

    /// Takes with which arguments it made its calls.
    pub fn called_with(&mut self, arguments: ByFilter) {
        self.changed |= self.arguments != arguments;
        self.arguments = arguments;
    }

    /// Takes what its slot has lost so far.
    pub const fn lost_in_slot(&mut self, lost: u64) {
        self.changed |= self.lost_in_slot != lost;
        self.lost_in_slot = lost;
    }

    /// Takes what was lost while it ran, and may have been its own.
    pub const fn lost_around(&mut self, calls: u64) {
        self.changed |= calls > 0;
        self.lost_around += calls;
    }

    /// What it ran under: from now on the container's profile may be another's.
    pub fn settle(&mut self, under: impl FnOnce() -> Under) {
        if self.under.is_none() {
            self.under = Some(under());
        }
    }

    /// What was seen of it up to now. `under` is asked where it is not settled.
    pub fn start(&self, container: ContainerId, name: Option<String>, under: impl FnOnce() -> Under) -> Start {
        let Under { profile, runtime, confined } = self.under.clone().unwrap_or_else(under);
        let calls = self.counters.tallies.iter().map(|(key, tally)| {
            let (first, last) = self.times.get(key).copied().unwrap_or((self.last_read, self.last_read));
            let startup = self.startup.as_ref().map(|startup| startup.tallies.get(key).copied().unwrap_or_default());
            let startup_calls = startup.map(|tally| of_program(&tally, confined));
            // A program that puts a filter on itself in a container without one is no runtime.
            let runtime_calls = if confined == Some(false) { 0 } else { tally.runtime_calls };
            (*key, Seen { tally: Tally { runtime_calls, ..*tally }, startup_calls, first, last })
        });
        let start = Start {
            id: self.id.clone(),
            container: container.to_string(),
            name,
            began: self.began,
            // The wall clock may have been set back.
            until: self.last_read.max(self.began),
            seconds: self.until.saturating_sub(self.since).as_secs(),
            from_first_call: self.from_first_call,
            lost: self.lost(),
            profile,
            runtime,
            confined,
            excluded: false,
            exclusions: 0,
            calls: calls.collect(),
            arguments: self.arguments.of_workload(confined),
            summary: false,
        };
        match &self.before {
            Some(before) if self.resumed => before.resumed_by(start),
            Some(before) => before.continued_by(start),
            None => start,
        }
    }
}

/// The same for one start of a container whoever counts it, and no other's: a cgroup's id is given once in a boot.
fn start_id(boot: &str, container: ContainerId, cgroup: CgroupId) -> String {
    let digest = Sha256::digest(format!("{boot}\n{container}\n{cgroup}"));
    let mut id: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    id.truncate(ID_DIGITS);
    id
}
