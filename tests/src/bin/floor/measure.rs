//! One configuration: what the runtime makes in it, what it cannot do without, and that this is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::control::{Request, Response, call};
use auditor::evidence::Arguments;
use auditor::evidence::argument::table;
use auditor::profile::Runtime;
use auditor::syscall::{Abi, SyscallNr, known_name};
use tests::auditord::rows;
use tests::floor::{Configuration, Then, Went, remove};
use tests::process::wait_for;
use tests::profile;

use super::{Place, TINY};

/// Calls by name, and with what they were made, where that is noted.
pub(super) type Made = BTreeMap<String, BTreeSet<[u64; 2]>>;

/// What was found of one configuration.
pub(super) struct Measured {
    pub(super) made: Made,
    pub(super) needed: BTreeSet<String>,
}

/// What was counted in one container.
#[derive(Debug, Default)]
struct Counted {
    made: Made,
    refused: BTreeSet<String>,
}

/// A start that hangs is one that failed.
const LIMIT: Duration = Duration::from_secs(25);

/// The same as [`attempt`] with everything counted, once more where the machine was too busy for one of those involved.
fn counted(place: &Place, name: &str, more: &[&str], configuration: &Configuration) -> Result<(Went, Counted)> {
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
) -> Result<(Went, Counted)> {
    let engine = &place.stage.engine;
    let went = configuration.try_out(engine, name, more, &TINY, LIMIT)?;
    let mut counted = Counted::default();
    if count {
        let what = "what a container called, and with what";
        let mut last = String::new();
        let told = wait_for(what, Duration::from_secs(40), || {
            let told = look(place, name, configuration);
            last = told.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
            Ok(told.ok())
        });
        counted = told.with_context(|| format!("{name}: {last}"))?;
    }
    let removed = remove(engine, name);
    if went == Went::Well {
        removed?;
    }
    // What a runtime that hangs leaves behind goes with the engine.
    Ok((went, counted))
}

/// What was counted in a container, once the daemon has all of it.
fn look(place: &Place, name: &str, configuration: &Configuration) -> Result<Counted> {
    let shown = place.stage.auditor.settled(name)?;
    ensure!(shown["window"]["complete"] == true, "{}", shown["window"]);
    let arguments = arguments(place, shown["id"].as_str().context("a container without an id")?)?;
    let mut counted = Counted::default();
    for ((abi, nr), row) in rows(&shown)? {
        let abi: Abi = abi.parse().ok().with_context(|| format!("the ABI {abi}"))?;
        let nr = SyscallNr(i32::try_from(nr)?);
        let call = known_name(abi, nr).context("a call without a name")?;
        // The tiny program's own.
        let own = match (call, configuration.then) {
            ("pause", _) => row.calls,
            ("exit_group", Then::Ends | Then::Exec(_)) => 1,
            // As many as there were checks.
            ("exit_group", Then::Healthy) => row.calls,
            _ => 0,
        };
        if row.calls > own {
            let values = arguments.calls.get(&(abi, nr)).cloned().unwrap_or_default();
            let noted = values.seen.values().sum::<u64>();
            ensure!(table::noted(abi, nr).is_none() || noted >= row.calls, "{call}: {noted} of {} noted", row.calls);
            counted.made.insert(call.to_owned(), values.seen.into_keys().collect());
        }
        if row.denied > 0 {
            counted.refused.insert(call.to_owned());
        }
    }
    Ok(counted)
}

/// What the calls of a container were made with under its filter: by the runtime, for the tiny program makes none of those
/// of which that is noted.
fn arguments(place: &Place, id: &str) -> Result<Arguments> {
    let socket = place.stage.auditor.socket();
    let ask = |request: Request| call(&socket, &request, Duration::from_secs(20));
    let Response::History { workloads } = ask(Request::History)? else { bail!("the daemon has no history") };
    let mut arguments = Arguments::default();
    for workload in workloads {
        let Response::Evidence { evidence, .. } = ask(Request::Evidence { workload: workload.id })? else {
            bail!("the daemon has no evidence");
        };
        let mine = evidence.starts.iter().filter(|start| start.container == id);
        mine.for_each(|start| arguments.merge(&start.arguments));
    }
    Ok(arguments)
}

/// What the runtime makes, over some starts: not every start is like the one before.
pub(super) fn made(
    place: &Place,
    runtime: Runtime,
    options: &[&str],
    configuration: Configuration,
    rounds: usize,
) -> Result<Made> {
    let mut made = Made::new();
    for round in 0..rounds {
        let name = format!("made-{runtime}-{}-{round}", configuration.name);
        let (went, counted) = counted(place, &name, options, &configuration)?;
        ensure!(went == Went::Well, "{name}: {went:?}");
        // What the default profile refuses no start can need.
        for (call, values) in counted.made {
            made.entry(call).or_default().extend(values);
        }
    }
    Ok(made)
}

/// Which of them it cannot do without: refused with EPERM, one at a time, twice.
pub(super) fn needed(
    place: &Place,
    runtime: Runtime,
    options: &[&str],
    configuration: Configuration,
    made: &Made,
) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for call in made.keys() {
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
        let refused: Vec<_> = seen.refused.iter().filter(|call| *call != "clone3").collect();
        ensure!(refused.is_empty(), "{name}: refused {refused:?}");
    }
    Ok(())
}
