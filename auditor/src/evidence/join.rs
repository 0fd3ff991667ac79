//! Putting evidence together that was gathered apart: by hosts, by daemons, or by one daemon at two times.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Evidence, Start};
use crate::counters::Counters;

impl Start {
    /// The same start, as somebody else knew it: who looked last knows all that the other knew. Left out by one is left
    /// out. It does not matter who is asked first, or how often.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let excluded = self.excluded || other.excluded;
        let (mine, others) = (Self { excluded, ..self }, Self { excluded, ..other });
        let text = |start: &Self| serde_json::to_string(start).unwrap_or_default();
        match mine.rank().cmp(&others.rank()).then_with(|| text(&mine).cmp(&text(&others))) {
            Ordering::Less => others,
            Ordering::Equal | Ordering::Greater => mine,
        }
    }

    /// Who looked last. What decides between those who looked at the same moment is of no meaning, but always the same.
    fn rank(&self) -> impl Ord + use<> {
        let calls = self.calls.values().map(|seen| u128::from(seen.tally.calls + seen.tally.unfiltered_calls));
        (self.until, self.seconds, calls.sum::<u128>(), self.calls.len())
    }

    /// This start, and what was counted of it after a time in which nobody counted. What happened meanwhile is unknown,
    /// so it is no start any more that was counted from its first call to its last.
    #[must_use]
    pub fn continued_by(&self, later: Self) -> Self {
        let mut calls = self.calls.clone();
        for (key, new) in later.calls {
            let Some(seen) = calls.get_mut(&key) else {
                calls.insert(key, new);
                continue;
            };
            let mut sum = Counters { tallies: BTreeMap::from([(key, seen.tally)]) };
            sum.merge(&Counters { tallies: BTreeMap::from([(key, new.tally)]) });
            seen.tally = sum.tallies.remove(&key).unwrap_or_default();
            seen.startup_calls += new.startup_calls;
            seen.first = seen.first.min(new.first);
            seen.last = seen.last.max(new.last);
        }
        let mut arguments = self.arguments.clone();
        arguments.merge(&later.arguments);
        Self {
            began: self.began,
            until: later.until.max(self.until),
            seconds: self.seconds + later.seconds,
            from_first_call: false,
            lost: self.lost + later.lost,
            excluded: self.excluded || later.excluded,
            calls,
            arguments,
            ..later
        }
    }
}

impl Evidence {
    /// Adds what somebody else saw of the same workload.
    pub fn join(&mut self, other: Self) {
        self.image_names.extend(other.image_names);
        self.image_names.sort();
        self.image_names.dedup();
        let mut starts: BTreeMap<String, Start> = BTreeMap::new();
        for start in std::mem::take(&mut self.starts).into_iter().chain(other.starts) {
            let start = match starts.remove(&start.id) {
                Some(known) => known.join(start),
                None => start,
            };
            starts.insert(start.id.clone(), start);
        }
        self.starts = starts.into_values().collect();
        self.starts.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
    }
}
