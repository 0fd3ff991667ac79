//! Which filters were compared with which profiles. A comparison takes its time, so it is made on a thread of its own,
//! once: containers share profiles, and their tasks share filters.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tracing::warn;

use crate::effective::{self, Differences};
use crate::filter::Program;
use crate::profile::Policy;

/// Comparisons that are remembered. Programs that keep installing filters of their own push out the others.
const REMEMBERED: usize = 256;
/// Comparisons that run or wait at once.
const WAITING: usize = 8;

/// A declared profile, by its digest, and a filter.
type Key = (String, Program);

/// A comparison that was made.
pub type Compared = (Key, Differences);

/// The comparisons.
#[derive(Debug)]
pub struct Differing {
    sender: mpsc::Sender<Box<Compared>>,
    known: HashMap<Key, Option<Differences>>,
}

impl Differing {
    /// None made. What is made later is sent, and wants to be given to [`Differing::take`].
    pub fn new(sender: mpsc::Sender<Box<Compared>>) -> Self {
        Self { sender, known: HashMap::new() }
    }

    /// The differences between a profile and a filter.
    ///
    /// # Errors
    /// When they are not known (yet).
    pub fn of(&self, sha256: &str, program: &Program) -> Differences {
        match self.known.get(&(sha256.to_owned(), program.clone())) {
            Some(Some(differences)) => differences.clone(),
            Some(None) | None => Err("they are being compared with the declared profile".to_owned()),
        }
    }

    /// Has a comparison made that was not made yet.
    pub fn want(&mut self, sha256: &str, policy: &Policy, program: &Program) {
        let key = (sha256.to_owned(), program.clone());
        let waiting = self.known.values().filter(|known| known.is_none()).count();
        if self.known.contains_key(&key) || waiting >= WAITING {
            return;
        }
        if self.known.len() >= REMEMBERED {
            self.known.retain(|_, known| known.is_none());
        }
        self.known.insert(key.clone(), None);
        let (sender, policy) = (self.sender.clone(), policy.clone());
        tokio::task::spawn_blocking(move || {
            let differences = effective::differences(&policy, &key.1);
            // The loop may have ended.
            let _ = sender.blocking_send(Box::new((key, differences)));
        });
    }

    /// Takes a comparison that was made.
    pub fn take(&mut self, (key, differences): Compared) {
        if let Err(why) = &differences {
            warn!(why, "a filter cannot be compared with the declared profile");
        }
        self.known.insert(key, Some(differences));
    }
}
