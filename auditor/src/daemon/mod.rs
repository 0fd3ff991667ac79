//! The daemon: one loop that takes a closed set of events, and the state they change.
//!
//! Everything that blocks for long happens elsewhere (the engine in its own task, bundles on a thread of their own);
//! the loop reads the kernel's counters, which never waits.

mod account;
mod adoption;
mod answer;
mod differing;
mod enforced;
mod error;
mod filters;
mod followers;
mod keeping;
mod ledger;
mod profile;
mod programs;
mod record;
mod refusals;
mod replaced;
mod run;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tracing::{error, info, warn};

#[doc(hidden)]
pub use account::read_account;
pub use error::DaemonError;

use crate::bundle::{self, Bundle, BundleError};
use crate::cgroupfs::Root;
use crate::config::Config;
use crate::container::ContainerId;
use crate::control::{Query, Source};
use crate::docker::{Change, Feed, Pace};
use crate::kernel::{Kernel, KernelEvent};
use crate::{control, http, metrics, procfs};
use adoption::Adoption;
use differing::{Compared, Differing};
use filters::Looking;
use keeping::Keeping;
use ledger::Ledger;
use refusals::{Refusals, Taken};
use run::Now;

/// Questions that may wait for the loop.
const QUERIES_WAITING: usize = 64;
/// How long a question may wait.
const QUERY_DEADLINE: Duration = Duration::from_secs(5);
/// Changes of the engine that may wait for the loop.
const CHANGES_WAITING: usize = 1024;
/// Comparisons of filters that may wait for the loop.
const COMPARISONS_WAITING: usize = 16;

/// How long refused calls gather before they are taken. The kernel says only of the first that it is there.
const GATHER: Duration = Duration::from_millis(20);
/// How long what is folded for followers waits at least.
const FLUSH: Duration = Duration::from_millis(250);

/// How often the watchdog is fed in the time that it gives.
const WATCHDOG_SHARE: u32 = 4;

/// What the loop reacts to.
enum Event {
    /// The kernel half has something to tell.
    Kernel,
    /// The kernel half has refused calls to tell of, or some wait to be told to followers.
    Refusals,
    /// Time to read the counters.
    Tick,
    /// Time to tell the watchdog that the loop goes round.
    Watchdog,
    /// The engine.
    Docker(Box<Change>),
    /// Somebody asks.
    Query(Query),
    /// A bundle was read.
    Bundle(ContainerId, Box<Result<Bundle, BundleError>>),
    /// A filter was compared with a profile.
    Compared(Box<Compared>),
    /// What was handed over is on the disk, or could not be written.
    Kept,
    /// A part of the daemon that should never end has ended.
    Ended(&'static str),
    /// Told to stop.
    Stop,
}

/// Runs until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: everything is checked and bound before the first program is loaded.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    // Before anything is made that would fail for the same reason, with less to say. What cannot be read is no reason.
    if procfs::own_capabilities().is_ok_and(|capabilities| !capabilities.suffice()) {
        return Err(DaemonError::NotPermitted);
    }
    let root = Root::find(config.cgroup_root.as_deref())?;
    if !root.is_whole()? {
        return Err(DaemonError::PartOfHierarchy(root.path().display().to_string()));
    }
    let group = config.socket_group.as_deref().map(group_id).transpose()?;
    let gate = Arc::new(http::Gate::open(config.web_config_file.as_deref())?);
    let pins = programs::pins(&config.bpffs)?;
    let listeners = http::bind(&config.listen_addresses)?;
    for address in config.listen_addresses.iter().filter(|address| gate.is_open() && !address.ip().is_loopback()) {
        warn!(%address, "whoever reaches this address is told which containers run and what they call; --web.config.file asks for passwords or certificates");
    }
    let control = control::bind(&config.socket, group)?;
    let mut stop = Stop::new()?;

    let mut ledger = Ledger::new();
    let mut keeping = Keeping::open(&config.state_dir, &mut ledger)?;
    let mut kernel = match pins {
        Some(pins) => Kernel::load_pinned(config.max_containers, pins)?,
        None => Kernel::load(config.max_containers)?,
    };
    ledger.take_over(&kernel)?;
    let mut met = Vec::new();
    if kernel.taken_over_ns().is_some() {
        // Whoever is counted already is known before the others are looked for.
        met = ledger.meet(&kernel)?;
        info!(
            containers = ledger.running().len(),
            "took over the programs of an earlier daemon, and what they counted"
        );
    }
    let refused = kernel.attach(|| adoption::existing(&root, &mut ledger))?;
    let counted = ledger.running();
    keeping.take_over(&mut ledger, counted)?;
    let replaced = kernel.take_replaced();
    for old in &replaced {
        programs::take_replaced(&mut ledger, old)?;
    }
    for cgroup in &refused {
        ledger.refuse(*cgroup);
    }
    let (bundle_sender, mut bundles) = mpsc::channel(CHANGES_WAITING);
    let reader = BundleReader { sender: bundle_sender, places: bundle::Places::default() };
    let events = kernel
        .watch_events()
        .map_err(|source| DaemonError::System { doing: "watching the kernel's event ring", source })?;
    let refused = kernel
        .watch_refusals()
        .map_err(|source| DaemonError::System { doing: "watching the kernel's ring of refused calls", source })?;
    programs::give_up_privileges(&mut kernel);
    let mut refusals = Refusals::default();
    let mut gather = Pause::default();
    met.extend(ledger.meet(&kernel)?);
    met.extend(ledger.count(&mut kernel, Now::read())?);
    met.into_iter().for_each(|id| reader.read(id, None));
    // What older programs held is removed when it is kept.
    keeping.now(&mut ledger, &kernel);
    let mut replaced = programs::Leaving::of(replaced, keeping.number());

    let (source, mut queries) = Source::new(QUERIES_WAITING, QUERY_DEADLINE);
    let source = source.with_library(keeping.library());
    let metrics = metrics::Options { per_syscall: config.per_syscall, max_syscall_series: config.max_series as usize };
    let mut tasks = JoinSet::new();
    let web = http::serve_apart(listeners, source.clone(), http::Options { metrics, gate })
        .map_err(|source| DaemonError::System { doing: "starting the web server's thread", source })?;
    tasks.spawn(web.map(|()| "web server"));
    tasks.spawn(control::serve(control, source).map(|()| "control socket"));
    let (change_sender, mut changes) = mpsc::channel(CHANGES_WAITING);
    let feed = Feed::new(config.docker_host.clone(), Pace::default()).run(change_sender);
    tasks.spawn(feed.map(|()| "connection to docker"));

    let mut adoption = Adoption::default();
    let mut pinning = programs::Pinning::default();
    let (compared_sender, mut compared) = mpsc::channel(COMPARISONS_WAITING);
    let mut differing = Differing::new(compared_sender);
    let mut looking = Looking::default();
    let mut ticks = interval(config.poll_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // Counters may be read more rarely than the watchdog wants to hear.
    let mut watchdog = sd_notify::watchdog_enabled().map(|limit| interval(limit / WATCHDOG_SHARE));
    info!(
        cgroups = %root.path().display(), slots = kernel.slot_count(), socket = %config.socket.display(),
        "counting"
    );
    notify(&[sd_notify::NotifyState::Ready]);
    loop {
        let event = tokio::select! {
            () = stop.asked() => Event::Stop,
            Some(ended) = tasks.join_next() => Event::Ended(ended.unwrap_or("task that panicked")),
            Ok(mut ready) = events.readable() => {
                ready.clear_ready();
                Event::Kernel
            }
            Ok(mut ready) = refused.readable(), if !gather.gathers() => {
                ready.clear_ready();
                Event::Refusals
            }
            () = gather.ended() => Event::Refusals,
            Some(change) = changes.recv() => Event::Docker(Box::new(change)),
            Some((id, bundle)) = bundles.recv() => Event::Bundle(id, bundle),
            Some(compared) = compared.recv() => Event::Compared(compared),
            () = keeping.written() => Event::Kept,
            _ = ticks.tick() => Event::Tick,
            () = fed(&mut watchdog) => Event::Watchdog,
            Some(query) = queries.recv() => Event::Query(query),
        };
        match event {
            Event::Stop => break,
            Event::Ended(what) => return Err(DaemonError::Ended(what)),
            Event::Kernel => {
                drain(&mut ledger, &mut kernel);
                meet(&mut ledger, &kernel, &reader);
            }
            Event::Refusals => {
                let taken = refusals.take(&mut ledger, &mut kernel);
                refusals.flush();
                gather = Pause::after(&taken, &refusals);
                taken.new.into_iter().for_each(|id| reader.read(id, None));
            }
            Event::Tick => {
                kernel.write_log();
                sync(&mut ledger, &mut kernel, &reader);
                let taken = refusals.take_all(&mut ledger, &mut kernel);
                taken.new.into_iter().for_each(|id| reader.read(id, None));
                refusals.settle(&ledger);
                adoption.attempt(&root, &mut ledger, &mut kernel);
                ledger.look_at_processes();
                keeping.now_and_then(&mut ledger, &kernel);
                give_back(&mut ledger, &mut kernel, keeping.committed());
                replaced.remove_kept(&keeping);
                pinning.check(&mut kernel)?;
                looking.now_and_then(&mut ledger, &mut kernel, &mut differing);
                if let Ok(now) = procfs::boot_time() {
                    ledger.forget_gone(now);
                }
            }
            Event::Watchdog => notify(&[sd_notify::NotifyState::Watchdog]),
            Event::Docker(change) => {
                let now = procfs::boot_time().unwrap_or_default();
                for id in ledger.engine_says(*change, now) {
                    reader.read(id, ledger.pid_of(id));
                }
            }
            Event::Bundle(id, bundle) => {
                ledger.bundle_says(id, *bundle);
                refusals.profile_known(id);
                refusals::watch(&ledger, &mut kernel, id);
                looking.soon();
            }
            Event::Compared(compared) => differing.take(*compared),
            Event::Kept => {
                give_back(&mut ledger, &mut kernel, keeping.committed());
                replaced.remove_kept(&keeping);
            }
            Event::Query(query) => {
                sync(&mut ledger, &mut kernel, &reader);
                ledger.look_at_processes();
                let taken = refusals.take_all(&mut ledger, &mut kernel);
                taken.new.into_iter().for_each(|id| reader.read(id, None));
                // One that asked and went away needs no answer.
                match query {
                    Query::Snapshot { reply } => {
                        let mut snapshot = answer::snapshot(&ledger, &kernel, &refusals, root.hierarchy(), &differing);
                        snapshot.health.store_error = keeping.trouble();
                        snapshot.health.not_ready.extend(pinning.trouble());
                        snapshot.health.lost_events.insert("start_not_stored".to_owned(), keeping.given_up());
                        let _ = reply.send(Arc::new(snapshot));
                    }
                    Query::Material { containers, reply } => {
                        read_arguments(&mut ledger, &kernel);
                        let _ = reply.send(answer::material(&ledger, &containers));
                    }
                    Query::Evidence { reply } => {
                        read_arguments(&mut ledger, &kernel);
                        let _ = reply.send(ledger.evidence());
                    }
                    Query::Forget { workloads, before, reply } => {
                        ledger.forget(workloads.as_ref(), before);
                        let _ = reply.send(());
                    }
                    Query::Denials { container, reply } => {
                        let container = container.as_deref().and_then(|id| ContainerId::parse(id).ok());
                        let _ = reply.send(refusals.list(&ledger, container));
                    }
                    Query::Follow { query, reply } => {
                        let _ = reply.send(refusals.follow(&ledger, query));
                    }
                    Query::Filter { container, reply } => {
                        looking.now(&mut ledger, &mut kernel);
                        let _ = reply.send(answer::filter(&ledger, &container, &differing));
                    }
                }
            }
        }
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    if let Err(error) = ledger.count(&mut kernel, Now::read()) {
        error!(%error, "the counters cannot be read");
    }
    keeping.close(&mut ledger, &kernel);
    if config.detach_on_exit {
        kernel.unpin()?;
    }
    info!("stopped");
    Ok(())
}

/// Gives slots back whose counts are kept.
fn give_back(ledger: &mut Ledger, kernel: &mut Kernel, committed: u64) {
    if let Err(error) = ledger.kept(kernel, committed) {
        error!(%error, "slots of containers that are gone cannot be given back");
    }
}

/// A time to wait for, or none.
#[derive(Debug, Default)]
struct Pause {
    end: Option<Instant>,
    gathers: bool,
}

impl Pause {
    /// After a round of taking refused calls: while more may come, and while some wait to be told.
    fn after(taken: &Taken, refusals: &Refusals) -> Self {
        match (taken.any, refusals.waiting()) {
            (true, _) => Self { end: Some(Instant::now() + GATHER), gathers: true },
            (false, true) => Self { end: Some(Instant::now() + FLUSH), gathers: false },
            (false, false) => Self::default(),
        }
    }

    /// Whether refused calls that come meanwhile are left to gather.
    const fn gathers(&self) -> bool {
        self.gathers
    }

    async fn ended(&self) {
        match self.end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

/// Empties the ring: the state itself is read by [`Ledger::meet`].
fn drain(ledger: &mut Ledger, kernel: &mut Kernel) {
    while let Some(event) = kernel.next_event() {
        if let KernelEvent::NoSlot(_, name) = event {
            ledger.not_counted(&name);
        }
    }
    kernel.write_log();
}

/// Meets new containers at once: the bundle of a short-lived one is there for a moment only.
fn meet(ledger: &mut Ledger, kernel: &Kernel, reader: &BundleReader) {
    match ledger.meet(kernel) {
        Ok(new) => new.into_iter().for_each(|id| reader.read(id, None)),
        Err(error) => error!(%error, "the slots cannot be read"),
    }
}

fn read_arguments(ledger: &mut Ledger, kernel: &Kernel) {
    if let Err(error) = ledger.read_arguments(kernel) {
        error!(%error, "the arguments of calls cannot be read");
    }
}

fn sync(ledger: &mut Ledger, kernel: &mut Kernel, reader: &BundleReader) {
    match ledger.count(kernel, Now::read()) {
        Ok(new) => new.into_iter().for_each(|id| reader.read(id, None)),
        Err(error) => error!(%error, "the counters cannot be read"),
    }
}

/// Reads bundles on threads of their own: a stalled disk stops no counting.
struct BundleReader {
    sender: mpsc::Sender<(ContainerId, Box<Result<Bundle, BundleError>>)>,
    places: bundle::Places,
}

impl BundleReader {
    fn read(&self, id: ContainerId, pid: Option<u32>) {
        let (sender, places) = (self.sender.clone(), self.places.clone());
        tokio::task::spawn_blocking(move || {
            let bundle = places.find(id, pid).and_then(|directory| bundle::read(&directory));
            // The loop may have ended.
            let _ = sender.blocking_send((id, Box::new(bundle)));
        });
    }
}

struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, DaemonError> {
        let failed = |source| DaemonError::System { doing: "waiting for signals", source };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn group_id(name: &str) -> Result<u32, DaemonError> {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) | Err(_) => Err(DaemonError::NoGroup(name.to_owned())),
    }
}

/// The next time to feed the watchdog, where there is one.
async fn fed(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(watchdog) => _ = watchdog.tick().await,
        None => std::future::pending().await,
    }
}

/// Tells systemd, where it runs us.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told");
    }
}
