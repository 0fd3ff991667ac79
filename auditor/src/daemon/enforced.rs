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
    /// The filters of all its tasks, at the latest look; why not, where the look failed.
    pub effective: Option<Result<Effective, String>>,
    /// Threads that had no filter at that look, and since when they were seen to have none.
    bare: BTreeMap<u32, Instant>,
    /// Those of them that may be the runtime's own process, which has none for a moment when it enters the container.
    passing: BTreeSet<u32>,
}

impl Enforced {
    /// Nothing told.
    pub const fn none() -> Self {
        Self { seccomp: None, always_allowed: None, effective: None, bare: BTreeMap::new(), passing: BTreeSet::new() }
    }

    /// Takes the filters of all tasks. One without any is believed to have none when it is seen again some time later.
    /// Returns whether there are such to be seen again.
    pub fn looked(&mut self, effective: Effective, being_set_up: bool) -> bool {
        let now = Instant::now();
        let bare = effective.stacks.iter().filter(|stack| stack.is_bare()).flat_map(|stack| &stack.tasks);
        let since = |task: &Task| (task.tid, self.bare.get(&task.tid).copied().unwrap_or(now));
        self.bare = bare.map(since).collect();
        let is_new = |since: &Instant| being_set_up || now.duration_since(*since) < SET_UP;
        self.passing = self.bare.iter().filter(|(_, since)| is_new(since)).map(|(tid, _)| *tid).collect();
        self.effective = Some(Ok(effective));
        !self.passing.is_empty()
    }

    /// The look failed: what was seen before is not how it is now.
    pub fn look_failed(&mut self, why: &str) {
        self.effective = Some(Err(why.to_owned()));
    }

    /// It has no tasks any more.
    pub fn ended(&mut self) {
        self.effective = None;
        self.bare.clear();
        self.passing.clear();
    }

    /// The filters of its tasks, where they are known.
    pub fn seen(&self) -> Option<&Effective> {
        self.effective.as_ref()?.as_ref().ok()
    }

    /// What is to be compared: without tasks that may have no filter for a moment only.
    fn settled(&self) -> Result<Option<Effective>, &str> {
        let mut effective = match &self.effective {
            None => return Ok(None),
            Some(Err(why)) => return Err(why),
            Some(Ok(effective)) => effective.clone(),
        };
        for stack in effective.stacks.iter_mut().filter(|stack| stack.is_bare()) {
            stack.tasks.retain(|task| !self.passing.contains(&task.tid));
        }
        effective.stacks.retain(|stack| !stack.tasks.is_empty());
        Ok(Some(effective))
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
            matches_declared: match comparison.matches {
                // What will not be known is unknown; what is not known yet may be known in part.
                None if comparison.pending => self.matches_as_far_as_seen(declared, mode),
                matches => matches,
            },
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
    let effective = enforced.settled();
    effective::compare(
        &Asked {
            declared,
            effective: effective.as_ref().map(Option::as_ref).map_err(|why| *why),
            foreign_abis: &known.foreign_abis,
            default_changed: known.default_changed,
        },
        differ,
    )
}
