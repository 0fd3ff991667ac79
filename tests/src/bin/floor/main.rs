//! What container runtimes need once their filter is in force, measured: `cargo xtask floor`.
//!
//! In a container whose program makes two calls in its life, everything else that the daemon counts under the filter is
//! the runtime's. That is what it *makes*, and of some calls with what. Each of these calls is then left out of the engine's default profile, one at
//! a time: where no container starts or works without it, it is *needed*. At last a profile of nothing but these calls must start every
//! configuration.

mod measure;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::profile::Runtime;
use auditor::suggest::RuntimeFloor;
use serde_json::Value;
use tests::engine::{CRUN, CgroupMode, Engine, program};
use tests::floor::{CONFIGURATIONS, Program, document, import_tiny, tiny};
use tests::profile;
use tests::stage::Stage;

use self::measure::Measured;

/// The image with the tiny program.
const IMAGE: &str = "floor:rig";
const TINY: Program<'_> = tiny(IMAGE);
/// Those that `--check` measures again: every way in, with and without what changes the calls.
const SHORT: [&str; 9] =
    ["plain", "confined-user", "tty", "init", "stopped-init", "exec", "exec-user", "health", "confined-health"];

const RUNTIMES: [(Runtime, &[&str]); 2] = [(Runtime::Runc, &[]), (Runtime::Crun, &[CRUN])];

/// The engine, the daemon that counts, and the profile that things are left out of.
struct Place {
    stage: Stage,
    default: Value,
    directory: tempfile::TempDir,
}

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => measure_all(Place::new()?),
        Some("--check") => compare(&Place::new()?),
        Some("--document") => {
            let file = document::path();
            std::fs::write(&file, document::text()).with_context(|| format!("writing {}", file.display()))?;
            println!("floor: written to {}", file.display());
            Ok(())
        }
        Some(other) => bail!("unknown argument {other}"),
    }
}

impl Place {
    fn new() -> Result<Self> {
        let stage = Stage::of(Engine::start(CgroupMode::Unified)?)?;
        import_tiny(&stage.engine, IMAGE)?;
        let default = profile::default_profile(&stage.engine)?;
        Ok(Self { stage, default, directory: tempfile::tempdir().context("making a directory for profiles")? })
    }
}

/// Every configuration of every runtime, call by call; writes the table.
fn measure_all(place: Place) -> Result<()> {
    let jobs = || RUNTIMES.iter().flat_map(|runtime| CONFIGURATIONS.iter().map(move |c| (*runtime, *c)));
    let made = at_once(jobs().collect(), |((runtime, options), configuration)| {
        let made = measure::made(&place, runtime, options, configuration, 3)?;
        println!("{runtime}, {}: makes {}", configuration.name, made.len());
        Ok(((runtime, configuration.name), made))
    })?;
    let made: BTreeMap<_, _> = made.into_iter().collect();
    let calls = |runtime: Runtime| -> BTreeSet<String> {
        let measured = made.iter().filter(|((of, _), _)| *of == runtime).flat_map(|(_, made)| made.keys().cloned());
        let any_moment = RuntimeFloor::at_any_moment(runtime).iter().map(|(name, _)| (*name).to_owned());
        measured.chain(any_moment).collect()
    };
    at_once(jobs().collect(), |((runtime, options), configuration)| {
        measure::suffices(&place, runtime, options, configuration, &calls(runtime))
    })?;
    println!("floor: enough to start every configuration");
    drop(place);

    // With an engine of its own: runtimes that hang make an engine hang.
    let place = Place::new()?;
    let found = at_once(jobs().collect(), |((runtime, options), configuration)| {
        let made = made.get(&(runtime, configuration.name)).cloned().unwrap_or_default();
        let needed = measure::needed(&place, runtime, options, configuration, &made)?;
        println!("{runtime}, {}: needs {}", configuration.name, needed.len());
        Ok((runtime, configuration.name, Measured { made, needed }))
    })?;
    let mut tables: BTreeMap<Runtime, BTreeMap<&str, Measured>> = BTreeMap::new();
    for (runtime, name, measured) in found {
        tables.entry(runtime).or_default().insert(name, measured);
    }
    let versions = versions(&place.stage.engine)?;
    let file = tests::root().join("auditor/src/suggest/floor/table.rs");
    let text = write::table(&tables, &versions, &calls)?;
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("floor: written to {}", file.display());
    Ok(())
}

/// A few configurations again: nothing is made, and with nothing, that the table has not, and what it says is needed is
/// still made.
fn compare(place: &Place) -> Result<()> {
    let versions = versions(&place.stage.engine)?;
    for (runtime, _) in RUNTIMES {
        let measured = RuntimeFloor::measurement(runtime).runtime;
        let here = versions.runtimes.get(&runtime).context("a runtime without a version")?;
        println!("{runtime}: measured with {measured}, here is {here}");
        if here != measured {
            println!("{runtime}: warning: the table is of another version; `cargo xtask floor` measures this one");
        }
    }
    let short: Vec<_> = CONFIGURATIONS.iter().filter(|configuration| SHORT.contains(&configuration.name)).collect();
    ensure!(short.len() == SHORT.len(), "not every configuration of {SHORT:?} exists");
    let jobs: Vec<_> = RUNTIMES.iter().flat_map(|runtime| short.iter().map(move |c| (*runtime, **c))).collect();
    at_once(jobs, |((runtime, options), configuration)| {
        let made = measure::made(place, runtime, options, configuration, 1)?;
        let floor = RuntimeFloor::of(runtime);
        let new: Vec<_> = made.keys().filter(|name| !floor.calls.contains(&name.as_str())).collect();
        ensure!(new.is_empty(), "{runtime}, {}: makes {new:?}, which the table has not", configuration.name);
        let is_known = |name: &str, value: &[u64; 2]| {
            floor.arguments.iter().any(|(of, values)| *of == name && values.contains(value))
        };
        let values = made.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let new: Vec<_> = values.filter(|(name, value)| !is_known(name, value)).collect();
        ensure!(new.is_empty(), "{runtime}, {}: asks for {new:x?}, which the table has not", configuration.name);
        let needed = RuntimeFloor::measurement(runtime).calls.iter();
        let needed = needed.filter(|call| call.needed.contains(&configuration.name)).map(|call| call.name);
        let gone: Vec<_> = needed.filter(|name| !made.contains_key(*name)).collect();
        ensure!(
            gone.is_empty(),
            "{runtime}, {}: does not make {gone:?}, which the table says it needs",
            configuration.name
        );
        println!("{runtime}, {}: as in the table", configuration.name);
        Ok(())
    })?;
    Ok(())
}

/// Does jobs, a few at the same time; stops at the first that fails.
fn at_once<J: Send, T: Send>(mut jobs: Vec<J>, work: impl Fn(J) -> Result<T> + Sync) -> Result<Vec<T>> {
    const WORKERS: usize = 4;
    jobs.reverse();
    let (jobs, done) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let next = || jobs.lock().ok().and_then(|mut jobs| jobs.pop());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let outcome = work(job);
                    if outcome.is_err()
                        && let Ok(mut jobs) = jobs.lock()
                    {
                        jobs.clear();
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push(outcome);
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default().into_iter().collect()
}

/// What the numbers were taken with.
struct Versions {
    engine: String,
    init: String,
    kernel: String,
    date: String,
    runtimes: BTreeMap<Runtime, String>,
}

fn versions(engine: &Engine) -> Result<Versions> {
    let said = |name: &str, args: &[&str]| -> Result<String> {
        let program = program(name)?;
        let output = std::process::Command::new(&program).args(args).output();
        let output = output.with_context(|| format!("running {}", program.display()))?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let mut runtimes = BTreeMap::new();
    for (runtime, _) in RUNTIMES {
        runtimes.insert(runtime, said(runtime.as_str(), &["--version"])?.replace(" version", ""));
    }
    Ok(Versions {
        engine: format!("Docker {}", engine.client(["version", "--format", "{{.Server.Version}}"])?),
        init: said("docker-init", &["--version"])?.replace(" version", ""),
        kernel: said("uname", &["--kernel-release", "--machine"])?,
        date: said("date", &["--utc", "+%Y-%m-%d"])?,
        runtimes,
    })
}
