//! How far a suggestion can be trusted, and whether that is as far as somebody demands.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::RuntimeFloor;
use super::argument::told_apart;
use crate::counters::Tally;
use crate::coverage::{Estimate, Incidence, percent_down, percent_up};
use crate::evidence::argument::table;
use crate::evidence::{Arguments, Evidence};
use crate::profile::{Decision, Policy, Verdict};
use crate::syscall::{Abi, SyscallNr, known_name};

const ENOSYS: u16 = 38;

/// What a suggestion rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Certainty {
    /// The first call counted.
    pub since: Option<Timestamp>,
    /// The last.
    pub until: Option<Timestamp>,
    /// Starts in that time, whole or not.
    pub starts: u32,
    /// Those of them that are whole: counted from their first call, nothing lost, and the program was run.
    pub whole_starts: u32,
    /// Seconds counted, over all of them.
    pub seconds: u64,
    /// Every start was counted from its first call, and nothing was lost.
    pub complete: bool,
    /// Calls and events known to be lost.
    pub lost: u64,
    /// When a call was last seen that no start had made before.
    pub last_new: Option<Timestamp>,
    /// Seconds counted since then, over all starts.
    pub quiet_seconds: Option<u64>,
    /// What the whole starts say about the next.
    pub estimate: Estimate,
}

/// What a suggestion must rest on to be good enough.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Demand {
    /// Whole starts.
    pub starts: Option<u32>,
    /// Seconds counted, within no less time by the clock: ten replicas of an hour are an hour.
    pub seconds: Option<u64>,
    /// The chance, with the confidence that is stated, that the next start needs nothing that was not seen.
    pub coverage: Option<f64>,
}

/// What a suggestion gives, whatever the starts made: what it cannot miss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) floor: &'a RuntimeFloor,
    pub(super) native: Abi,
    /// What refused the calls that were refused; without one any refusal may have been of a call that is needed.
    pub(super) active: Option<&'a Policy>,
    /// Calls of which the user has said whether they are needed: taken in, or denied still.
    pub(super) decided: &'a BTreeSet<(Abi, SyscallNr)>,
    /// Calls of which only what was seen is let through.
    pub(super) conditions: &'a BTreeSet<&'static str>,
}

/// What a start needs: a call, and of those with conditions also what it is made with.
type Need = (Abi, SyscallNr, Option<[u64; 2]>);

impl Scope<'_> {
    fn is_given(&self, abi: Abi, nr: SyscallNr) -> bool {
        abi == self.native && known_name(abi, nr).is_some_and(|name| self.floor.calls.contains(&name))
    }

    fn estimate(&self, evidence: &Evidence) -> Estimate {
        let (mut calls, mut needs) = (Incidence::default(), Incidence::<Need>::default());
        let given = self.parts(&self.floor.given(self.native));
        // What the runtime calls on the way to the program is left out of what a start made: when it calls what is its own
        // matter, and a suggestion has what it needs.
        for start in evidence.known_whole() {
            let made: Vec<_> = start.made().filter(|(abi, nr)| !self.is_given(*abi, *nr)).collect();
            let asked = self.parts(&start.arguments);
            needs.add(made.iter().map(|(abi, nr)| (*abi, *nr, None)).chain(asked.difference(&given).copied()));
            calls.add(made);
            if start.calls.iter().any(|(call, seen)| self.is_missing(*call, &seen.tally, start.confined)) {
                calls.refuse();
                needs.refuse();
            }
        }
        if self.conditions.is_empty() {
            return Estimate::of(&calls);
        }
        let finer = Estimate::of(&needs);
        Estimate {
            chance: finer.chance,
            starts_with_own_call: finer.starts_with_own_call,
            pairs_with_own_call: finer.pairs_with_own_call,
            with_arguments: true,
            ..Estimate::of(&calls)
        }
    }

    /// What the conditions tell apart of what calls are made with.
    fn parts(&self, arguments: &Arguments) -> BTreeSet<Need> {
        let named = arguments.calls.iter().filter_map(|(&(abi, nr), values)| {
            let noted = table::noted(abi, nr).filter(|noted| self.conditions.contains(noted.name))?;
            Some(values.seen.keys().flat_map(move |value| {
                told_apart(noted, abi, value).into_iter().map(move |part| (abi, nr, Some(part)))
            }))
        });
        named.flatten().collect()
    }

    /// A refusal that may have been of something needed. With ENOSYS programs look for another way, as they do on an older
    /// kernel; what the profile lets through was refused by a filter of the program's own. Where no profile is known the
    /// last errno has to do.
    fn is_missing(&self, call: (Abi, SyscallNr), tally: &Tally, confined: Option<bool>) -> bool {
        let denials = &tally.denials;
        let is_open = match self.active.map(|active| active.verdict(call.0, call.1)) {
            Some(Verdict::Denied(decision)) => decision != Decision::errno(ENOSYS),
            Some(verdict) => !matches!(verdict, Verdict::Allowed(_)),
            None => denials.certain() != denials.errno || denials.last_errno != Some(ENOSYS),
        };
        denials.certain() > 0 && confined != Some(false) && !self.decided.contains(&call) && is_open
    }
}

impl Certainty {
    /// Of what was seen, without what the runtime needs, which is in every suggestion.
    #[must_use]
    pub fn of(evidence: &Evidence, floor: &RuntimeFloor, native: Abi) -> Self {
        let (decided, conditions) = (&BTreeSet::new(), &BTreeSet::new());
        Self::within(evidence, &Scope { floor, native, active: None, decided, conditions })
    }

    /// The same of a suggestion that gives more, or less.
    pub(super) fn within(evidence: &Evidence, scope: &Scope<'_>) -> Self {
        let window = evidence.window();
        Self {
            since: window.since,
            until: window.until,
            starts: u32::try_from(evidence.counted().count()).unwrap_or(u32::MAX),
            whole_starts: evidence.whole(),
            seconds: window.seconds,
            complete: window.complete,
            lost: window.lost,
            last_new: window.last_new,
            quiet_seconds: window.quiet_seconds,
            estimate: scope.estimate(evidence),
        }
    }

    /// For people: two lines without a full stop, what was counted of the subject and what that says.
    #[must_use]
    pub fn in_words(&self, subject: &str) -> [String; 2] {
        let Self { starts, lost, .. } = *self;
        let mut counted = format!(
            "counted since {}, {starts} {} of the {subject}, {} in all, {}",
            self.since.map_or_else(|| "an unknown time".to_owned(), |since| format!("{since:.0}")),
            if starts == 1 { "start" } else { "starts" },
            time(self.seconds),
            match (self.complete, lost) {
                (true, _) => "complete".to_owned(),
                (false, 0) => "not complete: some calls were made before counting began".to_owned(),
                (false, lost) => format!("not complete: {lost} calls or events were lost"),
            }
        );
        if let Some(quiet) = self.quiet_seconds.filter(|quiet| *quiet > 0) {
            counted += &format!("; the last {} of that time brought no new call", time(quiet));
        }
        [counted, self.estimate.in_words()]
    }

    /// What is missing to what is demanded, one line each.
    #[must_use]
    pub fn shortfalls(&self, demand: &Demand) -> Vec<String> {
        let mut missing = Vec::new();
        let starts = self.whole_starts;
        if let Some(wanted) = demand.starts.filter(|wanted| starts < *wanted) {
            let were = if starts == 1 { "was" } else { "were" };
            missing.push(format!("--min-starts: {} {were} counted, and {wanted} are demanded", whole(starts)));
        }
        let window = self.window_seconds();
        if let Some(wanted) = demand.seconds.filter(|wanted| window < *wanted) {
            missing.push(format!("--min-window: {} were counted, and {} are demanded", time(window), time(wanted)));
        }
        let assured = self.estimate.assured();
        if let Some(wanted) = demand.coverage.filter(|wanted| assured.is_none_or(|assured| assured < *wanted)) {
            let known = assured.map_or_else(
                || format!("is unknown from {}", whole(starts)),
                |assured| format!("is at least {} (95 % confidence)", percent_down(assured)),
            );
            let mut line = format!(
                "--min-coverage: the chance that the next start needs nothing new {known}, and {} is demanded",
                percent_up(wanted)
            );
            match self.estimate.starts_refused {
                0 => {}
                refused => line += &format!("; {} refused a call that may be needed", were(refused)),
            }
            missing.push(line);
        }
        missing
    }

    fn window_seconds(&self) -> u64 {
        let by_the_clock = self.since.zip(self.until).map(|(since, until)| until.duration_since(since).as_secs());
        let by_the_clock = by_the_clock.and_then(|seconds| u64::try_from(seconds).ok());
        self.seconds.min(by_the_clock.unwrap_or(0))
    }
}

fn were(starts: u32) -> String {
    if starts == 1 { "1 start was".to_owned() } else { format!("{starts} starts were") }
}

fn whole(starts: u32) -> String {
    if starts == 1 { "1 whole start".to_owned() } else { format!("{starts} whole starts") }
}

/// A length of time in its two largest units.
fn time(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = UNITS.iter().position(|(length, _)| seconds >= *length).unwrap_or(UNITS.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in UNITS.iter().skip(largest).take(2) {
        let count = left / length;
        left %= length;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {unit}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_725, "1 h 2 min"), (86_400, "1 d"), (90_061, "1 d 1 h")]
        {
            assert_eq!(time(seconds), text);
        }
    }
}
