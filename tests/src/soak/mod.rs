//! Hours of it: containers that come and go, an engine that is restarted, clients that ask, and a daemon that must be
//! the same at the end as it was once it had warmed up. `cargo xtask soak` runs it for an hour.

mod churn;
mod clients;
pub mod document;
mod sample;
pub mod verdict;

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::auditord::Auditor;
use crate::engine::{CgroupMode, Engine};
use crate::image;

pub use sample::Sample;
pub use verdict::{Idle, Report};

/// How long, and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Of containers that come and go.
    pub length: Duration,
    /// Between two samples.
    pub every: Duration,
    /// Between two restarts of the engine.
    pub restart_every: Duration,
    /// Between two containers of one worker.
    pub pause: Duration,
}

impl Plan {
    /// So many minutes of it, at an intensity that leaves the machine to others.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self {
            length: Duration::from_secs(60 * minutes),
            every: Duration::from_secs(20),
            restart_every: Duration::from_secs(240),
            pause: Duration::from_millis(800),
        }
    }

    /// A minute, as a test of the tests.
    #[must_use]
    pub const fn short() -> Self {
        Self {
            length: Duration::from_secs(60),
            every: Duration::from_secs(3),
            restart_every: Duration::from_secs(25),
            pause: Duration::from_millis(100),
        }
    }
}

/// Workers that make containers.
const WORKERS: usize = 2;
/// The daemon's slots: enough also where other engines of this machine have a thousand containers.
const SLOTS: &str = "--max-containers=3000";

/// What was done, counted.
#[derive(Debug, Default)]
pub struct Done {
    /// Containers that did known work, all of whose numbers were equal.
    pub containers: AtomicU64,
    /// Calls that were issued and compared.
    pub calls: AtomicU64,
    /// Those of them that a filter refused.
    pub refused: AtomicU64,
    /// Commands that were executed in containers, with known work, and compared.
    pub execs: AtomicU64,
    /// Containers that failed to start, as they should.
    pub failed: AtomicU64,
    /// Restarts of the engine.
    pub restarts: AtomicU64,
    /// Scrapes.
    pub scrapes: AtomicU64,
    /// Commands of `auditor`.
    pub commands: AtomicU64,
}

/// All that takes part.
struct Soak {
    plan: Plan,
    engine: RwLock<Engine>,
    auditor: Auditor,
    done: Done,
    ended: AtomicBool,
}

impl Soak {
    /// Sleeps, and says whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        !self.ended.load(Ordering::Relaxed)
    }

    /// Ends it all when it is dropped by something that failed.
    fn end_with(&self) -> EndGuard<'_> {
        EndGuard(&self.ended)
    }

    fn restarts(&self) -> Result<()> {
        while self.pause(self.plan.restart_every) {
            let mut engine = self.engine.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            engine.restart().context("restarting the engine")?;
            self.done.restarts.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        let began = Instant::now();
        let mut samples = Vec::new();
        loop {
            samples.push(Sample::take(&self.auditor, began.elapsed())?);
            if !self.pause(self.plan.every) {
                return Ok(samples);
            }
        }
    }
}

struct EndGuard<'a>(&'a AtomicBool);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does it, and says what was seen.
///
/// # Errors
/// When a number is not equal to the truth, or something does not work.
pub fn run(plan: Plan) -> Result<Report> {
    // Containers live on while the engine is away, and are counted.
    let configuration = serde_json::json!({ "live-restore": true });
    let engine = Engine::configured(CgroupMode::Unified, &configuration)?;
    image::import_busybox(&engine)?;
    let auditor = Auditor::start(&engine.host(), &[SLOTS])?;
    let soak =
        Soak { plan, engine: RwLock::new(engine), auditor, done: Done::default(), ended: AtomicBool::new(false) };
    let before = Idle::reach(&soak.auditor, None).context("before it began")?;
    let samples = std::thread::scope(|scope| {
        let soak = &soak;
        let guarded = |work: fn(&Soak) -> Result<()>| {
            scope.spawn(move || {
                let _end = soak.end_with();
                work(soak)
            })
        };
        let mut others = vec![guarded(Soak::restarts), guarded(clients::scrapes), guarded(clients::commands)];
        others.push(guarded(clients::follower));
        others.push(guarded(churn::long_lived));
        for number in 0..WORKERS {
            others.push(scope.spawn(move || {
                let _end = soak.end_with();
                churn::worker(soak, number)
            }));
        }
        let sampler = scope.spawn(move || {
            let _end = soak.end_with();
            soak.samples()
        });
        soak.pause(plan.length);
        soak.ended.store(true, Ordering::Relaxed);
        for other in others {
            other.join().expect("a panic")?;
        }
        sampler.join().expect("a panic")
    })
    .with_context(|| format!("the end of the daemon's log:\n{}", tail(&soak.auditor.log())))?;
    let after = Idle::reach(&soak.auditor, Some(&before)).context("after it ended")?;
    let incomplete = verdict::incomplete(&soak.auditor)?;
    let place = document::place(&soak.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner))?;
    Ok(Report { plan, place, samples, before, after, incomplete, done: soak.done })
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
