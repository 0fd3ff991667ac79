//! What the kernel enforces on one container, as far as was seen, and how that compares with its declared profile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::profile::Declared;
use crate::docker::{Container, SeccompOpt};
use crate::effective::{self, Asked, Comparison, Differences, Effective, Task};
use crate::filter::Program;
use crate::kernel::AlwaysAllowed;
use crate::procfs::{SeccompMode, SeccompStatus};
use crate::profile::Policy;
use crate::report::reason;
use crate::report::view::{EffectiveMode, EffectiveView, ProfileKind, ProfileView};
use crate::syscall::Abi;

/// How long a task is without a filter before it is believed to have none.
const SET_UP: Duration = Duration::from_millis(500);

/// Everything that the kernel told.
#[derive(Debug)]
pub struct Enforced {
    /// What `/proc` says about its first process.
    pub seccomp: Option<SeccompStatus>,
    /// The kernel's bitmaps of its first filter.
    pub always_allowed: Option<AlwaysAllowed>,
    /// The filters of all its tasks, at the latest look.
    pub effective: Option<Effective>,
    /// Threads that had no filter at that look, and since when they were seen to have none.
    bare: BTreeMap<u32, Instant>,
}

impl Enforced {
    /// Nothing told.
    pub const fn none() -> Self {
        Self { seccomp: None, always_allowed: None, effective: None, bare: BTreeMap::new() }
    }

    /// Takes the filters of all tasks. One without any is believed when it is seen a second time: the runtime's own
    /// process has none for a moment, when it enters the container. Returns whether there are such now.
    pub fn looked(&mut self, mut effective: Effective, being_set_up: bool) -> bool {
        let mut unsettled = false;
        let now = Instant::now();
        let mut bare = BTreeMap::new();
        for stack in effective.stacks.iter_mut().filter(|stack| stack.is_bare()) {
            let since = |task: &Task| (task.tid, self.bare.get(&task.tid).copied().unwrap_or(now));
            bare.extend(stack.tasks.iter().map(since));
            let tasks = stack.tasks.len();
            stack.tasks.retain(|task| {
                !being_set_up && self.bare.get(&task.tid).is_some_and(|since| now.duration_since(*since) >= SET_UP)
            });
            unsettled |= stack.tasks.len() < tasks;
        }
        effective.stacks.retain(|stack| !stack.tasks.is_empty());
        self.bare = bare;
        self.effective = Some(effective);
        unsettled
    }

    /// The kernel's word goes before everything else; a filter seen on its tasks is one too.
    pub fn mode(&self) -> EffectiveMode {
        match self.seccomp.as_ref().map(|status| status.mode) {
            Some(SeccompMode::Filter | SeccompMode::Strict) => EffectiveMode::Filter,
            Some(SeccompMode::Disabled) => EffectiveMode::None,
            None if self.always_allowed.is_some() => EffectiveMode::Filter,
            None => EffectiveMode::Unknown,
        }
    }

    fn filter_count(&self) -> Option<u32> {
        let told = self.seccomp.as_ref().and_then(|status| status.filters);
        told.or_else(|| self.always_allowed.as_ref().map(|filter| filter.filters))
    }

    /// What people are told, in short.
    pub fn view(&self, comparison: &Comparison, declared: &Declared) -> EffectiveView {
        let mode = self.mode();
        EffectiveView {
            mode,
            filters: self.filter_count(),
            matches_declared: comparison.matches.or_else(|| self.matches_as_far_as_seen(declared, mode)),
            reasons: reason::views(comparison),
        }
    }

    /// The same, from less: that there is a filter, or none; and which calls it always allows, where the bitmap is that
    /// of the one filter and not of others stacked on it.
    fn matches_as_far_as_seen(&self, declared: &Declared, mode: EffectiveMode) -> Option<bool> {
        match (declared, mode) {
            (_, EffectiveMode::Unknown) | (Declared::Unread | Declared::Unreadable, _) => None,
            (Declared::NoProfile, EffectiveMode::None) => Some(true),
            (Declared::NoProfile, EffectiveMode::Filter) | (Declared::Profile(_), EffectiveMode::None) => Some(false),
            (Declared::Profile(active), EffectiveMode::Filter) => {
                let kernel = self.always_allowed.as_ref().filter(|kernel| kernel.filters == 1)?;
                Some(active.matches(kernel))
            }
        }
    }
}

/// What is known of a container beside its filters.
pub struct Known<'a> {
    pub container: Option<&'a Container>,
    pub declared: &'a Declared,
    pub profile: &'a ProfileView,
    pub foreign_abis: BTreeSet<Abi>,
    pub default_changed: bool,
}

/// Holds a container's filters against its declared profile.
pub fn compare(
    enforced: &Enforced,
    known: &Known<'_>,
    differ: impl FnMut(&Policy, &Program) -> Differences,
) -> Comparison {
    let declared = match known.declared {
        Declared::Unread | Declared::Unreadable => effective::Declared::Unknown,
        Declared::Profile(active) => effective::Declared::Profile(&active.policy),
        Declared::NoProfile if known.profile.kind == ProfileKind::Privileged => effective::Declared::Privileged {
            profile_given: known
                .container
                .and_then(Container::seccomp_opt)
                .is_some_and(|asked| matches!(asked, SeccompOpt::Profile(_) | SeccompOpt::Builtin)),
        },
        Declared::NoProfile => effective::Declared::Nothing,
    };
    effective::compare(
        &Asked {
            declared,
            effective: enforced.effective.as_ref(),
            foreign_abis: &known.foreign_abis,
            default_changed: known.default_changed,
        },
        differ,
    )
}
