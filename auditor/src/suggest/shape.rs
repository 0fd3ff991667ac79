//! Taking names out of a profile: what must stay, and what a rule looks like afterwards.

use std::collections::BTreeSet;

use super::Request;
use crate::audit;
use crate::counters::Counters;
use crate::filter::Outcome;
use crate::profile::{Action, Arch, Entry, Policy, Profile, Rule, Verdict, door, doors};
use crate::syscall::{self, Abi, SyscallNr, display_name, known_name};

/// ENOSYS: to `clone3` it makes the C library fall back to `clone`, whose flags a filter can see.
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;
const CLONE3: &str = "clone3";

/// What was seen, and what follows from it.
pub(super) struct Seen {
    /// Calls that reached the kernel and that the active profile does not deny.
    pub(super) calls: BTreeSet<(Abi, SyscallNr)>,
    /// Names that must keep the rules they have.
    names: BTreeSet<String>,
    /// ABIs by which anything was called, denied calls included.
    abis: BTreeSet<Abi>,
    /// What the given base denies.
    pub(super) left_out: Vec<String>,
    /// What people should know.
    pub(super) notes: Vec<String>,
}

impl Seen {
    /// `active` is what the suggestion starts from; `confined` is whether what was counted had a filter.
    pub(super) fn of(request: &Request<'_>, counters: &Counters, active: &Policy, confined: bool) -> Self {
        let native = request.host.native;
        let mut seen = Self {
            calls: BTreeSet::new(),
            names: BTreeSet::new(),
            abis: BTreeSet::from([native]),
            left_out: Vec::new(),
            notes: Vec::new(),
        };
        let confined = Some(confined);
        for (&(abi, nr), tally) in &counters.tallies {
            let used = audit::is_used(tally, confined);
            if used || tally.denials.certain() > 0 || tally.denials.supervised > 0 {
                seen.abis.insert(abi);
            }
            if used {
                seen.take(request, active, abi, nr);
            }
        }
        if !seen.calls.is_empty() {
            let floor = request.floor.calls.iter().filter(|name| {
                syscall::number(native, name)
                    .is_some_and(|nr| !matches!(active.verdict(native, nr), Verdict::Denied(_)))
            });
            seen.names.extend(floor.map(|name| (*name).to_owned()));
        }
        seen.abis.retain(|abi| active.contains(*abi));
        seen.keep_guarded_doors(active);
        seen
    }

    /// Takes in what nobody was seen to call; the profile lets it through.
    pub(super) fn admit(&mut self, request: &Request<'_>, active: &Policy, calls: &BTreeSet<(Abi, SyscallNr)>) {
        for &(abi, nr) in calls {
            self.abis.insert(abi);
            self.names.extend(known_name(abi, nr).map(str::to_owned));
            if !matches!(active.verdict(abi, nr), Verdict::Denied(_)) {
                self.calls.insert((abi, nr));
            }
            self.keep_what_opens(request, active, abi, nr);
        }
        self.keep_guarded_doors(active);
    }

    fn take(&mut self, request: &Request<'_>, active: &Policy, abi: Abi, nr: SyscallNr) {
        let Some(name) = known_name(abi, nr) else {
            self.notes.push(format!(
                "{} ({abi}) was called and has no name that a profile could use; it is left out",
                display_name(abi, nr)
            ));
            return;
        };
        if matches!(active.verdict(abi, nr), Verdict::Denied(_)) {
            if request.options.base.is_some() {
                self.left_out.push(format!("{name} ({abi})"));
            } else {
                self.notes.push(format!("{name} ({abi}) ran although the active profile denies it; it is left out"));
            }
            return;
        }
        self.calls.insert((abi, nr));
        self.names.insert(name.to_owned());
        self.keep_what_opens(request, active, abi, nr);
    }

    /// What comes through a multiplexed call is ruled by the names behind it as well, unless a rule for the call
    /// itself opens it for all of them.
    fn keep_what_opens(&mut self, request: &Request<'_>, active: &Policy, abi: Abi, nr: SyscallNr) {
        let Some(profile) = request.profile.filter(|_| doors(abi).contains(&nr)) else { return };
        let is_behind = |name: &&str| door(abi, name).is_some_and(|(door, _)| door == nr);
        if profile.default_action.passes() {
            let every = Abi::ALL.into_iter().flat_map(syscall::all).map(|(_, name)| name);
            self.names.extend(every.filter(is_behind).map(str::to_owned));
        } else if matches!(*active.entry(abi, nr), Entry::Chains(_)) {
            let named = profile.rules.iter().flat_map(|rule| rule.names.iter().map(String::as_str));
            self.names.extend(named.filter(is_behind).map(str::to_owned));
        }
    }

    /// A rule for a multiplexed call as such that does more than allow overrides what the names behind it say. Where
    /// one of those stays, it must stay too, or their rules would come into force.
    fn keep_guarded_doors(&mut self, active: &Policy) {
        for (abi, nr) in self.abis.iter().flat_map(|abi| doors(*abi).iter().map(|nr| (*abi, *nr))) {
            let guarded = matches!(*active.entry(abi, nr), Entry::Always(outcome) if outcome != Outcome::ALLOW);
            let leads_there = self.names.iter().any(|name| door(abi, name).is_some_and(|(door, _)| door == nr));
            if guarded && leads_there {
                self.names.extend(known_name(abi, nr).map(str::to_owned));
            }
        }
    }
}

/// The profile without the names that nobody needs.
pub(super) fn shrink(request: &Request<'_>, active: &Policy, seen: &mut Seen) -> Profile {
    let mut profile = match request.profile {
        None => from_nothing(seen),
        Some(profile) if profile.default_action.denies() => restrict(profile, active, seen),
        Some(profile) => invert(profile, active, seen),
    };
    // A native ABI that the profile leaves out is in the filter all the same. It stays left out: named, it gets an
    // ENOSYS stub from runc before 1.1.15, and with it other errnos.
    let native = Arch::of(request.host.native);
    let names_native = request.profile.is_none_or(|profile| profile.architectures.contains(&native));
    let seen_arches =
        std::iter::once(native).chain(seen.abis.iter().map(|abi| Arch::of(*abi)).filter(|a| *a != native));
    profile.architectures = seen_arches.filter(|arch| names_native || *arch != native).collect();
    if request.profile.is_some() {
        keep_the_stub_where_it_was(request, active, seen, &mut profile);
    }
    profile
}

/// For a container without a filter: Docker's shape, and every name that was seen.
fn from_nothing(seen: &Seen) -> Profile {
    let mut rules = vec![allow(seen.names.iter().cloned().collect())];
    if !seen.names.contains(CLONE3) {
        rules.push(without_clone3());
    }
    Profile {
        default_action: Action::Errno,
        default_errno: Some(EPERM),
        architectures: Vec::new(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        rules,
    }
}

fn without_clone3() -> Rule {
    Rule { names: vec![CLONE3.to_owned()], action: Action::Errno, errno: Some(ENOSYS), args: Vec::new() }
}

fn allow(names: Vec<String>) -> Rule {
    Rule { names, action: Action::Allow, errno: None, args: Vec::new() }
}

/// For a profile that denies what it does not name. Rules that deny stay whole: their errnos are part of what
/// programs rely on. A `clone3` that the profile let through, as Docker's does for who has `SYS_ADMIN`, and that was not seen
/// gets ENOSYS, or programs of a newer C library could not fall back.
fn restrict(profile: &Profile, active: &Policy, seen: &Seen) -> Profile {
    let mut small = profile.clone();
    for rule in &mut small.rules {
        if !rule.action.denies() {
            rule.names.retain(|name| seen.names.contains(name));
        }
    }
    small.rules.retain(|rule| !rule.names.is_empty());
    let was_open = |abi: Abi| {
        let nr = syscall::number(abi, CLONE3);
        nr.is_none_or(|nr| !matches!(active.verdict(abi, nr), Verdict::Denied(_)))
    };
    // A refusal of the profile's own for some flags is a rule that stays, and answers as it did.
    let is_named = |rule: &Rule| rule.names.iter().any(|name| name == CLONE3);
    let has_enosys = (small.default_action, small.default_errno) == (Action::Errno, Some(ENOSYS));
    if seen.abis.iter().all(|abi| was_open(*abi)) && !small.rules.iter().any(is_named) && !has_enosys {
        small.rules.push(without_clone3());
    }
    small
}

/// For a profile that allows what it does not name: it stays, and every call of the tables that it allows and nobody
/// used is denied in so many words. Calls that no table knows stay allowed.
fn invert(profile: &Profile, active: &Policy, seen: &Seen) -> Profile {
    let mut small = profile.clone();
    let seen_names = &seen.names;
    let unseen: BTreeSet<&str> = seen
        .abis
        .iter()
        .flat_map(|abi| syscall::all(*abi).map(move |(nr, name)| (*abi, nr, name)))
        .filter(|(abi, nr, _)| !matches!(active.verdict(*abi, *nr), Verdict::Denied(_)))
        .map(|(_, _, name)| name)
        .filter(|name| !seen_names.contains(*name))
        .collect();
    for rule in &mut small.rules {
        rule.names.retain(|name| !unseen.contains(name.as_str()));
    }
    small.rules.retain(|rule| !rule.names.is_empty());
    let (clone3, names): (Vec<_>, Vec<_>) = unseen.into_iter().map(str::to_owned).partition(|name| name == CLONE3);
    for (names, errno) in [(names, EPERM), (clone3, ENOSYS)] {
        if !names.is_empty() {
            small.rules.push(Rule { names, action: Action::Errno, errno: Some(errno), args: Vec::new() });
        }
    }
    small
}

/// runc answers ENOSYS to every number above the highest one that a profile names. With fewer names that would change
/// the errno of calls between the two; so the highest one stays named, with the default action, which denies it and
/// is no rule of the filter.
fn keep_the_stub_where_it_was(request: &Request<'_>, active: &Policy, seen: &mut Seen, small: &mut Profile) {
    let policy = small.evaluate(request.host);
    let mut names = BTreeSet::new();
    for &abi in &seen.abis {
        let Some(highest) = active.stub_above(abi) else { continue };
        if policy.stub_above(abi) != Some(highest)
            && let Some(name) = known_name(abi, highest)
        {
            names.insert(name.to_owned());
        }
    }
    if !names.is_empty() {
        let names: Vec<_> = names.into_iter().collect();
        seen.notes.push(format!(
            "{} named, as denied, so that newer calls keep the errno they have",
            match names.as_slice() {
                [name] => format!("{name} was not used and stays"),
                names => format!("{} were not used and stay", names.join(", ")),
            }
        ));
        small.rules.push(Rule { names, action: small.default_action, errno: small.default_errno, args: Vec::new() });
    }
}
