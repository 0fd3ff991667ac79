//! What became of one program, and whether that is what was promised.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Program;
use super::confined::Confined;
use super::strace::Compared;

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
    pub fn of(said: &Value) -> Result<Self> {
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

/// A suggestion, and the recorded half again under it.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Recorded starts that it was made from.
    pub recorded: u32,
    /// What is said of it.
    pub promise: Promise,
    /// What a recorded start called and it does not allow: nothing.
    pub left_out: Vec<String>,
    /// The starts under it.
    pub first: Confined,
}

/// What became of a program.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which.
    pub program: &'static Program,
    /// Its package and that one's version.
    pub version: String,
    /// The last suggestion and its starts.
    pub last: Round,
    /// Those before it, each from fewer recorded starts: some start under it needed what none of these had called.
    pub earlier: Vec<Round>,
    /// Calls allowed, always or for some arguments, under the engine's default profile.
    pub before: usize,
    /// The same under the last suggestion.
    pub after: usize,
    /// The other half, under the last suggestion.
    pub second: Confined,
    /// Calls that the other half makes under the default profile and the suggestion has not.
    pub beyond: String,
    /// The first half under strace.
    pub strace: Compared,
    /// Calls of the recorded starts that strace does not show, and that the runtime makes between the filter and the
    /// program.
    pub runtime: String,
    /// The other ones that it does not show.
    pub untraced: String,
}

impl Outcome {
    /// One suggestion after the other.
    pub fn rounds(&self) -> impl Iterator<Item = &Round> {
        self.earlier.iter().chain([&self.last])
    }

    /// The promises that were broken: one line each.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let name = self.program.name;
        let mut broken = Vec::new();
        for round in self.rounds() {
            if !round.left_out.is_empty() {
                broken.push(format!("{name}: recorded, and not in the suggestion: {}", round.left_out.join(", ")));
            }
            broken.extend(round.first.broken.iter().cloned());
        }
        broken.extend(self.second.broken.iter().cloned());
        let Round { recorded, first, .. } = &self.last;
        if !first.is_clean() {
            broken.push(format!(
                "{name}: of {} starts under a suggestion from {recorded} recorded ones {} worked, and {} were refused \
                 what none of these had called: {}",
                first.starts,
                first.worked,
                first.refused,
                super::calls::names(first.calls.keys())
            ));
        }
        if self.after * 2 >= self.before {
            broken.push(format!("{name}: {} of {} calls are still allowed", self.after, self.before));
        }
        if !self.strace.missed.is_empty() {
            broken.push(format!("{name}: strace saw what was not counted: {}", self.strace.missed.join(", ")));
        }
        broken
    }
}
