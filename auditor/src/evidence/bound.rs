//! Keeping what is known of a workload small, so that nothing is forgotten that a suggestion needs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::argument::table::noted;
use super::{Seen, Start, Values, of_program};
use crate::audit;
use crate::profile::Runtime;
use crate::syscall::{Abi, SyscallNr};

/// Distinct arguments of one call, over all starts, that summaries keep. More of them make no conditions.
const VALUES: usize = 512;

type Call = (Abi, SyscallNr);
/// Starts that count, or do not, together: one stands for another only among these.
type Group<'a> = (bool, Option<&'a str>, Runtime, Option<bool>);

/// How a call was seen. What was only denied does not stand for what was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    Counted,
    Used,
    UsedByProgram,
    Denied,
    Supervised,
    Logged,
    /// There were arguments that nobody noted.
    Gap,
}

/// What was seen of a workload, each thing by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    Call(Group<'a>, Call, Manner),
    Value(Group<'a>, Call, [u64; 2]),
}

/// What of a start is needed, whatever else goes.
#[derive(Debug, Clone, Default)]
struct Needed {
    calls: BTreeSet<Call>,
    gaps: BTreeSet<Call>,
    values: BTreeSet<(Call, [u64; 2])>,
}

impl Needed {
    fn is_nothing(&self) -> bool {
        self.calls.is_empty() && self.gaps.is_empty() && self.values.is_empty()
    }
}

/// Bounds the starts of one workload. The `full` newest stay as they are. Of older ones a *summary* stays: when they
/// were, how long, whether they were whole, under what; and of their calls and arguments those that no newer start has,
/// or that were seen there first. Beyond `all` starts summaries go that have none of these.
///
/// So nothing that was seen is forgotten, and bounding is the same before and after adding others. Where a call had more
/// distinct arguments than can be kept, its summaries say that there were some which nobody noted.
pub fn keep(starts: &mut Vec<Start>, full: usize, all: usize) {
    starts.sort_by(|a, b| (b.began, &b.id).cmp(&(a.began, &a.id)));
    forget_values(starts, full);
    let needed = needed(starts);
    let mut place = 0;
    let mut needed = needed.iter();
    starts.retain_mut(|start| {
        let Some(needed) = needed.next() else { return true };
        place += 1;
        if place > full {
            summarize(start, needed);
        }
        place <= all || !needed.is_nothing()
    });
    starts.reverse();
}

/// Where a call has too many distinct arguments, those of older starts go, and that is noted.
fn forget_values(starts: &mut [Start], full: usize) {
    let mut distinct: BTreeMap<(Group<'_>, Call), BTreeSet<[u64; 2]>> = BTreeMap::new();
    for start in &*starts {
        for (call, values) in &start.arguments.calls {
            distinct.entry((group(start), *call)).or_default().extend(values.seen.keys());
        }
    }
    let too_many =
        |start: &Start, call: &Call| distinct.get(&(group(start), *call)).is_some_and(|values| values.len() > VALUES);
    let of = |start: &Start| start.arguments.calls.keys().filter(|call| too_many(start, call)).copied().collect();
    let calls: Vec<Vec<Call>> = starts.iter().skip(full).map(of).collect();
    for (start, calls) in starts.iter_mut().skip(full).zip(calls) {
        for call in calls {
            if let Some(values) = start.arguments.calls.get_mut(&call) {
                *values = Values { seen: BTreeMap::new(), overflowed: values.overflowed.max(1) };
            }
        }
    }
}

/// For each start, the newest first: what it is the newest to have, and the calls that were seen there first.
fn needed(starts: &[Start]) -> Vec<Needed> {
    let mut newest: BTreeMap<Item<'_>, usize> = BTreeMap::new();
    // What was only denied is apart: it is not when the call was first made.
    let mut earliest: BTreeMap<(Group<'_>, Call, bool), (Timestamp, usize)> = BTreeMap::new();
    for (at, start) in starts.iter().enumerate() {
        for item in items(start) {
            newest.entry(item).or_insert(at);
        }
        for (call, seen) in &start.calls {
            let used = audit::is_used(&seen.tally, start.confined);
            let known = earliest.entry((group(start), *call, used)).or_insert((seen.first, at));
            // Of several at the same time the oldest start.
            if seen.first <= known.0 {
                *known = (seen.first, at);
            }
        }
    }
    let mut needed = vec![Needed::default(); starts.len()];
    for (item, at) in newest {
        let Some(of) = needed.get_mut(at) else { continue };
        match item {
            Item::Call(_, call, Manner::Gap) => of.gaps.insert(call),
            Item::Call(_, call, _) => of.calls.insert(call),
            Item::Value(_, call, value) => of.values.insert((call, value)),
        };
    }
    for ((_, call, _), (_, at)) in earliest {
        if let Some(of) = needed.get_mut(at) {
            of.calls.insert(call);
        }
    }
    needed
}

fn group(start: &Start) -> Group<'_> {
    (start.excluded, start.profile.as_deref(), start.runtime, start.confined)
}

fn items(start: &Start) -> impl Iterator<Item = Item<'_>> {
    let group = group(start);
    let calls = start.calls.iter().flat_map(move |(call, seen)| {
        manners(start, *call, seen).into_iter().map(move |manner| Item::Call(group, *call, manner))
    });
    let values = start.arguments.calls.iter().flat_map(move |(call, values)| {
        let overflowed = (values.overflowed > 0).then_some(Item::Call(group, *call, Manner::Gap));
        values.seen.keys().map(move |value| Item::Value(group, *call, *value)).chain(overflowed)
    });
    calls.chain(values)
}

fn manners(start: &Start, (abi, nr): Call, seen: &Seen) -> Vec<Manner> {
    let tally = &seen.tally;
    let used = audit::is_used(tally, start.confined);
    let made =
        if start.confined == Some(false) { tally.calls.saturating_add(tally.unfiltered_calls) } else { tally.calls };
    let noted_calls = || {
        let values = start.arguments.calls.get(&(abi, nr));
        values.map_or(0, |values| values.seen.values().fold(values.overflowed, |sum, count| sum.saturating_add(*count)))
    };
    let denials = &tally.denials;
    [
        (true, Manner::Counted),
        (used, Manner::Used),
        (of_program(tally, start.confined) > 0, Manner::UsedByProgram),
        (denials.certain() > 0, Manner::Denied),
        (denials.supervised > 0, Manner::Supervised),
        (denials.logged > 0, Manner::Logged),
        (used && noted(abi, nr).is_some() && noted_calls() < made, Manner::Gap),
    ]
    .into_iter()
    .filter_map(|(is_so, manner)| is_so.then_some(manner))
    .collect()
}

/// Leaves of a start what is needed of it, and one call of its program, which tells that it was executed.
fn summarize(start: &mut Start, needed: &Needed) {
    let witness = start.made().next();
    start.summary = true;
    start.calls.retain(|call, _| needed.calls.contains(call) || needed.gaps.contains(call) || Some(*call) == witness);
    let calls = &start.calls;
    start.arguments.calls.retain(|call, values| {
        // A call's count without those of its arguments would look as if some had not been noted.
        if calls.contains_key(call) || needed.gaps.contains(call) {
            return true;
        }
        values.seen.retain(|value, _| needed.values.contains(&(*call, *value)));
        values.overflowed = 0;
        !values.seen.is_empty()
    });
}
