//! Programs and arguments as nobody writes them.

use auditor::filter::{Instruction, Program};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Numbers that comparisons and masks turn on.
const NUMBERS: [u32; 16] =
    [0, 1, 2, 3, 5, 8, 16, 31, 32, 64, 0xff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

/// Return values with every action, unknown ones among them.
pub(super) const VALUES: [u32; 14] = [
    0x7fff_0000,
    0x7fff_0007,
    0x7ffc_0000,
    0x7ff0_0001,
    0x7fc0_0000,
    0x0005_0001,
    0x0005_0000,
    0x0005_ffff,
    0x0003_0009,
    0x0000_0000,
    0x8000_0000,
    0x1234_0000,
    0x9000_0001,
    0x0004_0000,
];

/// Words that fill scratch memory and registers before anything else, so that every later instruction is taken.
const PROLOGUE: [Instruction; 4] = [stmt(0x02, 0), stmt(0x02, 1), stmt(0x02, 2), stmt(0x20, 0)];

pub(super) const fn stmt(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => select(&NUMBERS[..]), 1 => any::<u32>()]
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let load = select(vec![0_u32, 4, 16, 20, 24, 28, 56, 60]).prop_map(|k| stmt(0x20, k));
    let set = (select(vec![0x00_u16, 0x01]), number()).prop_map(|(code, k)| stmt(code, k));
    let scratch = (select(vec![0x60_u16, 0x61, 0x02, 0x03]), 0..3_u32).prop_map(|(code, k)| stmt(code, k));
    let plain = select(vec![0x07_u16, 0x87, 0x84, 0x80, 0x81]).prop_map(|code| stmt(code, 0));
    let bits = (select(vec![0x44_u16, 0x54, 0xa4, 0x04, 0x14]), number()).prop_map(|(code, k)| stmt(code, k));
    let shift = (select(vec![0x64_u16, 0x74]), 0..32_u32).prop_map(|(code, k)| stmt(code, k));
    let divide = select(vec![1_u32, 2, 3, 16, 1 << 20, 1 << 31]).prop_map(|k| stmt(0x34, k));
    let multiply = select(vec![0_u32, 1, 2, 3, 16]).prop_map(|k| stmt(0x24, k));
    let register = select(vec![0x0c_u16, 0x1c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0xac]).prop_map(|code| stmt(code, 0));
    let branch = (select(vec![0x15_u16, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d]), 0..6_u8, 0..6_u8, number())
        .prop_map(|(code, jt, jf, k)| Instruction { code, jt, jf, k });
    let jump = (0..4_u32).prop_map(|k| stmt(0x05, k));
    let end = select(&VALUES[..]).prop_map(|k| stmt(0x06, k));
    prop_oneof![
        6 => load, 2 => set, 3 => scratch, 1 => plain, 4 => bits, 2 => shift, 1 => divide, 1 => multiply, 1 => register,
        8 => branch, 1 => jump, 2 => end
    ]
}

/// A program that the kernel takes.
pub(super) fn program() -> impl Strategy<Value = Program> {
    (vec(instruction(), 0..24), vec(select(&VALUES[..]), 6), any::<bool>()).prop_map(|(body, values, computed)| {
        let mut all = PROLOGUE.to_vec();
        all.extend(body);
        // Whatever the last jumps skip, they end in a return.
        all.extend(values.into_iter().map(|k| stmt(0x06, k)));
        if computed {
            all.extend([stmt(0x54, 0x0003), stmt(0x44, 0x0005_0000), stmt(0x16, 0)]);
        }
        Program::new(all).unwrap()
    })
}

/// Arguments that are near the numbers that the programs turn on.
pub(super) fn args() -> impl Strategy<Value = [u64; 6]> {
    let near = (number(), 0..3_u32).prop_map(|(number, off)| number.wrapping_add(off).wrapping_sub(1));
    let word = prop_oneof![3 => near, 1 => any::<u32>()];
    let argument = (word.clone(), prop_oneof![2 => Just(0_u32), 1 => word])
        .prop_map(|(low, high)| u64::from(high) << 32 | u64::from(low));
    vec(argument, 6).prop_map(|args| args.try_into().unwrap())
}
