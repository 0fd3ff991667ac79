//! Refusals of one container, folded: what repeats is one entry with a count.
//!
//! Two refusals are the same when the program's name, the call, the arguments that say what was wanted, and the outcome
//! are. Addresses and descriptors are not compared. How many entries are kept is bounded, since a program can make as
//! many as it likes; what is dropped is still counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::advice::{Advice, advise};
use super::argument::{COUNT, decode};
use super::decision::{Call, Declared, Explanation, Seen, explain};
use crate::counters::{Counters, Denials};
use crate::syscall::{Abi, SyscallNr};

/// Distinct refusals that are kept of one container.
pub const KEPT: usize = 64;

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Process, in the host's numbers.
    pub pid: u32,
    /// Thread, in the host's numbers.
    pub tid: u32,
    /// Process, as the container sees it.
    pub container_pid: u32,
    /// Thread, as the container sees it.
    pub container_tid: u32,
    /// The thread's name, which the program chooses.
    pub comm: String,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time: Timestamp,
    /// What was called.
    pub call: Call,
    /// What the kernel showed of it.
    pub seen: Seen,
    /// Who called.
    pub task: Task,
}

/// What the counters tell refusals apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Seen::Errno`].
    Errno,
    /// [`Seen::Signal`].
    Signal,
    /// [`Seen::ThreadKilled`].
    ThreadKilled,
    /// [`Seen::Supervised`].
    Supervised,
    /// [`Seen::Logged`].
    Logged,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Errno, Self::Signal, Self::ThreadKilled, Self::Supervised, Self::Logged];

    /// How many of them were counted.
    #[must_use]
    pub const fn of(self, denials: &Denials) -> u64 {
        match self {
            Self::Errno => denials.errno,
            Self::Signal => denials.signalled,
            Self::ThreadKilled => denials.thread_killed,
            Self::Supervised => denials.supervised,
            Self::Logged => denials.logged,
        }
    }

    /// What a counted one looked like, as far as its counter tells.
    #[must_use]
    pub fn seen(self, denials: &Denials) -> Seen {
        match self {
            Self::Errno => Seen::Errno(denials.last_errno.unwrap_or(0)),
            Self::Signal => Seen::Signal,
            Self::ThreadKilled => Seen::ThreadKilled,
            Self::Supervised => Seen::Supervised(0),
            Self::Logged => Seen::Logged,
        }
    }
}

impl From<Seen> for Kind {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Errno(_) => Self::Errno,
            Seen::Signal => Self::Signal,
            Seen::ThreadKilled => Self::ThreadKilled,
            Seen::Supervised(_) => Self::Supervised,
            Seen::Logged => Self::Logged,
        }
    }
}

/// A counter: numbers that no table knows share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// By which convention.
    pub abi: Abi,
    /// The number as it is counted.
    pub nr: SyscallNr,
    /// What the kernel showed.
    pub kind: Kind,
}

/// Every counter of refusals that is not zero.
pub fn counted(counters: &Counters) -> impl Iterator<Item = (Counter, u64)> + '_ {
    counters.tallies.iter().flat_map(|(&(abi, nr), tally)| {
        let of = move |kind: Kind| (Counter { abi, nr, kind }, kind.of(&tally.denials));
        Kind::ALL.into_iter().map(of).filter(|(_, count)| *count > 0)
    })
}

/// What makes two refusals the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    call: Call,
    seen: Seen,
    comm: String,
}

/// What was made of a refusal: who decided, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Which action, and who decided.
    pub explanation: Explanation,
    /// What the program wanted, and what would allow it.
    pub advice: Advice,
}

/// A refusal and its repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The latest of them.
    pub latest: Refusal,
    /// When the first was.
    pub first: Timestamp,
    /// How many.
    pub count: u64,
    /// Which counter counts it.
    pub counter: Counter,
    /// For which word of the engine they were made, and what they are.
    findings: Option<(bool, Arc<Findings>)>,
}

impl Denial {
    /// What is to be said about it; made once for each profile and what the engine says of it.
    pub fn findings(&mut self, declared: Option<Declared<'_>>, docker_default: bool) -> Arc<Findings> {
        let Refusal { call, seen, .. } = &self.latest;
        let known = self.findings.take().filter(|(made_for, _)| *made_for == docker_default);
        let made = || (docker_default, Arc::new(Findings::of(call, *seen, declared, docker_default)));
        Arc::clone(&self.findings.insert(known.unwrap_or_else(made)).1)
    }
}

impl Findings {
    /// Explains a call and gives advice.
    #[must_use]
    pub fn of(call: &Call, seen: Seen, declared: Option<Declared<'_>>, docker_default: bool) -> Self {
        let explanation = explain(call, seen, declared);
        let advice = advise(call, &explanation, declared, docker_default);
        Self { explanation, advice }
    }

    /// The same for refusals of which only the counter is known. Where the arguments decide, nothing can be said.
    #[must_use]
    pub fn of_counter(counter: Counter, seen: Seen, declared: Option<Declared<'_>>, docker_default: bool) -> Self {
        let call = Call { abi: counter.abi, nr: counter.nr, args: [0; COUNT] };
        let told = declared.filter(|declared| declared.policy.compared_arguments(call.abi, call.nr) == [false; COUNT]);
        let mut findings = Self::of(&call, seen, told, docker_default);
        if told.is_none() && declared.is_some() {
            findings.advice.remedy = "the profile looks at its arguments, which nobody saw".to_owned();
        }
        findings
    }
}

/// The refusals of one container.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: BTreeMap<Key, Denial>,
    /// How many were seen one by one, by counter: kept or not.
    seen: BTreeMap<Counter, u64>,
    /// What was counted when [`Log::settle`] was last asked.
    counted: BTreeMap<Counter, u64>,
    /// What is known to have been counted and never seen.
    unseen: BTreeMap<Counter, u64>,
    /// When the latest was of what is in no entry: noticed as unseen, or dropped.
    rest: BTreeMap<Counter, Timestamp>,
    /// When the log was last told the time.
    now: Timestamp,
}

/// What was counted and is in no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Which counter counts it.
    pub counter: Counter,
    /// How many.
    pub count: u64,
    /// When the latest of them was, or was noticed; `None` where they are new, and nobody has noticed them before.
    pub time: Option<Timestamp>,
}

impl Log {
    /// Says what time it is: what [`Log::settle`] notices is noted with it.
    pub const fn tell_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes one refusal in. `compared`: which arguments the profile looks at for this call; they are compared too.
    /// Gives the key of its entry.
    pub fn add(&mut self, refusal: Refusal, counted_as: SyscallNr, compared: [bool; COUNT]) -> Key {
        let key = key(&refusal, compared);
        let counter = Counter { abi: refusal.call.abi, nr: counted_as, kind: refusal.seen.into() };
        *self.seen.entry(counter).or_default() += 1;
        match self.entries.get_mut(&key) {
            Some(entry) => {
                entry.count += 1;
                // Events of several processors may overtake each other.
                if refusal.time >= entry.latest.time {
                    entry.latest = refusal;
                }
            }
            None => {
                self.trim(KEPT - 1);
                let first = refusal.time;
                let entry = Denial { latest: refusal, first, count: 1, counter, findings: None };
                self.entries.insert(key.clone(), entry);
            }
        }
        key
    }

    /// Drops the entries that have been quiet for longest, until so many are left.
    pub fn trim(&mut self, keep: usize) {
        while self.entries.len() > keep {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.latest.time).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            if let Some(dropped) = self.entries.remove(&oldest) {
                note(&mut self.rest, dropped.counter, dropped.latest.time);
            }
        }
    }

    /// Entries that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was refused that was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One entry.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Denial> {
        self.entries.get_mut(key)
    }

    /// All entries, in no order that means anything.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Denial> {
        self.entries.values_mut()
    }

    /// The profile is another one now, or known now: what was said before is worth nothing.
    pub fn forget_findings(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.findings = None);
    }

    /// What was counted, by counter, and is in no entry: never seen, or dropped.
    #[must_use]
    pub fn remainder(&self, counted: &BTreeMap<Counter, u64>) -> Vec<Rest> {
        let mut kept: BTreeMap<Counter, u64> = BTreeMap::new();
        for entry in self.entries.values() {
            *kept.entry(entry.counter).or_default() += entry.count;
        }
        let of = |map: &BTreeMap<Counter, u64>, counter: &Counter| map.get(counter).copied().unwrap_or(0);
        let of_counter = |(counter, count): (&Counter, &u64)| {
            let noticed = *count <= of(&self.seen, counter) + of(&self.unseen, counter);
            let time = self.rest.get(counter).copied().filter(|_| noticed);
            Rest { counter: *counter, count: count.saturating_sub(of(&kept, counter)), time }
        };
        counted.iter().map(of_counter).filter(|rest| rest.count > 0).collect()
    }

    /// The same, of what is settled: [`Log::settle`] will not tell of it again.
    #[must_use]
    pub fn settled_remainder(&self) -> Vec<Rest> {
        let mut rest = self.seen.clone();
        for (counter, count) in &self.unseen {
            *rest.entry(*counter).or_default() += count;
        }
        for entry in self.entries.values() {
            if let Some(count) = rest.get_mut(&entry.counter) {
                *count = count.saturating_sub(entry.count);
            }
        }
        let rest = rest.into_iter().filter(|(_, count)| *count > 0);
        rest.map(|(counter, count)| Rest { counter, count, time: self.rest.get(&counter).copied() }).collect()
    }

    /// Takes the counters as they are now, when everything that was sent before has been taken in. Gives what is known
    /// to have been counted and not seen, beyond what was given before.
    ///
    /// Only what was counted when this was asked last is settled: what was counted since may still be on its way.
    pub fn settle(&mut self, counted: BTreeMap<Counter, u64>) -> Vec<(Counter, u64)> {
        let mut news = Vec::new();
        for (counter, before) in std::mem::replace(&mut self.counted, counted) {
            let seen = self.seen.get(&counter).copied().unwrap_or(0);
            let unseen = self.unseen.entry(counter).or_default();
            let more = before.saturating_sub(seen + *unseen);
            if more > 0 {
                *unseen += more;
                note(&mut self.rest, counter, self.now);
                news.push((counter, more));
            }
        }
        news
    }
}

fn note(latest: &mut BTreeMap<Counter, Timestamp>, counter: Counter, time: Timestamp) {
    let noted = latest.entry(counter).or_insert(time);
    *noted = time.max(*noted);
}

fn key(refusal: &Refusal, compared: [bool; COUNT]) -> Key {
    let mut call = refusal.call;
    let arguments = decode(call.abi, call.nr, &call.args);
    for (at, value) in call.args.iter_mut().enumerate() {
        let telling = arguments.get(at).is_some_and(|argument| argument.telling);
        if !telling && !compared.get(at).is_some_and(|compared| *compared) {
            *value = 0;
        }
    }
    let seen = match refusal.seen {
        // What a supervisor gives may be another number each time.
        Seen::Supervised(result) if result >= 0 => Seen::Supervised(0),
        seen => seen,
    };
    Key { call, seen, comm: refusal.task.comm.clone() }
}
