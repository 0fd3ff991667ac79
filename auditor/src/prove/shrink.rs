//! The smaller profile: run after run, until a budget of time is used up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{ProveError, Prover, Trial, judge};
use crate::counters::Counters;
use crate::denial::advice::{Risk, risk_of};
use crate::profile::minimize::{Outcome, Search, allowances, without};
use crate::profile::{HostArch, Profile};
use crate::report::proof::DeniedView;
use crate::suggest::RuntimeFloor;
use crate::syscall::known_name;

/// Proving runs that may fail before the command is said to be unsteady.
const PATIENCE: u32 = 4;

/// A smaller profile, proved by a run of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The profile.
    pub profile: Profile,
    /// Names whose allowances it does without.
    pub removed: BTreeSet<String>,
    /// Names that were not tried for want of time, and stay.
    pub untried: usize,
    /// The run that proves it.
    pub proof: Trial,
    /// Runs, the proving one among them.
    pub runs: u32,
}

/// Takes allowances out of a profile as long as the command goes as it did in the first run.
///
/// What was used is not tried: without it the run would be refused what it was not before. Calls must be counted, since a
/// command may go on well without what it was refused; and a run of which some were lost proves nothing.
///
/// No run is begun for the search once the budget is used up. The one under way then goes to its end, and what was found is proved
/// by one more, or a few where they differ from each other.
///
/// # Errors
/// As for [`Prover::run`]; [`ProveError::Uncounted`] where nobody counts; [`ProveError::Unsteady`] where the command does
/// not do the same twice.
pub async fn shrink(
    prover: &mut Prover,
    profile: &Profile,
    host: HostArch,
    first: &Trial,
    budget: Duration,
) -> Result<Shrunk, ProveError> {
    let deadline = Instant::now() + budget;
    let mut search = Search::new(candidates(profile, first));
    let mut runs = 0;
    while Instant::now() < deadline
        && let Some(proposal) = search.proposal()
    {
        let (_, outcome) = attempt(prover, profile, host, first, &proposal).await?;
        runs += 1;
        search.learn(&outcome);
    }
    for _ in 0..PATIENCE {
        let (proof, outcome) = attempt(prover, profile, host, first, search.removed()).await?;
        runs += 1;
        match outcome {
            Outcome::Same => {
                let removed = search.removed().clone();
                let untried = search.untried();
                return Ok(Shrunk { profile: without(profile, &removed, host), removed, untried, proof, runs });
            }
            Outcome::Refused(names) => search.restore(&names),
            Outcome::Different => {}
        }
    }
    Err(ProveError::Unsteady)
}

/// One run without these names.
async fn attempt(
    prover: &mut Prover,
    profile: &Profile,
    host: HostArch,
    first: &Trial,
    names: &BTreeSet<String>,
) -> Result<(Trial, Outcome), ProveError> {
    let small = without(profile, names, host);
    let trial = prover.run(&small.render_docker()).await?;
    if trial.counters.is_none() {
        return Err(prover.uncounted());
    }
    let refused = |trial: &Trial| -> BTreeSet<(String, Option<String>, Option<u16>)> {
        let denied = judge(trial, &profile.evaluate(host)).denied.unwrap_or_default();
        denied.into_iter().map(|DeniedView { name, action, errno, .. }| (name, action, errno)).collect()
    };
    let new: BTreeSet<String> = refused(&trial).difference(&refused(first)).map(|(name, ..)| name.clone()).collect();
    let same = (trial.started, trial.ended, trial.exit_code) == (first.started, first.ended, first.exit_code);
    let outcome = match (new.is_empty(), same && !trial.is_lossy()) {
        (true, true) => Outcome::Same,
        (true, false) => Outcome::Different,
        (false, _) => Outcome::Refused(new),
    };
    Ok((trial, outcome))
}

/// What may go, the most dangerous first. What the runtime calls in some starts and not in others stays: a run that goes
/// well without it proves nothing.
fn candidates(profile: &Profile, first: &Trial) -> Vec<String> {
    let mut keep: BTreeSet<&str> = RuntimeFloor::at_any_moment(first.runtime()).iter().map(|(name, _)| *name).collect();
    keep.extend(first.counters.iter().flat_map(used));
    let mut names: Vec<_> = allowances(profile).into_iter().filter(|name| !keep.contains(name.as_str())).collect();
    let rank = |name: &String| match risk_of(name) {
        Risk::High => 0,
        Risk::Medium => 1,
        Risk::Low => 2,
    };
    names.sort_by_key(|name| (rank(name), name.clone()));
    names
}

fn used(counters: &Counters) -> impl Iterator<Item = &'static str> + '_ {
    counters.tallies.iter().filter(|(_, tally)| tally.calls > 0).filter_map(|((abi, nr), _)| known_name(*abi, *nr))
}
