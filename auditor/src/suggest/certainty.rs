//! How far a suggestion can be trusted, and whether that is as far as somebody demands.

use jiff::Timestamp;
use serde::Serialize;

use super::RuntimeFloor;
use crate::coverage::{Estimate, percent_down, percent_up};
use crate::evidence::Evidence;
use crate::syscall::{Abi, known_name};

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
    /// Seconds from then to the last call counted.
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

impl Certainty {
    /// Of what was seen. What the runtime needs is in every suggestion, and so not what a start could miss.
    #[must_use]
    pub fn of(evidence: &Evidence, floor: &RuntimeFloor, native: Abi) -> Self {
        let window = evidence.window();
        let is_given = |abi, nr| abi == native && known_name(abi, nr).is_some_and(|name| floor.calls.contains(&name));
        let seconds_between = |from: Timestamp, to: Timestamp| u64::try_from(to.duration_since(from).as_secs()).ok();
        Self {
            since: window.since,
            until: window.until,
            starts: u32::try_from(evidence.counted().count()).unwrap_or(u32::MAX),
            whole_starts: evidence.whole(),
            seconds: window.seconds,
            complete: window.complete,
            lost: window.lost,
            last_new: window.last_new,
            quiet_seconds: window.last_new.zip(window.until).and_then(|(new, until)| seconds_between(new, until)),
            estimate: Estimate::of(&evidence.incidence().without(is_given)),
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
            missing.push(format!(
                "--min-coverage: the chance that the next start needs nothing new {known}, and {} is demanded",
                percent_up(wanted)
            ));
        }
        missing
    }

    fn window_seconds(&self) -> u64 {
        let by_the_clock = self.since.zip(self.until).map(|(since, until)| until.duration_since(since).as_secs());
        let by_the_clock = by_the_clock.and_then(|seconds| u64::try_from(seconds).ok());
        self.seconds.min(by_the_clock.unwrap_or(0))
    }
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
