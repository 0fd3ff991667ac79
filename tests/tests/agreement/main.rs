//! What the kernel does with a call, and what the interpreter and the analysis of `auditor::filter` say of it.
//!
//! Filters are installed in processes of our own, calls are made by three ABIs, and every result is compared: the
//! value, the errno, what the signal carried, who died. It needs no eBPF, no engine, and no other user than nobody.

mod chance;
mod docker;
mod nasty;
mod profiles;
mod trial;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anyhow::{Result, ensure};
use auditor::profile::Action;
use tests::fate::Caller;

use crate::chance::Chance;
use crate::trial::{Seen, Trial};

/// Where all that looks random comes from; another one may be named, so that somebody can go on looking.
fn seed() -> u64 {
    let seed = std::env::var("AUDITOR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
    println!("AUDITOR_SEED={seed}");
    seed
}

/// Makes and checks so many trials, on as many processors as there are; how often each action was seen.
fn check(seed: u64, count: usize, make: impl Fn(usize) -> Result<Trial> + Sync) -> Result<Seen> {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Seen::default());
    let work = || -> Result<()> {
        let (mut caller, mut seen) = (Caller::start()?, Seen::default());
        loop {
            let at = next.fetch_add(1, SeqCst);
            if at >= count {
                break;
            }
            make(at)?.check(&mut caller, &mut Chance::new(seed ^ at as u64), &mut seen)?;
        }
        total.lock().expect("nobody panics with the lock").add(&seen);
        Ok(())
    };
    let processors = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let total = total.into_inner()?;
    println!("{} cases agree: {total:?}", total.cases());
    Ok(total)
}

/// There were enough cases, of every action some, and the analysis had an answer in so many.
fn ensure_met(seen: &Seen, cases: usize, of_each: usize, analyzed: usize) -> Result<()> {
    ensure!(seen.cases() >= cases && seen.analyzed >= analyzed, "too little: {seen:?}");
    for action in Action::ALL {
        let met = seen.actions.get(&action).copied().unwrap_or(0);
        ensure!(met >= of_each, "{action} in only {met} cases");
    }
    Ok(())
}

#[test]
fn a_thousand_profiles_that_libseccomp_compiled() -> Result<()> {
    let seed = seed();
    let seen = check(seed, 1000, |at| profiles::trial(seed.wrapping_mul(1_000_003).wrapping_add(at as u64)))?;
    ensure_met(&seen, 100_000, 500, seen.cases())
}

#[test]
fn dockers_default_as_runc_built_it() -> Result<()> {
    let (seed, trials) = (seed(), docker::trials()?);
    let seen = check(seed, trials.len(), |at| Ok(trials[at].clone()))?;
    ensure!(seen.cases() >= 10_000 && seen.analyzed == seen.cases(), "too little: {seen:?}");
    Ok(())
}

#[test]
fn filters_that_nobody_should_write() -> Result<()> {
    let seed = seed();
    let trials = nasty::trials(seed)?;
    let seen = check(seed, trials.len(), |at| Ok(trials[at].clone()))?;
    ensure_met(&seen, 40_000, 500, 30_000)
}
