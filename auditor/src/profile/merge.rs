//! Several profiles made one that lets through what any of them lets through, and nothing else.
//!
//! What the result must do is known before it is written: for each ABI and call, of the inputs' outcomes for the same
//! arguments the one that lets most through ([`join`]). Then rules are looked for that do that, among those that the
//! inputs have first, and every candidate is held against it as a function of the arguments. A profile names calls
//! and not ABIs, and conditions can only be joined in certain ways; so there may be no such rules, and then there is no
//! profile, unless wider is good enough.

mod candidate;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::compare::{numbers, reach};
use super::evaluate::HostArch;
use super::multiplex::doors;
use super::oci::parse_seccomp;
use super::policy::{ENOSYS, Entry};
use super::{Action, Arch, Policy, Profile, ProfileError, Rule, Undetermined};
use crate::filter::{Diagram, Diagrams, Outcome};
use crate::syscall::{self, Abi, SyscallNr, display_name, known_name};

/// The union, and what people should know of it, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// For `--security-opt seccomp=FILE`.
    pub profile: Profile,
    /// What was decided on the way.
    pub notes: Vec<String>,
    /// Names that no table knows, whose rules are as they were.
    pub taken_over: Vec<String>,
}

/// Why there is no union.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// What one of the inputs does is not known.
    #[error("merge: what one of the profiles does with {name} ({abi}) is not known: {why}")]
    Unknown {
        /// The ABI.
        abi: Abi,
        /// The call.
        name: String,
        /// Why.
        why: Undetermined,
    },
    /// No rules do it.
    #[error(
        "merge: no rules let through for {calls} what one of the profiles does and nothing more{hint}; --widen lets these \
         calls through for all arguments and ABIs"
    )]
    Inexpressible {
        /// The calls.
        calls: String,
        /// What may be the reason.
        hint: &'static str,
    },
    /// A supervisor is asked, and there would have to be two.
    #[error(
        "merge: the profiles have different listeners, and both ask a supervisor; merge the others, or agree on one"
    )]
    Listeners,
    /// The result would be refused.
    #[error("merge: the rules of these profiles cannot stand in one: {0}")]
    Refused(ProfileError),
    /// The result does something else: a defect of the auditor.
    #[error("merge: the result would not be the union for {name} ({abi}); please report this")]
    Wrong {
        /// The ABI.
        abi: Abi,
        /// The call.
        name: String,
    },
}

/// Of two outcomes the one that lets more through. Of two refusals the milder one, as the kernel orders them; of two
/// errnos ENOSYS, which programs take for an older kernel and do without, else the smaller.
#[must_use]
pub fn join(a: Outcome, b: Outcome) -> Outcome {
    let key = |outcome: Outcome| {
        let mildness = (outcome.to_ret() & 0xffff_0000).cast_signed();
        let errno = (outcome.data == ENOSYS, std::cmp::Reverse(outcome.data));
        (reach(outcome.action), mildness, errno)
    };
    if key(b) > key(a) { b } else { a }
}

/// Merges profiles as they are on a host. `widen`: where the union has no rules, let calls through altogether.
///
/// # Errors
/// Where there is no union, or none that can be written as a profile.
pub fn merge(profiles: &[Profile], host: HostArch, widen: bool) -> Result<Merged, MergeError> {
    // In an order of their own, so that the result is the same in whatever order they are named.
    let mut inputs: Vec<&Profile> = profiles.iter().collect();
    inputs.sort_by_cached_key(|profile| profile.render_oci());
    inputs.dedup();
    let policies: Vec<Policy> = inputs.iter().map(|profile| profile.evaluate(host)).collect();
    let mut union = Union { policies, native: host.native };
    let mut notes = Vec::new();
    let mut profile = head(&inputs, &union, &mut notes);
    let named = inputs.iter().map(|input| candidate::by_name(input, &profile)).collect();
    let mut rules = Rules { named, host, union: &mut union, head: profile.clone(), widen };
    let (rules, taken_over) = rules.find(&mut notes)?;
    profile.rules = rules;
    listener(&inputs, &mut profile, &mut notes)?;
    prove(&profile, &mut union, host, widen, &mut notes)?;
    Ok(Merged { profile, notes, taken_over })
}

/// What the inputs do together.
struct Union {
    policies: Vec<Policy>,
    native: Abi,
}

impl Union {
    fn default(&self) -> Option<Outcome> {
        self.policies.iter().map(|policy| policy.default).reduce(join)
    }

    fn abis(&self) -> impl Iterator<Item = Abi> + '_ {
        Abi::ALL.into_iter().filter(|abi| self.policies.iter().any(|policy| policy.contains(*abi)))
    }

    /// The number above which the runtime's stub answers.
    fn stub_above(&self, abi: Abi) -> Option<SyscallNr> {
        self.policies.iter().filter_map(|policy| policy.stub_above(abi)).max()
    }

    /// What is to happen to a call. A stub's answer counts only where there is no other: it says that the profile is
    /// older than the call.
    fn diagram(&self, diagrams: &mut Diagrams, abi: Abi, nr: SyscallNr) -> Result<Diagram, Undetermined> {
        let is_stubbed = |policy: &&Policy| policy.stub_above(abi).is_some_and(|highest| nr > highest);
        let (stubbed, mut speaking): (Vec<&Policy>, Vec<&Policy>) = self.policies.iter().partition(is_stubbed);
        // An ABI that a profile does not have is killed there, which is no answer either.
        if !stubbed.is_empty() || speaking.iter().any(|policy| policy.contains(abi)) {
            speaking.retain(|policy| policy.contains(abi));
        }
        let mut all = None;
        for policy in speaking {
            let one = policy.diagram(diagrams, abi, nr)?;
            all = Some(match all {
                None => one,
                Some(all) => diagrams.combine(all, one, join)?,
            });
        }
        let absent = Outcome::errno(ENOSYS);
        match all {
            None => Ok(diagrams.constant(absent)?),
            // The stub is milder than a signal.
            Some(all) if !stubbed.is_empty() => Ok(diagrams.map(all, |outcome| match outcome.action {
                Action::Errno => outcome,
                _ => join(outcome, absent),
            })?),
            Some(all) => Ok(all),
        }
    }
}

/// All but the rules.
fn head(inputs: &[&Profile], union: &Union, notes: &mut Vec<String>) -> Profile {
    let default = union.default().unwrap_or(Outcome::errno(1));
    if union.policies.iter().any(|policy| policy.default != default) {
        let errno = default.decision().errno.map(|errno| format!(" with errno {errno}")).unwrap_or_default();
        notes.push(format!(
            "the default actions differ: {}{errno}, which lets most through or is mildest",
            default.action
        ));
    }
    let all: BTreeSet<Arch> = inputs.iter().flat_map(|profile| profile.architectures.iter().copied()).collect();
    let native = Arch::of(union.native);
    let first = all.contains(&native).then_some(native);
    let architectures = first.into_iter().chain(all.iter().copied().filter(|arch| *arch != native)).collect();
    let lists: BTreeSet<Option<BTreeSet<&String>>> =
        inputs.iter().map(|profile| profile.flags.as_ref().map(|flags| flags.iter().collect())).collect();
    if lists.len() > 1 {
        notes.push("the flags differ: those are kept that all of them have".to_owned());
    }
    let flags = lists.into_iter().reduce(|a, b| Some(a?.intersection(&b?).copied().collect())).flatten();
    Profile {
        default_action: default.action,
        default_errno: candidate::errno(default),
        architectures,
        flags: flags.map(|flags| flags.into_iter().cloned().collect()),
        listener_path: None,
        listener_metadata: None,
        rules: Vec::new(),
    }
}

fn listener(inputs: &[&Profile], profile: &mut Profile, notes: &mut Vec<String>) -> Result<(), MergeError> {
    let listeners: BTreeSet<_> =
        inputs.iter().map(|input| (input.listener_path.clone(), input.listener_metadata.clone())).collect();
    let asks = profile.rules.iter().any(|rule| rule.action == Action::Notify);
    let named: Vec<_> = listeners.iter().filter(|(path, _)| path.is_some()).cloned().collect();
    match (listeners.len(), named.as_slice()) {
        (1, _) => (profile.listener_path, profile.listener_metadata) = listeners.into_iter().next().unwrap_or_default(),
        (_, [only]) if asks => (profile.listener_path, profile.listener_metadata) = only.clone(),
        _ if asks => return Err(MergeError::Listeners),
        _ => notes.push("the listeners differ, and no rule asks a supervisor: there is none".to_owned()),
    }
    Ok(())
}

/// The search for rules.
struct Rules<'a> {
    /// By name, each input's rules that get into the filter: there may be as many names as rules.
    named: Vec<HashMap<&'a str, Vec<&'a Rule>>>,
    host: HostArch,
    union: &'a mut Union,
    /// The result without rules.
    head: Profile,
    widen: bool,
}

impl Rules<'_> {
    /// The rules, and the names among them that no table knows.
    fn find(&mut self, notes: &mut Vec<String>) -> Result<(Vec<Rule>, Vec<String>), MergeError> {
        let abis: Vec<Abi> = self.union.abis().collect();
        let mut names: BTreeMap<&str, Vec<(Abi, SyscallNr)>> = BTreeMap::new();
        for abi in &abis {
            for (nr, name) in syscall::all(*abi) {
                names.entry(name).or_default().push((*abi, nr));
            }
        }
        // Names with the same rules are written together.
        let mut written: BTreeMap<Vec<candidate::Plain>, Vec<String>> = BTreeMap::new();
        let (mut failed, mut widened) = (Vec::new(), Vec::new());
        // What comes through another call's door has rules already when that call's own are looked for.
        let is_door = |places: &[(Abi, SyscallNr)]| places.iter().any(|(abi, nr)| doors(*abi).contains(nr));
        let (last, first): (Vec<_>, Vec<_>) = names.iter().partition(|(_, places)| is_door(places));
        for (name, places) in first.into_iter().chain(last) {
            let so_far = if is_door(places) { rules_of(&written) } else { Vec::new() };
            match self.for_name(name, places, &so_far)? {
                Some(rules) if rules.is_empty() => {}
                Some(rules) => written.entry(rules).or_default().push((*name).to_owned()),
                None if self.widen => {
                    widened.push(*name);
                    written.entry(vec![self.widest(places)?]).or_default().push((*name).to_owned());
                }
                None => failed.push(*name),
            }
        }
        if !failed.is_empty() {
            let sets: BTreeSet<Vec<Abi>> = self.union.policies.iter().map(|policy| policy.abis().collect()).collect();
            let hint =
                if sets.len() > 1 { ", since their architectures differ and a rule is for all of them" } else { "" };
            return Err(MergeError::Inexpressible { calls: failed.join(", "), hint });
        }
        if !widened.is_empty() {
            notes.push(format!("wider than the profiles, as was asked for: {}", widened.join(", ")));
        }
        let taken_over = self.unknown_names(&mut written);
        let mut rules = rules_of(&written);
        rules.extend(self.up_to_the_stub(&rules));
        Ok((rules, taken_over))
    }

    /// The rules for a call by all its numbers, beside others; `None` where there are none.
    fn for_name(
        &self,
        name: &str,
        places: &[(Abi, SyscallNr)],
        others: &[Rule],
    ) -> Result<Option<Vec<candidate::Plain>>, MergeError> {
        let mut diagrams = Diagrams::new();
        let mut wanted = Vec::new();
        for (abi, nr) in places {
            let diagram = self.union.diagram(&mut diagrams, *abi, *nr);
            let diagram = diagram.map_err(|why| MergeError::Unknown { abi: *abi, name: name.to_owned(), why })?;
            wanted.push((*abi, *nr, diagram));
        }
        let mut nearest = None;
        for rules in self.candidates(name, &mut diagrams, &wanted) {
            let named = rules.iter().map(|rule| rule.clone().with(vec![name.to_owned()]));
            let rules_and_others: Vec<Rule> = others.iter().cloned().chain(named).collect();
            match self.fit(&mut diagrams, rules_and_others, &wanted) {
                Fit::Exact => return Ok(Some(rules)),
                Fit::Answers => nearest = nearest.or(Some(rules)),
                Fit::No => {}
            }
        }
        Ok(nearest)
    }

    /// Whether rules do what is wanted.
    fn fit(&self, diagrams: &mut Diagrams, rules: Vec<Rule>, wanted: &[(Abi, SyscallNr, Diagram)]) -> Fit {
        let policy = Profile { rules, ..self.head.clone() }.evaluate(self.host);
        let mut fit = Fit::Exact;
        for (abi, nr, wanted) in wanted {
            // Where these rules alone end below the union's stub, others name the newest call in the end.
            let stub = self.union.stub_above(*abi).filter(|highest| policy.stub_above(*abi) < Some(*highest));
            let done = if self.stubs() && stub.is_some_and(|highest| *nr > highest) {
                diagrams.constant(Outcome::errno(ENOSYS)).map_err(Undetermined::from)
            } else {
                policy.diagram(diagrams, *abi, *nr)
            };
            match done {
                Ok(done) if done == *wanted => {}
                Ok(done) => match diagrams.pair_witness(done, *wanted, |a, b| reach(a.action) != reach(b.action)) {
                    None => fit = Fit::Answers,
                    Some(_) => return Fit::No,
                },
                Err(_) => return Fit::No,
            }
        }
        fit
    }

    /// Whether the runtime puts a stub before such a filter.
    fn stubs(&self) -> bool {
        !matches!(self.head.default_action, Action::Allow | Action::Log | Action::Trace)
    }

    /// A rule that lets a call through as far as any profile does, for all arguments.
    fn widest(&self, places: &[(Abi, SyscallNr)]) -> Result<candidate::Plain, MergeError> {
        let mut widest = self.union.default().unwrap_or(Outcome::errno(1));
        for (abi, nr) in places {
            let mut diagrams = Diagrams::new();
            let diagram = self.union.diagram(&mut diagrams, *abi, *nr);
            let name = || display_name(*abi, *nr);
            let diagram = diagram.map_err(|why| MergeError::Unknown { abi: *abi, name: name().into_owned(), why })?;
            widest = diagrams.outcomes(diagram).into_iter().fold(widest, join);
        }
        Ok(candidate::Plain::always(widest))
    }

    /// Rules for names that no table knows: another libseccomp may know them.
    fn unknown_names(&self, written: &mut BTreeMap<Vec<candidate::Plain>, Vec<String>>) -> Vec<String> {
        let named = self.named.iter().flat_map(HashMap::keys);
        let names: BTreeSet<&str> = named.copied().filter(|name| !syscall::is_known(name)).collect();
        let mut kept = Vec::new();
        for name in names {
            let rules = self.passing(name);
            if !rules.is_empty() {
                kept.push(name.to_owned());
                written.entry(rules).or_default().push(name.to_owned());
            }
        }
        kept
    }

    /// Names the newest call that any profile names, so that the stub stays where it was.
    fn up_to_the_stub(&self, rules: &[Rule]) -> Option<Rule> {
        let policy = Profile { rules: rules.to_vec(), ..self.head.clone() }.evaluate(self.host);
        let missing = |abi: &Abi| self.stubs() && policy.stub_above(*abi) < self.union.stub_above(*abi);
        let abis: Vec<Abi> = self.union.abis().filter(missing).collect();
        let highest = abis.into_iter().filter_map(|abi| known_name(abi, self.union.stub_above(abi)?));
        let names: BTreeSet<String> = highest.map(str::to_owned).collect();
        let (action, errno) = (self.head.default_action, self.head.default_errno);
        (!names.is_empty()).then(|| Rule { names: names.into_iter().collect(), action, errno, args: Vec::new() })
    }
}

fn rules_of(written: &BTreeMap<Vec<candidate::Plain>, Vec<String>>) -> Vec<Rule> {
    let rules = |(plain, names): (&Vec<candidate::Plain>, &Vec<String>)| {
        plain.iter().map(|rule| rule.clone().with(names.clone())).collect::<Vec<_>>()
    };
    written.iter().flat_map(rules).collect()
}

/// How well rules do what is wanted.
enum Fit {
    /// They do it.
    Exact,
    /// They let the same through, and answer otherwise to what is refused.
    Answers,
    /// They do not.
    No,
}

/// Holds the result against what it should do, over every ABI and number.
fn prove(
    profile: &Profile,
    union: &mut Union,
    host: HostArch,
    widen: bool,
    notes: &mut Vec<String>,
) -> Result<(), MergeError> {
    parse_seccomp(profile.render_oci().as_bytes()).map_err(MergeError::Refused)?;
    let policy = profile.evaluate(host);
    let mut other_answers = BTreeSet::new();
    for abi in Abi::ALL {
        let known: BTreeSet<SyscallNr> = union.policies.iter().flat_map(|input| numbers(abi, input, &policy)).collect();
        for nr in known {
            let constant = union.policies.iter().all(|input| *input.entry(abi, nr) == *policy.entry(abi, nr))
                && matches!(*policy.entry(abi, nr), Entry::Always(_));
            if constant {
                continue;
            }
            let mut diagrams = Diagrams::new();
            let name = || display_name(abi, nr);
            let both = union.diagram(&mut diagrams, abi, nr).and_then(|wanted| {
                let done = policy.diagram(&mut diagrams, abi, nr)?;
                Ok((wanted, done))
            });
            let (wanted, done) = both.map_err(|why| MergeError::Unknown { abi, name: name().into_owned(), why })?;
            if wanted == done {
                continue;
            }
            let wrong = |wanted: Outcome, done: Outcome| {
                let (wanted, done) = (reach(wanted.action), reach(done.action));
                if widen { wanted > done } else { wanted != done }
            };
            if diagrams.pair_witness(wanted, done, wrong).is_some() {
                return Err(MergeError::Wrong { abi, name: name().into_owned() });
            }
            other_answers.insert(name());
        }
    }
    if !other_answers.is_empty() {
        let names: Vec<String> = other_answers.into_iter().map(Cow::into_owned).collect();
        notes.push(format!("refused with another answer than before: {}", names.join(", ")));
    }
    Ok(())
}
