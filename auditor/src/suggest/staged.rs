//! The staged way in: what a smaller profile would refuse is let through and logged, as long as the active one lets it
//! through.
//!
//! For each name the rules of both profiles are put together: the smaller one's first, then the active one's with LOG for
//! ALLOW. libseccomp tries rules in an order of its own, so what comes of it is held against what it should do, as a
//! function of all arguments. Where no order does it, the call stays as in the active profile, and that is told.

use std::collections::{BTreeMap, BTreeSet};

use super::{Allowance, SuggestError};
use crate::filter::{Comparison, Diagram, Diagrams, Outcome, Test};
use crate::profile::{
    Action, Arch, ArgCondition, Entry, HostArch, Operator, Policy, Profile, Rule, Undetermined, door, doors, reach,
};
use crate::syscall::{self, Abi, SyscallNr, display_name};

/// A profile that logs, and what people should know of it.
pub(super) struct Staged {
    pub(super) profile: Profile,
    pub(super) notes: Vec<String>,
}

/// A rule without its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    action: Action,
    errno: Option<u32>,
    args: Vec<ArgCondition>,
}

/// Holds for every argument, and comes after all exact comparisons where libseccomp orders rules.
const ANY: ArgCondition = ArgCondition { index: 0, value: 0, value_two: 0, operator: Operator::GreaterOrEqual };
/// The same in other words: calls that end alike share code, and libseccomp may take an argument for loaded there that is
/// not.
const ANY_ELSE: ArgCondition = ArgCondition { value: u64::MAX, operator: Operator::LessOrEqual, ..ANY };

/// Makes the profile that logs what `enforced` would refuse and `active` (`None`: no filter) does not.
pub(super) fn stage(enforced: &Profile, active: Option<&Profile>, host: HostArch) -> Result<Staged, SuggestError> {
    let policies = (
        enforced.evaluate(host),
        active.map_or_else(|| Policy::unconfined(host.native), |active| active.evaluate(host)),
    );
    let whole = head(enforced, active, host.native);
    // A rule is for all architectures. One that the active profile has and a merged one has not may be in the way.
    let less = Profile { architectures: enforced.architectures.clone(), ..whole.clone() };
    let stage = |head: Profile| Stage { enforced: &policies.0, active: &policies.1, host, head };
    let (profile, open) = stage(whole).of(enforced, active).or_else(|_| stage(less).of(enforced, active))?;
    let mut notes = vec![
        "--mode log: what the active profile lets through and was not seen is let through and logged: `auditor denials` \
         and `auditor show` tell of it, and what ran is kept by the next suggestion"
            .to_owned(),
    ];
    if !open.is_empty() {
        notes.push(format!("--mode log: not all that would be refused is logged of {}", open.join(", ")));
    }
    let has = |profile: &Profile, abi: Abi| abi == host.native || profile.architectures.contains(&Arch::of(abi));
    let list = |wanted: &dyn Fn(Abi) -> bool| {
        let abis: Vec<&str> = Abi::ALL.into_iter().filter(|abi| wanted(*abi)).map(Abi::as_str).collect();
        (!abis.is_empty()).then(|| abis.join(" and "))
    };
    if let Some(abis) = list(&|abi| has(&profile, abi) && !has(enforced, abi)) {
        notes.push(format!(
            "--mode log: calls by {abis} were not seen and would be refused; those with a name that stays are not logged"
        ));
    }
    if let Some(abis) = list(&|abi| !has(&profile, abi) && active.is_some_and(|active| has(active, abi))) {
        notes.push(format!(
            "--mode log: calls by {abis} are refused and not logged: a merged profile has no such calls"
        ));
    }
    Ok(Staged { profile, notes })
}

/// A profile in which what was taken in, and was let through and logged, is let through.
pub(super) fn unlogged(profile: &Profile, allow: &[Allowance]) -> Profile {
    let is_taken_in = |name: &String| allow.iter().any(|allowance| allowance.name == *name);
    let mut rules = Vec::new();
    for mut rule in profile.rules.iter().cloned() {
        if rule.action == Action::Log {
            let (names, rest): (Vec<_>, Vec<_>) = rule.names.into_iter().partition(is_taken_in);
            rule.names = rest;
            if !names.is_empty() {
                rules.push(Rule { names, action: Action::Allow, errno: None, args: rule.args.clone() });
            }
        }
        if !rule.names.is_empty() {
            rules.push(rule);
        }
    }
    Profile { rules, ..profile.clone() }
}

/// All but the rules: nothing that the active profile lets through by default is refused.
fn head(enforced: &Profile, active: Option<&Profile>, native: Abi) -> Profile {
    let (like, family) = match active {
        Some(active) if !enforced.default_action.passes() => (active, active.architectures.clone()),
        Some(active) => (enforced, active.architectures.clone()),
        // Without a filter every ABI of the machine is there.
        None => (enforced, family(native)),
    };
    let mut architectures = enforced.architectures.clone();
    architectures.extend(family.into_iter().filter(|arch| !enforced.architectures.contains(arch)));
    let logs = active.is_none() && !enforced.default_action.passes();
    let (default_action, default_errno) =
        if logs { (Action::Log, None) } else { (like.default_action, like.default_errno) };
    Profile { default_action, default_errno, architectures, rules: Vec::new(), ..like.clone() }
}

fn family(native: Abi) -> Vec<Arch> {
    match native {
        Abi::X86_64 | Abi::I386 | Abi::X32 => vec![Arch::X86_64, Arch::X86, Arch::X32],
        Abi::Aarch64 | Abi::Arm => vec![Arch::Aarch64, Arch::Arm],
    }
}

/// The rules of each name, in their order.
fn by_name(profile: &Profile) -> BTreeMap<&str, Vec<Shape>> {
    let mut named: BTreeMap<&str, Vec<Shape>> = BTreeMap::new();
    for rule in &profile.rules {
        for name in &rule.names {
            named.entry(name).or_default().push(Shape {
                action: rule.action,
                errno: rule.errno,
                args: rule.args.clone(),
            });
        }
    }
    named
}

impl Shape {
    fn rule(&self, names: &[&str]) -> Rule {
        let Self { action, errno, args } = self.clone();
        Rule { names: names.iter().map(|name| (*name).to_owned()).collect(), action, errno, args }
    }

    fn logged(&self) -> Self {
        match self.action {
            Action::Allow => Self { action: Action::Log, errno: None, args: self.args.clone() },
            _ => self.clone(),
        }
    }
}

struct Stage<'a> {
    enforced: &'a Policy,
    active: &'a Policy,
    host: HostArch,
    /// The profile, as far as it is known.
    head: Profile,
}

/// How well rules do what they should.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    /// They let through what the active profile does and nothing wider, and answer otherwise than they should.
    Passes,
    /// They log too little or too much.
    Answers,
    Exact,
}

impl Stage<'_> {
    /// The profile, and the names of which not all is logged.
    fn of(&self, enforced: &Profile, active: Option<&Profile>) -> Result<(Profile, Vec<String>), SuggestError> {
        let named = [Some(enforced), active].map(|profile| profile.map(by_name).unwrap_or_default());
        let names: BTreeSet<&str> = named.iter().flat_map(BTreeMap::keys).copied().collect();
        let rules_of = |at: usize, name: &str| named[at].get(name).map_or(&[][..], Vec::as_slice);
        let in_words = |name: &str, any| self.name(name, rules_of(0, name), rules_of(1, name), any);
        let other = |name: &str| Some(in_words(name, ANY_ELSE)).filter(|(_, exact)| *exact).map(|(shapes, _)| shapes);
        let found = names.iter().map(|name| (*name, in_words(name, ANY)));
        let found: BTreeMap<&str, (Vec<Shape>, bool)> = found.collect();
        let active = active.map_or(&[][..], |active| &active.rules);
        // What is refused is to get the answer that it had; where rules cannot say that, it is to be refused at least.
        let (profile, plain) = self
            .assemble(&found, &other, active, Fit::Answers)
            .or_else(|_| self.assemble(&found, &other, active, Fit::Passes))?;
        let is_open = |name: &str, exact: bool| match plain.contains(name) {
            true => self.fit(name, rules_of(1, name)) != Fit::Exact,
            false => !exact,
        };
        let open = found.iter().filter(|(name, (_, exact))| is_open(name, *exact)).map(|(name, _)| (*name).to_owned());
        Ok((profile, open.collect()))
    }

    /// The rules that were found for each name, as far as together they do at least so well, and the names that keep the
    /// active profile's rules since they do not: the code of one call may depend on another's. `other` has the rules of a name
    /// in other words, where they do the same.
    fn assemble<'n>(
        &self,
        found: &BTreeMap<&'n str, (Vec<Shape>, bool)>,
        other: &impl Fn(&str) -> Option<Vec<Shape>>,
        active: &[Rule],
        least: Fit,
    ) -> Result<(Profile, BTreeSet<&'n str>), SuggestError> {
        let (mut plain, mut reworded) = (BTreeSet::new(), BTreeSet::new());
        let mut found = found.clone();
        loop {
            let mut written: BTreeMap<&[Shape], Vec<&str>> = BTreeMap::new();
            for (name, (shapes, _)) in found.iter().filter(|(name, _)| !plain.contains(*name)) {
                written.entry(shapes).or_default().push(name);
            }
            let staged = written.iter().flat_map(|(shapes, names)| shapes.iter().map(|shape| shape.rule(names)));
            // In the order that they have: where rules contradict each other, it decides.
            let kept = active.iter().filter_map(|rule| {
                let names: Vec<_> = rule.names.iter().filter(|name| plain.contains(name.as_str())).cloned().collect();
                (!names.is_empty()).then(|| Rule { names, ..rule.clone() })
            });
            let profile = Profile { rules: staged.chain(kept).collect(), ..self.head.clone() };
            let Err(breach) = self.check(&profile, least) else { return Ok((profile, plain)) };
            let mine: Vec<&str> = found.keys().copied().filter(|name| breach.is_of(name)).collect();
            let words = mine.into_iter().filter(|name| !plain.contains(name) && reworded.insert(*name));
            let words: Vec<_> = words.filter_map(|name| Some((name, other(name)?))).collect();
            if !words.is_empty() {
                found.extend(words.into_iter().map(|(name, shapes)| (name, (shapes, true))));
                continue;
            }
            let is_more = |names: &BTreeSet<&str>| !names.is_subset(&plain);
            let all = || found.keys().copied();
            let wider = [
                all().filter(|name| breach.is_of(name)).collect(),
                all().filter(|name| breach.is_near(name)).collect(),
                all().collect(),
            ];
            plain.extend(wider.into_iter().find(is_more).ok_or_else(|| breach.error())?);
        }
    }

    /// The rules of a name, and whether they log what they should.
    fn name(&self, name: &str, small: &[Shape], all: &[Shape], any: ArgCondition) -> (Vec<Shape>, bool) {
        let mut best = (Fit::No, Vec::new());
        for shapes in candidates(small, all, any, self.head.default_action) {
            let fit = self.fit(name, &shapes);
            if fit > best.0 {
                best = (fit, shapes);
            }
            if fit == Fit::Exact {
                break;
            }
        }
        match best {
            // As the active profile has it: nothing is refused that it lets through.
            (Fit::No, _) => (all.to_vec(), false),
            (fit, shapes) => (shapes, fit == Fit::Exact),
        }
    }

    fn fit(&self, name: &str, shapes: &[Shape]) -> Fit {
        let rules = shapes.iter().map(|shape| shape.rule(&[name])).collect();
        let policy = Profile { rules, ..self.head.clone() }.evaluate(self.host);
        let fits = policy.abis().flat_map(|abi| {
            let own = syscall::number(abi, name).map(|nr| (nr, None));
            // A door with a rule of its own is open or shut for all that are behind it.
            let is_own = |nr: SyscallNr| {
                [self.enforced, self.active].into_iter().any(|policy| match *policy.entry(abi, nr) {
                    Entry::Always(outcome) => outcome.decision() != policy.default_decision(),
                    Entry::Chains(_) => false,
                })
            };
            let behind = door(abi, name).filter(|(nr, _)| !is_own(*nr)).map(|(nr, number)| (nr, Some(number)));
            let policy = &policy;
            own.into_iter().chain(behind).map(move |(nr, behind)| self.call(policy, abi, nr, behind).unwrap_or(Fit::No))
        });
        fits.min().unwrap_or(Fit::Exact)
    }

    /// `behind`: of a door, one of the calls behind it alone.
    fn call(&self, policy: &Policy, abi: Abi, nr: SyscallNr, behind: Option<u64>) -> Result<Fit, Undetermined> {
        let mut diagrams = Diagrams::new();
        let mut done = policy.diagram(&mut diagrams, abi, nr)?;
        let (mut wanted, known) = self.wanted(&mut diagrams, abi, nr)?;
        let mut least = self.active.diagram(&mut diagrams, abi, nr)?;
        if let Some(value) = behind {
            let refused = diagrams.constant(Outcome::errno(1))?;
            let test = Test { argument: 0, mask: u64::from(u32::MAX), comparison: Comparison::Equal, value };
            done = diagrams.test(test, done, refused)?;
            wanted = diagrams.test(test, wanted, refused)?;
            least = diagrams.test(test, least, refused)?;
        }
        let differs = |wrong: &dyn Fn(Outcome, Outcome) -> bool| diagrams.pair_witness(done, wanted, wrong).is_some();
        let is_less = |done: Outcome, least: Outcome| reach(done.action) < reach(least.action);
        let is_narrower = diagrams.pair_witness(done, least, is_less).is_some();
        Ok(if is_narrower || differs(&|done, wanted| reach(done.action) > reach(wanted.action)) {
            Fit::No
        } else if differs(&|done, wanted| !done.action.passes() && done != wanted) {
            Fit::Passes
        } else if known && differs(&|done, wanted| done != wanted) {
            Fit::Answers
        } else {
            Fit::Exact
        })
    }

    /// What should happen, and whether it matters what is logged: by an ABI that the smaller profile leaves out no rule
    /// can say it, since a rule is for all of them.
    fn wanted(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<(Diagram, bool), Undetermined> {
        let all = self.active.diagram(diagrams, abi, nr)?;
        if !self.enforced.contains(abi) {
            return Ok((all, false));
        }
        let small = self.enforced.diagram(diagrams, abi, nr)?;
        let logged = Outcome { action: Action::Log, data: 0 };
        let wanted = diagrams.combine(small, all, |small, all| match (small.action.passes(), all.action.passes()) {
            (true, _) => small,
            (false, true) => logged,
            (false, false) => all,
        })?;
        Ok((wanted, true))
    }

    /// What is let through is what the active profile or the smaller one lets through: over every ABI and number.
    fn check(&self, profile: &Profile, least: Fit) -> Result<(), Breach> {
        let policy = profile.evaluate(self.host);
        for abi in policy.abis() {
            for nr in syscall::all(abi).map(|(nr, _)| nr).chain([SyscallNr::OUTSIDE]) {
                let breach = |is_wider| Breach { abi, nr, is_wider };
                let [done, small, all] = [&policy, self.enforced, self.active].map(|policy| policy.entry(abi, nr));
                if let (Entry::Always(done), Entry::Always(small), Entry::Always(all)) = (&*done, &*small, &*all) {
                    let small = if self.enforced.contains(abi) { reach(small.action) } else { 0 };
                    let wanted = small.max(reach(all.action));
                    let answers = least <= Fit::Passes || wanted > 0 || done == all;
                    if reach(done.action) != wanted || !answers {
                        return Err(breach(reach(done.action) > wanted));
                    }
                    continue;
                }
                match self.call(&policy, abi, nr, None) {
                    Ok(fit) if fit >= least => {}
                    // Unknown before, and unknown in the same way; or a door that libseccomp makes no code of.
                    Err(_) if done == all || self.active.diagram(&mut Diagrams::new(), abi, nr).is_err() => {}
                    Ok(_) | Err(_) => return Err(breach(false)),
                }
            }
        }
        Ok(())
    }
}

/// A call of which a staged profile does not do what it should.
struct Breach {
    abi: Abi,
    nr: SyscallNr,
    is_wider: bool,
}

impl Breach {
    /// Whether rules for this name are rules for the call.
    fn is_of(&self, name: &str) -> bool {
        syscall::number(self.abi, name) == Some(self.nr)
            || door(self.abi, name).is_some_and(|(door, _)| door == self.nr)
    }

    /// Whether this name and the call come through the same door, or one is the other's.
    fn is_near(&self, name: &str) -> bool {
        let door = |name: &str| {
            let own = || syscall::number(self.abi, name).filter(|nr| doors(self.abi).contains(nr));
            door(self.abi, name).map(|(door, _)| door).or_else(own)
        };
        self.is_of(name) || door(&display_name(self.abi, self.nr)).is_some_and(|own| door(name) == Some(own))
    }

    fn error(&self) -> SuggestError {
        let (abi, name) = (self.abi, display_name(self.abi, self.nr));
        if self.is_wider {
            SuggestError::Wider { abi, name: name.into_owned() }
        } else {
            SuggestError::Narrower { abi, name: name.into_owned() }
        }
    }
}

/// Rules that may do it, the likeliest first.
fn candidates(small: &[Shape], all: &[Shape], any: ArgCondition, default: Action) -> Vec<Vec<Shape>> {
    let mut found = vec![small.to_vec()];
    let logged: Vec<Shape> = all.iter().map(Shape::logged).collect();
    let always = Shape { action: Action::Log, errno: None, args: Vec::new() };
    let last = |shape: &Shape| Shape {
        args: if shape.args.is_empty() { vec![any] } else { shape.args.clone() },
        ..shape.clone()
    };
    let passing = |shapes: &[Shape]| shapes.iter().filter(|shape| !shape.action.denies()).cloned().collect::<Vec<_>>();
    // What the active profile allows by default it has no rule for.
    let rest = if default.denies() { logged.clone() } else { [&logged[..], &[always]].concat() };
    found.push(rest.clone());
    let after: Vec<Shape> = rest.iter().map(last).collect();
    let before = passing(small);
    found.push([&before[..], &after].concat());
    found.push([&after[..], &before].concat());
    // Where what is not named is logged already, only what passes needs a rule.
    found.push(before);
    found.extend([logged, all.to_vec()]);
    for shapes in &mut found {
        let mut seen = BTreeSet::new();
        shapes.retain(|shape| seen.insert(shape.clone()));
    }
    found
}
