//! Refused calls as they come: folded for each container, and told to those who follow.
//!
//! What the kernel sends is bounded for each container, and so is everything here: how much is kept of one and of all,
//! how much is taken in one round, and what waits for a follower. The counters are exact whatever is dropped, so what is
//! missing is told as a number.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::followers::Followers;
use super::ledger::Ledger;
use super::record::Record;
use crate::container::ContainerId;
use crate::control::FollowQuery;
use crate::denial::decision::{Call, Seen, declared_decisions};
use crate::denial::{Counter, Findings, KEPT, Kind, Log, Refusal, Rest, Task};
use crate::docker::Engine;
use crate::kernel::{self, Kernel, RefusalKind};
use crate::procfs;
use crate::profile::Action;
use crate::report::denial::{Container, DenialView};
use crate::report::view::ProfileKind;

/// Entries that are kept of all containers together. Beyond it all have an equal share.
const KEPT_OF_ALL: usize = 8_192;
/// Refusals that are taken from the kernel in one round. What is left waits for the next, or is dropped and counted.
const ROUND: usize = 512;
/// Refusals that are taken before a question is answered.
const BEFORE_ANSWER: usize = 65_536;

/// What came of taking refusals.
#[derive(Debug, Default)]
pub struct Taken {
    /// Whether there were any.
    pub any: bool,
    /// Containers that were met by it, as [`Ledger::meet`] gives them.
    pub new: Vec<ContainerId>,
}

/// The refusals of all containers.
#[derive(Debug, Default)]
pub struct Refusals {
    logs: BTreeMap<ContainerId, Log>,
    followers: Followers,
    /// Refusals that were counted and not sent, of all containers that ever were.
    unseen: u64,
    /// Refusals of containers that nobody knows.
    unknown: u64,
}

impl Refusals {
    /// Takes what the kernel has sent, within the bounds of a round.
    pub fn take(&mut self, ledger: &mut Ledger, kernel: &mut Kernel) -> Taken {
        self.take_up_to(ROUND, ledger, kernel)
    }

    /// Takes all that the kernel has sent.
    pub fn take_all(&mut self, ledger: &mut Ledger, kernel: &mut Kernel) -> Taken {
        let now = Timestamp::now();
        self.logs.values_mut().for_each(|log| log.tell_time(now));
        self.take_up_to(BEFORE_ANSWER, ledger, kernel)
    }

    fn take_up_to(&mut self, limit: usize, ledger: &mut Ledger, kernel: &mut Kernel) -> Taken {
        let mut taken = Taken::default();
        let Some(first) = kernel.next_refusal() else { return taken };
        let clock = Clock::now();
        let mut next = Some(first);
        let mut met = false;
        for _ in 0..limit {
            let Some(refusal) = next.take().or_else(|| kernel.next_refusal()) else { break };
            if ledger.container_of(refusal.cgroup).is_none() && !met {
                // Its slot was taken a moment ago. Looking for it once a round is often enough.
                taken.new = ledger.meet(kernel).unwrap_or_default();
                met = true;
            }
            taken.any = true;
            match ledger.container_of(refusal.cgroup).and_then(|id| ledger.record(id)) {
                Some(record) => self.add(record, ledger.engine.as_ref(), refusal, &clock),
                None => self.unknown += 1,
            }
        }
        self.share();
        taken
    }

    fn add(&mut self, record: &Record, engine: Option<&Engine>, refusal: kernel::Refusal, clock: &Clock) {
        let counted_as = kernel::counted_nr(refusal.abi, refusal.nr);
        let refusal = told(refusal, clock);
        let policy = record.declared.active().map(|active| &active.policy);
        if let (Seen::Logged, Some(policy)) = (refusal.seen, policy) {
            // The kernel tells of every call with this number; a filter may log it for some arguments only.
            let logged = declared_decisions(&refusal.call, policy).iter().any(|one| one.action == Action::Log);
            if !logged {
                return;
            }
        }
        let compared = policy.map_or([false; 6], |policy| policy.compared_arguments(refusal.call.abi, refusal.call.nr));
        let log = self.logs.entry(record.id()).or_default();
        let key = log.add(refusal.clone(), counted_as, compared);
        if self.followers.anybody_for(record) {
            let Some(entry) = log.get_mut(&key) else { return };
            let (container, name) = context(record, engine);
            let view = DenialView::of_one(entry, &refusal, &container.of(name.as_deref()));
            self.followers.tell(record, key, &view, Instant::now());
        }
    }

    /// Keeps all containers together within bounds.
    fn share(&mut self) {
        let all: usize = self.logs.values().map(Log::len).sum();
        if all > KEPT_OF_ALL {
            let share = (KEPT_OF_ALL / self.logs.len().max(1)).clamp(1, KEPT);
            self.logs.values_mut().for_each(|log| log.trim(share));
        }
    }

    /// A container's profile was read: what was said of its refusals before is said anew.
    pub fn profile_known(&mut self, id: ContainerId) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.forget_findings();
        }
    }

    /// At each reading of the counters: what was counted and never sent is told to followers, what waited for them is
    /// sent, and containers that are forgotten are forgotten here.
    pub fn settle(&mut self, ledger: &Ledger) {
        self.logs.retain(|id, _| ledger.record(*id).is_some());
        let now = Timestamp::now();
        for record in ledger.shown() {
            let counted = record.refusals_counted();
            if counted.is_empty() {
                continue;
            }
            for (counter, count) in self.logs.entry(record.id()).or_default().settle(counted) {
                if let Some(view) = unseen(record, ledger.engine.as_ref(), counter, count, now) {
                    self.unseen += count;
                    self.followers.tell_unseen(record, &view);
                }
            }
        }
        self.followers.flush(Instant::now());
    }

    /// Sends what waited to be folded.
    pub fn flush(&mut self) {
        self.followers.flush(Instant::now());
    }

    /// Whether anything waits to be sent to a follower.
    pub fn waiting(&self) -> bool {
        self.followers.waiting()
    }

    /// The refusals of one container or of all, the latest last. What was counted and is in no line has lines of its own.
    pub fn list(&mut self, ledger: &Ledger, container: Option<ContainerId>) -> Vec<DenialView> {
        self.views(ledger, container, |log, record| log.remainder(&record.refusals_counted()))
    }

    fn views(
        &mut self,
        ledger: &Ledger,
        container: Option<ContainerId>,
        rest: impl Fn(&Log, &Record) -> Vec<Rest>,
    ) -> Vec<DenialView> {
        let now = Timestamp::now();
        let mut views = Vec::new();
        for record in ledger.shown().filter(|record| container.is_none_or(|id| id == record.id())) {
            let engine = ledger.engine.as_ref();
            let (context, name) = context(record, engine);
            let mut nothing = Log::default();
            let log = self.logs.get_mut(&record.id()).unwrap_or(&mut nothing);
            views.extend(
                rest(log, record)
                    .into_iter()
                    .filter_map(|rest| unseen(record, engine, rest.counter, rest.count, rest.time.unwrap_or(now))),
            );
            views.extend(log.entries_mut().map(|entry| DenialView::of_entry(entry, &context.of(name.as_deref()))));
        }
        views.sort_by_key(|view| (view.seen, view.time));
        views
    }

    /// Adds a follower, and gives it what there is already. What is told from now on is not among that.
    pub fn follow(&mut self, ledger: &Ledger, query: FollowQuery) -> Vec<DenialView> {
        let container = query.container.as_deref().and_then(|id| ContainerId::parse(id).ok());
        let denials = match query.backlog {
            true => self.views(ledger, container, |log, _| log.settled_remainder()),
            false => Vec::new(),
        };
        let name = container.and_then(|id| ledger.record(id)).and_then(Record::name);
        self.followers.add(container, name, query.queue);
        denials
    }

    /// Events that were dropped, by reason.
    pub fn dropped(&self) -> [(&'static str, u64); 3] {
        [
            ("denial_not_seen", self.unseen),
            ("denial_of_unknown_container", self.unknown),
            ("denial_follower_slow", self.followers.lost()),
        ]
    }
}

/// Has the kernel tell of the calls that a container's profile logs and lets through.
pub fn watch(ledger: &Ledger, kernel: &mut Kernel, id: ContainerId) {
    let Some(record) = ledger.record(id) else { return };
    let logged = record.declared.active().map(|active| active.policy.logged()).unwrap_or_default();
    for slot in record.slots() {
        if let Err(error) = kernel.watch_calls(slot, &logged) {
            warn!(container = %id.short(), %error, "calls that the profile logs cannot be watched");
        }
    }
}

/// Wall and boot time, taken at one moment.
struct Clock {
    wall: Timestamp,
    boot_ns: Option<i64>,
}

impl Clock {
    fn now() -> Self {
        let boot = procfs::boot_time().ok();
        Self { wall: Timestamp::now(), boot_ns: boot.and_then(|boot| i64::try_from(boot.as_nanos()).ok()) }
    }

    fn wall(&self, boot_ns: u64) -> Timestamp {
        let ago = self.boot_ns.zip(i64::try_from(boot_ns).ok()).map_or(0, |(now, then)| now.saturating_sub(then));
        self.wall.checked_sub(SignedDuration::from_nanos(ago.max(0))).unwrap_or(self.wall)
    }
}

fn told(refusal: kernel::Refusal, clock: &Clock) -> Refusal {
    Refusal {
        time: clock.wall(refusal.boot_ns),
        call: Call { abi: refusal.abi, nr: refusal.nr, args: refusal.args },
        seen: match refusal.kind {
            RefusalKind::Errno(errno) => Seen::Errno(errno),
            RefusalKind::Signal => Seen::Signal,
            RefusalKind::Thread => Seen::ThreadKilled,
            RefusalKind::Supervised(result) => Seen::Supervised(result),
            RefusalKind::Logged => Seen::Logged,
        },
        task: Task {
            pid: refusal.pid,
            tid: refusal.tid,
            container_pid: refusal.inner_pid,
            container_tid: refusal.inner_tid,
            comm: refusal.comm,
        },
    }
}

/// Whose refusals they are, but for the name.
struct Context<'a> {
    id: String,
    record: &'a Record,
    docker_default: bool,
}

impl<'a> Context<'a> {
    fn of<'b>(&'b self, name: Option<&'b str>) -> Container<'b>
    where
        'a: 'b,
    {
        Container {
            name,
            id: &self.id,
            declared: self.record.declared.as_declared(),
            docker_default: self.docker_default,
            effective: self.record.enforced.seen(),
        }
    }
}

fn context<'a>(record: &'a Record, engine: Option<&Engine>) -> (Context<'a>, Option<String>) {
    let kind = record.declared.view(record.container.as_ref(), engine).kind;
    let docker_default = kind == ProfileKind::Default;
    (Context { id: record.id().to_string(), record, docker_default }, record.name())
}

/// A line for refusals that were counted and not seen, where they are any to be told of.
fn unseen(
    record: &Record,
    engine: Option<&Engine>,
    counter: Counter,
    count: u64,
    time: Timestamp,
) -> Option<DenialView> {
    let (context, name) = context(record, engine);
    let container = context.of(name.as_deref());
    if let (Kind::Logged, Some(declared)) = (counter.kind, container.declared)
        && !declared.policy.always_logs(counter.abi, counter.nr)
    {
        // All calls with this number are counted, and only some of them were logged.
        return None;
    }
    let counters = record.counters();
    let denials = counters.tallies.get(&(counter.abi, counter.nr)).map(|tally| tally.denials).unwrap_or_default();
    let findings =
        Findings::of_counter(counter, counter.kind.seen(&denials), container.declared, container.docker_default);
    Some(DenialView::of_counter(time, counter, count, &findings, &container))
}
