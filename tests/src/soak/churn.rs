//! Containers that come and go, and what they do: known numbers of known calls.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Soak;
use crate::engine::Engine;
use crate::groundtruth::{self, Issued, Key, compare};
use crate::image::BUSYBOX;

/// Names that one worker's containers have, one after the other.
const NAMES: usize = 8;
/// What the short-lived ones do. The last two lines: refused by the program's own filter, and by a death.
const WORKS: [&[&str]; 5] = [
    &["work", "124*3000", "100*1000", "i386:147*50", "146@99*20"],
    &["work", "--threads=2", "--forks=4", "--execs=3", "124*200", "i386:147*20"],
    &["work", "--threads=2", "--vforks=2", "--clones=2", "124*40", "146@99*10"],
    &["work", "--filter=121=errno:13", "121*30", "124*100"],
    &["die", "kill_process", "2", "124"],
];
/// What is executed in those that live long.
const EXEC: [&str; 4] = ["work", "124*500", "100*100", "i386:147*5"];

/// A container's numbers are those that were issued in it.
fn check(soak: &Soak, id: &str, issued: &BTreeMap<Key, Issued>) -> Result<()> {
    compare(&soak.auditor.rows(id)?, issued, true)?;
    let sum = |number: fn(&Issued) -> u64| issued.values().map(number).sum::<u64>();
    soak.done.calls.fetch_add(sum(|issued| issued.before + issued.under + issued.denied), Ordering::Relaxed);
    soak.done.refused.fetch_add(sum(|issued| issued.denied), Ordering::Relaxed);
    Ok(())
}

/// Makes one container after the other, each in one of the ways that there are.
pub(super) fn worker(soak: &Soak, worker: usize) -> Result<()> {
    let mut number = worker;
    while soak.pause(soak.plan.pause) {
        let name = format!("soak{worker}x{}", number % NAMES);
        let engine = soak.engine.read().unwrap_or_else(PoisonError::into_inner);
        let made = match number % 7 {
            5 => fails(soak, &engine, &name),
            6 => is_entered(soak, &engine, &name),
            way => runs(soak, &engine, &name, WORKS[way]),
        };
        made.with_context(|| format!("container {name}, number {number}"))?;
        drop(engine);
        number += 1;
    }
    Ok(())
}

/// From start to end by itself.
fn runs(soak: &Soak, engine: &Engine, name: &str, work: &[&str]) -> Result<()> {
    let mut line = vec!["run", "--name", name, BUSYBOX, "/groundtruth"];
    line.extend(work);
    let issued = groundtruth::parse(&engine.client(line)?)?;
    check(soak, &engine.id(name)?, &issued)?;
    engine.client(["rm", name])?;
    soak.done.containers.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Sleeps, is entered twice, and is ended.
fn is_entered(soak: &Soak, engine: &Engine, name: &str) -> Result<()> {
    engine.client(["run", "--detach", "--name", name, BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    let mut total = BTreeMap::new();
    for _ in 0..2 {
        groundtruth::add(&mut total, &enter(soak, engine, name)?);
    }
    let id = engine.id(name)?;
    engine.client(["stop", "--time=0", name])?;
    check(soak, &id, &total)?;
    engine.client(["rm", name])?;
    soak.done.containers.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn enter(soak: &Soak, engine: &Engine, name: &str) -> Result<BTreeMap<Key, Issued>> {
    let mut line = vec!["exec", name, "/groundtruth"];
    line.extend(EXEC);
    let issued = groundtruth::parse(&engine.client(line)?)?;
    soak.done.execs.fetch_add(1, Ordering::Relaxed);
    Ok(issued)
}

/// There is no such program in it.
fn fails(soak: &Soak, engine: &Engine, name: &str) -> Result<()> {
    let output = engine.output(["run", "--name", name, BUSYBOX, "/no/such/program"])?;
    ensure!(!output.status.success(), "a program that is not there was run");
    engine.client(["rm", name])?;
    soak.done.failed.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Containers that live as long as it all does, and all restarts of the engine: their numbers only grow.
pub(super) fn long_lived(soak: &Soak) -> Result<()> {
    const ALL: [&str; 3] = ["soak-a", "soak-b", "soak-c"];
    let read = || soak.engine.read().unwrap_or_else(PoisonError::into_inner);
    let mut lives: Vec<(&str, String, BTreeMap<Key, Issued>)> = Vec::new();
    for name in ALL {
        let engine = read();
        engine.client(["run", "--detach", "--name", name, BUSYBOX, "/bin/busybox", "sleep", "1000000"])?;
        lives.push((name, engine.id(name)?, BTreeMap::new()));
    }
    loop {
        for (name, id, total) in &mut lives {
            let issued = enter(soak, &read(), name)?;
            groundtruth::add(total, &issued);
            compare(&soak.auditor.rows(id)?, total, true).with_context(|| format!("container {name}"))?;
        }
        if !soak.pause(Duration::from_secs(3).max(soak.plan.pause * 5)) {
            break;
        }
    }
    for (name, id, total) in &lives {
        let engine = read();
        engine.client(["rm", "--force", name])?;
        check(soak, id, total).with_context(|| format!("container {name}, after its end"))?;
        soak.done.containers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
