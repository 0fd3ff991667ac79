//! The daemon as its unit runs it: a user of its own, with the capabilities and groups that the unit gives, and what it
//! does without each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::auditord::Auditor;
use tests::bpffs::Bpffs;
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth::{add, compare, parse};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;
use tests::stage::Stage;

/// Nobody's on any machine: outside of what systems and user namespaces give out.
const USER: u32 = 64_913;
const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "1000"];
/// Bits of the capabilities that a daemon keeps (`include/uapi/linux/capability.h`).
const DAC_READ_SEARCH: u64 = 1 << 2;
const KEPT_BY_ROOT: u64 = DAC_READ_SEARCH | 1 << 1 | 1 << 19;

/// A line of the unit.
fn of_unit(key: &str) -> Result<Vec<String>> {
    let unit = fs::read_to_string(tests::root().join("packaging/auditor.service"))?;
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(line.with_context(|| format!("no {key} in the unit"))?.split_whitespace().map(str::to_owned).collect())
}

/// What becomes the unit's daemon: its user, these of its capabilities, and the group of the engine's socket.
fn wrapper(capabilities: &[String], group: Option<u32>) -> Vec<String> {
    let names = capabilities.iter().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let set = format!("-all{}", names.collect::<String>());
    let groups = group.map_or("--clear-groups".to_owned(), |group| format!("--groups={group}"));
    let words = [
        "setpriv".to_owned(),
        format!("--reuid={USER}"),
        format!("--regid={USER}"),
        groups,
        format!("--inh-caps={set}"),
        format!("--ambient-caps={set}"),
        format!("--bounding-set={set}"),
        "--no-new-privs".to_owned(),
    ];
    words.to_vec()
}

fn engine() -> Result<Engine> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    Ok(engine)
}

fn group_of_socket(engine: &Engine) -> Result<u32> {
    let socket = fs::metadata(engine.socket())?;
    ensure!(socket.mode() & 0o020 != 0, "the engine's socket is not for a group: {:o}", socket.mode());
    Ok(socket.gid())
}

/// The daemon as the unit starts it, with an engine.
fn service(engine: &Engine, capabilities: &[String]) -> Result<Auditor> {
    let words = wrapper(capabilities, Some(group_of_socket(engine)?));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Auditor::start_as(USER, &words, &engine.host(), &[])
}

/// The capabilities that each thread of a daemon may use, by the names of the sets.
fn capabilities(auditor: &Auditor) -> Result<BTreeSet<(String, u64)>> {
    let mut found = BTreeSet::new();
    let mut threads = 0;
    for entry in fs::read_dir(format!("/proc/{}/task", auditor.process().pid()))? {
        let status = fs::read_to_string(entry?.path().join("status"))?;
        for line in status.lines() {
            let Some((name, value)) = line.split_once(":\t") else { continue };
            if ["CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"].contains(&name) {
                found.insert((name.to_owned(), u64::from_str_radix(value, 16)?));
            }
        }
        threads += 1;
    }
    ensure!(threads > 2, "{threads} threads: what is written and what waits for the disk have threads of their own");
    Ok(found)
}

fn sets(kept: u64) -> BTreeSet<(String, u64)> {
    [("CapInh", 0), ("CapPrm", kept), ("CapEff", kept), ("CapAmb", 0), ("NoNewPrivs", 1)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

fn history(auditor: &Auditor) -> Result<Vec<Value>> {
    let (stdout, _) = auditor.run(&["history", "--output=json"])?;
    serde_json::from_str(&stdout).with_context(|| format!("parsing {stdout}"))
}

/// Everything that the daemon does is done, and exactly.
fn does_its_work(auditor: &Auditor, engine: &Engine, prefix: &str) -> Result<()> {
    let (run, sleeper) = (format!("{prefix}-run"), format!("{prefix}-sleeper"));
    // It lives for long enough that also a daemon that is traced reads its bundle.
    let work = [
        "/bin/sh",
        "-c",
        "/bin/busybox sleep 5; exec \"$@\"",
        "sh",
        "/groundtruth",
        "work",
        "--threads=2",
        "--forks=3",
        "124*1000",
        "121@999999*50",
        "i386:147*10",
    ];
    let issued = parse(&engine.client([&["run", "--name", &run, BUSYBOX][..], &work].concat())?)?;
    compare(&auditor.rows(&run)?, &issued, true)?;
    let shown = auditor.show(&run)?;
    assert_eq!((&shown["window"]["complete"], &shown["window"]["lost"]), (&true.into(), &0.into()), "{shown}");

    engine.client([&["run", "--detach", "--name", &sleeper, BUSYBOX][..], &SLEEP].concat())?;
    // Its filter is read out of the kernel, and compared with the profile in its bundle.
    wait_for("the profile and the filter", Duration::from_secs(30), || {
        let shown = auditor.show(&sleeper)?;
        let matches = shown["effective"]["matches_declared"] == true;
        Ok((shown["profile"]["source"] == "bundle" && shown["profile"]["kind"] == "default" && matches).then_some(()))
    })
    .with_context(|| auditor.show(&sleeper).map_or_else(|error| error.to_string(), |shown| shown.to_string()))?;
    let (listing, _) = auditor.run(&["filter", &sleeper, "--disassemble"])?;
    assert!(listing.contains("ret"), "{listing}");
    let (profile, _) = auditor.suggest(&run)?;
    assert!(serde_json::from_str::<Value>(&profile)?["syscalls"].is_array(), "{profile}");

    let denied = format!("{prefix}-denied");
    let smaller = engine.directory().join(format!("{denied}.json"));
    fs::write(&smaller, profile.replace("\"getsid\"", "\"getpgid\""))?;
    let option = format!("--security-opt=seccomp={}", smaller.display());
    engine.client(["run", "--name", &denied, &option, BUSYBOX, "/groundtruth", "work", "124*7"])?;
    assert_eq!(auditor.rows(&denied)?[&("x86_64".to_owned(), 124)].denied, 7);
    let (denials, _) = auditor.run(&["denials", &denied])?;
    assert!(denials.contains("getsid"), "{denials}");

    let metrics = auditor.metrics()?;
    assert!(
        metrics.contains("\nauditor_docker_up 1\n") && metrics.contains("\nauditor_evidence_stored 1\n"),
        "{metrics}"
    );
    let starts = history(auditor)?.iter().filter_map(|workload| workload["starts"].as_u64()).sum::<u64>();
    assert!(starts >= 3, "{starts} starts in the history");
    for name in [&run, &sleeper, &denied] {
        engine.client(["rm", "--force", name])?;
    }
    Ok(())
}

#[test]
fn as_a_user_with_the_unit_s_capabilities_all_works_and_two_of_them_are_given_up() -> Result<()> {
    let engine = engine()?;
    engine.client([&["run", "--detach", "--name", "early", BUSYBOX][..], &SLEEP].concat())?;
    let auditor = service(&engine, &of_unit("AmbientCapabilities")?)?;
    does_its_work(&auditor, &engine, "user").with_context(|| auditor.log())?;
    // One that was there before is counted from then on.
    let issued = parse(&engine.client(["exec", "early", "/groundtruth", "work", "124*77"])?)?;
    compare(&auditor.rows("early")?, &issued, true)?;
    assert_eq!(capabilities(&auditor)?, sets(DAC_READ_SEARCH), "{}", auditor.log());
    assert!(auditor.log().contains("capabilities=\"CAP_DAC_READ_SEARCH\""), "{}", auditor.log());
    let socket = fs::metadata(auditor.socket())?;
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (USER, USER, 0o660));
    Ok(())
}

#[test]
fn what_was_stored_is_there_for_the_next_daemon_of_that_user() -> Result<()> {
    let engine = engine()?;
    let mut auditor = service(&engine, &of_unit("AmbientCapabilities")?)?;
    engine.client(["run", "--name", "stored", BUSYBOX, "/groundtruth", "work", "124*5"])?;
    wait_for("the start", Duration::from_secs(20), || Ok((!history(&auditor)?.is_empty()).then_some(())))?;
    let before = history(&auditor)?;
    auditor.process().signal(Signal::SIGTERM)?;
    wait_for("the daemon's end", Duration::from_secs(5), || Ok((!auditor.process().is_running()).then_some(())))?;
    auditor.process_mut().restart()?;
    wait_for("the daemon", Duration::from_secs(60), || {
        Ok(auditor.get("/readyz").is_ok_and(|answer| answer.status == 200).then_some(()))
    })?;
    let after = history(&auditor)?;
    assert_eq!((&after[0]["starts"], &after[0]["images"]), (&before[0]["starts"], &before[0]["images"]), "{after:?}");
    Ok(())
}

/// As systemd mounts it, `/sys/fs/bpf` is root's alone; the unit makes a directory in it for its user.
#[test]
fn pins_are_made_mended_and_taken_over_by_the_user_without_a_count_lost() -> Result<()> {
    let (engine, bpffs) = (engine()?, Bpffs::mount()?);
    let pins = bpffs.pins();
    let root = pins.parent().context("the bpffs")?.display();
    bpffs.shell(&format!("chmod 0700 {root} && install -d -m 0700 -o {USER} -g {USER} {}", pins.display()))?;
    let mut words = bpffs.wrapper();
    words.extend(wrapper(&of_unit("AmbientCapabilities")?, Some(group_of_socket(&engine)?)));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let flag = format!("--bpffs={}", pins.display());
    let mut auditor = Auditor::start_as(USER, &words, &engine.host(), &[&flag])?;
    engine.client([&["run", "--detach", "--name", "web", BUSYBOX][..], &SLEEP].concat())?;
    let mut issued = BTreeMap::new();
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let work = || -> Result<_> { parse(&engine.client(["exec", "web", "/groundtruth", "work", "124*500"])?) };
        add(&mut issued, &work()?);
        auditor.process().signal(signal)?;
        auditor.process_mut().pause()?;
        add(&mut issued, &work()?);
        auditor.process_mut().restart()?;
        auditor.wait_ready()?;
        assert!(auditor.log().contains("took over the programs of an earlier daemon"), "{}", auditor.log());
        compare(&auditor.rows("web")?, &issued, true)?;
        assert_eq!(capabilities(&auditor)?, sets(DAC_READ_SEARCH), "{}", auditor.log());
    }
    let others = bpffs.shell(&format!("find {} ! -uid {USER}", pins.display()))?;
    assert_eq!(others, "");
    // What root removes is pinned again, without CAP_BPF.
    bpffs.shell(&format!("rm {}/*/NATIVE", pins.display()))?;
    wait_for("the pin", Duration::from_secs(20), || {
        Ok(bpffs.shell(&format!("ls {}/*/NATIVE", pins.display())).is_ok().then_some(()))
    })
    .with_context(|| auditor.log())?;
    Ok(())
}

#[test]
fn as_root_all_works_and_what_is_never_needed_is_given_up() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    does_its_work(&stage.auditor, &stage.engine, "root")?;
    assert_eq!(capabilities(&stage.auditor)?, sets(KEPT_BY_ROOT), "{}", stage.auditor.log());
    Ok(())
}

#[test]
fn without_cap_bpf_or_cap_perfmon_it_says_so_and_ends() -> Result<()> {
    let all = of_unit("AmbientCapabilities")?;
    for missing in ["CAP_BPF", "CAP_PERFMON"] {
        let some: Vec<String> = all.iter().filter(|name| *name != missing).cloned().collect();
        ensure!(some.len() + 1 == all.len(), "the unit does not give {missing}");
        let words = wrapper(&some, None);
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg(tests::auditord::binary()?)
            .args(["daemon", "--state-dir=none", "--web.listen-address=127.0.0.1:0", "--socket=/nonexistent/a.sock"])
            .output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "without {missing}: {stderr}");
        assert!(stderr.contains("run it as root, or with CAP_BPF and CAP_PERFMON"), "without {missing}: {stderr}");
    }
    Ok(())
}

#[test]
fn without_cap_dac_read_search_all_is_counted_and_profiles_are_not_read() -> Result<()> {
    let engine = engine()?;
    // The way to the socket is not what this is about.
    fs::set_permissions(engine.directory(), fs::Permissions::from_mode(0o711))?;
    let some: Vec<_> = of_unit("AmbientCapabilities")?;
    let some: Vec<String> = some.into_iter().filter(|name| name != "CAP_DAC_READ_SEARCH").collect();
    let binary = tests::auditord::binary()?;
    ensure!(
        binary.ancestors().skip(1).all(|directory| fs::metadata(directory).is_ok_and(|found| found.mode() & 1 == 1)),
        "another user has to reach {}: check out where everybody may enter",
        binary.display()
    );
    let auditor = service(&engine, &some)?;
    engine.client([&["run", "--detach", "--name", "shut", BUSYBOX][..], &SLEEP].concat())?;
    let issued = parse(&engine.client(["exec", "shut", "/groundtruth", "work", "124*500"])?)?;
    compare(&auditor.rows("shut")?, &issued, true)?;
    let shown = auditor.settled("shut")?;
    assert_ne!(shown["profile"]["source"], "bundle", "{shown}");
    assert_eq!(shown["effective"]["mode"], "filter", "{shown}");
    assert_eq!(capabilities(&auditor)?, sets(0));
    Ok(())
}

#[test]
fn without_the_group_of_the_engine_s_socket_all_is_counted_and_nothing_has_a_name() -> Result<()> {
    let engine = engine()?;
    let words = wrapper(&of_unit("AmbientCapabilities")?, None);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let auditor = Auditor::launch_as(USER, &words, &engine.host(), &[])?;
    let reason = "permission denied; run as root or as a member of the socket's group";
    wait_for("the daemon to say why", Duration::from_secs(60), || Ok(auditor.log().contains(reason).then_some(())))
        .with_context(|| auditor.log())?;
    let container = [&["run", "--detach", "--name", "nameless", BUSYBOX][..], &SLEEP].concat();
    let id = engine.client(container)?;
    let issued = parse(&engine.client(["exec", "nameless", "/groundtruth", "work", "124*500"])?)?;
    compare(&auditor.rows(&id)?, &issued, true)?;
    assert_eq!(auditor.show(&id)?["name"], Value::Null);
    let metrics = auditor.metrics()?;
    assert!(metrics.contains("\nauditor_docker_up 0\n"), "{metrics}");
    Ok(())
}

#[test]
fn the_watchdog_is_fed_from_the_main_loop_however_rarely_counters_are_read() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (socket, config) = (dir.path().join("notify"), dir.path().join("auditor.toml"));
    fs::write(&config, "poll_interval = \"60m\"\n")?;
    let listener = UnixDatagram::bind(&socket)?;
    listener.set_read_timeout(Some(Duration::from_secs(30)))?;
    let notify = format!("NOTIFY_SOCKET={}", socket.display());
    let words = ["env", &notify, "WATCHDOG_USEC=2000000"];
    let flag = format!("--config={}", config.display());
    let auditor = Auditor::start_behind(&words, "unix:///nonexistent/docker.sock", &[&flag])?;
    let told = || -> Result<String> {
        let mut buffer = [0; 4096];
        let length = listener.recv(&mut buffer).with_context(|| format!("nothing was told; {}", auditor.log()))?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    while !told()?.contains("READY=1") {}
    for _ in 0..4 {
        let asked = Instant::now();
        while !told()?.contains("WATCHDOG=1") {}
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    // A daemon that does nothing any more feeds nobody.
    auditor.process().signal(Signal::SIGSTOP)?;
    listener.set_read_timeout(Some(Duration::from_secs(3)))?;
    while told().is_ok() {}
    auditor.process().signal(Signal::SIGCONT)?;
    listener.set_read_timeout(Some(Duration::from_secs(10)))?;
    while !told()?.contains("WATCHDOG=1") {}
    Ok(())
}

/// The calls of a list of systemd's: `@group` stands for others.
fn expanded(word: &str) -> Result<BTreeSet<String>> {
    if !word.starts_with('@') {
        return Ok([word.to_owned()].into());
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", word]).output()?;
    ensure!(output.status.success(), "systemd-analyze syscall-filter {word}: install systemd");
    let text = String::from_utf8(output.stdout)?;
    let words = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    words.map(expanded).try_fold(BTreeSet::new(), |all, one| Ok(&all | &one?))
}

/// What the unit's lines of `SystemCallFilter=` let through, one after the other.
fn let_through() -> Result<BTreeSet<String>> {
    let unit = fs::read_to_string(tests::root().join("packaging/auditor.service"))?;
    let mut all = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let mut words = line.trim_start_matches('~').split_whitespace().map(expanded);
        let some = words.try_fold(BTreeSet::new(), |all, one| anyhow::Ok(&all | &one?))?;
        all = if line.starts_with('~') { &all - &some } else { &all | &some };
    }
    Ok(all)
}

#[test]
fn the_daemon_makes_no_call_that_its_unit_refuses() -> Result<()> {
    let engine = engine()?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("calls");
    let words = ["strace", "-f", "-qq", "-o", &file.display().to_string()];
    let mut auditor = Auditor::start_behind(&words, &engine.host(), &[])?;
    does_its_work(&auditor, &engine, "traced").with_context(|| auditor.log())?;
    auditor.process_mut().pause()?;
    let text = fs::read_to_string(&file)?;
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let calls = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.split_once('(').map(|(name, _)| name));
    let made: BTreeSet<String> = calls.filter(is_name).map(str::to_owned).collect();
    ensure!(["bpf", "capset", "accept4", "fdatasync"].iter().all(|name| made.contains(*name)), "{made:?}");
    let through = let_through()?;
    assert!(!through.contains("open_by_handle_at") && !through.contains("ptrace"), "{through:?}");
    assert_eq!(made.difference(&through).collect::<Vec<_>>(), Vec::<&String>::new());
    Ok(())
}

/// What the unit is worth by systemd's own measure; the lower, the less a daemon that was taken over can do.
#[test]
fn the_unit_is_confined() -> Result<()> {
    let unit = tests::root().join("packaging/auditor.service");
    let analyze = |threshold: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager", threshold]).arg(Path::new(&unit));
        command.output().context("running systemd-analyze; install systemd")
    };
    // In tenths: 1.8 and no more.
    let output = analyze("--threshold=18")?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Overall exposure level"), "{text}");
    assert!(!analyze("--threshold=5")?.status.success(), "the measure accepts everything");
    Ok(())
}
