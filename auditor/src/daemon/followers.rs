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

/// Refusals that are looked out for because they may repeat. Beyond that each is told by itself.
const RECENT: usize = 1_024;

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
    pub fn tell(&mut self, record: &Record, key: Key, view: &DenialView, now: Instant) {
        let key = (record.id(), key);
        for follower in self.followers.iter_mut().filter(|follower| follower.wants(record)) {
            let crowded = follower.recent.len() >= RECENT;
            match follower.recent.get_mut(&key) {
                Some(recent) if now.duration_since(recent.told) < FOLD => {
                    let mut view = view.clone();
                    if let Some(waiting) = &recent.waiting {
                        view.count += waiting.count;
                        view.first_time = waiting.first_time;
                    }
                    recent.waiting = Some(view);
                }
                None if crowded => self.lost += follower.send(view.clone()),
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
    pub fn flush(&mut self, now: Instant) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::decision::{Call, Seen};
    use crate::denial::{Log, Refusal, Task};
    use crate::report::denial::Container;
    use crate::syscall::{Abi, SyscallNr};

    /// Refusals of one container, as the loop tells them.
    struct Loop {
        record: Record,
        log: Log,
        followers: Followers,
        start: Instant,
    }

    impl Loop {
        fn new() -> Self {
            let record = Record::new(ContainerId::parse(&"ab".repeat(32)).unwrap());
            Self { record, log: Log::default(), followers: Followers::default(), start: Instant::now() }
        }

        fn follow(&mut self, room: usize) -> mpsc::Receiver<FollowItem> {
            let (queue, items) = mpsc::channel(room);
            self.followers.add(Some(self.record.id()), None, queue);
            items
        }

        fn refuse(&mut self, milliseconds: u64, mode: u64) {
            let call = Call { abi: Abi::X86_64, nr: SyscallNr(83), args: [0, mode, 0, 0, 0, 0] };
            let task = Task { pid: 1, tid: 1, container_pid: 1, container_tid: 1, comm: "sh".to_owned() };
            let refusal = Refusal { time: jiff::Timestamp::UNIX_EPOCH, call, seen: Seen::Errno(1), task };
            let key = self.log.add(refusal.clone(), call.nr, [false; 6]);
            let container = Container { name: None, id: "ab", declared: None, docker_default: false, effective: None };
            let view = DenialView::of_one(self.log.get_mut(&key).unwrap(), &refusal, &container);
            self.followers.tell(&self.record, key, &view, self.at(milliseconds));
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }
    }

    /// What a follower has been told: counts of lines, and of what it missed as negative numbers.
    fn told(items: &mut mpsc::Receiver<FollowItem>) -> Vec<i64> {
        let count = |item| match item {
            FollowItem::Denial(view) => i64::try_from(view.count).unwrap(),
            FollowItem::Lost { count } => -i64::try_from(count).unwrap(),
            FollowItem::Alive => 0,
        };
        std::iter::from_fn(|| items.try_recv().ok()).map(count).collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_repetitions_once_a_second() {
        let mut test = Loop::new();
        let mut items = test.follow(100);
        for millisecond in 0..500 {
            test.refuse(millisecond, 0o755);
        }
        assert_eq!(told(&mut items), [1]);
        test.followers.flush(test.at(999));
        assert_eq!(told(&mut items), [0; 0]);
        test.followers.flush(test.at(1_000));
        assert_eq!(told(&mut items), [499]);
        test.refuse(1_500, 0o700);
        test.refuse(1_600, 0o755);
        assert_eq!(told(&mut items), [1]);
        test.followers.flush(test.at(2_600));
        assert_eq!(told(&mut items), [1]);
        // Quiet for long enough: the next is new again.
        test.followers.flush(test.at(5_000));
        assert!(!test.followers.waiting());
        test.refuse(5_001, 0o755);
        assert_eq!(told(&mut items), [1]);
    }

    #[test]
    fn a_slow_follower_is_told_how_much_it_missed_and_disturbs_no_other() {
        let mut test = Loop::new();
        let (mut slow, mut quick) = (test.follow(3), test.follow(100));
        for mode in 0..10 {
            test.refuse(0, mode);
        }
        assert_eq!(told(&mut quick), [1; 10]);
        assert_eq!(told(&mut slow), [1; 3]);
        assert_eq!(test.followers.lost(), 7);
        test.followers.flush(test.at(1));
        assert_eq!(told(&mut slow), [-7]);
        assert_eq!(told(&mut quick), [0; 0]);
    }

    #[test]
    fn what_is_remembered_for_a_follower_is_bounded() {
        let mut test = Loop::new();
        let mut items = test.follow(10_000);
        for mode in 0..3_000 {
            test.refuse(0, mode);
        }
        assert_eq!(told(&mut items).len(), 3_000);
        assert_eq!(test.followers.followers[0].recent.len(), RECENT);
    }

    #[test]
    fn followers_that_went_away_are_forgotten() {
        let mut test = Loop::new();
        drop(test.follow(1));
        test.refuse(0, 0);
        test.followers.flush(test.at(0));
        assert!(!test.followers.anybody_for(&test.record));
    }
}
