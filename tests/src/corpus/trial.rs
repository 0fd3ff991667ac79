//! One program on a stage: recorded, confined by the suggestion, and run again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::control::{self, Request, Response};
use auditor::evidence::{Evidence, Start};
use serde_json::Value;

use super::calls::{Call, Recorded, Shown, asked_by_program, name, names};
use super::confined::{Confined, Tried};
use super::outcome::{Outcome, Promise, Round};
use super::run::{Ran, run, run_with};
use super::strace::{self, Gate};
use super::{Half, Program, Room, image};
use crate::image::{BUSYBOX, DEBIAN};
use crate::process::wait_for;
use crate::profile;
use crate::stage::Stage;

/// For answers about what is there.
const PATIENCE: Duration = Duration::from_secs(120);
/// For work that nothing keeps from its end: a machine with much else to do is slow.
const LONG: Duration = Duration::from_secs(900);
/// Suggestions at most. Each rests on twice as many starts as the one before: a call that one start in three makes is
/// missed by all of 16 in one of 650 trials.
const ROUNDS: usize = 4;

/// Starts of one kind of which the daemon may miss what they ran under.
const UNREAD: u32 = 3;

/// How often things are done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Recorded starts that the first suggestion is made from.
    pub recorded: u32,
    /// Starts of either half under a suggestion.
    pub confined: u32,
    /// With the large image, which has all programs but busybox.
    pub large: bool,
}

struct Trial<'a> {
    stage: &'a Stage,
    program: &'static Program,
    image: &'static str,
    /// Containers of recorded starts.
    learnt: Vec<String>,
    /// Starts that were recorded.
    recorded: u32,
    /// How long the longest of them took.
    longest: Duration,
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
    Trial { stage, program, image, learnt: Vec::new(), recorded: 0, longest: Duration::ZERO }
        .conduct(extent)
        .with_context(|| program.name.to_owned())
}

impl Trial<'_> {
    fn conduct(mut self, extent: Extent) -> Result<Outcome> {
        let files = tempfile::tempdir().context("making a directory for a profile")?;
        let (other, took) = self.must_work("other", Half::Second)?;
        let other = self.shown(&other)?;
        let mut earlier = Vec::new();
        let (last, recorded, option, allowed) = loop {
            self.record(self.recorded.max(extent.recorded))?;
            let evidence = self.evidence()?;
            self.recorded = whole(&evidence);
            let recorded = Recorded::of(&evidence);
            let (promise, option) = self.suggest(files.path())?;
            // What a refused call keeps waiting waits for ever.
            let limit = self.longest * 10 + PATIENCE;
            let (tried, allowed) = self.confined(Half::First, &option, extent.confined, limit)?;
            let left_out = recorded.passed.difference(&allowed).map(name).collect();
            let first = Confined::of(&tried, &recorded, &recorded.denied);
            let round = Round { recorded: self.recorded, promise, left_out, first };
            // A fault does not become less of one by another try.
            let enough = round.first.is_clean() || !round.first.broken.is_empty() || earlier.len() + 1 == ROUNDS;
            if enough {
                break (round, recorded, option, allowed);
            }
            earlier.push(round);
        };
        let limit = self.longest.max(took) * 6 + Duration::from_secs(30);
        let (tried, _) = self.confined(Half::Second, &option, extent.confined, limit)?;
        let either_way = recorded.denied.iter().chain(other.denied.keys()).copied().collect();
        let second = Confined::of(&tried, &recorded, &either_way);
        let (traced, strace) = self.strace()?;
        let untraced: Vec<Call> =
            recorded.passed.iter().filter(|call| !traced.contains(&name(call))).copied().collect();
        let of_runtime = recorded.of_runtime();
        let (runtime, untraced): (Vec<Call>, Vec<Call>) =
            untraced.into_iter().partition(|call| of_runtime.contains(call));
        let version = self.version()?;
        let before = other.allowed.len();
        self.tidy();
        Ok(Outcome {
            program: self.program,
            version,
            last,
            earlier,
            before,
            after: allowed.len(),
            second,
            beyond: names(other.passed.difference(&allowed)),
            strace,
            runtime: names(&runtime),
            untraced: names(&untraced),
        })
    }

    fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.program.name)
    }

    /// The first half under the engine's profile, each time in a new container as later under the suggestion: rare
    /// calls have their chance to be seen.
    fn record(&mut self, starts: u32) -> Result<()> {
        let mut unread = 0;
        let wanted = self.learnt.len() + starts as usize;
        for number in self.learnt.len() + 1.. {
            if self.learnt.len() == wanted {
                break;
            }
            let (name, took) = self.must_work(&format!("learn-{number}-of-{wanted}"), Half::First)?;
            self.longest = self.longest.max(took);
            if self.is_known(&name, &mut unread)? {
                self.learnt.push(name);
            }
        }
        Ok(())
    }

    /// What the daemon has of the recorded starts, once it has all of them.
    fn evidence(&self) -> Result<Evidence> {
        let container = self.learnt.last().context("nothing was recorded")?;
        wait_for("all recorded starts", PATIENCE, || {
            let evidence = self.evidence_of(container)?;
            let has = |name: &String| evidence.starts.iter().any(|start| is_of(start, name));
            let all = self.learnt.iter().all(has) && whole(&evidence) as usize >= self.learnt.len();
            Ok(all.then_some(evidence))
        })
        .with_context(|| format!("{:?}; the daemon's log:\n{}", self.learnt, self.stage.auditor.log()))
    }

    /// Whether the daemon has the whole start of a container, and what that ran under: it reads this while the container
    /// runs, and where the machine has much else to do a short one may be over by then. Such a start says nothing; a
    /// few of them are done again.
    fn is_known(&self, container: &str, unread: &mut u32) -> Result<bool> {
        let known = wait_for("a start", PATIENCE / 4, || {
            let evidence = self.evidence_of(container).ok();
            let start = |evidence: Evidence| evidence.starts.into_iter().find(|start| is_of(start, container));
            Ok(evidence.and_then(start).filter(Start::is_whole))
        });
        if known.is_err() {
            println!("corpus: {container} is done again: the daemon does not know all of it");
            *unread += 1;
            ensure!(
                *unread <= UNREAD,
                "{container}: what it ran under is unread; the daemon: {}",
                self.stage.auditor.log()
            );
        }
        Ok(known.is_ok())
    }

    /// What the daemon has of the workload of a container, under that one's profile.
    fn evidence_of(&self, container: &str) -> Result<Evidence> {
        let request = Request::Suggest { container: container.to_owned(), profile: None };
        let answer = control::call(&self.stage.auditor.socket(), &request, PATIENCE)?;
        let Response::Material(material) = answer else { bail!("the daemon answered another question") };
        Ok(material.evidence)
    }

    /// What is promised of the suggestion, and the option that puts a container under it.
    fn suggest(&self, files: &Path) -> Result<(Promise, String)> {
        let container = self.learnt.last().context("nothing was recorded")?;
        let (suggestion, notes) = self.stage.auditor.suggest(container)?;
        ensure!(!notes.is_empty(), "the suggestion does not say what it rests on");
        let (said, _) = self.stage.auditor.run(&["suggest", "--output=json", container])?;
        let said: Value = serde_json::from_str(&said).context("parsing auditor suggest")?;
        let starts = &said[0]["certainty"]["estimate"]["starts"];
        ensure!(*starts == self.recorded, "made from {starts} starts, and {} were recorded", self.recorded);
        let option = profile::option(&suggestion, files, &format!("{}-{}", self.program.name, self.recorded))?;
        Ok((Promise::of(&said[0])?, option))
    }

    /// Runs a half under the engine's own profile, where it must succeed; gives the container and how long it took.
    fn must_work(&self, role: &str, half: Half) -> Result<(String, Duration)> {
        let name = self.name(role);
        let ran = self.run(&name, &[], half, LONG)?;
        ensure!(ran.worked, "{name}, under the engine's own profile: {}", ran.end);
        Ok((name, ran.took))
    }

    fn run(&self, name: &str, options: &[&str], half: Half, limit: Duration) -> Result<Ran> {
        let line = self.program.line(half);
        let line: Vec<&str> = [self.image].into_iter().chain(line.iter().map(String::as_str)).collect();
        run(&self.stage.engine, name, options, &line, limit)
    }

    fn shown(&self, container: &str) -> Result<Shown> {
        Shown::of(&self.settled(container)?)
    }

    /// Where several programs work at a time the engine may be late with what it tells the daemon.
    fn settled(&self, container: &str) -> Result<Value> {
        let settled = || self.stage.auditor.settled(container);
        wait_for("a container to settle", PATIENCE, || Ok(settled().ok())).or_else(|_| settled())
    }

    /// Starts of a half under a suggestion, and what that allows.
    fn confined(&self, half: Half, option: &str, starts: u32, limit: Duration) -> Result<(Vec<Tried>, BTreeSet<Call>)> {
        let mut tried = Vec::new();
        let mut allowed = BTreeSet::new();
        for number in 1..=starts {
            let name = self.name(&format!("{}-{}-{number}", half.as_str(), self.recorded));
            let Ran { started, worked, end, .. } = self.run(&name, &[option], half, limit)?;
            let mut this = Tried { name: name.clone(), started, worked, end, ..Tried::default() };
            if started {
                let settled = self.settled(&name)?;
                ensure!(settled["profile"]["kind"] == "custom", "{name} runs under {}", settled["profile"]);
                let shown = Shown::of(&settled)?;
                this.refused = shown.denied;
                // Where a refusal ends the program at once the daemon may not have read the profile in time. What was
                // refused is counted all the same; what was called and what the profile allows other starts tell.
                if let Ok(evidence) = self.evidence_of(&name) {
                    let start = evidence.starts.iter().find(|start| is_of(start, &name));
                    this.made = start.with_context(|| format!("no start of {name}"))?.made().collect();
                    allowed = shown.allowed;
                }
            }
            tried.push(this);
        }
        Ok((tried, allowed))
    }

    /// The first half under `strace -f -c`: which calls it saw, and how its numbers are to those that were counted.
    fn strace(&self) -> Result<(BTreeSet<String>, strace::Compared)> {
        let files = tempfile::tempdir().context("making a directory for strace")?;
        let mut gate = Gate::new(files.path())?;
        let (name, engine) = (self.name("strace"), &self.stage.engine);
        let line = self.program.line_after(Gate::WAIT, Half::First);
        let mut create = vec!["create", "--name", &name];
        let option = gate.option();
        create.extend([option.as_str(), self.image]);
        create.extend(line.iter().map(String::as_str));
        engine.client(create)?;
        let mut tracer = None;
        let ran = run_with(engine, &name, LONG, || {
            let pid = engine.inspect(&name)?["State"]["Pid"].as_i64().context("no process in docker inspect")?;
            tracer = Some(gate.trace(pid)?);
            Ok(())
        })?;
        ensure!(ran.worked, "{name}, under strace: {}", ran.end);
        let traced = tracer.context("no strace")?.finish()?;
        self.settled(&name)?;
        let evidence = self.evidence_of(&name)?;
        let start = evidence.starts.first().with_context(|| format!("no start of {name}"))?;
        let compared = strace::compare(&traced, &asked_by_program(start));
        Ok((traced.into_keys().collect(), compared))
    }

    /// The package that has the program, and its version.
    fn version(&self) -> Result<String> {
        let query = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package} ${Version}\n"];
        let query = [&query[..], &[self.program.package]].concat();
        let output = match self.program.room {
            // The image has this machine's.
            Room::Busybox => std::process::Command::new(query[0]).args(&query[1..]).output().context("running dpkg")?,
            Room::Small | Room::Large => {
                self.stage.engine.output([&["run", "--rm", self.image], &query[..]].concat())?
            }
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let installed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ii  ")).collect();
        let [version] = installed[..] else { bail!("not one package {}: {text}", self.program.package) };
        Ok(version.to_owned())
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

fn whole(evidence: &Evidence) -> u32 {
    evidence.starts.iter().filter(|start| start.is_whole()).map(|_| 1).sum()
}

fn is_of(start: &Start, container: &str) -> bool {
    start.name.as_deref() == Some(container)
}
