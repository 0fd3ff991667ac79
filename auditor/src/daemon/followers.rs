//! Those who follow: each gets every refusal of its container, what repeats at once folded, and is told what it missed.
//!
//! Nobody waits for a follower. What it has not read yet waits in a bounded queue, and what finds no room there is
//! counted and told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::record::Record;
use crate::container::ContainerId;
use crate::control::FollowItem;
use crate::denial::Key;
use crate::report::denial::DenialView;

/// How long a refusal that repeats is folded before it is told again.
pub const FOLD: Duration = Duration::from_secs(1);

/// All followers.
#[derive(Debug, Default)]
pub struct Followers {
    followers: Vec<Follower>,
    lost: u64,
}

#[derive(Debug)]
struct Follower {
    /// The container, and its name: one that comes after it under the same name is followed too.
    container: Option<(ContainerId, Option<String>)>,
    queue: mpsc::Sender<FollowItem>,
    /// What was told lately, and what came again since.
    recent: BTreeMap<(ContainerId, Key), Recent>,
    /// Refusals that found no room, and that it was not told of yet.
    lost: u64,
}

#[derive(Debug)]
struct Recent {
    told: Instant,
    waiting: Option<DenialView>,
}

impl Followers {
    /// Adds one.
    pub fn add(&mut self, container: Option<ContainerId>, name: Option<String>, queue: mpsc::Sender<FollowItem>) {
        let container = container.map(|id| (id, name));
        self.followers.push(Follower { container, queue, recent: BTreeMap::new(), lost: 0 });
    }

    /// Whether anybody follows this container.
    pub fn anybody_for(&self, record: &Record) -> bool {
        self.followers.iter().any(|follower| follower.wants(record))
    }

    /// One refusal.
    pub fn tell(&mut self, record: &Record, key: Key, view: &DenialView) {
        let now = Instant::now();
        let key = (record.id(), key);
        for follower in self.followers.iter_mut().filter(|follower| follower.wants(record)) {
            match follower.recent.get_mut(&key) {
                Some(recent) if now.duration_since(recent.told) < FOLD => {
                    let mut view = view.clone();
                    if let Some(waiting) = &recent.waiting {
                        view.count += waiting.count;
                        view.first_time = waiting.first_time;
                    }
                    recent.waiting = Some(view);
                }
                _ => {
                    let before = follower.recent.insert(key.clone(), Recent { told: now, waiting: None });
                    if let Some(waiting) = before.and_then(|recent| recent.waiting) {
                        self.lost += follower.send(waiting);
                    }
                    self.lost += follower.send(view.clone());
                }
            }
        }
    }

    /// Refusals that nobody saw one by one.
    pub fn tell_unseen(&mut self, record: &Record, view: &DenialView) {
        for follower in self.followers.iter_mut().filter(|follower| follower.wants(record)) {
            self.lost += follower.send(view.clone());
        }
    }

    /// Sends what was folded for long enough, and forgets those who went away.
    pub fn flush(&mut self) {
        let now = Instant::now();
        for follower in &mut self.followers {
            let mut due = Vec::new();
            follower.recent.retain(|_, recent| {
                if now.duration_since(recent.told) < FOLD {
                    return true;
                }
                // What did not come again is new when it does.
                let Some(view) = recent.waiting.take() else { return false };
                due.push(view);
                recent.told = now;
                true
            });
            for view in due {
                self.lost += follower.send(view);
            }
            follower.tell_lost();
        }
        self.followers.retain(|follower| !follower.queue.is_closed());
    }

    /// Whether anything waits to be sent.
    pub fn waiting(&self) -> bool {
        self.followers.iter().any(|follower| follower.lost > 0 || !follower.recent.is_empty())
    }

    /// Refusals that found no room in some follower's queue.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

impl Follower {
    fn wants(&self, record: &Record) -> bool {
        self.container
            .as_ref()
            .is_none_or(|(id, name)| *id == record.id() || (name.is_some() && *name == record.name()))
    }

    /// Gives what was lost by it.
    fn send(&mut self, view: DenialView) -> u64 {
        self.tell_lost();
        let count = view.count;
        match self.queue.try_send(FollowItem::Denial(Box::new(view))) {
            Ok(()) => 0,
            Err(_) => {
                self.lost += count;
                count
            }
        }
    }

    fn tell_lost(&mut self) {
        if self.lost > 0 && self.queue.try_send(FollowItem::Lost { count: self.lost }).is_ok() {
            self.lost = 0;
        }
    }
}
