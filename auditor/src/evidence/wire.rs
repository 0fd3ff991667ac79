//! Evidence as JSON: rows of numbers with the calls' names beside them, the same in files and on the control socket.
//!
//! What is read may come from another host, and from anybody: it is bounded here, before anything is made of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Arguments, Command, Evidence, Seen, Start, Values, Workload};
use crate::counters::{Denials, Tally};
use crate::profile::Runtime;
use crate::syscall::{Abi, SyscallNr, display_name};

/// Rows of a start, and words of a command line, at most.
const ROWS: usize = 4_096;
/// Distinct arguments of one call at most.
const VALUES: usize = 4_096;
/// Bytes of a text at most.
const TEXT: usize = 4_096;
/// Starts of one workload at most: what a store keeps, and some more.
const STARTS: usize = 16_384;
/// The largest number that every JSON reader takes as it is (2^53): sums of many stay within 64 bits.
const LARGEST: u64 = 1 << 53;

/// Evidence that says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MalformedEvidence {
    /// More of something than there can be.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A text beyond all measure.
    #[error("a text of more than {TEXT} bytes")]
    TooLong,
    /// A number beyond what any counter holds.
    #[error("a count of more than 2^53")]
    TooLarge,
    /// The same thing twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// An argument that is no number.
    #[error("an argument that is not 0x and at most 16 hex digits")]
    NotHex,
    /// An id that is none.
    #[error("the id of a start is 1 to 64 letters and digits")]
    NotAnId,
    /// A hash that is none.
    #[error("the sha256 of a profile is 64 hex digits")]
    NotAHash,
    /// Time that runs backwards.
    #[error("the start {0} ends before it begins")]
    Backwards(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EvidenceRow {
    image: String,
    command: Command,
    #[serde(default)]
    image_names: Vec<String>,
    starts: Vec<Start>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StartRow {
    id: String,
    container: String,
    name: Option<String>,
    began: Timestamp,
    until: Timestamp,
    seconds: u64,
    from_first_call: bool,
    lost: u64,
    profile: Option<String>,
    #[serde(default)]
    runtime: Runtime,
    confined: Option<bool>,
    #[serde(default)]
    excluded: bool,
    #[serde(default, skip_serializing_if = "is_none_yet")]
    exclusions: u32,
    calls: Vec<CallRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<ArgumentRow>,
    #[serde(default, skip_serializing_if = "is_false")]
    summary: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CallRow {
    abi: Abi,
    nr: SyscallNr,
    /// For people; the number is what counts.
    #[serde(default)]
    name: String,
    #[serde(default)]
    calls: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    runtime_calls: u64,
    /// Missing where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    startup_calls: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    unfiltered_calls: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    errors: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    unfiltered_errors: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    denied_errno: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_errno: Option<u16>,
    #[serde(default, skip_serializing_if = "is_zero")]
    denied_signalled: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    denied_thread_killed: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    supervised: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    logged: u64,
    first: Timestamp,
    last: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ArgumentRow {
    abi: Abi,
    nr: SyscallNr,
    #[serde(default)]
    name: String,
    /// Two registers in hex, and how often: numbers of 64 bits are none of JSON's.
    values: Vec<(String, String, u64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    overflowed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(is_so: &bool) -> bool {
    !*is_so
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none_yet(number: &u32) -> bool {
    *number == 0
}

impl From<Evidence> for EvidenceRow {
    fn from(evidence: Evidence) -> Self {
        let Workload { image, command } = evidence.workload;
        Self { image, command, image_names: evidence.image_names, starts: evidence.starts }
    }
}

impl TryFrom<EvidenceRow> for Evidence {
    type Error = MalformedEvidence;

    fn try_from(row: EvidenceRow) -> Result<Self, MalformedEvidence> {
        within("starts of a workload", row.starts.len(), STARTS)?;
        within("names of an image", row.image_names.len(), ROWS)?;
        short(&row.image)?;
        row.image_names.iter().try_for_each(|name| short(name))?;
        match &row.command {
            Command::Service(service) => short(service)?,
            Command::Line(line) => {
                within("words of a command", line.len(), ROWS)?;
                line.iter().try_for_each(|word| short(word))?;
            }
        }
        let mut starts = row.starts;
        starts.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        let mut ids: Vec<&str> = starts.iter().map(|start| start.id.as_str()).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(MalformedEvidence::Twice(format!("the start {}", twice[0])));
        }
        let workload = Workload { image: row.image, command: row.command };
        Ok(Self { workload, image_names: row.image_names, starts })
    }
}

impl From<Start> for StartRow {
    fn from(start: Start) -> Self {
        Self {
            id: start.id,
            container: start.container,
            name: start.name,
            began: start.began,
            until: start.until,
            seconds: start.seconds,
            from_first_call: start.from_first_call,
            lost: start.lost,
            profile: start.profile,
            runtime: start.runtime,
            confined: start.confined,
            excluded: start.excluded,
            exclusions: start.exclusions,
            calls: start.calls.into_iter().map(|((abi, nr), seen)| CallRow::new(abi, nr, &seen)).collect(),
            arguments: start
                .arguments
                .calls
                .into_iter()
                .map(|((abi, nr), values)| ArgumentRow::new(abi, nr, &values))
                .collect(),
            summary: start.summary,
        }
    }
}

impl TryFrom<StartRow> for Start {
    type Error = MalformedEvidence;

    fn try_from(row: StartRow) -> Result<Self, MalformedEvidence> {
        within("calls of a start", row.calls.len(), ROWS)?;
        within("calls with arguments of a start", row.arguments.len(), ROWS)?;
        if row.id.is_empty() || row.id.len() > 64 || !row.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(MalformedEvidence::NotAnId);
        }
        short(&row.container)?;
        row.name.iter().try_for_each(|name| short(name))?;
        if row.profile.as_ref().is_some_and(|sha| sha.len() != 64 || !sha.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(MalformedEvidence::NotAHash);
        }
        sane(row.seconds)?;
        sane(row.lost)?;
        if row.until < row.began {
            return Err(MalformedEvidence::Backwards(row.id));
        }
        let mut calls = BTreeMap::new();
        for row in &row.calls {
            if calls.insert((row.abi, row.nr), row.seen()?).is_some() {
                return Err(twice(row.abi, row.nr));
            }
        }
        let mut arguments = Arguments::default();
        for row in &row.arguments {
            if arguments.calls.insert((row.abi, row.nr), row.values()?).is_some() {
                return Err(twice(row.abi, row.nr));
            }
        }
        Ok(Self {
            id: row.id,
            container: row.container,
            name: row.name,
            began: row.began,
            until: row.until,
            seconds: row.seconds,
            from_first_call: row.from_first_call,
            lost: row.lost,
            profile: row.profile,
            runtime: row.runtime,
            confined: row.confined,
            excluded: row.excluded,
            // Earlier versions did not count.
            exclusions: row.exclusions.max(u32::from(row.excluded)),
            calls,
            arguments,
            summary: row.summary,
        })
    }
}

impl CallRow {
    fn new(abi: Abi, nr: SyscallNr, seen: &Seen) -> Self {
        let Seen { tally, startup_calls, first, last } = *seen;
        Self {
            abi,
            nr,
            name: display_name(abi, nr).into_owned(),
            calls: tally.calls,
            runtime_calls: tally.runtime_calls,
            startup_calls,
            unfiltered_calls: tally.unfiltered_calls,
            errors: tally.errors,
            unfiltered_errors: tally.unfiltered_errors,
            denied_errno: tally.denials.errno,
            last_errno: tally.denials.last_errno,
            denied_signalled: tally.denials.signalled,
            denied_thread_killed: tally.denials.thread_killed,
            supervised: tally.denials.supervised,
            logged: tally.denials.logged,
            first,
            last,
        }
    }

    fn seen(&self) -> Result<Seen, MalformedEvidence> {
        let denials = Denials {
            errno: sane(self.denied_errno)?,
            last_errno: self.last_errno,
            signalled: sane(self.denied_signalled)?,
            thread_killed: sane(self.denied_thread_killed)?,
            supervised: sane(self.supervised)?,
            logged: sane(self.logged)?,
        };
        let tally = Tally {
            calls: sane(self.calls)?,
            runtime_calls: sane(self.runtime_calls)?,
            unfiltered_calls: sane(self.unfiltered_calls)?,
            errors: sane(self.errors)?,
            unfiltered_errors: sane(self.unfiltered_errors)?,
            denials,
        };
        Ok(Seen { tally, startup_calls: self.startup_calls.map(sane).transpose()?, first: self.first, last: self.last })
    }
}

impl ArgumentRow {
    fn new(abi: Abi, nr: SyscallNr, values: &Values) -> Self {
        let hex = |value: u64| format!("{value:#x}");
        let row = |(value, count): (&[u64; 2], &u64)| (hex(value[0]), hex(value[1]), *count);
        let name = display_name(abi, nr);
        Self {
            abi,
            nr,
            name: name.into_owned(),
            values: values.seen.iter().map(row).collect(),
            overflowed: values.overflowed,
        }
    }

    fn values(&self) -> Result<Values, MalformedEvidence> {
        within("arguments of a call", self.values.len(), VALUES)?;
        let number = |text: &str| {
            let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(MalformedEvidence::NotHex)
        };
        let mut seen = BTreeMap::new();
        for (first, second, count) in &self.values {
            if seen.insert([number(first)?, number(second)?], sane(*count)?).is_some() {
                return Err(twice(self.abi, self.nr));
            }
        }
        Ok(Values { seen, overflowed: sane(self.overflowed)? })
    }
}

fn twice(abi: Abi, nr: SyscallNr) -> MalformedEvidence {
    MalformedEvidence::Twice(format!("{} ({abi})", display_name(abi, nr)))
}

const fn within(what: &'static str, count: usize, limit: usize) -> Result<(), MalformedEvidence> {
    if count > limit { Err(MalformedEvidence::TooMany(what)) } else { Ok(()) }
}

const fn short(text: &str) -> Result<(), MalformedEvidence> {
    if text.len() > TEXT { Err(MalformedEvidence::TooLong) } else { Ok(()) }
}

const fn sane(count: u64) -> Result<u64, MalformedEvidence> {
    if count > LARGEST { Err(MalformedEvidence::TooLarge) } else { Ok(count) }
}
