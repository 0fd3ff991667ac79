//! What makes it a success.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use auditor::cgroupfs::Root;

use super::{Done, Plan, Sample};
use crate::auditord::Auditor;
use crate::process::wait_for;

/// All that was seen.
#[derive(Debug)]
pub struct Report {
    /// What was to be done.
    pub plan: Plan,
    /// Kernel and engine.
    pub place: String,
    /// While containers came and went.
    pub samples: Vec<Sample>,
    /// Before the first came.
    pub before: Idle,
    /// After the last went.
    pub after: Idle,
    /// Containers of ours that were not counted from the first call to the last.
    pub incomplete: Vec<String>,
    /// What was done.
    pub done: Done,
}

/// The daemon when nobody asks it anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// Open file descriptors.
    pub fds: u64,
    /// Threads.
    pub threads: u64,
    /// Slots that somebody has beyond the containers' cgroups that this machine has, of whatever engine.
    pub slots_too_many: i64,
}

/// How long it may take to get there.
const PATIENCE: Duration = Duration::from_secs(60);

impl Idle {
    /// Waits until the daemon is idle: with exactly the containers that there are, and as many descriptors as it had
    /// before. What it has in the end, whether or not that is so.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn reach(auditor: &Auditor, before: Option<&Self>) -> Result<Self> {
        let mut last = Self { fds: 0, threads: 0, slots_too_many: 0 };
        let mut unchanged = 0;
        let reached = wait_for("an idle daemon", PATIENCE, || {
            std::thread::sleep(Duration::from_millis(500));
            let now = Self::look(auditor)?;
            unchanged = if now == last { unchanged + 1 } else { 0 };
            last = now;
            let as_before = before.is_none_or(|before| now.is_as(before));
            let settled = before.is_some() || unchanged >= 10;
            Ok((as_before && settled && now.slots_too_many == 0).then_some(()))
        });
        // Too late is for the verdict to say.
        drop(reached);
        Ok(last)
    }

    fn look(auditor: &Auditor) -> Result<Self> {
        let sample = Sample::take(auditor, Duration::ZERO)?;
        let walk = Root::find(None).context("looking for cgroups")?.containers().context("looking for cgroups")?;
        let there = i64::try_from(walk.containers.len())?;
        let slots_too_many = i64::try_from(sample.slots)? - there;
        Ok(Self { fds: sample.fds, threads: sample.threads, slots_too_many })
    }

    /// As many descriptors as before, and no slot too many. Threads that wait for work are ended as time goes by.
    const fn is_as(&self, before: &Self) -> bool {
        self.fds == before.fds && self.slots_too_many == 0
    }
}

/// Containers with names, which are ours, that were not counted from the first call to the last.
///
/// # Errors
/// When the daemon does not answer.
pub fn incomplete(auditor: &Auditor) -> Result<Vec<String>> {
    let all = auditor.ps()?;
    let ours = all.iter().filter(|container| container["name"].is_string());
    let broken = ours.filter(|container| container["window"]["complete"] != true || container["window"]["lost"] != 0);
    Ok(broken.map(ToString::to_string).collect())
}

/// How much more there may be in the last quarter than in the second: a tenth.
const TOLERANCE: f64 = 1.1;
/// And so much more whatever there was, for what comes in small numbers.
const SLACK: f64 = 8.0;

/// One number over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Of what.
    pub name: String,
    /// The most of the second quarter.
    pub second: u64,
    /// The most of the last quarter.
    pub last: u64,
    /// Whether it stays where it was.
    pub is_flat: bool,
}

/// How each number went, from the second quarter, when it had warmed up, to the last.
#[must_use]
pub fn courses(samples: &[Sample]) -> Vec<Course> {
    let quarter = samples.len() / 4;
    let course = |name: &str, number: &dyn Fn(&Sample) -> u64| {
        let most = |part: &[Sample]| part.iter().map(number).max().unwrap_or(0);
        let second = most(samples.get(quarter..2 * quarter).unwrap_or_default());
        let last = most(samples.get(samples.len() - quarter..).unwrap_or_default());
        let is_flat = last as f64 <= (second as f64 * TOLERANCE).max(second as f64 + SLACK);
        Course { name: name.to_owned(), second, last, is_flat }
    };
    let mut all = vec![
        course("memory (kB)", &|sample| sample.rss),
        course("descriptors", &|sample| sample.fds),
        course("threads", &|sample| sample.threads),
        course("slots", &|sample| sample.slots),
        course("containers known", &|sample| sample.known),
        course("series", &|sample| sample.series),
    ];
    let maps: BTreeSet<&String> = samples.iter().flat_map(|sample| sample.entries.keys()).collect();
    for map in maps {
        all.push(course(&format!("entries of {map}"), &|sample| sample.entries.get(map).copied().unwrap_or(0)));
    }
    all
}

impl Report {
    /// What is wrong, one line each; nothing: it is a success. Whether numbers are flat can be told of a long one only.
    #[must_use]
    pub fn faults(&self, is_long: bool) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.after.is_as(&self.before) {
            faults.push(format!("idle before: {:?}; idle after: {:?}", self.before, self.after));
        }
        faults.extend(self.incomplete.iter().map(|container| format!("not counted completely: {container}")));
        let grown = courses(&self.samples).into_iter().filter(|course| is_long && !course.is_flat);
        faults.extend(grown.map(|course| format!("{} grew from {} to {}", course.name, course.second, course.last)));
        faults
    }
}
