//! What becomes of one program: recorded, confined by the suggestion, and run again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::control::{self, Request, Response};
use auditor::syscall;
use serde_json::Value;

use super::run::{Ran, run, start};
use super::strace::{self, Compared};
use super::{Half, Program, Room, image};
use crate::image::{BUSYBOX, DEBIAN};
use crate::process::wait_for;
use crate::profile;
use crate::stage::Stage;

/// For answers about what is there.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often things are done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Recorded starts.
    pub recorded: u32,
    /// Starts of either half under the suggestion.
    pub confined: u32,
    /// With the large image, which has all programs but busybox.
    pub large: bool,
}

/// Starts of one half under the suggestion.
#[derive(Debug, Clone, Default)]
pub struct Confined {
    /// All of them.
    pub starts: u32,
    /// Those whose program was started.
    pub started: u32,
    /// Those whose work was done to its end.
    pub worked: u32,
    /// Those that needed a call that was refused, and was not under the profile before.
    pub refused: u32,
    /// Which calls that were.
    pub calls: BTreeSet<String>,
    /// What went wrong, for people.
    pub troubles: Vec<String>,
}

/// What `auditor suggest` says of a suggestion.
#[derive(Debug, Clone, Default)]
pub struct Promise {
    /// The chance that the next start needs a call that was not seen: the best guess.
    pub chance: f64,
    /// And the bound that is promised.
    pub below: f64,
    /// Allowed calls that expose much, under the engine's default profile.
    pub exposing_before: usize,
    /// And under the suggestion.
    pub exposing_after: usize,
}

impl Promise {
    /// From the one object of `auditor suggest -o json`.
    fn of(said: &Value) -> Result<Self> {
        let chance = &said["certainty"]["estimate"]["chance"];
        let number = |name: &str| chance[name].as_f64().with_context(|| format!("no {name} of a chance: {chance}"));
        let exposing = |name: &str| {
            let calls = said["exposure"][name].as_array().with_context(|| format!("no exposure.{name}"))?;
            anyhow::Ok(calls.iter().filter(|call| call["exposure"] == "high").count())
        };
        let exposing_after = exposing("kept")?;
        Ok(Self {
            chance: number("estimate")?,
            below: number("below")?,
            exposing_before: exposing("taken_away")? + exposing_after,
            exposing_after,
        })
    }
}

/// What became of a program.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which.
    pub program: &'static Program,
    /// Its package's version.
    pub version: String,
    /// Recorded starts.
    pub recorded: u32,
    /// Calls allowed, always or for some arguments, under the engine's default profile.
    pub before: Vec<String>,
    /// The same under the suggestion.
    pub after: Vec<String>,
    /// What is said of the suggestion.
    pub promise: Promise,
    /// The half that was recorded, again.
    pub first: Confined,
    /// The other half.
    pub second: Confined,
    /// Calls that the other half makes under the default profile and the suggestion has not.
    pub beyond: Vec<String>,
    /// The first half under strace, where the image has it.
    pub strace: Option<Compared>,
    /// Calls of the recorded starts that strace does not show, and that the runtime makes between the filter and the
    /// program: nothing in the container can trace it.
    pub runtime: Vec<String>,
    /// The other ones that it does not show.
    pub untraced: Vec<String>,
}

impl Outcome {
    /// The promises that were broken: one line each.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let name = self.program.name;
        let mut broken = Vec::new();
        let Confined { starts, started, worked, calls, troubles, .. } = &self.first;
        if (started, worked) != (starts, starts) {
            broken.push(format!(
                "{name}: of {starts} starts under the suggestion {started} began and {worked} ended well"
            ));
            broken.extend(troubles.iter().cloned());
        }
        if !calls.is_empty() {
            broken.push(format!("{name}: refused to what was recorded: {}", list(calls)));
        }
        if self.second.started < self.second.starts {
            broken.push(format!("{name}: the second half was not started: {:?}", self.second.troubles));
        }
        if self.after.len() * 2 >= self.before.len() {
            broken.push(format!("{name}: {} of {} calls are still allowed", self.after.len(), self.before.len()));
        }
        if let Some(strace) = self.strace.as_ref().filter(|strace| !strace.missed.is_empty()) {
            broken.push(format!("{name}: strace saw what was not counted: {}", strace.missed.join(", ")));
        }
        broken
    }
}

/// Names in a line.
pub fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// One container's calls, as `show` has them.
struct Shown {
    /// Reached the kernel, by name: how often.
    passed: BTreeMap<String, u64>,
    /// Refused ones.
    denied: BTreeMap<String, u64>,
    /// Allowed by the profile, always or for some arguments.
    allowed: BTreeSet<String>,
}

impl Shown {
    fn of(shown: &Value) -> Result<Self> {
        let mut this = Self { passed: BTreeMap::new(), denied: BTreeMap::new(), allowed: BTreeSet::new() };
        for row in shown["syscalls"].as_array().context("no syscalls in auditor show")? {
            let mut name = row["name"].as_str().context("no name in auditor show")?.to_owned();
            if row["abi"] != "x86_64" {
                name = format!("{name} ({})", row["abi"].as_str().unwrap_or_default());
            }
            let number = |key: &str| row[key].as_u64().with_context(|| format!("no {key} of {name}"));
            let (calls, denied) = (number("calls")?, number("denied")?);
            if calls > 0 {
                this.passed.insert(name.clone(), calls);
            }
            if denied > 0 {
                this.denied.insert(name.clone(), denied);
            }
            if row["verdict"] == "allowed" || row["verdict"] == "conditional" {
                this.allowed.insert(name);
            }
        }
        Ok(this)
    }

    /// All calls, refused or not.
    fn asked(&self) -> BTreeMap<String, u64> {
        let mut all = self.passed.clone();
        self.denied.iter().for_each(|(name, count)| *all.entry(name.clone()).or_default() += count);
        all
    }
}

/// One program on a stage.
struct Trial<'a> {
    stage: &'a Stage,
    program: &'static Program,
    image: &'static str,
    limit: Duration,
}

/// Runs a program's halves, with and without a suggestion.
///
/// # Errors
/// What a suggestion has no part in: no engine, or work that fails under the engine's own profile.
pub fn try_program(stage: &Stage, program: &'static Program, extent: Extent) -> Result<Outcome> {
    let image = match program.room {
        Room::Busybox => BUSYBOX,
        Room::Small if !extent.large => DEBIAN,
        Room::Small | Room::Large => image::CORPUS,
    };
    Trial { stage, program, image, limit: Duration::from_secs(180) }
        .conduct(extent)
        .with_context(|| program.name.to_owned())
}

impl Trial<'_> {
    fn conduct(mut self, extent: Extent) -> Result<Outcome> {
        let (before, longest) = self.record(extent.recorded)?;
        // Under the suggestion nothing takes longer, but for what waits for ever.
        self.limit = longest * 6 + Duration::from_secs(30);
        let other = self.must_work("other", &[], &self.line(Half::Second))?;
        let other = self.shown(&other)?;
        let of_runtime = self.of_runtime()?;
        let (suggestion, notes) = self.stage.auditor.suggest(&self.name("learn"))?;
        ensure!(!notes.is_empty(), "the suggestion does not say what it rests on");
        let (said, _) = self.stage.auditor.run(&["suggest", "--output=json", &self.name("learn")])?;
        let said: Value = serde_json::from_str(&said).context("parsing auditor suggest")?;
        let promise = Promise::of(&said[0])?;
        let files = tempfile::tempdir().context("making a directory for a profile")?;
        let option = profile::option(&suggestion, files.path(), self.program.name)?;

        let (first, after) = self.confined(Half::First, &option, &before, extent.confined)?;
        let (second, _) = self.confined(Half::Second, &option, &other, extent.confined)?;
        let beyond = other.passed.keys().filter(|name| !after.contains(*name)).cloned().collect();
        // Each call of it takes a hundred times as long.
        self.limit *= 3;
        let traced = self.strace(files.path())?;
        let untraced =
            before.passed.keys().filter(|name| traced.as_ref().is_none_or(|(traced, _)| !traced.contains_key(*name)));
        let (runtime, untraced) = untraced.cloned().partition(|name| of_runtime.contains(name));
        let strace = traced.map(|(traced, counted)| strace::compare(&traced, &counted));
        let version = self.version()?;
        self.tidy();
        Ok(Outcome {
            program: self.program,
            version,
            recorded: extent.recorded,
            before: before.allowed.into_iter().collect(),
            after: after.into_iter().collect(),
            promise,
            first,
            second,
            beyond,
            strace,
            runtime,
            untraced,
        })
    }

    fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.program.name)
    }

    fn line(&self, half: Half) -> Vec<String> {
        [vec![self.image.to_owned()], self.program.line(half)].concat()
    }

    /// The first half under the engine's profile, again and again in one container: rare calls have their chance to be
    /// seen. Gives what was counted, and how long the longest start took.
    fn record(&self, starts: u32) -> Result<(Shown, Duration)> {
        let name = self.must_work("learn", &[], &self.line(Half::First))?;
        let mut longest = Duration::ZERO;
        for _ in 1..starts {
            let ran = start(&self.stage.engine, &name, self.limit)?;
            ensure!(ran.worked, "started again under the engine's own profile: {}", ran.end);
            longest = longest.max(ran.took);
        }
        Ok((self.shown(&name)?, longest))
    }

    /// The calls that were made by the runtime alone, of those recorded under the filter.
    fn of_runtime(&self) -> Result<BTreeSet<String>> {
        let request = Request::Suggest { container: self.name("learn"), profile: None };
        let answer = control::call(&self.stage.auditor.socket(), &request, Duration::from_secs(60))?;
        let Response::Material(material) = answer else { bail!("the daemon answered another question") };
        let tallies = material.evidence.counters().tallies;
        let alone = tallies.iter().filter(|(_, tally)| tally.calls > 0 && tally.calls == tally.runtime_calls);
        Ok(alone.map(|(&(abi, nr), _)| syscall::display_name(abi, nr)).collect())
    }

    /// Runs a container whose work must succeed, and gives its name.
    fn must_work(&self, role: &str, options: &[&str], line: &[String]) -> Result<String> {
        let name = self.name(role);
        let ran = self.run(&name, options, line)?;
        ensure!(ran.worked, "{name}, under the engine's own profile: {}", ran.end);
        Ok(name)
    }

    fn run(&self, name: &str, options: &[&str], line: &[String]) -> Result<Ran> {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        run(&self.stage.engine, name, options, &line, self.limit)
    }

    fn shown(&self, container: &str) -> Result<Shown> {
        Shown::of(&self.settled(container)?)
    }

    /// Where several programs work at a time the engine may be late with what it tells the daemon.
    fn settled(&self, container: &str) -> Result<Value> {
        let settled = || self.stage.auditor.settled(container);
        wait_for("a container to settle", PATIENCE, || Ok(settled().ok())).or_else(|_| settled())
    }

    /// Starts of a half under the suggestion, and what that allows.
    fn confined(&self, half: Half, option: &str, before: &Shown, starts: u32) -> Result<(Confined, BTreeSet<String>)> {
        let mut confined = Confined { starts, ..Confined::default() };
        let mut allowed = BTreeSet::new();
        for number in 1..=starts {
            let name = self.name(&format!("{}-{number}", half.as_str()));
            let ran = self.run(&name, &[option], &self.line(half))?;
            if !ran.started {
                confined.troubles.push(format!("{name}: {}", ran.end));
                continue;
            }
            let settled = self.settled(&name)?;
            ensure!(settled["profile"]["kind"] == "custom", "{name} runs under {}", settled["profile"]);
            let shown = Shown::of(&settled)?;
            let new: Vec<_> = shown.denied.keys().filter(|call| !before.denied.contains_key(*call)).cloned().collect();
            confined.started += 1;
            confined.worked += u32::from(ran.worked);
            confined.refused += u32::from(!new.is_empty());
            if !ran.worked {
                confined.troubles.push(format!("{name}: {}", ran.end));
            }
            confined.calls.extend(new);
            allowed = shown.allowed;
        }
        Ok((confined, allowed))
    }

    /// The first half under `strace -f -c`: its numbers, and those counted in the same container.
    #[expect(clippy::type_complexity, reason = "two tables of one kind")]
    fn strace(&self, files: &Path) -> Result<Option<(BTreeMap<String, u64>, BTreeMap<String, u64>)>> {
        if self.program.room == Room::Busybox {
            return Ok(None);
        }
        let work = self.program.line(Half::First);
        let strace = [self.image, "strace", "-f", "-c", "-o", "/trace"].map(str::to_owned);
        let name = self.must_work("strace", &[], &[strace.to_vec(), work].concat())?;
        let file = files.join("trace");
        self.stage.engine.client(["cp", &format!("{name}:/trace"), &file.display().to_string()])?;
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(Some((strace::parse_summary(&text)?, self.shown(&name)?.asked())))
    }

    fn version(&self) -> Result<String> {
        // Not one of the containers that count: no shell of the program's own has to be there.
        let query = "${Version}";
        let output = match self.program.room {
            Room::Busybox => std::process::Command::new("dpkg-query")
                .args(["--show", "--showformat", query, self.program.package])
                .output()
                .context("running dpkg-query")?,
            Room::Small | Room::Large => self.stage.engine.output([
                "run",
                "--rm",
                self.image,
                "dpkg-query",
                "--show",
                "--showformat",
                query,
                self.program.package,
            ])?,
        };
        ensure!(output.status.success(), "no version of {}", self.program.package);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What the containers wrote takes room until the engine ends.
    fn tidy(&self) {
        let filter = format!("name=^/{}-", self.program.name);
        let list = self.stage.engine.client(["ps", "--all", "--quiet", "--filter", &filter]).unwrap_or_default();
        for container in list.lines() {
            _ = self.stage.engine.output(["rm", "--force", "--volumes", container]);
        }
    }
}
