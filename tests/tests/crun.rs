//! Containers of another runtime: the counts are as exact, and the profile means what crun makes of it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use auditor::syscall::{self, Abi};
use serde_json::Value;
use tests::auditord::rows;
use tests::engine::{CRUN, privileged};
use tests::groundtruth::{self, Key, compare};
use tests::image::BUSYBOX;
use tests::profile;
use tests::stage::Stage;

const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

fn native(nr: u64) -> Key {
    ("x86_64".to_owned(), nr)
}

fn number(name: &str) -> Result<u64> {
    let nr = syscall::number(Abi::X86_64, name).with_context(|| format!("the number of {name}"))?;
    Ok(u64::try_from(nr.0)?)
}

/// Every number equal, three conventions, threads and processes; what crun did before it installed the filter is apart.
fn calls_are_counted_exactly(stage: &Stage) -> Result<()> {
    let work = [
        "work",
        "--threads=2",
        "--forks=5",
        "--vforks=5",
        "--clones=5",
        "--execs=5",
        "--execs32=5",
        "--signals=20",
        "--filter=121=errno:13",
        "124*20000",
        "100*300",
        "121*40",
        "146@99*50",
        "i386:147*70",
        "x32:124*30",
    ];
    let issued = groundtruth::parse(&stage.groundtruth("exact", &[CRUN], &work)?)?;
    let shown = stage.auditor.settled("exact")?;
    let rows = rows(&shown)?;
    compare(&rows, &issued, true)?;
    ensure!(shown["profile"]["kind"] == "default" && shown["profile"]["source"] == "bundle", "{}", shown["profile"]);
    ensure!(shown["window"]["complete"] == true && shown["window"]["lost"] == 0, "{}", shown["window"]);
    for set_up in ["pivot_root", "mount", "sethostname"] {
        let row = rows.get(&native(number(set_up)?)).with_context(|| format!("no {set_up}"))?;
        ensure!(row.unfiltered > 0 && row.calls == 0, "{set_up}: {row:?}");
    }
    // Ours alone were refused, and what the C library tries first to make a thread.
    let denied: BTreeSet<_> = rows.iter().filter(|(_, row)| row.denied > 0).map(|(key, _)| key.clone()).collect();
    ensure!(denied == BTreeSet::from([native(121), native(number("clone3")?)]), "{denied:?}");
    Ok(())
}

/// The engine's default profile is what the kernel has; without `mkdir` every try is a denial.
fn denials_are_exact_and_the_profile_is_what_the_kernel_has(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut custom = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut custom, &["mkdir"]);
    let option = profile::option(&custom.to_string(), dir.path(), "nomkdir")?;
    let script = "for i in 1 2 3 4 5 6; do mkdir /tmp/$i; done; sleep 1000";
    for (name, options, kind, denied) in [
        ("nomkdir", &[CRUN, option.as_str()][..], "custom", 6),
        ("plain", &[CRUN][..], "default", 0),
        ("byrunc", &[][..], "default", 0),
    ] {
        let line = [&["run", "--detach", "--name", name][..], options, &[BUSYBOX, "/bin/sh", "-c", script]];
        stage.engine.client(line.concat())?;
        let shown = tests::process::wait_for("six tries", std::time::Duration::from_secs(20), || {
            let shown = stage.auditor.settled(name)?;
            let row = rows(&shown)?.get(&native(83)).cloned().unwrap_or_default();
            // The filters are read a moment after the start.
            let read = !shown["effective"]["reasons"].to_string().contains("effective-unknown");
            Ok((read && row.calls + row.denied == 6).then_some(shown))
        })?;
        stage.engine.client(["rm", "--force", name])?;
        ensure!(shown["profile"]["kind"] == kind, "{}", shown["profile"]);
        ensure!(shown["denials"] == denied, "{name}: {}", shown["denials"]);
        let row = &rows(&shown)?[&native(83)];
        ensure!((row.denied, row.errno) == (denied, (denied > 0).then_some(1)), "{row:?}");
        let effective = &shown["effective"];
        ensure!((&effective["mode"], &effective["filters"]) == (&"filter".into(), &1.into()), "{effective}");
        ensure!(effective["matches_declared"] == true, "{effective}");
        // What is enforced is exactly what crun was told; runc adds its stub, which is no cause for alarm.
        let reasons = effective["reasons"].as_array().context("no reasons")?;
        let reasons: Vec<_> = reasons.iter().map(|reason| (&reason["reason"], &reason["alarming"])).collect();
        let expected = [(&Value::from("runtime-stub"), &Value::from(false))];
        ensure!(reasons == expected[..usize::from(name == "byrunc")], "{name}: {reasons:?}");
    }
    Ok(())
}

/// Above the highest call that a profile names runc answers ENOSYS. crun does not: there it is the default action.
fn calls_above_the_profile_s_get_its_default_and_no_stub(stage: &Stage) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut custom = profile::default_profile(&stage.engine)?;
    let newer: Vec<_> = syscall::all(Abi::X86_64).filter(|(nr, _)| (438..512).contains(&nr.0)).collect();
    profile::forbid(&mut custom, &newer.iter().map(|(_, name)| *name).collect::<Vec<_>>());
    let option = profile::option(&custom.to_string(), dir.path(), "older")?;
    for (name, options, errno) in
        [("withstub", &[option.as_str()][..], 38), ("withoutstub", &[CRUN, option.as_str()][..], 1)]
    {
        stage.groundtruth(name, options, &["work", "439@-1*3", "441@-1*2"])?;
        let shown = stage.auditor.show(name)?;
        let rows = rows(&shown)?;
        for (nr, denied) in [(439, 3), (441, 2)] {
            let row = &rows[&native(nr)];
            // runc itself tries faccessat2 before it does without.
            ensure!(row.calls == 0 && row.denied >= denied && row.errno == Some(errno), "{name}: {nr}: {row:?}");
        }
    }
    Ok(())
}

/// Confined, unconfined, privileged, and `docker exec` into each.
fn kinds_and_execs_are_told_apart(stage: &Stage) -> Result<()> {
    let mighty = privileged()?;
    let mighty: Vec<&str> = mighty.iter().map(String::as_str).filter(|option| !option.contains("runtime")).collect();
    for (name, options, kind, mode) in [
        ("plainexec", &[][..], "default", "filter"),
        ("open", &["--security-opt=seccomp=unconfined"][..], "unconfined", "none"),
        ("mighty", &mighty[..], "privileged", "none"),
    ] {
        let line = [&["run", "--detach", "--name", name, CRUN][..], options, &[BUSYBOX], &SLEEP];
        stage.engine.client(line.concat())?;
        let shown = stage.auditor.settled(name)?;
        ensure!((&shown["profile"]["kind"], &shown["effective"]["mode"]) == (&kind.into(), &mode.into()), "{shown}");
        for exec in [&["exec"][..], &["exec", "--privileged"]] {
            let seccomp = [exec, &[name, "/bin/grep", "Seccomp:", "/proc/self/status"]].concat();
            let confined = stage.engine.client(seccomp)?.ends_with('2');
            ensure!(confined == (mode == "filter"), "{name}: {exec:?}");
            let before = stage.auditor.rows(name)?;
            let work = [exec, &[name, "/groundtruth", "work", "124*40", "i386:147*4"]].concat();
            let mut issued = groundtruth::parse(&stage.engine.client(work)?)?;
            for (key, issued) in &mut issued {
                let row = before.get(key).cloned().unwrap_or_default();
                issued.before += row.calls + row.unfiltered;
                issued.errors_before += row.errors + row.unfiltered_errors;
            }
            compare(&stage.auditor.rows(name)?, &issued, confined).with_context(|| format!("{name}: {exec:?}"))?;
        }
        stage.engine.client(["rm", "--force", name])?;
    }
    Ok(())
}

/// A suggestion has what crun needs, and not what runc does; under it the container starts, and `docker exec` works.
fn a_suggestion_starts_under_crun(stage: &Stage) -> Result<()> {
    let script =
        "mkdir -p /tmp/a/b && cd /tmp/a && echo hello > one && cp one two && ls -lR /tmp && rm -r /tmp/a && sleep 0.1";
    let command = [BUSYBOX, "/bin/sh", "-e", "-c", script];
    stage.engine.client([&["run", "--name", "learn", CRUN][..], &command].concat())?;
    let (suggestion, _) = stage.auditor.suggest("learn")?;
    let parsed: Value = serde_json::from_str(&suggestion)?;
    let names: BTreeSet<&str> = parsed["syscalls"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
        .flat_map(|rule| rule["names"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    ensure!(names.contains("setresuid") && !names.contains("epoll_pwait"), "{names:?}");
    let dir = tempfile::tempdir()?;
    let option = profile::option(&suggestion, dir.path(), "suggested")?;
    let user = ["--user=1000:1000", "--cap-drop=ALL"];
    for (name, options) in [("again", &[][..]), ("user", &user[..]), ("tty", &["--tty"][..])] {
        let line = [&["run", "--name", name, CRUN, &option][..], options, &command].concat();
        let ran = stage.engine.client(line);
        ran.with_context(|| format!("{name} under\n{suggestion}"))?;
    }
    stage.engine.client([&["run", "--detach", "--name", "lives", CRUN, &option, BUSYBOX][..], &SLEEP].concat())?;
    for options in [&["exec", "lives"][..], &["exec", "--user=1000:1000", "lives"]] {
        stage.engine.client([options, &["/bin/sh", "-e", "-c", "echo hello"]].concat())?;
    }
    stage.engine.client(["rm", "--force", "lives"])?;
    Ok(())
}

tests::on_both! {
    calls_are_counted_exactly
    denials_are_exact_and_the_profile_is_what_the_kernel_has
    calls_above_the_profile_s_get_its_default_and_no_stub
    kinds_and_execs_are_told_apart
    a_suggestion_starts_under_crun
}
