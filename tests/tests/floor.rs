//! A suggestion from one start holds for every other way to start the container and to enter it: it has all that the
//! runtime needs, of which a record sees only a part.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::engine::{CRUN, CgroupMode};
use tests::floor::{
    CONFIGURATIONS, Configuration, Program, Went, document, import_tiny, remove, tiny, with_health_check,
};
use tests::groundtruth::Key;
use tests::image::BUSYBOX;
use tests::process::{built, wait_for};
use tests::profile;
use tests::stage::Stage;

const IMAGE: &str = "checked:rig";
const TINY_IMAGE: &str = "tiny:rig";
/// Leaves an orphan to the first process, as services do, and asks for a terminal.
const WORK: &str = "
    at=/tmp/work.$$; mkdir $at; cd $at; echo hello > one; cp one two; mv two three; grep -c hello one three; ls -l
    (sleep 0.05 &); sleep 0.2; grep -l '^State:.Z' /proc/[0-9]*/status || true
    [ -t 1 ] || true; id; cd /; rm -r $at";
const PROGRAM: Program<'_> =
    Program { image: IMAGE, work: &["/bin/sh", "-e", "-c", WORK], stay: &["/bin/sleep", "1000"], code: 0 };
const LIMIT: Duration = Duration::from_secs(60);

fn refused(stage: &Stage, name: &str) -> Result<BTreeSet<(Key, Option<u64>)>> {
    let shown = stage.auditor.settled(name)?;
    let rows = tests::auditord::rows(&shown)?;
    Ok(rows.into_iter().filter(|(_, row)| row.denied > 0).map(|(key, row)| (key, row.errno)).collect())
}

/// One record, and every start under what it suggests.
fn starts_in_every_configuration(runtime: &str, options: &[&str], flags: &[&str]) -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    if !stage.engine.output(["image", "inspect", IMAGE])?.status.success() {
        with_health_check(&stage.engine, BUSYBOX, PROGRAM.work, IMAGE)?;
    }
    // Not as root: there busybox gives up the rights of its file's owner first, which are calls of its own.
    let directory = tempfile::tempdir()?;
    let options = every_start_works(stage, runtime, options, &["--user=user"], &PROGRAM, flags, directory.path())?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    init_reaps(stage, runtime, &options)
}

/// The same of a program that makes two calls in its life: what else is let through is the runtime's.
fn starts_with_what_the_runtime_asks_for_alone(runtime: &str, options: &[&str]) -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    if !stage.engine.output(["image", "inspect", TINY_IMAGE])?.status.success() {
        import_tiny(&stage.engine, TINY_IMAGE)?;
    }
    // What stays waits by a call that the work has not.
    let (flags, directory) = (["--args", "--allow=pause"], tempfile::tempdir()?);
    every_start_works(stage, runtime, options, &[], &tiny(TINY_IMAGE), &flags, directory.path()).map(|_| ())
}

/// Learns from one start of the work, tries out every configuration, and gives the options that put a container under the
/// suggestion.
fn every_start_works(
    stage: &Stage,
    runtime: &str,
    options: &[&str],
    only_there: &[&str],
    program: &Program<'_>,
    flags: &[&str],
    directory: &Path,
) -> Result<Vec<String>> {
    let engine = &stage.engine;
    let learned = format!("{runtime}-learned");
    let line = ["run", "--no-healthcheck", "--name", &learned];
    let line = [&line[..], only_there, options, &[program.image], program.work].concat();
    let output = engine.output(line)?;
    ensure!(output.status.code() == Some(program.code), "{learned}: {output:?}");
    let (suggestion, _) = stage.auditor.run(&[&["suggest", learned.as_str()], flags].concat())?;
    let known = refused(stage, &learned)?;
    let option = profile::option(&suggestion, directory, runtime)?;
    let options = [options, &[option.as_str()]].concat();

    let one = |configuration: &Configuration| -> Result<()> {
        let name = format!("{runtime}-{}", configuration.name);
        let went = configuration.try_out(engine, &name, &options, program, LIMIT)?;
        let refused = refused(stage, &name)?;
        ensure!(went == Went::Well, "{name}: {went:?}, refused {refused:?}");
        let new: Vec<_> = refused.difference(&known).collect();
        ensure!(new.is_empty(), "{name}: refused under the suggestion alone: {new:?}");
        remove(engine, &name)
    };
    let (waiting, failed) = (Mutex::new(CONFIGURATIONS.to_vec()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(configuration) = waiting.lock().ok().and_then(|mut waiting| waiting.pop()) {
                    if let (Err(error), Ok(mut failed)) = (one(&configuration), failed.lock()) {
                        failed.push(format!("{error:#}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    ensure!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), CONFIGURATIONS.len(), failed.join("\n"));
    Ok(options.into_iter().map(str::to_owned).collect())
}

/// The init under the suggestion takes what others leave behind.
fn init_reaps(stage: &Stage, runtime: &str, options: &[&str]) -> Result<()> {
    let name = format!("{runtime}-reaper");
    let work = "(sleep 0.05 &); exec sleep 1000";
    let line = [&["run", "--detach", "--no-healthcheck", "--init", "--name", &name], options, &[IMAGE]].concat();
    stage.engine.client([&line[..], &["/bin/sh", "-c", work]].concat())?;
    let processes = || stage.engine.client(["exec", &name, "/bin/sh", "-c", "ls -d /proc/[0-9]*"]);
    // The init, the sleep that stays, and the two of the question.
    wait_for("an orphan's burial", Duration::from_secs(20), || Ok((processes()?.lines().count() <= 4).then_some(())))?;
    remove(&stage.engine, &name)
}

#[test]
fn a_suggestion_starts_under_runc_in_every_configuration() -> Result<()> {
    starts_in_every_configuration("runc", &[], &[])
}

#[test]
fn a_suggestion_starts_under_crun_in_every_configuration() -> Result<()> {
    starts_in_every_configuration("crun", &[CRUN], &[])
}

#[test]
fn conditions_on_arguments_leave_room_for_runc_in_every_configuration() -> Result<()> {
    starts_in_every_configuration("runc-args", &[], &["--args"])
}

#[test]
fn conditions_on_arguments_leave_room_for_crun_in_every_configuration() -> Result<()> {
    starts_in_every_configuration("crun-args", &[CRUN], &["--args"])
}

#[test]
fn runc_starts_with_what_it_asks_for_itself_and_nothing_else() -> Result<()> {
    starts_with_what_the_runtime_asks_for_alone("runc-tiny", &[])
}

#[test]
fn crun_starts_with_what_it_asks_for_itself_and_nothing_else() -> Result<()> {
    starts_with_what_the_runtime_asks_for_alone("crun-tiny", &[CRUN])
}

/// Docker's default lets `clone3` through for who has SYS_ADMIN. A start without threads does not make it, and the C
/// library of a later one must be able to fall back.
#[test]
fn a_clone3_that_was_not_seen_falls_back_to_clone() -> Result<()> {
    const ADMIN: &str = "--cap-add=SYS_ADMIN";
    let stage = Stage::shared(CgroupMode::Unified)?;
    let directory = tempfile::tempdir()?;
    stage.groundtruth("admin", &[ADMIN], &["args", "124(0)*9"])?;
    let clone3 = |name: &str| -> Result<(u64, u64, String, Option<u64>)> {
        let rows = tests::auditord::rows(&stage.auditor.settled(name)?)?;
        let row = rows.get(&("x86_64".to_owned(), 435)).cloned().unwrap_or_default();
        Ok((row.calls, row.denied, row.verdict, row.errno))
    };
    ensure!(clone3("admin")? == (0, 0, "allowed".to_owned(), None), "{:?}", clone3("admin"));
    let (suggestion, _) = stage.auditor.suggest("admin")?;
    let option = profile::option(&suggestion, directory.path(), "admin")?;
    stage.groundtruth("threads", &[ADMIN, &option], &["args", "--threads=2", "124(0)*9"])?;
    let (calls, denied, _, errno) = clone3("threads")?;
    ensure!(calls == 0 && denied > 0 && errno == Some(38), "{:?}", clone3("threads"));
    Ok(())
}

#[test]
fn the_document_is_what_the_table_says() -> Result<()> {
    let file = document::path();
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    ensure!(text == document::text(), "{} is not of this table: `cargo xtask floor` writes both", file.display());
    Ok(())
}

#[test]
fn the_runtimes_still_do_what_was_measured() -> Result<()> {
    let output = Command::new(built("floor")?).arg("--check").output().context("measuring again")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{said}");
    Ok(())
}
