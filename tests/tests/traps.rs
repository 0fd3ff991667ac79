//! Where other tools for system calls and seccomp went wrong, each as a test: see `docs/traps.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auditor::syscall::{self, Abi};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::auditord::{self, Auditor, rows};
use tests::cage::Cage;
use tests::engine::{CRUN, CgroupMode, Engine, privileged};
use tests::groundtruth::{self, Key, compare};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;
use tests::profile;
use tests::stage::Stage;

const NOBODY: &str = "unix:///nonexistent/docker.sock";
const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "1000"];
const UNCONFINED: &str = "--security-opt=seccomp=unconfined";

fn stage() -> Result<&'static Stage> {
    Stage::shared(CgroupMode::Unified)
}

fn native(nr: u64) -> Key {
    ("x86_64".to_owned(), nr)
}

/// The options that run a container under this profile.
fn custom(profile: &Value) -> Result<String> {
    // Docker's client reads the file at once; what it says goes to the engine.
    profile::option(&profile.to_string(), tempfile::tempdir()?.keep().as_path(), "trap")
}

#[test]
fn t01_no_row_is_off_by_one_and_none_has_a_number_for_a_name() -> Result<()> {
    let calls = ["124*7", "111*5", "i386:65*3", "i386:147*11"];
    let issued = groundtruth::parse(&stage()?.groundtruth("t01", &[], &[&["work"][..], &calls].concat())?)?;
    let shown = stage()?.auditor.show("t01")?;
    compare(&rows(&shown)?, &issued, true)?;
    for row in shown["syscalls"].as_array().context("no rows")? {
        let (abi, nr) = (row["abi"].as_str().context("no ABI")?, row["nr"].as_u64().context("no number")?);
        let abi: Abi = abi.parse().ok().context("the ABI")?;
        let name = row["name"].as_str().context("no name")?;
        let named = syscall::number(abi, name).and_then(|nr| u64::try_from(nr.0).ok());
        ensure!(named == Some(nr), "{row}");
    }
    // Neighbours of what was issued, which nobody calls.
    let rows = rows(&shown)?;
    for (abi, nr) in [("x86_64", 123), ("x86_64", 125), ("i386", 64), ("i386", 66), ("i386", 146), ("i386", 148)] {
        let row = rows.get(&(abi.to_owned(), nr)).cloned().unwrap_or_default();
        ensure!(row.calls + row.denied == 0 || (abi, nr) == ("x86_64", 125), "{abi} {nr}: {row:?}");
    }
    Ok(())
}

#[test]
fn t02_a_full_table_is_not_silent() -> Result<()> {
    let auditor = Auditor::start(NOBODY, &["--max-containers=512"])?;
    let lost = |metrics: &str| {
        let line =
            metrics.lines().find(|line| line.starts_with("auditor_lost_events_total{reason=\"foreign_table_full\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    ensure!(lost(&auditor.metrics()?) == Some(0.0), "{}", auditor.metrics()?);
    // Numbers that no kernel has, by an ABI of their own: 424 entries for each control group, of 65,536 that there are.
    let mut cages = Vec::new();
    for _ in 0..160 {
        let cage = Cage::new()?;
        cage.run(Path::new("perl"), &["-e", "syscall(0x40000000 + $_) for 600 .. 1023"])?;
        cages.push(cage);
    }
    let metrics = auditor.metrics()?;
    ensure!(lost(&metrics).is_some_and(|lost| lost > 0.0), "{metrics}");
    let last = cages.last().context("a control group")?.name();
    let shown = auditor.show(&last)?;
    ensure!(shown["window"]["lost"].as_u64().is_some_and(|lost| lost > 0), "{}", shown["window"]);
    ensure!(shown["window"]["complete"] == false, "{}", shown["window"]);
    // A container that found room has lost nothing by it.
    let first = auditor.show(&cages[0].name())?;
    ensure!(first["window"]["lost"] == 0, "{}", first["window"]);
    Ok(())
}

#[test]
fn t03_another_mount_namespace_is_still_the_same_container() -> Result<()> {
    let engine = &stage()?.engine;
    let line = ["run", "--detach", "--name", "t03", "--cap-add=SYS_ADMIN", UNCONFINED, BUSYBOX];
    engine.client([&line[..], &SLEEP].concat())?;
    let script = "unshare -m /groundtruth work '124*30' && /groundtruth work '124*5'";
    engine.client(["exec", "t03", "/bin/sh", "-e", "-c", script])?;
    // A host's process in the container's mount namespace is not the container's.
    let pid = engine.inspect("t03")?["State"]["Pid"].to_string();
    let entered =
        Command::new("nsenter").args(["--mount", "--target", &pid, "/groundtruth", "work", "124*1000"]).output()?;
    ensure!(entered.status.success(), "{}", String::from_utf8_lossy(&entered.stderr));
    let counted = stage()?.auditor.rows("t03")?[&native(124)].unfiltered;
    engine.client(["rm", "--force", "t03"])?;
    ensure!(counted == 35, "{counted} calls");
    Ok(())
}

#[test]
fn t04_a_program_named_runc_is_counted_like_any_other() -> Result<()> {
    for (name, options) in [("t04", &[][..]), ("t04crun", &[CRUN][..])] {
        let script = "cp /groundtruth /tmp/runc && cp /groundtruth /tmp/crun && /tmp/runc work '124*30' && exec /tmp/crun work '124*4'";
        let line = [&["run", "--name", name][..], options, &[BUSYBOX, "/bin/sh", "-e", "-c", script]];
        stage()?.engine.client(line.concat())?;
        let row = &stage()?.auditor.rows(name)?[&native(124)];
        ensure!((row.calls, row.unfiltered) == (34, 0), "{row:?}");
    }
    Ok(())
}

#[test]
fn t05_a_32_bit_program_is_counted_under_its_own_names() -> Result<()> {
    // The same numbers are getpriority and getsid, getpgrp and setfsuid, in the two.
    let calls = ["work", "--execs32=3", "i386:147*20", "i386:65*6", "124*2"];
    let issued = groundtruth::parse(&stage()?.groundtruth("t05", &[], &calls)?)?;
    let shown = stage()?.auditor.show("t05")?;
    compare(&rows(&shown)?, &issued, true)?;
    let named = |abi: &str, name: &str| {
        let mut list = shown["syscalls"].as_array().into_iter().flatten();
        list.find(|row| row["abi"] == abi && row["name"] == name).and_then(|row| row["calls"].as_u64()).unwrap_or(0)
    };
    ensure!(named("i386", "getsid") == 20 + 3 * 20 && named("i386", "getpgrp") == 6 + 3 * 6, "{shown}");
    ensure!(named("x86_64", "getsid") == 2 && named("x86_64", "getpgrp") == 0 && named("i386", "getpriority") == 0);
    ensure!(named("x86_64", "sched_rr_get_interval") + named("x86_64", "msgsnd") == 0);
    Ok(())
}

#[test]
fn t06_x32_numbers_make_no_labels() -> Result<()> {
    let auditor = Auditor::start(NOBODY, &[])?;
    let cage = Cage::new()?;
    // Under a filter, since these are the calls that have a series for each name.
    let calls = "syscall(0x40000000 + $_), syscall($_) for 600 .. 1023, 1 << 20, 1 << 28";
    cage.run(groundtruth::program()?, &["under", "83=errno:1", "--", "/usr/bin/perl", "-e", calls])?;
    let metrics = auditor.metrics()?;
    let mine: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| line.contains(&cage.name()[..12]) && line.contains("syscall=\""))
        .filter_map(|line| line.split("syscall=\"").nth(1)?.split('"').next())
        .collect();
    let numbers: Vec<_> = mine.iter().filter(|name| syscall::number(Abi::X32, name).is_none()).collect();
    ensure!(numbers.iter().all(|name| ["unknown", "other"].contains(*name)), "{numbers:?}");
    ensure!(mine.contains("unknown"), "{mine:?}");
    // They are counted all the same.
    let shown = auditor.show(&cage.name())?;
    let list = shown["syscalls"].as_array().context("no rows")?;
    let calls = |abi: &str| -> u64 {
        let rows = list
            .iter()
            .filter(|row| row["abi"] == abi && row["name"].as_str().is_some_and(|name| name.starts_with("unknown")));
        rows.filter_map(|row| row["calls"].as_u64()).sum()
    };
    ensure!((calls("x32"), calls("x86_64")) == (426, 426), "{} and {}", calls("x32"), calls("x86_64"));
    Ok(())
}

#[test]
fn t07_an_execve_into_another_abi_is_neither_a_denial_nor_another_call() -> Result<()> {
    // i386 59 has the number of the 64-bit execve: the exit carries it, together with the compat flag.
    let calls = ["work", "--filter=i386:59=errno:1", "--execs32=25", "i386:147*2"];
    let issued = groundtruth::parse(&stage()?.groundtruth("t07", &[], &calls)?)?;
    let rows = stage()?.auditor.rows("t07")?;
    compare(&rows, &issued, true)?;
    ensure!(rows.get(&("i386".to_owned(), 59)).is_none_or(|row| row.calls + row.denied == 0));
    ensure!(rows[&("i386".to_owned(), 11)].calls == 25, "the way back is a 32-bit execve");
    Ok(())
}

#[test]
fn t08_exits_with_number_minus_one_are_signal_returns() -> Result<()> {
    let calls = ["work", "--threads=2", "--signals=400", "--filter=121=errno:13", "124*5"];
    stage()?.groundtruth("t08", &[], &calls)?;
    let shown = stage()?.auditor.show("t08")?;
    let rows = rows(&shown)?;
    ensure!(rows[&native(15)].calls >= 800 && rows[&native(15)].denied == 0, "{:?}", rows[&native(15)]);
    let strange = shown["syscalls"].as_array().into_iter().flatten().filter(|row| row["nr"].as_i64() == Some(-1));
    ensure!(strange.count() == 0, "{shown}");
    let denied: Vec<_> = rows.iter().filter(|(_, row)| row.denied > 0).map(|(key, _)| key.1).collect();
    // What the C library tries first to make a thread.
    ensure!(denied == [435], "{denied:?}");
    Ok(())
}

#[test]
fn t09_a_stop_stops_and_leaves_no_program_in_the_kernel() -> Result<()> {
    let auditor = Auditor::start(NOBODY, &[])?;
    let programs = programs_of(auditor.process().pid().as_raw())?;
    ensure!(programs.len() >= 6, "{programs:?}");
    ensure!(still_loaded(&programs)? == programs);
    let asked = Instant::now();
    auditor.process().signal(Signal::SIGTERM)?;
    wait_for("the daemon's end", Duration::from_secs(2), || Ok((!auditor.process().is_running()).then_some(())))?;
    ensure!(!auditor.socket().exists(), "the control socket is still there");
    // The kernel frees programs when nobody can be in them any more.
    wait_for("the end of the programs", Duration::from_secs(5), || {
        Ok(still_loaded(&programs)?.is_empty().then_some(()))
    })?;
    println!("gone after {:?}", asked.elapsed());
    Ok(())
}

/// The ids of the eBPF programs that a process holds.
fn programs_of(pid: i32) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:")).map(str::trim);
        ids.extend(id.map(str::parse::<u32>).transpose()?);
    }
    Ok(ids)
}

/// Which of these programs the kernel still has.
fn still_loaded(programs: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
    let output = Command::new(groundtruth::program()?).arg("programs").output().context("running groundtruth")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let loaded: BTreeSet<u32> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
    Ok(programs.intersection(&loaded).copied().collect())
}

#[test]
fn t10_nobody_is_traced_or_stopped_by_being_read() -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    engine.client([&["run", "--detach", "--name", "t10", BUSYBOX][..], &SLEEP].concat())?;
    let pid = engine.inspect("t10")?["State"]["Pid"].to_string();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| -> Result<u32> {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
                let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                ensure!(line("TracerPid:") == Some("0"), "{status}");
                ensure!(line("State:").is_some_and(|state| state.starts_with(['S', 'R', 'D'])), "{status}");
                looks += 1;
            }
            Ok(looks)
        });
        let read = (|| {
            let auditor = Auditor::start(&engine.host(), &[])?;
            for _ in 0..5 {
                let shown = auditor.settled("t10")?;
                ensure!(shown["effective"]["mode"] == "filter", "{}", shown["effective"]);
                auditor.metrics()?;
                auditor.output(&["suggest", "--allow-incomplete", "t10"])?;
                let raw = auditor.output(&["filter", "--raw", "t10"])?;
                ensure!(raw.status.success() && !raw.stdout.is_empty(), "{}", String::from_utf8_lossy(&raw.stderr));
            }
            Ok(())
        })();
        done.store(true, Ordering::Relaxed);
        let looks = watcher.join().expect("a panic")?;
        ensure!(looks > 100, "only {looks} looks");
        read
    })
}

#[test]
fn t11_a_filter_on_the_daemon_itself_does_not_keep_it_from_reading_filters() -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    engine.client([&["run", "--detach", "--name", "before", BUSYBOX][..], &SLEEP].concat())?;
    // ptrace, seccomp, process_vm_readv, kexec_load: as a service manager's `SystemCallFilter=` does.
    let rules = ["101=errno:1", "317=errno:1", "310=errno:1", "246=errno:1"];
    let program = groundtruth::program()?.display().to_string();
    let wrapper = [&[program.as_str(), "under"][..], &rules, &["--"]].concat();
    let auditor = Auditor::start_behind(&wrapper, &engine.host(), &[])?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", auditor.process().pid()))?;
    ensure!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
    engine.client([&["run", "--detach", "--name", "after", BUSYBOX][..], &SLEEP].concat())?;
    for name in ["before", "after"] {
        engine.client(["exec", name, "/bin/true"])?;
        let shown = auditor.settled(name)?;
        ensure!(shown["effective"]["matches_declared"] == true, "{name}: {}", shown["effective"]);
        // Not by the bitmap: the filter itself.
        let raw = auditor.output(&["filter", "--raw", name])?;
        ensure!(raw.stdout.len() > 8, "{name}: {}", String::from_utf8_lossy(&raw.stderr));
    }
    Ok(())
}

#[test]
fn t12_a_profile_with_empty_names_is_found_fault_with() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let check = |names: Option<Value>| -> Result<(Option<i32>, BTreeSet<String>)> {
        let mut profile = profile::default_profile(&stage()?.engine)?;
        let rules = profile["syscalls"].as_array_mut().context("no rules")?;
        rules.extend(names.map(|names| json!({"names": names, "action": "SCMP_ACT_ALLOW"})));
        let path = dir.path().join("profile.json");
        std::fs::write(&path, serde_json::to_string_pretty(&profile)?)?;
        let output =
            Command::new(auditord::binary()?).args(["profile", "check", "--output=json"]).arg(&path).output()?;
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let ids = findings.iter().filter_map(|finding| finding["id"].as_str().map(str::to_owned)).collect();
        Ok((output.status.code(), ids))
    };
    let (_, without) = check(None)?;
    for (names, finding) in [(json!([]), "empty-rule"), (json!([""]), "empty-name")] {
        ensure!(!without.contains(finding), "{without:?}");
        let (code, findings) = check(Some(names))?;
        ensure!(code == Some(1) && findings.contains(finding), "{code:?}: {findings:?}");
    }
    Ok(())
}

#[test]
fn t13_the_tables_have_every_call_of_the_system_s_headers_and_newer_ones() -> Result<()> {
    for (abi, header) in [(Abi::X86_64, "unistd_64.h"), (Abi::I386, "unistd_32.h"), (Abi::X32, "unistd_x32.h")] {
        let path = Path::new("/usr/include/x86_64-linux-gnu/asm").join(header);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut compared = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("#define __NR_")) {
            let (name, number) = line.split_once(' ').context("a number")?;
            let number: i32 = number.trim_matches(['(', ')']).trim_start_matches("__X32_SYSCALL_BIT + ").parse()?;
            ensure!(
                syscall::number(abi, name).is_some_and(|nr| nr.0 == number),
                "{abi} {name} is {number} in {header}"
            );
            compared += 1;
        }
        ensure!(compared > 300, "only {compared} calls in {header}");
    }
    // Newer than those headers: Linux 6.15 has it.
    ensure!(syscall::number(Abi::X86_64, "open_tree_attr").is_some_and(|nr| nr.0 == 467));
    Ok(())
}

#[test]
fn t14_reading_while_containers_end_loses_nothing() -> Result<()> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let done = &done;
                scope.spawn(move || -> Result<()> {
                    while !done.load(Ordering::Relaxed) {
                        if reader == 0 { drop(stage()?.auditor.metrics()?) } else { drop(stage()?.auditor.ps()?) }
                    }
                    Ok(())
                })
            })
            .collect();
        let compared = (0..12).try_for_each(|number| {
            let name = format!("t14-{number}");
            let work = ["work", "--threads=2", "124*500", "i386:147*50", "121@-1*9"];
            let issued = groundtruth::parse(&stage()?.groundtruth(&name, &[], &work)?)?;
            stage()?.engine.client(["rm", &name])?;
            compare(&stage()?.auditor.rows(&name)?, &issued, true).with_context(|| name)
        });
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a panic")?;
        }
        compared
    })
}

#[test]
fn t15_only_the_engine_s_own_default_is_called_default() -> Result<()> {
    let kind = |stage: &Stage, name: &str, options: &[&str]| -> Result<String> {
        let line = [&["run", "--detach", "--name", name][..], options, &[BUSYBOX], &SLEEP];
        stage.engine.client(line.concat())?;
        let shown = stage.auditor.settled(name)?;
        stage.engine.client(["rm", "--force", name])?;
        shown["profile"]["kind"].as_str().map(str::to_owned).context("no kind")
    };
    let mighty = privileged()?;
    let mighty: Vec<&str> = mighty.iter().map(String::as_str).collect();
    let own = profile::default_profile(&stage()?.engine)?;
    let option = custom(&own)?;
    let rows: [(&str, &[&str], &str); 4] = [
        ("t15plain", &[], "default"),
        ("t15mighty", &mighty, "privileged"),
        ("t15open", &[UNCONFINED], "unconfined"),
        // The same text, and still asked for.
        ("t15custom", &[&option], "custom"),
    ];
    for (name, options, wanted) in rows {
        ensure!(kind(stage()?, name, options)? == wanted, "{name} is not {wanted}");
    }
    // An engine whose administrator put another in the default's place.
    let file = tempfile::NamedTempFile::new()?;
    let mut replaced = own;
    profile::forbid(&mut replaced, &["mkdir"]);
    std::fs::write(file.path(), replaced.to_string())?;
    let stage = Stage::of(Engine::configured(CgroupMode::Unified, &json!({"seccomp-profile": file.path()}))?)?;
    ensure!(kind(&stage, "t15wide", &[])? == "custom");
    Ok(())
}

/// Docker's default without these, and with these rules before all others.
fn altered(without: &[&str], rules: Value) -> Result<Value> {
    let mut profile = profile::default_profile(&stage()?.engine)?;
    profile::forbid(&mut profile, without);
    if let (Some(list), Value::Array(rules)) = (profile["syscalls"].as_array_mut(), rules) {
        list.splice(0..0, rules);
    }
    Ok(profile)
}

#[test]
fn t16_enosys_by_the_runtime_s_stub_is_a_denial_with_its_own_errno() -> Result<()> {
    let newer: Vec<&str> =
        syscall::all(Abi::X86_64).filter(|(nr, _)| (440..512).contains(&nr.0)).map(|(_, name)| name).collect();
    let option = custom(&altered(&newer, json!([]))?)?;
    let issued = stage()?.groundtruth("t16", &[&option], &["work", "441@-1*6", "448@-1*2", "124*3"])?;
    ensure!(!issued.is_empty());
    let rows = stage()?.auditor.rows("t16")?;
    for (nr, denied) in [(441, 6), (448, 2)] {
        let row = &rows[&native(nr)];
        ensure!((row.calls, row.denied, row.errno, row.verdict.as_str()) == (0, denied, Some(38), "denied"), "{row:?}");
    }
    Ok(())
}

#[test]
fn t17_a_denial_that_looks_like_success_is_a_denial() -> Result<()> {
    let rule = json!([{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]);
    let option = custom(&altered(&["getsid"], rule)?)?;
    stage()?.groundtruth("t17", &[&option], &["work", "124*6", "121*2"])?;
    let shown = stage()?.auditor.show("t17")?;
    let row = &rows(&shown)?[&native(124)];
    ensure!((row.calls, row.errors, row.denied, row.errno) == (0, 0, 6, Some(0)), "{row:?}");
    ensure!(row.action.as_deref() == Some("SCMP_ACT_ERRNO") && row.verdict == "denied", "{row:?}");
    Ok(())
}

#[test]
fn t18_what_is_measured_is_what_is_shipped() -> Result<()> {
    // The benchmark has its programs from the loader that the daemon has them from, and so have we.
    let held = || -> Result<BTreeMap<u32, String>> {
        let mut kinds = BTreeMap::new();
        for entry in std::fs::read_dir("/proc/self/fdinfo")?.flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let field =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|it| it.trim().to_owned());
            if let (Some(id), Some(kind)) = (field("prog_id:"), field("prog_type:")) {
                kinds.insert(id.parse()?, kind);
            }
        }
        Ok(kinds)
    };
    const TRACING: &str = "26"; // BPF_PROG_TYPE_TRACING: `tp_btf`, and the iterator.
    let empty = auditor::kernel::EmptyPair::attach()?;
    let baseline = held()?;
    ensure!(baseline.len() == 2 && baseline.values().all(|kind| kind == TRACING), "{baseline:?}");
    drop(empty);
    let mut kernel = auditor::kernel::Kernel::load(4)?;
    kernel.attach(Vec::new)?;
    let shipped = held()?;
    ensure!(shipped.len() >= 6 && shipped.values().all(|kind| kind == TRACING), "{shipped:?}");
    let bench = std::fs::read_to_string(tests::root().join("tests/src/bin/hot-path.rs"))?;
    ensure!(bench.contains("Kernel::load(") && bench.contains("EmptyPair::attach("));
    Ok(())
}

#[test]
fn t19_a_suggestion_is_json_from_its_first_byte_to_its_last() -> Result<()> {
    stage()?.groundtruth("t19", &[], &["work", "124*3", "169*1"])?;
    let (suggestion, notes) = stage()?.auditor.suggest("t19")?;
    ensure!(suggestion.starts_with('{') && suggestion.trim_end().ends_with('}'), "{suggestion}");
    let parsed: Value = serde_json::from_str(&suggestion)?;
    ensure!(parsed["defaultAction"] == "SCMP_ACT_ERRNO", "{parsed}");
    ensure!(!notes.is_empty(), "what it rests on is said elsewhere");
    let option = profile::option(&suggestion, tempfile::tempdir()?.path(), "t19");
    ensure!(option.is_ok());
    Ok(())
}

#[test]
fn t20_only_architectures_that_were_seen_are_in_a_suggestion() -> Result<()> {
    for (name, calls, architectures) in [
        ("t20native", &["work", "124*3"][..], &["SCMP_ARCH_X86_64"][..]),
        ("t20compat", &["work", "124*3", "i386:147*2"], &["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]),
    ] {
        stage()?.groundtruth(name, &[], calls)?;
        let suggestion: Value = serde_json::from_str(&stage()?.auditor.suggest(name)?.0)?;
        let mut named: Vec<&str> =
            suggestion["architectures"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        named.sort_unstable();
        ensure!(named == architectures, "{name}: {suggestion}");
    }
    Ok(())
}

#[test]
fn t21_what_an_enforced_profile_denies_shows_in_the_next_suggestion() -> Result<()> {
    let option = custom(&altered(&["mkdir"], json!([]))?)?;
    let script = "mkdir /tmp/a; mkdir /tmp/b; ls /tmp";
    stage()?.engine.client(["run", "--name", "t21", &option, BUSYBOX, "/bin/sh", "-c", script])?;
    let (suggestion, notes) = stage()?.auditor.suggest("t21")?;
    ensure!(!suggestion.contains("\"mkdir\""), "{suggestion}");
    let line = notes.lines().find(|line| line.contains("mkdir")).with_context(|| format!("no mkdir in {notes}"))?;
    ensure!(line.contains("denied") && line.contains("2 times") && line.contains("errno 1"), "{line}");
    Ok(())
}
