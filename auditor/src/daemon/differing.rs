//! Which filters were compared with which profiles. A comparison takes its time, so it is made on a thread of its own,
//! once: containers share profiles, and their tasks share filters.

use std::cell::Cell;
use std::collections::HashMap;

use tokio::sync::mpsc;
use tracing::warn;

use crate::effective::{self, Differences, Unclear};
use crate::filter::Program;
use crate::profile::Policy;

/// Comparisons that are remembered.
const REMEMBERED: usize = 1_024;
/// Comparisons that run or wait at once.
const WAITING: usize = 4;

/// A comparison that was made: the declared profile, by its digest, the filter, and the differences.
pub type Compared = (String, Program, Differences);

/// A comparison, perhaps still being made.
#[derive(Debug)]
struct Known {
    differences: Option<Differences>,
    /// The round in which somebody asked for it last.
    asked: Cell<u64>,
}

/// The comparisons.
#[derive(Debug)]
pub struct Differing {
    sender: mpsc::Sender<Box<Compared>>,
    known: HashMap<String, HashMap<Program, Known>>,
    round: u64,
}

impl Differing {
    /// None made. What is made later is sent, and wants to be given to [`Differing::take`].
    pub fn new(sender: mpsc::Sender<Box<Compared>>) -> Self {
        Self { sender, known: HashMap::new(), round: 0 }
    }

    /// The differences between a profile and a filter.
    ///
    /// # Errors
    /// When they are not known (yet).
    pub fn of(&self, sha256: &str, program: &Program) -> Differences {
        let known = self.known.get(sha256).and_then(|filters| filters.get(program)).ok_or(Unclear::Pending)?;
        known.asked.set(self.round);
        known.differences.clone().unwrap_or(Err(Unclear::Pending))
    }

    /// Begins a round: what nobody asked for in the last one may be forgotten, where room is wanted.
    pub const fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Has a comparison made that was not made yet, if there is room for it.
    pub fn want(&mut self, sha256: &str, policy: &Policy, program: &Program) {
        if self.known.get(sha256).is_some_and(|filters| filters.contains_key(program)) {
            return;
        }
        let all = || self.known.values().flat_map(HashMap::values);
        if all().filter(|known| known.differences.is_none()).count() >= WAITING {
            return;
        }
        if all().count() >= REMEMBERED {
            self.forget();
        }
        if self.known.values().map(HashMap::len).sum::<usize>() >= REMEMBERED {
            return;
        }
        let known = Known { differences: None, asked: Cell::new(self.round) };
        self.known.entry(sha256.to_owned()).or_default().insert(program.clone(), known);
        let (sender, sha256) = (self.sender.clone(), sha256.to_owned());
        let (policy, program) = (policy.clone(), program.clone());
        tokio::task::spawn_blocking(move || {
            let differences = effective::differences(&policy, &program);
            // The loop may have ended.
            let _ = sender.blocking_send(Box::new((sha256, program, differences)));
        });
    }

    fn forget(&mut self) {
        let round = self.round;
        for filters in self.known.values_mut() {
            filters.retain(|_, known| known.differences.is_none() || known.asked.get() + 1 >= round);
        }
        self.known.retain(|_, filters| !filters.is_empty());
    }

    /// Takes a comparison that was made.
    pub fn take(&mut self, (sha256, program, differences): Compared) {
        if let Err(Unclear::Never(why)) = &differences {
            warn!(why, "a filter cannot be compared with the declared profile");
        }
        if let Some(known) = self.known.get_mut(&sha256).and_then(|filters| filters.get_mut(&program)) {
            known.differences = Some(differences);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Instruction;
    use crate::profile::{HostArch, oci};
    use crate::syscall::Abi;

    fn program(value: u32) -> Program {
        Program::new(vec![Instruction { code: 0x06, jt: 0, jf: 0, k: value }]).unwrap()
    }

    #[tokio::test]
    async fn a_comparison_is_made_once_and_what_nobody_asks_for_makes_room() {
        let profile = oci::parse_seccomp(
            br#"{"defaultAction": "SCMP_ACT_KILL", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
        );
        let policy = profile.unwrap().evaluate(HostArch::of(Abi::X86_64));
        let (sender, mut made) = mpsc::channel(8);
        let mut differing = Differing::new(sender);
        differing.want("one", &policy, &program(0));
        differing.want("one", &policy, &program(0));
        assert_eq!(differing.of("one", &program(0)), Err(Unclear::Pending));
        differing.take(*made.recv().await.unwrap());
        assert!(differing.of("one", &program(0)).is_ok_and(|differences| !differences.is_empty()));
        assert!(made.try_recv().is_err(), "it was made twice");
        let known = |asked| Known { differences: Some(Ok(Vec::new())), asked: Cell::new(asked) };
        let filters = differing.known.entry("many".to_owned()).or_default();
        filters.extend((1..).take(REMEMBERED).map(|value| (program(value), known(0))));
        for _ in 0..2 {
            differing.begin_round();
            // Asked for in each round, this one stays.
            assert!(differing.of("one", &program(0)).is_ok());
        }
        differing.want("two", &policy, &program(0));
        differing.take(*made.recv().await.unwrap());
        assert!(differing.of("one", &program(0)).is_ok() && differing.of("two", &program(0)).is_ok());
        assert_eq!(differing.of("many", &program(1)), Err(Unclear::Pending));
    }
}
