//! What was seen of a workload over all its starts: what a suggestion stands on.
//!
//! A workload is what an image does when it is given one command. Its starts are kept apart, so that old ones can be left
//! out and so that it can be said how often each call is needed.

mod archive;
pub mod argument;
mod bound;
mod command;
mod join;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::archive::{Archive, ArchiveError};
pub use self::argument::{Arguments, ByFilter, Values};
pub use self::bound::keep;
pub use self::command::{Command, TEXT_LIMIT, capped, short_line};
pub use self::wire::MalformedEvidence;
use crate::counters::{Counters, Tally, total};
use crate::profile::Runtime;
use crate::syscall::{Abi, SyscallNr};

/// What is run: the key under which evidence adds up, over containers, replicas and restarts of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// The image by its content: `sha256:` and 64 hex digits, as the engine has it. What was recorded without an image
    /// has the program's path here.
    pub image: String,
    /// What tells apart the uses of one image: the compose project and service where there is one, else the command
    /// line.
    pub command: Command,
}

impl Workload {
    /// Names the workload on the command line and in the store: 24 hex digits of a hash of what it is.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        let mut take = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        };
        take(&self.image);
        match &self.command {
            Command::Service(service) => {
                take("service");
                take(service);
            }
            Command::Line(words) => {
                take("line");
                words.iter().for_each(|word| take(word));
            }
        }
        let mut id: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        id.truncate(ID_DIGITS);
        id
    }
}

/// What is called within so many seconds after the start is the program's start-up.
pub const STARTUP: u64 = 60;

/// Digits of a workload's id.
const ID_DIGITS: usize = 24;

/// What was seen of one workload.
///
/// Its JSON form is the one of exported files and of the control socket: see [`MalformedEvidence`] for what is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "wire::EvidenceRow", try_from = "wire::EvidenceRow")]
pub struct Evidence {
    /// Of what.
    pub workload: Workload,
    /// The image as users name it, sorted.
    pub image_names: Vec<String>,
    /// Start by start, the oldest first.
    pub starts: Vec<Start>,
}

/// One start: a container from its first call to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "wire::StartRow", try_from = "wire::StartRow")]
pub struct Start {
    /// Names the start among all of all hosts.
    pub id: String,
    /// The container's id.
    pub container: String,
    /// And its name.
    pub name: Option<String>,
    /// When counting began, by the wall clock.
    pub began: Timestamp,
    /// When it was counted last.
    pub until: Timestamp,
    /// For how long it was counted, in seconds of a clock that nobody sets.
    pub seconds: u64,
    /// Whether it was counted from its first call.
    pub from_first_call: bool,
    /// Calls and events known to be lost.
    pub lost: u64,
    /// SHA-256 of the profile that it ran under; `None` without one.
    pub profile: Option<String>,
    /// Who made a filter of it.
    pub runtime: Runtime,
    /// Whether a filter was in force; `None` where nobody knows.
    pub confined: Option<bool>,
    /// Left out by the user's wish.
    pub excluded: bool,
    /// How often that was said and taken back: what was said last holds, whoever hears of it first.
    pub exclusions: u32,
    /// What it called.
    pub calls: BTreeMap<(Abi, SyscallNr), Seen>,
    /// With which arguments, for the calls of which they are noted.
    pub arguments: Arguments,
    /// It is old: of its calls and arguments those alone are left that no newer start has, or that were seen in it first.
    pub summary: bool,
}

/// One call in one start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// All of it.
    pub tally: Tally,
    /// How many of them were made within the first minute, by the program; `None` where nobody knows.
    pub startup_calls: Option<u64>,
    /// When its counter was first seen to have grown.
    pub first: Timestamp,
    /// And last.
    pub last: Timestamp,
}

/// The time that evidence stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first call counted.
    pub since: Option<Timestamp>,
    /// The last.
    pub until: Option<Timestamp>,
    /// Starts that were counted from their first call.
    pub starts: u32,
    /// Seconds counted, over all starts.
    pub seconds: u64,
    /// Every start was counted from its first call, and nothing was lost.
    pub complete: bool,
    /// Calls and events known to be lost.
    pub lost: u64,
    /// When a call was last seen that no start had made before.
    pub last_new: Option<Timestamp>,
    /// Seconds counted since then, over all starts: what lies between two starts is no time in which nothing new came.
    pub quiet_seconds: Option<u64>,
}

impl Evidence {
    /// The starts that count.
    pub fn counted(&self) -> impl Iterator<Item = &Start> {
        self.starts.iter().filter(|start| !start.excluded)
    }

    /// What they called, added up.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut total = Counters::default();
        for start in self.counted() {
            let tallies = start.calls.iter().map(|(key, seen)| (*key, seen.tally)).collect();
            total.merge(&Counters { tallies });
        }
        total
    }

    /// With which arguments.
    #[must_use]
    pub fn arguments(&self) -> Arguments {
        let mut total = Arguments::default();
        self.counted().for_each(|start| total.merge(&start.arguments));
        total
    }

    /// How many of them are whole.
    #[must_use]
    pub fn whole(&self) -> u32 {
        u32::try_from(self.counted().filter(|start| start.is_whole()).count()).unwrap_or(u32::MAX)
    }

    /// The whole ones of which all is known that they made: of others a summary is left.
    pub fn known_whole(&self) -> impl Iterator<Item = &Start> {
        self.counted().filter(|start| start.is_whole() && !start.summary)
    }

    /// The time that it stands for.
    #[must_use]
    pub fn window(&self) -> Window {
        let starts: Vec<&Start> = self.counted().collect();
        let from_first_call = starts.iter().filter(|start| start.from_first_call).count();
        let lost = total(starts.iter().map(|start| start.lost));
        let mut first: BTreeMap<(Abi, SyscallNr), Timestamp> = BTreeMap::new();
        // What was refused, and what a runtime sets up without a filter, is nothing that a start makes.
        let used = starts.iter().flat_map(|start| start.calls.iter().map(move |(key, seen)| (start, key, seen)));
        for (_, key, seen) in used.filter(|(start, _, seen)| crate::audit::is_used(&seen.tally, start.confined)) {
            let known = first.entry(*key).or_insert(seen.first);
            *known = seen.first.min(*known);
        }
        let last_new = first.into_values().max();
        let since = |from: Timestamp| {
            let after = |start: &&Start| u64::try_from(start.until.duration_since(from).as_secs()).unwrap_or(0);
            total(starts.iter().map(|start| start.seconds.min(after(start))))
        };
        Window {
            since: starts.iter().map(|start| start.began).min(),
            until: starts.iter().map(|start| start.until).max(),
            starts: u32::try_from(from_first_call).unwrap_or(u32::MAX),
            seconds: total(starts.iter().map(|start| start.seconds)),
            complete: !starts.is_empty() && from_first_call == starts.len() && lost == 0,
            lost,
            last_new,
            quiet_seconds: last_new.map(since),
        }
    }

    /// Whether any of them was a container's. What was recorded without one has no runtime that sets it up.
    #[must_use]
    pub fn of_containers(&self) -> bool {
        self.counted().any(|start| !start.container.is_empty())
    }

    /// The profiles that they ran under.
    #[must_use]
    pub fn profiles(&self) -> BTreeSet<Option<&str>> {
        self.counted().map(|start| start.profile.as_deref()).collect()
    }
}

/// How many calls of a tally are the program's, and not the runtime's on the way to it: those under a filter, and in what
/// is known to have none, all of them.
#[must_use]
pub const fn of_program(tally: &Tally, confined: Option<bool>) -> u64 {
    match confined {
        Some(false) => tally.calls.saturating_add(tally.unfiltered_calls),
        Some(true) | None => tally.calls.saturating_sub(tally.runtime_calls),
    }
}

impl Start {
    /// It says what a start makes: it was counted from its first call, nothing was lost, and the program was run. One
    /// that still runs says what it has made so far.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.from_first_call && self.lost == 0 && self.made().next().is_some()
    }

    /// The calls of the program that reached the kernel.
    pub fn made(&self) -> impl Iterator<Item = (Abi, SyscallNr)> + '_ {
        let of_program = |seen: &Seen| of_program(&seen.tally, self.confined) > 0;
        self.calls.iter().filter(move |(_, seen)| of_program(seen)).map(|(key, _)| *key)
    }
}
