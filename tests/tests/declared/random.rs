//! Profiles that look random and are the same in every run, made so that their rules overlap, share what they compare,
//! and contradict each other.

use std::collections::BTreeSet;

use auditor::profile::{Action, Arch, ArgCondition, Operator, Profile, Rule};

/// A stream of numbers that is the same in every run (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Few values, so that conditions overlap, share halves and contradict each other.
const VALUES: [u64; 12] =
    [0, 1, 2, 5, 0xff, 0xffff_ffff, 1 << 32, (1 << 32) + 1, (1 << 32) + 5, 7 << 32, u64::MAX, 0x8000_0000_0000_0000];
const MASKS: [u64; 8] = [1, 3, 0xff, 0xffff_ffff, 0xffff_ffff_0000_0000, 1 << 32, u64::MAX, 0];

fn condition(numbers: &mut Numbers, indices: u64) -> ArgCondition {
    let operator = numbers.pick(&Operator::ALL);
    let index = u32::try_from(numbers.below(indices)).unwrap();
    let (value, value_two) = match operator {
        Operator::MaskedEqual => (numbers.pick(&MASKS), numbers.pick(&VALUES)),
        _ => (numbers.pick(&VALUES), numbers.pick(&[0, 9])),
    };
    ArgCondition { index, value, value_two, operator }
}

const ACTIONS: [(Action, Option<u32>); 9] = [
    (Action::Allow, None),
    (Action::Errno, None),
    (Action::Errno, Some(2)),
    (Action::Log, None),
    (Action::Trap, None),
    (Action::KillThread, None),
    (Action::KillProcess, None),
    (Action::Notify, None),
    (Action::Trace, Some(3)),
];

pub const NAMES: [&str; 10] =
    ["read", "socket", "socketcall", "bind", "semop", "ipc", "personality", "clone", "no_such_call", "accept4"];

const ARCHES: [&[Arch]; 5] =
    [&[], &[Arch::X86_64], &[Arch::X86_64, Arch::X86, Arch::X32], &[Arch::X86, Arch::Aarch64], &[Arch::X32, Arch::Arm]];

/// A profile with few calls and many rules for each.
pub fn profile(numbers: &mut Numbers) -> Profile {
    let (default_action, default_errno) = numbers.pick(&[
        (Action::Errno, None),
        (Action::Allow, None),
        (Action::KillProcess, None),
        (Action::Trace, None),
    ]);
    let names = 1 + numbers.below(3);
    let names: Vec<&str> = (0..names).map(|_| numbers.pick(&NAMES)).collect();
    // Mostly one action with conditions on few arguments: the more they differ, the sooner libseccomp refuses.
    let actions: Vec<_> = (0..1 + numbers.below(3)).map(|_| numbers.pick(&ACTIONS)).collect();
    let (indices, longest) = (1 + numbers.below(4), 1 + numbers.below(4));
    let rules = 1 + numbers.below(10);
    let rules = (0..rules)
        .map(|_| {
            let (action, errno) = numbers.pick(&actions);
            let mut args: Vec<ArgCondition> =
                (0..numbers.below(longest + 1)).map(|_| condition(numbers, indices)).collect();
            if !numbers.chance(10) {
                let mut seen = BTreeSet::new();
                args.retain(|arg| seen.insert(arg.index));
            }
            if args.is_empty() && !numbers.chance(10) {
                args.push(condition(numbers, indices));
            }
            Rule { names: vec![numbers.pick(&names).to_owned()], action, errno, args }
        })
        .collect();
    Profile {
        default_action,
        default_errno,
        architectures: numbers.pick(&ARCHES).to_vec(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        rules,
    }
}
