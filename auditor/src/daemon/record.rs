//! What is known about one container, over all its starts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::differing::Differing;
use super::enforced::{self, Enforced, Known};
use super::profile::Declared;
use crate::audit;
use crate::container::ContainerId;
use crate::counters::{Counters, Tally};
use crate::denial::{self, Counter};
use crate::docker::{Container, Engine};
use crate::effective::{Comparison, Differences, Unclear};
use crate::filter::Program;
use crate::kernel::SlotNr;
use crate::profile::Runtime;
use crate::report::view::{ContainerView, EffectiveMode, ProfileKind, ProfileView, SyscallView, WindowView};
use crate::suggest::Evidence;
use crate::syscall::{Abi, SyscallNr};

/// One container.
#[derive(Debug)]
pub struct Record {
    id: ContainerId,
    /// What the engine says, once it has.
    pub container: Option<Container>,
    /// What made a filter of its profile.
    pub runtime: Runtime,
    /// Its profile at the latest start.
    pub declared: Declared,
    /// The engine as it was when it told of the latest start.
    pub engine_then: Option<Engine>,
    /// What the kernel enforces on it, as far as was seen.
    pub enforced: Enforced,
    /// Counters of slots that were given back.
    finished: Counters,
    /// Counters of the slots it has now, as last read.
    live: BTreeMap<SlotNr, Counters>,
    seen: BTreeMap<(Abi, SyscallNr), Seen>,
    /// `CLOCK_BOOTTIME` when its first slot was taken.
    since: Option<Duration>,
    starts: u32,
    /// Whether every start was counted from its first call: no slot was taken late, and none was wanting.
    from_first_call: bool,
    /// What was lost of it: in slots that were given back, and by the slots it has now, as last read.
    lost: u64,
    lost_live: BTreeMap<SlotNr, u64>,
    /// When the engine removed it.
    pub gone_since: Option<Duration>,
}

/// When a call was counted first and last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
}

impl Record {
    /// A container of which nothing is known but its id.
    pub const fn new(id: ContainerId) -> Self {
        Self {
            id,
            container: None,
            runtime: Runtime::Runc,
            declared: Declared::Unread,
            engine_then: None,
            enforced: Enforced::none(),
            finished: Counters { tallies: BTreeMap::new() },
            live: BTreeMap::new(),
            seen: BTreeMap::new(),
            since: None,
            starts: 0,
            from_first_call: true,
            lost: 0,
            lost_live: BTreeMap::new(),
            gone_since: None,
        }
    }

    /// The engine's id.
    pub const fn id(&self) -> ContainerId {
        self.id
    }

    /// The slots that count it now.
    pub fn slots(&self) -> impl Iterator<Item = SlotNr> + '_ {
        self.live.keys().copied()
    }

    /// The engine's name for it.
    pub fn name(&self) -> Option<String> {
        self.container.as_ref()?.name.clone()
    }

    /// A slot counts it from now on.
    pub fn slot_taken(&mut self, slot: SlotNr, since: Duration, from_first_call: bool) {
        if self.live.contains_key(&slot) {
            return;
        }
        self.live.insert(slot, Counters::default());
        self.since = Some(self.since.map_or(since, |known| known.min(since)));
        self.starts += u32::from(from_first_call);
        self.from_first_call &= from_first_call;
        self.gone_since = None;
        // Another start may have another filter.
        self.enforced = Enforced::none();
        self.engine_then = None;
    }

    /// It ran, or runs, without being counted.
    pub const fn not_counted(&mut self) {
        self.from_first_call = false;
    }

    /// So many calls were lost somewhere while it ran: they may have been its own.
    pub fn lost(&mut self, calls: u64) {
        if !self.live.is_empty() {
            self.lost += calls;
        }
    }

    /// Takes what its slot holds now.
    pub fn counted(&mut self, slot: SlotNr, counters: Counters, now: Timestamp) {
        let Some(before) = self.live.get(&slot) else { return };
        for (key, tally) in &counters.tallies {
            if before.tallies.get(key) != Some(tally) {
                self.seen.entry(*key).or_insert(Seen { first: now, last: now }).last = now;
            }
        }
        self.live.insert(slot, counters);
    }

    /// Takes what its slot has lost so far.
    pub fn lost_in(&mut self, slot: SlotNr, lost: u64) {
        self.lost_live.insert(slot, lost);
    }

    /// Its slot is given back; what was counted last in it stays.
    pub fn slot_released(&mut self, slot: SlotNr) {
        if let Some(counters) = self.live.remove(&slot) {
            self.finished.merge(&counters);
        }
        if self.live.is_empty() {
            self.enforced.ended();
        }
        self.lost += self.lost_live.remove(&slot).unwrap_or(0);
    }

    /// Whether a slot counts it.
    pub fn is_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// Whether it was ever counted.
    pub const fn was_counted(&self) -> bool {
        self.since.is_some()
    }

    /// Everything counted, over all starts.
    pub fn counters(&self) -> Counters {
        let mut total = self.finished.clone();
        for counters in self.live.values() {
            total.merge(counters);
        }
        total
    }

    /// How many refusals were counted, over all starts.
    pub fn refusals_counted(&self) -> BTreeMap<Counter, u64> {
        let mut total = BTreeMap::new();
        for (counter, count) in [&self.finished].into_iter().chain(self.live.values()).flat_map(denial::counted) {
            *total.entry(counter).or_default() += count;
        }
        total
    }

    fn all_lost(&self) -> u64 {
        self.lost + self.lost_live.values().sum::<u64>()
    }

    fn is_complete(&self) -> bool {
        self.since.is_some() && self.from_first_call && self.all_lost() == 0
    }

    fn since_wall(&self) -> Option<Timestamp> {
        self.since.and_then(|since| crate::procfs::wall_time_of(since).ok())
    }

    /// What a suggestion rests on.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            since: self.since_wall().map(|since| format!("{since:.0}")),
            starts: self.starts,
            complete: self.is_complete(),
            lost: self.all_lost(),
        }
    }

    /// What people are shown, syscall by syscall.
    pub fn view(&self, engine: Option<&Engine>, default_replaced: bool, differing: &Differing) -> ContainerView {
        let container = self.container.as_ref();
        let profile = self.profile(engine);
        let comparison = self.comparison(&profile, default_replaced, differing);
        let mode = self.enforced.mode();
        let confined = match mode {
            EffectiveMode::Filter => Some(true),
            EffectiveMode::None => Some(false),
            EffectiveMode::Unknown => match profile.kind {
                ProfileKind::Default | ProfileKind::Custom => Some(true),
                ProfileKind::Unconfined | ProfileKind::Privileged => Some(false),
                ProfileKind::Unknown => None,
            },
        };
        let active = self.declared.active();
        let policy = active.map(|active| &active.policy);
        let counters = self.counters();
        let usage = audit::usage(&counters, policy, confined);
        let summary = policy.map(crate::profile::Policy::native_summary);
        ContainerView {
            id: self.id.to_string(),
            name: container.and_then(|container| container.name.clone()),
            image: container.and_then(|container| container.image.clone()),
            service: container.and_then(|container| container.service.clone()),
            state: self.state(),
            effective: self.enforced.view(&comparison, &self.declared),
            profile,
            allowed: summary.map(|summary| summary.allowed),
            conditional: summary.map(|summary| summary.conditional),
            denied: summary.map(|summary| summary.denied),
            used: usage.used,
            unused: usage.unused,
            denials: audit::denial_count(&counters, policy),
            window: WindowView {
                since: self.since_wall(),
                starts: self.starts,
                complete: self.is_complete(),
                lost: self.all_lost(),
            },
            syscalls: Some(self.rows(&counters, policy, confined)),
            last_denials: None,
        }
    }

    /// Its declared profile. What the engine's default was called when it started counts, not what it is called now.
    pub fn profile(&self, engine: Option<&Engine>) -> ProfileView {
        self.declared.view(self.container.as_ref(), self.engine_then.as_ref().or(engine))
    }

    /// Its filters against its declared profile.
    pub fn comparison(&self, profile: &ProfileView, default_replaced: bool, differing: &Differing) -> Comparison {
        let sha256 = self.declared.active().map_or("", |active| &active.sha256);
        self.compared(profile, default_replaced, |program| differing.of(sha256, program))
    }

    /// The first of its filters that was not compared with its declared profile yet, and is to be.
    pub fn not_compared(&self, engine: Option<&Engine>, differing: &Differing) -> Option<Program> {
        let sha256 = &self.declared.active()?.sha256;
        let mut wanted = None;
        self.compared(&self.profile(engine), false, |program| {
            let differences = differing.of(sha256, program);
            if differences == Err(Unclear::Pending) && wanted.is_none() {
                wanted = Some(program.clone());
            }
            differences
        });
        wanted
    }

    fn compared(
        &self,
        profile: &ProfileView,
        default_replaced: bool,
        mut differ: impl FnMut(&Program) -> Differences,
    ) -> Comparison {
        let counters = self.counters();
        let under = |tally: &Tally| tally.calls > 0 || tally.denials.certain() > 0;
        let made = |abi: &Abi| {
            *abi != Abi::NATIVE && counters.tallies.iter().any(|((by, _), tally)| by == abi && under(tally))
        };
        let known = Known {
            container: self.container.as_ref(),
            declared: &self.declared,
            profile,
            foreign_abis: Abi::ALL.into_iter().filter(made).collect(),
            default_changed: default_replaced,
        };
        enforced::compare(&self.enforced, &known, |_, program| differ(program))
    }

    /// Whether a container of this name is being started, by its engine's word: the runtime's process waits in it.
    pub fn is_being_set_up(&self) -> bool {
        self.state().is_some_and(|state| state == "created")
    }

    fn state(&self) -> Option<String> {
        if self.gone_since.is_some() {
            return Some("removed".to_owned());
        }
        self.container.as_ref().and_then(|container| container.state.clone())
    }

    fn rows(
        &self,
        counters: &Counters,
        policy: Option<&crate::profile::Policy>,
        confined: Option<bool>,
    ) -> Vec<SyscallView> {
        let mut rows = audit::syscall_views(counters, policy, confined);
        for row in &mut rows {
            let seen = self.seen.get(&(row.abi, row.nr));
            row.first_seen = seen.map(|seen| seen.first);
            row.last_seen = seen.map(|seen| seen.last);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Tally;

    fn id() -> ContainerId {
        ContainerId::parse(&"ab".repeat(32)).unwrap()
    }

    fn counters(calls: u64) -> Counters {
        let tally = Tally { calls, ..Tally::default() };
        Counters { tallies: BTreeMap::from([((Abi::NATIVE, SyscallNr(39)), tally)]) }
    }

    #[test]
    fn totals_go_on_over_restarts() {
        let mut record = Record::new(id());
        for (slot, calls) in [(SlotNr(3), 5), (SlotNr(9), 7)] {
            record.slot_taken(slot, Duration::from_secs(1), true);
            record.counted(slot, counters(calls), Timestamp::UNIX_EPOCH);
            record.slot_released(slot);
        }
        assert_eq!(record.counters(), counters(12));
        assert_eq!(record.evidence().starts, 2);
        assert!(record.evidence().complete);
    }

    #[test]
    fn a_container_that_was_there_before_the_daemon_is_not_complete() {
        let mut record = Record::new(id());
        record.slot_taken(SlotNr(0), Duration::from_secs(1), false);
        assert!(!record.evidence().complete);
        assert_eq!(record.evidence().starts, 0);
    }

    #[test]
    fn a_loss_while_it_ran_makes_its_record_incomplete() {
        let mut record = Record::new(id());
        record.lost(1);
        record.slot_taken(SlotNr(0), Duration::from_secs(1), true);
        assert!(record.evidence().complete);
        record.lost(1);
        assert!(!record.evidence().complete);
        assert_eq!(record.evidence().lost, 1);
    }

    #[test]
    fn calls_are_first_and_last_seen_when_their_counter_grew() {
        let mut record = Record::new(id());
        record.slot_taken(SlotNr(0), Duration::from_secs(1), true);
        let at = |second| Timestamp::from_second(second).unwrap();
        for (second, calls) in [(10, 1), (20, 2), (30, 2)] {
            record.counted(SlotNr(0), counters(calls), at(second));
        }
        let view = record.view(None, false, &Differing::new(tokio::sync::mpsc::channel(1).0));
        let rows = view.syscalls.unwrap();
        assert_eq!((rows[0].first_seen, rows[0].last_seen), (Some(at(10)), Some(at(20))));
    }
}
