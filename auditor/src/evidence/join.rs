//! Putting evidence together that was gathered apart: by hosts, by daemons, or by one daemon at two times.

use std::collections::BTreeMap;

use super::{Evidence, STARTUP, Seen, Start};
use crate::counters::Counters;
use crate::profile::Runtime;

/// Profile, runtime, and whether there is a filter.
type Under = (Option<String>, Runtime, Option<bool>);

impl Start {
    /// The same start, as somebody else knew it. What is known of a start only grows, so field by field the one who
    /// knows more is right, and nothing that either has counted is lost: also where one of them did not see the
    /// beginning. It does not matter who is asked first, or how often.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let mut calls = self.calls;
        for (key, theirs) in other.calls {
            calls.entry(key).and_modify(|mine| *mine = mine.join(theirs)).or_insert(theirs);
        }
        let mut arguments = self.arguments;
        arguments.join(other.arguments);
        // They belong together. One that is known comes behind none.
        let (profile, runtime, confined) =
            (self.profile, self.runtime, self.confined).max((other.profile, other.runtime, other.confined));
        let (exclusions, excluded) = (self.exclusions, self.excluded).max((other.exclusions, other.excluded));
        // Who looked last and knew all knows all; an older look does not make a whole of a later summary.
        let (_, is_full) = (self.until, !self.summary).max((other.until, !other.summary));
        let summary = !is_full;
        Self {
            id: self.id.max(other.id),
            container: self.container.max(other.container),
            name: self.name.max(other.name),
            began: self.began.min(other.began),
            until: self.until.max(other.until),
            seconds: self.seconds.max(other.seconds),
            from_first_call: self.from_first_call && other.from_first_call,
            lost: self.lost.max(other.lost),
            profile,
            runtime,
            confined,
            excluded,
            exclusions,
            calls,
            arguments,
            summary,
        }
    }

    /// What was known of a start, and what the daemon that counts it now says of it: under what it runs, that one knows
    /// best.
    #[must_use]
    pub fn updated_by(self, said: Self) -> Self {
        let under = self.under_later(&said);
        self.join(said).with(under)
    }

    /// Under what it runs: the later word, as far as it goes.
    fn under_later(&self, later: &Self) -> Under {
        let runtime = if later.profile.is_some() { later.runtime } else { self.runtime };
        (later.profile.clone().or_else(|| self.profile.clone()), runtime, later.confined.or(self.confined))
    }

    fn with(self, (profile, runtime, confined): Under) -> Self {
        Self { profile, runtime, confined, ..self }
    }

    /// Leaves it out, or takes it in again.
    pub const fn exclude(&mut self, excluded: bool) {
        if self.excluded != excluded {
            self.excluded = excluded;
            self.exclusions = self.exclusions.saturating_add(1);
        }
    }

    /// This start, as a later daemon knows it that reads the same counters: they were never interrupted. What was called in
    /// the first minute knows whoever was there at its end.
    #[must_use]
    pub fn resumed_by(&self, mut later: Self) -> Self {
        let mut before = self.clone();
        let was_there = before.seconds >= STARTUP;
        for (key, seen) in &mut later.calls {
            match before.calls.get_mut(key) {
                Some(known) if was_there => seen.startup_calls = known.startup_calls,
                Some(known) => known.startup_calls = seen.startup_calls,
                None if was_there => seen.startup_calls = Some(0),
                None => {}
            }
        }
        before.updated_by(later)
    }

    /// This start, and what was counted of it after a time in which nobody counted. What happened meanwhile is unknown,
    /// so it is no start any more that was counted from its first call to its last.
    #[must_use]
    pub fn continued_by(&self, later: Self) -> Self {
        let under = self.under_later(&later);
        let mut calls = self.calls.clone();
        // Whether it was over its first minute before: else some calls of that minute are unknown.
        let started = self.seconds >= STARTUP && calls.values().all(|seen| seen.startup_calls.is_some());
        if !started {
            calls.values_mut().for_each(|seen| seen.startup_calls = None);
        }
        for (key, new) in later.calls {
            let Some(seen) = calls.get_mut(&key) else {
                calls.insert(key, Seen { startup_calls: started.then_some(0), ..new });
                continue;
            };
            let mut sum = Counters { tallies: BTreeMap::from([(key, seen.tally)]) };
            sum.merge(&Counters { tallies: BTreeMap::from([(key, new.tally)]) });
            seen.tally = sum.tallies.remove(&key).unwrap_or_default();
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
            excluded: self.excluded,
            exclusions: self.exclusions,
            calls,
            arguments,
            summary: self.summary || later.summary,
            ..later
        }
        .with(under)
    }
}

impl Seen {
    /// The same call of the same start, as somebody else knew it.
    fn join(self, other: Self) -> Self {
        Self {
            tally: self.tally.latest(other.tally),
            // Who does not know it may have seen the rest of that minute.
            startup_calls: self.startup_calls.zip(other.startup_calls).map(|(mine, others)| mine.max(others)),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
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
