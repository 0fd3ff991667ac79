//! What an allowance exposes, by what others have published: one wants to know what a smaller profile buys.
//!
//! Two sources, neither of them ours. systemd sorts calls into groups, and `systemd-analyze security` weighs the groups by
//! how much a service is exposed that may use them. Docker lists the significant calls that its default profile blocks,
//! with the reason for each. Threat levels of single calls have been published for UNIX of 2002 (Bernaschi, Gabrielli
//! and Mancini, ACM TISSEC 5), but not since, and most of what a container should not have is younger.

mod table;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::table::{DOCKER, HEAVY, LIGHT};
use crate::profile::{Policy, Verdict};
use crate::syscall::{self, Abi};

/// Where the levels come from, for people.
pub const CLASSIFICATION: &str =
    "systemd's groups as systemd-analyze security weighs them, and Docker's list of significant calls";

/// Calls that a line has at most.
const LISTED: usize = 16;

/// How much a call exposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Docker lists it, or it is in a group that systemd weighs most.
    High,
    /// It is in a group that systemd weighs less.
    Medium,
    /// Neither says anything about it.
    Low,
}

/// A call, and what it exposes. The order is that of the ranking: the most dangerous first, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ExposedCall {
    /// How much.
    pub exposure: Level,
    /// The kernel's name.
    pub name: &'static str,
    /// systemd's groups that weigh anything.
    pub groups: Vec<&'static str>,
    /// Docker lists it.
    pub listed_by_docker: bool,
}

/// What a smaller profile buys: calls of the native ABI that are let through, always or for some arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Exposure {
    /// By the active profile and no longer by the smaller one, ranked.
    pub taken_away: Vec<ExposedCall>,
    /// By the smaller one still, but for those that expose little, ranked.
    pub kept: Vec<ExposedCall>,
}

impl ExposedCall {
    /// Of a call.
    #[must_use]
    pub fn of(name: &'static str) -> Self {
        let groups = |table: &[(&'static str, &str)]| -> Vec<&'static str> {
            table.iter().filter(|(_, calls)| is_in(calls, name)).map(|(group, _)| *group).collect()
        };
        let (heavy, light) = (groups(HEAVY), groups(LIGHT));
        let listed_by_docker = is_in(DOCKER, name);
        let exposure = match (heavy.is_empty() && !listed_by_docker, light.is_empty()) {
            (false, _) => Level::High,
            (true, false) => Level::Medium,
            (true, true) => Level::Low,
        };
        Self { exposure, name, groups: [heavy, light].concat(), listed_by_docker }
    }

    /// `ptrace (@debug, Docker)`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut by = self.groups.clone();
        by.extend(self.listed_by_docker.then_some("Docker"));
        if by.is_empty() { self.name.to_owned() } else { format!("{} ({})", self.name, by.join(", ")) }
    }
}

fn is_in(calls: &str, name: &str) -> bool {
    calls.split_ascii_whitespace().any(|call| call == name)
}

impl Exposure {
    /// Of one profile in the place of another.
    #[must_use]
    pub fn of(active: &Policy, small: &Policy) -> Self {
        let (before, after) = (let_through(active), let_through(small));
        let mut kept: Vec<ExposedCall> = after.iter().map(|name| ExposedCall::of(name)).collect();
        kept.retain(|call| call.exposure < Level::Low);
        let mut taken_away: Vec<ExposedCall> = before.difference(&after).map(|name| ExposedCall::of(name)).collect();
        kept.sort();
        taken_away.sort();
        Self { taken_away, kept }
    }

    /// For people: one line each, without a full stop.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let of = |level: Level| self.taken_away.iter().filter(move |call| call.exposure == level);
        let (high, medium) = (of(Level::High).count(), of(Level::Medium).count());
        let mut lines = vec![format!(
            "takes away {} of the calls that were let through: {high} of them expose much, {medium} some \
             (by {CLASSIFICATION})",
            self.taken_away.len()
        )];
        let list = |calls: Vec<&ExposedCall>| {
            let more = calls.len().saturating_sub(LISTED);
            let mut words: Vec<String> = calls.into_iter().take(LISTED).map(ExposedCall::in_words).collect();
            words.extend((more > 0).then(|| format!("{more} more (-o json has them all)")));
            words.join(", ")
        };
        if high > 0 {
            lines.push(format!("taken away, exposing much: {}", list(of(Level::High).collect())));
        }
        let kept: Vec<_> = self.kept.iter().filter(|call| call.exposure == Level::High).collect();
        if !kept.is_empty() {
            lines.push(format!("stays, exposing much: {}", list(kept)));
        }
        lines
    }
}

/// The names of the native ABI that a policy lets through, always or for some arguments.
fn let_through(policy: &Policy) -> BTreeSet<&'static str> {
    let native: Abi = policy.native();
    syscall::all(native)
        .filter(|(nr, _)| !matches!(policy.verdict(native, *nr), Verdict::Denied(_)))
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_the_worst_that_is_published() {
        for (name, exposure, groups, listed_by_docker) in [
            ("ptrace", Level::High, &["@debug"][..], true),
            ("pidfd_getfd", Level::High, &["@debug"], false),
            ("bpf", Level::High, &["@privileged"], true),
            ("chroot", Level::High, &["@mount", "@privileged"], false),
            ("keyctl", Level::High, &[], true),
            ("io_uring_setup", Level::High, &[], true),
            ("setuid", Level::Medium, &["@privileged"], false),
            ("sched_setaffinity", Level::Medium, &["@resources"], false),
            ("clone", Level::Low, &[], false),
            ("read", Level::Low, &[], false),
        ] {
            let groups = groups.to_vec();
            assert_eq!(ExposedCall::of(name), ExposedCall { exposure, name, groups, listed_by_docker });
        }
    }

    #[test]
    fn the_tables_name_calls_that_there_are() {
        let names = HEAVY.iter().chain(LIGHT).flat_map(|(_, calls)| calls.split(' ')).chain(DOCKER.split(' '));
        let unknown: Vec<_> = names.filter(|name| !syscall::is_known(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn the_most_dangerous_comes_first() {
        let mut calls = ["write", "setuid", "ptrace", "acct", "read"].map(ExposedCall::of);
        calls.sort();
        assert_eq!(calls.map(|call| call.name), ["acct", "ptrace", "setuid", "read", "write"]);
    }
}
