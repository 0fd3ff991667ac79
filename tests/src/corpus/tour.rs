//! All programs, one after the other or some at once, and what is told of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};

use super::document::{self, Place};
use super::outcome::Outcome;
use super::trial::{Extent, try_program};
use super::{PROGRAMS, Program, Room, image};
use crate::auditord;
use crate::engine::CgroupMode;
use crate::image::{DEBIAN, import_debian};
use crate::process::built;
use crate::stage::Stage;

/// Programs at work at a time: most of them wait most of the time.
const AT_ONCE: usize = 3;

/// Tries the programs that are named, or with `--short` the small ones, or all; tells what became of each, and of all
/// writes the document. Gives whether every promise was kept.
pub fn run(args: &[String]) -> Result<bool> {
    // Whoever started us holds signals back for itself, and may be killed: the wardens clean up after us.
    SigSet::all().thread_unblock().context("letting signals through")?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("asking to end with the caller")?;
    let programs = chosen(args)?;
    let all = programs.len() == PROGRAMS.len();
    let extent = Extent {
        recorded: if all { 8 } else { 4 },
        confined: 3,
        large: programs.iter().any(|program| program.room == Room::Large),
    };
    auditord::use_binary(built("auditor")?);
    println!("corpus: starting a private engine and the daemon, and importing images");
    let stage = Stage::new(CgroupMode::Unified)?;
    if extent.large {
        image::import(&stage.engine)?;
    } else {
        import_debian(&stage.engine)?;
    }
    let (outcomes, mut failures) = try_all(&stage, &programs, extent);
    let image = if extent.large { image::CORPUS } else { DEBIAN };
    let text = document::render(&Place::of(&stage.engine, image)?, &outcomes);
    if !outcomes.is_empty() {
        println!("\n{text}");
    }
    failures.extend(outcomes.iter().flat_map(Outcome::broken));
    for failure in &failures {
        eprintln!("corpus: {failure}");
    }
    // A document from a run with gaps would hide them.
    if all && outcomes.len() == programs.len() {
        let file = document::path();
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        println!("corpus: wrote {}", file.display());
    }
    Ok(failures.is_empty())
}

fn chosen(args: &[String]) -> Result<Vec<&'static Program>> {
    if args.is_empty() {
        return Ok(PROGRAMS.iter().collect());
    }
    if args == ["--short"] {
        return Ok(PROGRAMS.iter().filter(|program| program.room != Room::Large).collect());
    }
    if let Some(unknown) = args.iter().find(|name| Program::named(name).is_none()) {
        let known: Vec<_> = PROGRAMS.iter().map(|program| program.name).collect();
        bail!("no program {unknown} in the corpus; there are {}", known.join(", "));
    }
    // Each once, however often it is named: containers have their names.
    Ok(PROGRAMS.iter().filter(|program| args.iter().any(|name| name == program.name)).collect())
}

/// What became of the programs, in their order, and why others have no outcome.
fn try_all(stage: &Stage, programs: &[&'static Program], extent: Extent) -> (Vec<Outcome>, Vec<String>) {
    let next = AtomicUsize::new(0);
    let (tell, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (next, tell) = (&next, tell.clone());
            scope.spawn(move || {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = try_program(stage, program, extent);
                    match &result {
                        Ok(outcome) => println!("corpus: {}", document::summary(outcome)),
                        Err(error) => println!("corpus: {error:#}"),
                    }
                    if tell.send(result).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(tell);
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for result in heard {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    outcomes.sort_by_key(|outcome| PROGRAMS.iter().position(|program| program.name == outcome.program.name));
    (outcomes, failures)
}
