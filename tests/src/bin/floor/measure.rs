//! One configuration: what the runtime makes in it, what it cannot do without, and that this is enough.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::profile::Runtime;
use auditor::syscall::{Abi, SyscallNr, known_name};
use tests::auditord::rows;
use tests::floor::{Configuration, Then, Went, remove};
use tests::profile;

use super::{Place, TINY};

/// What was found of one configuration.
pub(super) struct Measured {
    pub(super) made: BTreeSet<String>,
    pub(super) needed: BTreeSet<String>,
}

/// A start that hangs is one that failed.
const LIMIT: Duration = Duration::from_secs(25);

/// The same as [`attempt`] with everything counted, once more where the machine was too busy for one of those involved.
fn counted(
    place: &Place,
    name: &str,
    more: &[&str],
    configuration: &Configuration,
) -> Result<(Went, BTreeSet<(String, bool)>)> {
    attempt(place, name, more, configuration, true).or_else(|error| {
        eprintln!("{name}: once more: {error:#}");
        attempt(place, &format!("{name}-again"), more, configuration, true)
    })
}

/// One try in a container of its own: how it went, and which calls were made under the filter, let through or refused.
fn attempt(
    place: &Place,
    name: &str,
    more: &[&str],
    configuration: &Configuration,
    count: bool,
) -> Result<(Went, BTreeSet<(String, bool)>)> {
    let engine = &place.stage.engine;
    let went = configuration.try_out(engine, name, more, &TINY, LIMIT)?;
    let mut calls = BTreeSet::new();
    if count {
        let shown = place.stage.auditor.settled(name)?;
        ensure!(shown["window"]["complete"] == true, "{name}: {}", shown["window"]);
        for ((abi, nr), row) in rows(&shown)? {
            let abi: Abi = abi.parse().ok().with_context(|| format!("the ABI {abi}"))?;
            let call = known_name(abi, SyscallNr(i32::try_from(nr)?)).context("a call without a name")?;
            // The tiny program's own.
            let own = match (call, configuration.then) {
                ("pause", _) => row.calls,
                ("exit_group", Then::Ends | Then::Exec(_)) => 1,
                // As many as there were checks.
                ("exit_group", Then::Healthy) => row.calls,
                _ => 0,
            };
            if row.calls > own {
                calls.insert((call.to_owned(), true));
            }
            if row.denied > 0 {
                calls.insert((call.to_owned(), false));
            }
        }
    }
    let removed = remove(engine, name);
    if went == Went::Well {
        removed?;
    }
    // What a runtime that hangs leaves behind goes with the engine.
    Ok((went, calls))
}

/// What the runtime makes, over some starts: not every start is like the one before.
pub(super) fn made(
    place: &Place,
    runtime: Runtime,
    options: &[&str],
    configuration: Configuration,
    rounds: usize,
) -> Result<BTreeSet<String>> {
    let mut made = BTreeSet::new();
    for round in 0..rounds {
        let name = format!("made-{runtime}-{}-{round}", configuration.name);
        let (went, calls) = counted(place, &name, options, &configuration)?;
        ensure!(went == Went::Well, "{name}: {went:?}");
        // What the default profile refuses no start can need.
        made.extend(calls.into_iter().filter(|(_, passed)| *passed).map(|(call, _)| call));
    }
    Ok(made)
}

/// Which of them it cannot do without: refused with EPERM, one at a time, twice.
pub(super) fn needed(
    place: &Place,
    runtime: Runtime,
    options: &[&str],
    configuration: Configuration,
    made: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for call in made {
        let mut custom = place.default.clone();
        profile::forbid(&mut custom, &[call]);
        let name = format!("without-{call}-{runtime}-{}", configuration.name);
        let option = profile::option(&custom.to_string(), place.directory.path(), &name)?;
        let more = [options, &[option.as_str()]].concat();
        let fails = |round: &str| -> Result<bool> {
            let (went, _) = attempt(place, &format!("{name}-{round}"), &more, &configuration, false)?;
            Ok(went != Went::Well)
        };
        if fails("first")? && fails("second")? {
            needed.insert(call.clone());
        }
    }
    Ok(needed)
}

/// That a profile of nothing but these calls, and the tiny program's own, starts the configuration, and refuses nothing that the
/// default profile does not.
pub(super) fn suffices(
    place: &Place,
    runtime: Runtime,
    options: &[&str],
    configuration: Configuration,
    calls: &BTreeSet<String>,
) -> Result<()> {
    let mut custom = place.default.clone();
    let own = ["pause", "exit_group"];
    let rules = custom["syscalls"].as_array_mut().context("a profile without rules")?;
    for rule in rules.iter_mut().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW") {
        if let Some(names) = rule["names"].as_array_mut() {
            names.retain(|name| name.as_str().is_some_and(|name| calls.contains(name) || own.contains(&name)));
        }
    }
    rules.retain(|rule| rule["names"].as_array().is_some_and(|names| !names.is_empty()));
    for round in ["first", "second"] {
        let name = format!("floor-{runtime}-{}-{round}", configuration.name);
        let option = profile::option(&custom.to_string(), place.directory.path(), &name)?;
        let more = [options, &[option.as_str()]].concat();
        let (went, seen) = counted(place, &name, &more, &configuration)?;
        if went != Went::Well {
            bail!("{name}: {went:?}; calls: {seen:?}");
        }
        let refused: Vec<_> = seen.iter().filter(|(call, passed)| !passed && call != "clone3").collect();
        ensure!(refused.is_empty(), "{name}: refused {refused:?}");
    }
    Ok(())
}
