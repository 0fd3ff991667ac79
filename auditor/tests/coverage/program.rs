//! Programs that are made up: which calls a start makes, and with which chance.

use auditor::coverage::Incidence;
use auditor::syscall::{Abi, SyscallNr};

/// Numbers that look random and are the same everywhere (Steele, Lea and Flood's SplitMix64).
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Of 0..1, evenly.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let high = u32::try_from(mixed >> 32).unwrap();
        f64::from(high) / f64::from(u32::MAX)
    }
}

/// Calls that a start makes together or not at all.
#[derive(Clone)]
pub struct Group {
    pub chance: f64,
    pub calls: Vec<i32>,
}

/// Every start makes the `always` calls, and of the groups either each by its own chance, or one at most.
#[derive(Clone)]
pub struct Program {
    pub always: i32,
    pub groups: Vec<Group>,
    pub one_at_most: bool,
}

impl Program {
    /// Groups of one call each.
    pub fn of(chances: impl IntoIterator<Item = f64>) -> Self {
        Self::grouped(chances, 1)
    }

    /// Groups of several calls. Neighbours share one, as branches of one program do.
    pub fn grouped(chances: impl IntoIterator<Item = f64>, size: i32) -> Self {
        const ALWAYS: i32 = 3;
        let mut next = ALWAYS;
        let mut groups = Vec::new();
        for chance in chances {
            groups.push(Group { chance, calls: (next..next + size).collect() });
            next += if size > 1 { size - 1 } else { 1 };
        }
        Self { always: ALWAYS, groups, one_at_most: false }
    }

    /// Each start is in one of these modes, or in none of them.
    pub fn modes(chances: impl IntoIterator<Item = f64>) -> Self {
        Self { one_at_most: true, ..Self::of(chances) }
    }

    fn start(&self, random: &mut Random) -> Vec<i32> {
        let mut calls: Vec<i32> = (0..self.always).collect();
        let mut left = random.unit();
        for group in &self.groups {
            if left < group.chance {
                calls.extend(&group.calls);
                if self.one_at_most {
                    return calls;
                }
            }
            left = if self.one_at_most { left - group.chance } else { random.unit() };
        }
        calls
    }

    /// The record of some starts, and the chance that another one makes a call that is not in it.
    pub fn record(&self, starts: u32, random: &mut Random) -> (Incidence, f64) {
        let mut incidence = Incidence::default();
        for _ in 0..starts {
            incidence.add(self.start(random).into_iter().map(key));
        }
        let is_new = |group: &&Group| group.calls.iter().any(|call| !incidence.calls.contains_key(&key(*call)));
        let unseen = self.groups.iter().filter(is_new).map(|group| group.chance);
        let truth =
            if self.one_at_most { unseen.sum() } else { 1.0 - unseen.map(|chance| 1.0 - chance).product::<f64>() };
        (incidence, truth)
    }
}

const fn key(nr: i32) -> (Abi, SyscallNr) {
    (Abi::X86_64, SyscallNr(nr))
}
