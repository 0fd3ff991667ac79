//! Containers of the auditor's own, started under a profile to see whether it holds: what `auditor profile prove` does.
//!
//! Each is made, started, counted and removed again, whatever happens: also when the start fails or hangs, and when a
//! signal comes. The daemon does none of this.

mod error;
mod shrink;
mod verdict;

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

pub use self::error::ProveError;
pub use self::shrink::{Shrunk, shrink};
pub use self::verdict::{Judged, judge};
use crate::counters::Counters;
use crate::docker::{Docker, Host, Throwaway, Wanted};
use crate::profile::Runtime;
use crate::recording::{Recording, unique_id};
use crate::suggest::program_started;

/// Between two looks at a container that runs.
const STEP: Duration = Duration::from_millis(50);

/// How one run went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// The program was executed.
    pub started: bool,
    /// Why it did not start, in the engine's words or ours.
    pub refusal: Option<String>,
    /// It ended within the time limit.
    pub ended: bool,
    /// With this.
    pub exit_code: Option<i64>,
    /// The runtime, by the name that the engine has for it.
    pub runtime: Option<String>,
    /// What was called; `None` where nobody could count.
    pub counters: Option<Counters>,
    /// Calls and events known to be lost.
    pub lost: Option<u64>,
    /// The last lines that it wrote.
    pub output: Vec<String>,
}

impl Trial {
    /// The kind of runtime; runc's where the engine did not say.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        self.runtime.as_deref().map_or(Runtime::default(), Runtime::of)
    }

    /// Whether calls were lost, so that more may have been denied than was counted.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.lost.is_some_and(|lost| lost > 0)
    }
}

/// Whoever makes the containers.
pub struct Prover {
    docker: Docker,
    wanted: Wanted,
    limit: Duration,
    signals: [(&'static str, Signal); 4],
    no_counting: Option<String>,
}

impl Prover {
    /// Connects to an engine. Each container may run for so long, and take as long again to start.
    ///
    /// # Errors
    /// No engine answers.
    pub async fn connect(host: &Host, wanted: Wanted, limit: Duration) -> Result<Self, ProveError> {
        let wait = |name, kind| signal(kind).map(|signal| (name, signal)).map_err(ProveError::Signals);
        let signals = [
            wait("SIGINT", SignalKind::interrupt())?,
            wait("SIGTERM", SignalKind::terminate())?,
            wait("SIGHUP", SignalKind::hangup())?,
            wait("SIGQUIT", SignalKind::quit())?,
        ];
        Ok(Self { docker: Docker::connect(host).await?, wanted, limit, signals, no_counting: None })
    }

    /// The engine's version, as it says it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn engine_version(&self) -> Result<Option<String>, ProveError> {
        Ok(self.docker.engine().await?.version)
    }

    /// Why calls are not counted, where they are not.
    #[must_use]
    pub fn no_counting(&self) -> Option<&str> {
        self.no_counting.as_deref()
    }

    /// That nobody counts, and why.
    #[must_use]
    pub fn uncounted(&self) -> ProveError {
        ProveError::Uncounted(self.no_counting().unwrap_or("the container was not seen").to_owned())
    }

    /// Runs the command once under a profile (its text).
    ///
    /// # Errors
    /// The engine does not do its part, or a signal came. A container that does not start is no error.
    pub async fn run(&mut self, profile: &str) -> Result<Trial, ProveError> {
        // No two makers have the same one: nobody else's container has this name, or is taken for ours.
        let token = unique_id()?;
        // Nothing interrupts this: a container that is being made has a name, and is to be removed like any other.
        let container = match self.docker.make_throwaway(&token, &self.wanted, profile).await {
            Ok(container) => container,
            Err(error) => {
                // The engine may have made it and not said so in time.
                if let Ok(Some(container)) = self.docker.find_throwaway(&token).await {
                    self.remove(&container).await?;
                }
                return Err(error.into());
            }
        };
        let recording = self.count(&container);
        let attempt = attempt(&self.docker, &container, self.limit, recording);
        let [first, second, third, fourth] = &mut self.signals;
        let outcome = tokio::select! {
            biased;
            _ = first.1.recv() => Err(ProveError::Interrupted(first.0)),
            _ = second.1.recv() => Err(ProveError::Interrupted(second.0)),
            _ = third.1.recv() => Err(ProveError::Interrupted(third.0)),
            _ = fourth.1.recv() => Err(ProveError::Interrupted(fourth.0)),
            outcome = attempt => outcome,
        };
        match self.remove(&container).await {
            Err(left) if !matches!(outcome, Err(ProveError::Engine(_))) => Err(left),
            _ => outcome,
        }
    }

    async fn remove(&self, container: &Throwaway) -> Result<(), ProveError> {
        let left = |source| ProveError::Left { id: container.id.short(), source };
        self.docker.remove_throwaway(container).await.map_err(left)
    }

    /// Counts from the container's first call on. Where that cannot be done once, it is not tried again.
    fn count(&mut self, container: &Throwaway) -> Option<Recording> {
        if self.no_counting.is_some() {
            return None;
        }
        match Recording::of_container(container.id) {
            Ok(recording) => Some(recording),
            Err(error) => {
                self.no_counting = Some(error.to_string());
                None
            }
        }
    }
}

async fn attempt(
    docker: &Docker,
    container: &Throwaway,
    limit: Duration,
    mut recording: Option<Recording>,
) -> Result<Trial, ProveError> {
    let refusal = match timeout(limit, docker.start_throwaway(container)).await {
        Ok(answer) => answer?.err(),
        Err(_) => Some(format!("it had not started after {} s", limit.as_secs())),
    };
    let mut trial = Trial { refusal, ..Trial::default() };
    let started = Instant::now();
    loop {
        let condition = docker.condition_of(container).await?;
        if let Some(recording) = &mut recording {
            recording.look()?;
        }
        trial.ended = condition.ended;
        trial.runtime = condition.runtime;
        // Before a start the engine has a 0 here.
        trial.exit_code = condition.exit_code.filter(|_| condition.ended);
        if condition.ended || trial.refusal.is_some() || started.elapsed() >= limit {
            break;
        }
        sleep(STEP).await;
    }
    match recording.as_ref().map(Recording::counted) {
        Some(Some(counted)) => {
            trial.counters = Some(counted.counters());
            trial.lost = Some(counted.lost());
        }
        // It came to nothing before it had a cgroup.
        Some(None) if trial.refusal.is_some() => {
            trial.counters = Some(Counters::default());
            trial.lost = Some(0);
        }
        _ => {}
    }
    trial.started = trial.refusal.is_none() && trial.counters.as_ref().is_none_or(was_executed);
    // For people: the verdict does not hang on it.
    trial.output = docker.last_words_of(container).await.unwrap_or_default();
    Ok(trial)
}

/// Whether the program was executed. Without any call under a filter nobody can tell, and the engine is believed.
fn was_executed(counters: &Counters) -> bool {
    let filtered = counters.tallies.values().any(|tally| tally.calls > 0 || tally.denials.certain() > 0);
    !filtered || program_started(counters)
}
