//! How sure a suggestion is, on real starts: what is promised is held against starts that were not counted for it, and what
//! was denied is taken in.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::control::{Request, Response, call};
use auditor::coverage::{Estimate, Incidence};
use auditor::evidence::Evidence;
use auditor::syscall::{self, Abi, SyscallNr};
use serde_json::Value;
use tests::auditord::{Auditor, rows};
use tests::engine::CgroupMode;
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::profile;
use tests::stage::Stage;

/// What a start does now and then: a call that nothing else of it makes, the command for it, and in how many of a
/// hundred starts.
const ERRANDS: [(&str, &str, u64); 10] = [
    ("symlink", "ln -s /bin/busybox l", 60),
    ("rename", "touch r && mv r s", 40),
    ("chmod", "touch c && chmod 600 c", 25),
    ("rmdir", "mkdir d && rmdir d", 15),
    ("link", "touch h && ln h i", 10),
    ("statfs", "df / > /dev/null", 8),
    ("sync", "sync", 6),
    ("mknodat", "mkfifo p", 5),
    ("ftruncate", "truncate -s 10 t", 4),
    ("sched_getaffinity", "taskset -p 1 > /dev/null", 3),
];

const STARTS: usize = 30;
/// Of these the suggestion is made; the others are what comes later.
const COUNTED: usize = 18;

type Call = (Abi, SyscallNr);

/// Numbers that look random and are the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, usize::try_from(self.below(last as u64 + 1)).unwrap_or(last));
        }
    }
}

/// Which errands each start runs, and the script that knows it: a container counts its own starts.
fn plan() -> (Vec<BTreeSet<&'static str>>, String) {
    let mut random = Random(4);
    let mut script = "cd /tmp; n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) > n; mkdir w$n; cd w$n\n".to_owned();
    let mut plan = vec![BTreeSet::new(); STARTS];
    for (name, command, percent) in ERRANDS {
        let runs: Vec<usize> = (0..STARTS).filter(|_| random.below(100) < percent).collect();
        let cases: Vec<String> = runs.iter().map(usize::to_string).collect();
        if !cases.is_empty() {
            script += &format!("case $n in {}) {command};; esac\n", cases.join("|"));
        }
        for run in runs {
            plan[run].insert(name);
        }
    }
    (plan, script + "true")
}

/// What the daemon has of a container, once all its starts are over and counted.
fn evidence(auditor: &Auditor, container: &str, starts: usize) -> Result<Evidence> {
    let request = Request::Suggest { container: container.to_owned(), profile: None };
    wait_for("all starts", Duration::from_secs(30), || {
        let Response::Material(material) = call(&auditor.socket(), &request, Duration::from_secs(10))? else {
            bail!("the daemon answered another question");
        };
        Ok(Some(material.evidence)
            .filter(|evidence| evidence.starts.iter().filter(|start| start.is_whole()).count() == starts))
    })
}

fn estimate<'a>(starts: impl IntoIterator<Item = &'a BTreeSet<Call>>) -> Estimate {
    let mut incidence = Incidence::default();
    starts.into_iter().for_each(|calls| incidence.add(calls.iter().copied()));
    Estimate::of(&incidence)
}

fn seen<'a>(starts: impl IntoIterator<Item = &'a BTreeSet<Call>>) -> BTreeSet<Call> {
    starts.into_iter().flatten().copied().collect()
}

/// Real starts, in many orders: the first ones are counted, the others are what the promise is about.
#[test]
fn what_is_promised_holds_for_the_starts_that_come_later() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let (plan, script) = plan();
    stage.engine.client(["create", "--name", "errands", BUSYBOX, "/bin/sh", "-c", &script])?;
    for _ in 0..STARTS {
        stage.engine.client(["start", "--attach", "errands"])?;
    }
    let evidence = evidence(&stage.auditor, "errands", STARTS)?;
    let mut starts: Vec<BTreeSet<Call>> = evidence.starts.iter().map(|start| start.made().collect()).collect();
    for (at, (made, planned)) in starts.iter().zip(&plan).enumerate() {
        for (name, ..) in ERRANDS {
            let nr = syscall::number(Abi::X86_64, name).with_context(|| format!("the number of {name}"))?;
            ensure!(made.contains(&(Abi::X86_64, nr)) == planned.contains(name), "start {at}: {name}");
        }
    }
    let said = suggestion(&stage.auditor, &["errands"], 0)?;
    ensure!(said["certainty"]["estimate"]["starts"] == STARTS && said["certainty"]["complete"] == true, "{said}");

    let orders = 2_000;
    let mut random = Random(5);
    let (mut broken, mut guessed, mut came) = (0, 0.0, 0.0);
    for _ in 0..orders {
        random.shuffle(&mut starts);
        let (counted, later) = starts.split_at(COUNTED);
        let chance = estimate(counted).chance.context("no estimate")?;
        let known = seen(counted);
        let new = later.iter().filter(|calls| !calls.is_subset(&known)).count();
        broken += u32::from(f64::from(u32::try_from(new)?) > chance.below * f64::from(u32::try_from(later.len())?));
        // What leaving one out estimates is the chance after one start fewer.
        guessed += chance.estimate;
        came += f64::from(u8::from(!counted[0].is_subset(&seen(&counted[1..]))));
    }
    let (guessed, came) = (guessed / f64::from(orders), came / f64::from(orders));
    println!("{broken} of {orders} promises broken; guessed {guessed:.3}, came {came:.3}");
    ensure!(f64::from(broken) <= 0.05 * f64::from(orders), "{broken} of {orders} promises were broken");
    ensure!((guessed - came).abs() < 0.03, "{guessed} were expected, and {came} came");
    ensure!(came > 0.02, "the starts are too much alike to show anything");
    Ok(())
}

/// The object of `suggest -o json`.
fn suggestion(auditor: &Auditor, arguments: &[&str], code: i32) -> Result<Value> {
    let output = auditor.output(&[&["--output=json", "suggest"][..], arguments].concat())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{arguments:?}: {}: {stderr}", output.status);
    let mut list: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(|| format!("{stderr}"))?;
    list.pop().context("an empty list")
}

/// `--min-*` and their exit code, on starts of a real container.
#[test]
fn what_is_demanded_decides_the_exit_code() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.engine.client(["create", "--name", "demands", BUSYBOX, "/bin/sh", "-c", "mkdir -p /tmp/a; sleep 0.2"])?;
    for starts in 1..=6 {
        stage.engine.client(["start", "--attach", "demands"])?;
        evidence(&stage.auditor, "demands", starts)?;
        let code = |demand: &str| -> Result<i32> {
            let output = stage.auditor.output(&["suggest", "demands", demand])?;
            let lines = String::from_utf8(output.stderr)?;
            let below = lines.lines().filter(|line| line.starts_with("below what is demanded: ")).count();
            let code = output.status.code().context("a signal")?;
            ensure!(below == usize::from(code == 1) && output.stdout.starts_with(b"{"), "{demand}: {code}: {lines}");
            Ok(code)
        };
        ensure!(code("--min-starts=4")? == i32::from(starts < 4), "{starts} starts");
        // 1 - 0.025^(1/6) is 46 %.
        ensure!(code("--min-coverage=50%")? == i32::from(starts < 6), "{starts} starts");
        ensure!(code("--min-window=1h")? == 1, "{starts} starts");
    }
    Ok(())
}

/// What was denied is listed, taken in by name, and works.
#[test]
fn a_denied_call_is_taken_in_and_works() -> Result<()> {
    const SCRIPT: &str = "mkdir /tmp/made && ls -d /tmp/made";
    let stage = Stage::shared(CgroupMode::Unified)?;
    let dir = tempfile::tempdir()?;
    let mut narrow = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut narrow, &["mkdir", "mkdirat"]);
    let option = profile::option(&narrow.to_string(), dir.path(), "narrow")?;
    let refused = stage.engine.client(["run", "--name", "refused", &option, BUSYBOX, "/bin/sh", "-c", SCRIPT]);
    ensure!(refused.is_err(), "mkdir was not refused");
    evidence(&stage.auditor, "refused", 1)?;

    let without = suggestion(&stage.auditor, &["refused"], 0)?;
    let denied = |said: &Value| -> Result<Vec<(String, bool)>> {
        let list = said["denied"].as_array().context("no denied calls")?;
        let one = |call: &Value| Some((call["name"].as_str()?.to_owned(), call["taken_in"].as_bool()?));
        Ok(list.iter().filter_map(one).filter(|(name, _)| name.starts_with("mkdir")).collect())
    };
    ensure!(denied(&without)? == [("mkdir".to_owned(), false)], "{without}");
    let with = suggestion(&stage.auditor, &["refused", "--allow=mkdir", "--allow=ls"], 2);
    ensure!(with.is_err(), "ls is no system call");
    // What comes after the directory is made was never seen: it is taken in as the profile has it.
    let allow = ["refused", "--allow=mkdir", "--allow=lstat", "--allow=newfstatat", "--allow=ioctl", "--allow=execve"];
    let with = suggestion(&stage.auditor, &allow, 0)?;
    ensure!(denied(&with)? == [("mkdir".to_owned(), true)], "{with}");

    for (name, said, works) in [("small", &without, false), ("wider", &with, true)] {
        let option = profile::option(&said["profile"].to_string(), dir.path(), name)?;
        let ran = stage.engine.client(["run", "--name", name, &option, BUSYBOX, "/bin/sh", "-c", SCRIPT]);
        ensure!(ran.is_ok() == works, "{name}: {ran:?}\n{}", said["profile"]);
        let shown = stage.auditor.settled(name)?;
        let mkdir = u64::try_from(syscall::number(Abi::X86_64, "mkdir").context("no mkdir")?.0)?;
        let row = rows(&shown)?.get(&("x86_64".to_owned(), mkdir)).cloned().context("no mkdir")?;
        ensure!((row.calls, row.denied) == (u64::from(works), u64::from(!works)), "{name}: {row:?}");
    }
    Ok(())
}
