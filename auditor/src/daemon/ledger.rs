//! All containers, and which slot counts which of them.

mod kept;
mod starts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tracing::{debug, info, warn};

use super::account::{Tenure, tenure};
use super::differing::Differing;
use super::profile::{Declared, Profiles};
use super::record::Record;
use super::run::{Now, Run};
use crate::bundle::{Bundle, BundleError};
use crate::cgroupfs;
use crate::container::{CgroupId, ContainerId};
use crate::docker::{Change, Container, Engine};
use crate::effective::Effective;
use crate::evidence::Start;
use crate::kernel::{Kernel, KernelError, Losses, MapUse, SlotNr, SlotOwner, SlotState};
use crate::procfs;
use crate::profile::Runtime;

/// How long a removed container's numbers stay: Prometheus has scraped them by then.
const GRACE: Duration = Duration::from_secs(300);
/// How many removed containers stay at most: a loop of failing starts fills no memory.
const GONE_LIMIT: usize = 1_000;

/// Readings of the counters for one of the arguments.
const ARGUMENTS_EVERY: u32 = 10;

/// How many cgroups that are gone are remembered.
const PAST_CGROUPS: usize = 1_024;

/// All that the daemon knows.
#[derive(Debug, Default)]
pub struct Ledger {
    records: BTreeMap<ContainerId, Record>,
    /// Theirs.
    profiles: Profiles,
    slots: BTreeMap<SlotNr, ContainerId>,
    /// Whose cgroups they are or were: a refusal may be told of after its slot was given back.
    cgroups: BTreeMap<CgroupId, ContainerId>,
    /// Those of them that are gone, the oldest first.
    past_cgroups: VecDeque<CgroupId>,
    /// Whether what was read for the last time is kept on a disk before its slot is given back.
    keeps: bool,
    /// Slots that were read for the last time, and by which batch that is kept; `None` as long as none has it.
    to_keep: BTreeMap<SlotNr, Option<u64>>,
    /// Slots that were read for the last time, and can be given back.
    to_release: BTreeSet<SlotNr>,
    /// Who had them.
    tenures: BTreeMap<SlotNr, (ContainerId, Tenure)>,
    /// Containers that were forgotten, and whose accounts were not.
    forgotten: BTreeSet<ContainerId>,
    /// When the programs were taken over from an earlier daemon: slots that were taken before were counted all the time.
    taken_over_ns: Option<u64>,
    /// Slots that anybody has, as last read.
    slots_used: usize,
    /// How full the kernel's maps were when arguments were read last.
    map_use: Vec<MapUse>,
    /// How often the counters were read since the arguments were.
    arguments_age: u32,
    /// Containers of cgroups that were there before the daemon: the kernel half does not know their names.
    adopted: BTreeMap<CgroupId, (ContainerId, String)>,
    /// The engine, once it has answered.
    pub engine: Option<Engine>,
    /// Why it does not answer now.
    pub docker_error: Option<String>,
    /// Engine events that could not be understood.
    pub lost_docker_events: u64,
    losses: Losses,
    /// Tells the host's present boot from all others.
    boot: String,
    /// What an earlier daemon saw of starts that went on when it ended.
    unfinished: BTreeMap<String, Start>,
    /// Starts of which nobody ever said what was run: they are no workload's evidence.
    lost_starts: u64,
}

impl Ledger {
    /// Nothing known; the engine not heard of.
    pub fn new() -> Self {
        let boot = procfs::boot_id().unwrap_or_else(|error| {
            warn!(%error, "this boot cannot be told from others");
            String::new()
        });
        Self { docker_error: Some("not connected yet".to_owned()), boot, ..Self::default() }
    }

    /// The containers to show: those that were counted, and those that run.
    pub fn shown(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|record| {
            record.was_counted() || record.container.as_ref().and_then(|c| c.state.as_deref()) == Some("running")
        })
    }

    /// One container.
    pub fn record(&self, id: ContainerId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// The container that this cgroup is or was.
    pub fn container_of(&self, cgroup: CgroupId) -> Option<ContainerId> {
        self.cgroups.get(&cgroup).copied()
    }

    /// How full the kernel's maps are, as of some seconds ago.
    pub fn map_use(&self) -> &[MapUse] {
        &self.map_use
    }

    /// Slots in use.
    pub const fn slots_used(&self) -> usize {
        self.slots_used
    }

    /// What could not be counted so far.
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// A cgroup that exists already, at this path in the hierarchy, belongs to this container.
    pub fn adopt(&mut self, cgroup: CgroupId, id: ContainerId, path: String) {
        self.adopted.insert(cgroup, (id, path));
    }

    /// A container of this cgroup name started, and no slot was free.
    pub fn not_counted(&mut self, name: &str) {
        if let Some(id) = cgroupfs::container_id_of(&format!("/{name}")) {
            self.record_mut(id).not_counted();
        }
    }

    /// Gives up adopted cgroups that are not there any more: one that went away while it was being adopted was removed
    /// before anybody watched it.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn abandon(
        &mut self,
        kernel: &mut Kernel,
        is_there: impl Fn(CgroupId, &str) -> bool,
    ) -> Result<(), KernelError> {
        if self.adopted.is_empty() {
            return Ok(());
        }
        for (slot, owner) in kernel.owners()? {
            let path = self.adopted.get(&owner.cgroup).map(|(_, path)| path);
            if path.is_some_and(|path| !is_there(owner.cgroup, path)) {
                kernel.abandon(slot, owner.cgroup)?;
            }
        }
        Ok(())
    }

    /// No slot could be had for a container.
    pub fn refuse(&mut self, cgroup: CgroupId) {
        if let Some((id, _)) = self.adopted.remove(&cgroup) {
            self.record_mut(id).not_counted();
        }
    }

    /// Takes in which slots are taken. Returns the containers that are new in one.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn meet(&mut self, kernel: &Kernel) -> Result<Vec<ContainerId>, KernelError> {
        Ok(self.take_owners(&kernel.owners()?))
    }

    fn take_owners(&mut self, owners: &BTreeMap<SlotNr, SlotOwner>) -> Vec<ContainerId> {
        let mut new = Vec::new();
        for (slot, owner) in owners {
            if self.slots.contains_key(slot) || self.tenures.contains_key(slot) {
                continue;
            }
            let adopted = self.adopted.get(&owner.cgroup).map(|(id, _)| *id);
            // The kernel half gives slots to names of this form only.
            let Some(id) = adopted.or_else(|| cgroupfs::container_id_of(&format!("/{}", owner.name))) else { continue };
            let record = self.records.entry(id).or_insert_with(|| Record::new(id));
            if record.has_read(tenure(owner)) {
                // An earlier daemon has kept what is in it, and could not give it back any more.
                self.tenures.insert(*slot, (id, tenure(owner)));
                self.to_release.insert(*slot);
                continue;
            }
            self.slots.insert(*slot, id);
            self.cgroups.insert(owner.cgroup, id);
            let resumed = self.taken_over_ns.is_some_and(|then| owner.since_ns < then);
            let run = || Run::new(id, owner, &self.boot, &mut self.unfinished, resumed);
            record.slot_taken(*slot, owner, self.engine.as_ref(), run);
            new.push(id);
        }
        new
    }

    /// Reads all counters. Slots whose container is gone are read for the last time and given back. Returns the
    /// containers that are new in a slot, as [`Ledger::meet`] does.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn count(&mut self, kernel: &mut Kernel, now: Now) -> Result<Vec<ContainerId>, KernelError> {
        // Owners first: a slot that is marked as removed by now gets no more counts.
        let owners = kernel.owners()?;
        self.slots_used = owners.len();
        let new = self.take_owners(&owners);
        let slots: BTreeSet<SlotNr> = owners.keys().copied().collect();
        for (slot, counters) in kernel.counters(&slots)? {
            let Some(record) = self.slots.get(&slot).and_then(|id| self.records.get_mut(id)) else { continue };
            record.counted(slot, counters, kernel.lost_in(slot)?, now);
            if record.enforced.always_allowed.is_none() {
                record.enforced.always_allowed = kernel.always_allowed(slot)?;
            }
        }
        self.take_losses(kernel.losses()?);
        self.arguments_age += 1;
        let any_removed = owners.values().any(|owner| owner.state == SlotState::Removed);
        if any_removed || self.arguments_age >= ARGUMENTS_EVERY {
            self.read_arguments(kernel)?;
        }
        for (slot, owner) in owners.iter().filter(|(_, owner)| owner.state == SlotState::Removed) {
            let Some(id) = self.slots.remove(slot) else { continue };
            if let Some(record) = self.records.get_mut(&id) {
                record.slot_released(*slot, tenure(owner), self.engine.as_ref());
            }
            self.adopted.remove(&owner.cgroup);
            self.past_cgroups.push_back(owner.cgroup);
            self.tenures.insert(*slot, (id, tenure(owner)));
            if self.keeps {
                self.to_keep.insert(*slot, None);
            } else {
                self.to_release.insert(*slot);
            }
        }
        while self.past_cgroups.len() > PAST_CGROUPS {
            self.past_cgroups.pop_front().map(|cgroup| self.cgroups.remove(&cgroup));
        }
        self.release(kernel)?;
        if self.has_latest_arguments() {
            self.map_use = kernel.map_use()?;
        }
        Ok(new)
    }

    /// Reads with which arguments calls were made. That is many entries, so [`Ledger::count`] does it now and then only,
    /// and whenever a slot is read for the last time; who needs the latest asks for them.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn read_arguments(&mut self, kernel: &Kernel) -> Result<(), KernelError> {
        for (slot, arguments) in kernel.arguments_of(&self.slots.keys().copied().collect())? {
            if let Some(record) = self.slots.get(&slot).and_then(|id| self.records.get_mut(id)) {
                record.called_with(slot, arguments);
            }
        }
        self.arguments_age = 0;
        Ok(())
    }

    /// Whether the arguments were read after the counters.
    pub const fn has_latest_arguments(&self) -> bool {
        self.arguments_age == 0
    }

    /// Containers that run, as the engine says, and have no slot.
    pub fn uncounted(&self) -> BTreeSet<ContainerId> {
        let runs = |record: &Record| record.container.as_ref().is_some_and(|container| container.pid.is_some());
        self.records.iter().filter(|(_, record)| runs(record) && !record.is_live()).map(|(id, _)| *id).collect()
    }

    fn take_losses(&mut self, losses: Losses) {
        let calls = losses.of_counts().saturating_sub(self.losses.of_counts());
        if calls > 0 {
            warn!(calls, "calls were lost: see the containers that are not complete (auditor ps)");
        }
        // Nobody knows whose these were.
        let runs = losses.recursion.saturating_sub(self.losses.recursion);
        self.records.values_mut().for_each(|record| record.lost(runs));
        let cgroups = losses.untracked_cgroup.saturating_sub(self.losses.untracked_cgroup);
        if cgroups > 0 {
            warn!(cgroups, "containers are not counted: all slots are in use; raise --max-containers");
        }
        self.losses = losses;
    }

    /// Takes in what the engine says. Returns the containers whose profile should be read.
    pub fn engine_says(&mut self, change: Change, now: Duration) -> Vec<ContainerId> {
        match change {
            Change::Connected { engine, containers } => {
                info!(
                    version = engine.version.as_deref().unwrap_or("unknown"),
                    containers = containers.len(),
                    "docker answers"
                );
                self.engine = Some(engine);
                self.docker_error = None;
                let present: BTreeSet<ContainerId> = containers.iter().map(|container| container.id).collect();
                for record in self.records.values_mut().filter(|record| record.container.is_some()) {
                    if !record.container.as_ref().is_some_and(|container| present.contains(&container.id)) {
                        record.removed(now);
                    }
                }
                containers.into_iter().filter_map(|container| self.updated(container)).collect()
            }
            Change::Updated(container) => self.updated(container).into_iter().collect(),
            Change::Removed(id) => {
                if let Some(record) = self.records.get_mut(&id) {
                    record.removed(now);
                }
                Vec::new()
            }
            Change::Lost(events) => {
                warn!(events, "events of docker were not understood");
                self.lost_docker_events += events;
                Vec::new()
            }
            Change::Disconnected(reason) => {
                warn!(reason, "docker does not answer; counting goes on");
                self.docker_error = Some(reason);
                Vec::new()
            }
        }
    }

    /// The id, when there is a process whose bundle or filter was not looked at yet.
    fn updated(&mut self, container: Container) -> Option<ContainerId> {
        let id = container.id;
        let engine = self.engine.clone();
        let record = self.record_mut(id);
        let pid = container.pid;
        if pid.is_some() && record.engine_then.is_none() {
            record.engine_then = engine;
        }
        record.engine_says(container);
        let unread = matches!(record.declared, Declared::Unread) || record.enforced.seccomp.is_none();
        (pid.is_some() && unread).then_some(id)
    }

    /// Takes in what a container's bundle says.
    pub fn bundle_says(&mut self, id: ContainerId, bundle: Result<Bundle, BundleError>) {
        let Some(record) = self.records.get_mut(&id) else { return };
        match bundle {
            Ok(bundle) => {
                // The shim knows what it calls; the engine knows what it was asked for.
                let asked = || record.container.as_ref().and_then(|container| container.runtime.as_deref());
                record.runtime = bundle.runtime.as_deref().or_else(asked).map(Runtime::of).unwrap_or_default();
                let (declared, wrong) = self.profiles.of_bundle(&bundle, record.runtime);
                if let Some(wrong) = wrong {
                    warn!(container = %id.short(), wrong, "the container's seccomp profile cannot be read");
                }
                record.declared = declared;
            }
            Err(BundleError::NotFound(_)) => {
                debug!(container = %id.short(), "no bundle: the container is gone already");
            }
            Err(error) => warn!(container = %id.short(), %error, "the container's bundle cannot be read"),
        }
    }

    /// The process to look at for a container's filter.
    pub fn pid_of(&self, id: ContainerId) -> Option<u32> {
        self.records.get(&id)?.container.as_ref()?.pid
    }

    /// Reads what `/proc` says about the first process of every running container that was not looked at yet.
    pub fn look_at_processes(&mut self) {
        for (id, record) in &mut self.records {
            if record.enforced.seccomp.is_some() || !record.is_live() {
                continue;
            }
            let Some(pid) = record.container.as_ref().and_then(|container| container.pid) else { continue };
            // The number may be somebody else's by now: only a process in the container's own cgroup counts, asked
            // before and after.
            let own = || procfs::cgroup_of(pid).is_ok_and(|path| procfs::path_is_of(&path, *id));
            if own()
                && let Ok(status) = procfs::seccomp_status(pid)
                && own()
            {
                record.enforced.seccomp = Some(status);
            }
        }
    }

    /// Takes in the filters of the tasks that each slot counts. Returns whether some of it is to be believed only when
    /// it is seen again.
    pub fn filters_seen(&mut self, mut seen: BTreeMap<SlotNr, Effective>) -> bool {
        let mut unsettled = false;
        for (slot, id) in &self.slots {
            let Some(record) = self.records.get_mut(id) else { continue };
            let being_set_up = record.is_being_set_up();
            unsettled |= record.enforced.looked(seen.remove(slot).unwrap_or_default(), being_set_up);
        }
        unsettled
    }

    /// The look at the filters failed.
    pub fn filters_not_seen(&mut self, why: &str) {
        for id in self.slots.values() {
            if let Some(record) = self.records.get_mut(id) {
                record.enforced.look_failed(why);
            }
        }
    }

    /// Has the next filter of each container compared with its declared profile that was not compared yet. Each has its
    /// turn: `turn` is where to begin.
    pub fn want_comparisons(&self, differing: &mut Differing, turn: usize) {
        differing.begin_round();
        let live: Vec<&Record> = self.records.values().filter(|record| record.is_live()).collect();
        let (later, first) = live.split_at(turn.checked_rem(live.len()).unwrap_or(0));
        for record in first.iter().chain(later) {
            let Some(active) = record.declared.active() else { continue };
            if let Some(program) = record.not_compared(self.engine.as_ref(), differing) {
                differing.want(&active.sha256, &active.policy, &program);
            }
        }
    }

    /// Forgets containers that are gone for long, and the oldest of too many.
    pub fn forget_gone(&mut self, now: Duration) {
        // Nobody will say of these that they were removed: the engine never knew them, or does not answer.
        for record in self.records.values_mut().filter(|record| record.container.is_none() && !record.is_live()) {
            record.removed(now);
        }
        let mut gone: Vec<(Duration, ContainerId)> = self
            .records
            .iter()
            .filter(|(_, record)| !record.is_live())
            .filter_map(|(id, record)| Some((record.gone_since?, *id)))
            .collect();
        gone.sort();
        let too_many = gone.len().saturating_sub(GONE_LIMIT);
        for (at, (since, id)) in gone.into_iter().enumerate() {
            if at < too_many || now.saturating_sub(since) > GRACE {
                self.forgotten.insert(id);
                let lost = self.records.remove(&id).map_or(0, |record| record.starts_of_no_workload());
                if lost > 0 && self.lost_starts == 0 {
                    warn!(container = %id.short(), "nobody said what the container runs: it is no evidence of any workload");
                }
                self.lost_starts += lost;
            }
        }
    }

    fn record_mut(&mut self, id: ContainerId) -> &mut Record {
        self.records.entry(id).or_insert_with(|| Record::new(id))
    }
}
