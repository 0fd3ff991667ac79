//! What is known about one container, over all its starts, and start by start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::account::{Account, Tenure, tenure};
use super::differing::Differing;
use super::enforced::{self, Enforced, Known};
use super::profile::Declared;
use super::run::{Now, Run, Under};
use crate::audit;
use crate::container::ContainerId;
use crate::counters::{Counters, Tally};
use crate::denial::{self, Counter};
use crate::docker::{Container, Engine};
use crate::effective::{Comparison, Differences, Unclear};
use crate::evidence::{self, ByFilter, Command, Evidence, Start, Workload};
use crate::filter::Program;
use crate::kernel::{SlotNr, SlotOwner, SlotState};
use crate::profile::Runtime;
use crate::report::view::{ContainerView, EffectiveMode, ProfileKind, ProfileView, SyscallView, WindowView};
use crate::syscall::{Abi, SyscallNr};

/// Starts that are kept of one container, and how many summaries with them.
const STARTS_KEPT: usize = 32;
const STARTS_AND_SUMMARIES: usize = 512;

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
    /// The starts that slots count now.
    live: BTreeMap<SlotNr, Run>,
    /// Those that are over, the oldest first.
    ended: Vec<Start>,
    /// Which of them were not handed to the store yet.
    not_kept: BTreeSet<String>,
    seen: BTreeMap<(Abi, SyscallNr), Seen>,
    /// `CLOCK_BOOTTIME` when its first slot was taken.
    since: Option<Duration>,
    starts: u32,
    /// Whether every start was counted from its first call: no slot was taken late, and none was wanting.
    from_first_call: bool,
    /// What was lost of the starts that are over.
    lost: u64,
    /// When the engine removed it.
    pub gone_since: Option<Duration>,
    /// What its finished counters have of slots that may still hold the same.
    read: BTreeSet<Tenure>,
    /// Starts that go on, and what was counted of them in slots of programs that were replaced.
    begun_elsewhere: BTreeMap<String, Start>,
    /// Whether its account was kept as it is now.
    is_kept: bool,
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
            ended: Vec::new(),
            not_kept: BTreeSet::new(),
            seen: BTreeMap::new(),
            since: None,
            starts: 0,
            from_first_call: true,
            lost: 0,
            gone_since: None,
            read: BTreeSet::new(),
            begun_elsewhere: BTreeMap::new(),
            is_kept: true,
        }
    }

    /// A container as an earlier daemon knew it.
    pub fn restored(id: ContainerId, account: Account) -> Self {
        let mut record = Self::new(id);
        record.finished = account.finished();
        record.seen = account.seen().into_iter().map(|(key, (first, last))| (key, Seen { first, last })).collect();
        record.not_kept = account.waiting.iter().map(|start| start.id.clone()).collect();
        record.container = account.container;
        record.ended = account.waiting;
        record.since = account.since_ns.map(Duration::from_nanos);
        record.starts = account.starts;
        record.from_first_call = account.from_first_call;
        record.lost = account.lost;
        record.gone_since = account.gone_since_ns.map(Duration::from_nanos);
        record.read = account.read;
        record.begun_elsewhere = account.begun_elsewhere.into_iter().map(|start| (start.id.clone(), start)).collect();
        record
    }

    /// What is to be known of it when the daemon is another one; `None` where that is kept already.
    pub fn take_account(&mut self, boot: &str) -> Option<Account> {
        let was_counted = self.since.is_some() || !self.from_first_call;
        if std::mem::replace(&mut self.is_kept, true) || !was_counted {
            return None;
        }
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let seen = self.seen.iter().map(|((abi, nr), seen)| (*abi, *nr, seen.first, seen.last));
        let live = self.live.values().filter(|run| run.is_whole()).count();
        let mut account = Account::new(boot, &self.finished, seen);
        account.container = self.container.clone();
        account.waiting = self.ended.iter().filter(|start| self.not_kept.contains(&start.id)).cloned().collect();
        account.since_ns = self.since.map(nanoseconds);
        account.starts = self.starts.saturating_sub(u32::try_from(live).unwrap_or(u32::MAX));
        account.from_first_call = self.from_first_call;
        account.lost = self.lost;
        account.gone_since_ns = self.gone_since.map(nanoseconds);
        account.read.clone_from(&self.read);
        account.begun_elsewhere = self.begun_elsewhere.values().cloned().collect();
        Some(account)
    }

    /// Whether its account was kept as it is now.
    pub const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Whether all that a slot holds is known already.
    pub fn has_read(&self, tenure: Tenure) -> bool {
        self.read.contains(&tenure)
    }

    /// The slot holds nothing of it any more.
    pub fn cleared(&mut self, tenure: Tenure) {
        self.read.remove(&tenure);
    }

    /// Takes what the engine says of it.
    pub fn engine_says(&mut self, container: Container) {
        self.is_kept &= self.gone_since.is_none() && self.container.as_ref() == Some(&container);
        self.gone_since = None;
        self.container = Some(container);
    }

    /// The engine has removed it.
    pub fn removed(&mut self, now: Duration) {
        if self.gone_since.is_none() {
            self.gone_since = Some(now);
            self.is_kept = false;
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

    /// A slot counts it from now on, by this run.
    pub fn slot_taken(&mut self, slot: SlotNr, owner: &SlotOwner, engine: Option<&Engine>, run: impl FnOnce() -> Run) {
        if self.live.contains_key(&slot) {
            return;
        }
        self.settle(engine);
        let since = Duration::from_nanos(owner.since_ns);
        let mut run = run();
        if let Some(start) = self.begun_elsewhere.get(run.id()) {
            run.continue_from(start.clone());
        }
        self.live.insert(slot, run);
        self.since = Some(self.since.map_or(since, |known| known.min(since)));
        self.starts += u32::from(owner.from_first_call);
        self.from_first_call &= owner.from_first_call;
        self.is_kept = false;
        self.gone_since = None;
        // Another start may have another filter.
        self.enforced = Enforced::none();
        self.engine_then = None;
    }

    /// Another start may run under something else: what those up to now ran under is kept with them.
    fn settle(&mut self, engine: Option<&Engine>) {
        if !self.live.is_empty() {
            let under = self.under(engine);
            self.live.values_mut().for_each(|run| run.settle(|| under.clone()));
        }
    }

    fn under(&self, engine: Option<&Engine>) -> Under {
        Under {
            profile: self.declared.active().map(|active| active.sha256.clone()),
            runtime: self.runtime,
            confined: self.confined(&self.profile(engine)),
        }
    }

    /// It ran, or runs, without being counted.
    pub const fn not_counted(&mut self) {
        self.is_kept &= !self.from_first_call;
        self.from_first_call = false;
    }

    /// So many calls were lost somewhere while it ran: they may have been its own.
    pub fn lost(&mut self, calls: u64) {
        self.live.values_mut().for_each(|run| run.lost_around(calls));
    }

    /// Takes what its slot holds now, and has lost so far.
    pub fn counted(&mut self, slot: SlotNr, counters: Counters, lost: u64, now: Now) {
        let Some(run) = self.live.get_mut(&slot) else { return };
        for (key, tally) in &counters.tallies {
            if run.counters().tallies.get(key) != Some(tally) {
                self.seen.entry(*key).or_insert(Seen { first: now.wall, last: now.wall }).last = now.wall;
            }
        }
        run.counted(counters, now);
        run.lost_in_slot(lost);
    }

    /// Takes with which arguments its slot has seen calls.
    pub fn called_with(&mut self, slot: SlotNr, arguments: ByFilter) {
        if let Some(run) = self.live.get_mut(&slot) {
            run.called_with(arguments);
        }
    }

    /// Its slot is given back; what was counted last in it stays.
    pub fn slot_released(&mut self, slot: SlotNr, tenure: Tenure, engine: Option<&Engine>) {
        if let Some(run) = self.live.remove(&slot) {
            self.read.insert(tenure);
            self.is_kept = false;
            self.finished.merge(run.counters());
            self.lost += run.lost();
            let start = run.start(self.id, self.name(), || self.under(engine));
            self.begun_elsewhere.remove(&start.id);
            self.end(start);
        }
        if self.live.is_empty() {
            self.enforced.ended();
        }
    }

    /// A slot of older programs, which count no more, had this of it. What was counted stays; where the cgroup is still there,
    /// the start goes on in another slot.
    pub fn take_in(&mut self, run: &Run, owner: &SlotOwner, now: Now, engine: Option<&Engine>) {
        let since = Duration::from_nanos(owner.since_ns);
        self.since = Some(self.since.map_or(since, |known| known.min(since)));
        self.starts += u32::from(owner.from_first_call);
        self.from_first_call &= owner.from_first_call;
        for key in run.counters().tallies.keys() {
            self.seen.entry(*key).or_insert(Seen { first: now.wall, last: now.wall });
        }
        self.finished.merge(run.counters());
        self.lost += run.lost();
        self.read.insert(tenure(owner));
        self.is_kept = false;
        let start = run.start(self.id, self.name(), || self.under(engine));
        if owner.state == SlotState::Removed {
            self.end(start);
            return;
        }
        if let Some(live) = self.live.values_mut().find(|live| live.id() == start.id) {
            live.continue_from(start.clone());
        }
        self.begun_elsewhere.insert(start.id.clone(), start);
    }

    fn end(&mut self, start: Start) {
        self.not_kept.insert(start.id.clone());
        self.ended.push(start);
        evidence::keep(&mut self.ended, STARTS_KEPT, STARTS_AND_SUMMARIES);
    }

    /// What an earlier daemon saw of a start. Given back where it is none that goes on here.
    pub fn seen_before(&mut self, start: Start) -> Option<Start> {
        match self.live.values_mut().find(|run| run.id() == start.id) {
            Some(run) => run.seen_before(start),
            None => Some(start),
        }
    }

    /// Forgets its starts that are over and were counted last `before` then, or all of them. Of those that go on, what an
    /// earlier daemon saw.
    pub fn forget(&mut self, before: Option<Timestamp>) {
        let is_old = |start: &Start| before.is_none_or(|before| start.until < before);
        self.is_kept = false;
        self.ended.retain(|start| !is_old(start));
        self.not_kept.retain(|id| self.ended.iter().any(|start| start.id == *id));
        self.live.values_mut().for_each(|run| run.forget_before(is_old));
    }

    /// Whether anything is known of a start of it.
    pub fn has_starts(&self) -> bool {
        !self.live.is_empty() || !self.ended.is_empty()
    }

    /// Starts that are over, where nobody said what it runs.
    pub fn starts_of_no_workload(&self) -> u64 {
        if self.workload().is_some() { 0 } else { self.ended.len() as u64 }
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
        for run in self.live.values() {
            total.merge(run.counters());
        }
        total
    }

    /// How many refusals were counted, over all starts.
    pub fn refusals_counted(&self) -> BTreeMap<Counter, u64> {
        let mut total = BTreeMap::new();
        let live = self.live.values().map(Run::counters);
        for (counter, count) in [&self.finished].into_iter().chain(live).flat_map(denial::counted) {
            *total.entry(counter).or_default() += count;
        }
        total
    }

    fn all_lost(&self) -> u64 {
        self.lost + self.live.values().map(Run::lost).sum::<u64>()
    }

    fn is_complete(&self) -> bool {
        self.since.is_some() && self.from_first_call && self.all_lost() == 0
    }

    fn since_wall(&self) -> Option<Timestamp> {
        self.since.and_then(|since| crate::procfs::wall_time_of(since).ok())
    }

    /// What it runs, as far as the engine has said.
    pub fn workload(&self) -> Option<Workload> {
        let container = self.container.as_ref()?;
        let command = match &container.compose_service {
            Some(service) => Command::Service(service.clone()),
            None => Command::Line(container.command.clone()?),
        };
        Some(Workload { image: container.image_id.clone()?, command })
    }

    /// What was seen of it, start by start. A start of which nobody read what it ran under is taken to have run under
    /// what the container runs under now: the engine does not change it.
    pub fn evidence(&self, engine: Option<&Engine>) -> Evidence {
        let now = self.under(engine);
        let mut starts = self.ended.clone();
        starts.extend(self.live.values().map(|run| run.start(self.id, self.name(), || now.clone())));
        for start in starts.iter_mut().filter(|start| start.profile.is_none() && start.confined.is_none()) {
            (start.profile, start.runtime, start.confined) = (now.profile.clone(), now.runtime, now.confined);
        }
        starts.sort_by_key(|start| start.began);
        let image = self.container.as_ref().and_then(|container| container.image.clone());
        let unknown = || Workload { image: image.clone().unwrap_or_default(), command: Command::Line(Vec::new()) };
        Evidence {
            workload: self.workload().unwrap_or_else(unknown),
            image_names: image.clone().into_iter().collect(),
            starts,
        }
    }

    /// The ids of the starts that go on.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.live.values().map(Run::id)
    }

    /// Whether a start is over that was not handed to the store yet, and can be.
    pub fn has_ended_starts_to_keep(&self) -> bool {
        !self.not_kept.is_empty() && self.workload().is_some()
    }

    /// What the store does not have yet; nothing, as long as nobody knows what the container runs.
    pub fn take_unkept(&mut self, engine: Option<&Engine>) -> Option<Evidence> {
        self.workload()?;
        let under = self.under(engine);
        for start in self.ended.iter_mut().filter(|start| start.profile.is_none() && start.confined.is_none()) {
            // What it ran under was read after its end.
            (start.profile, start.runtime, start.confined) = (under.profile.clone(), under.runtime, under.confined);
            if under.is_known() {
                self.not_kept.insert(start.id.clone());
            }
        }
        let mut ids = std::mem::take(&mut self.not_kept);
        ids.extend(self.live.values_mut().filter_map(|run| run.take_unkept(&under).then(|| run.id().to_owned())));
        if ids.is_empty() {
            return None;
        }
        let mut evidence = self.evidence(engine);
        evidence.starts.retain(|start| ids.contains(&start.id));
        Some(evidence)
    }

    /// Whether it has a filter; `None` where nobody knows.
    fn confined(&self, profile: &ProfileView) -> Option<bool> {
        match self.enforced.mode() {
            EffectiveMode::Filter => Some(true),
            EffectiveMode::None => Some(false),
            EffectiveMode::Unknown => match profile.kind {
                ProfileKind::Default | ProfileKind::Custom => Some(true),
                ProfileKind::Unconfined | ProfileKind::Privileged => Some(false),
                ProfileKind::Unknown => None,
            },
        }
    }

    /// What people are shown, syscall by syscall.
    pub fn view(&self, engine: Option<&Engine>, default_replaced: bool, differing: &Differing) -> ContainerView {
        let container = self.container.as_ref();
        let profile = self.profile(engine);
        let comparison = self.comparison(&profile, default_replaced, differing);
        let confined = self.confined(&profile);
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
            arguments: None,
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
mod tests;
