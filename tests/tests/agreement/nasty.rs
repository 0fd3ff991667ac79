//! Filters made by hand: every operation, with constants and with X, scratch memory, jumps of every length, stacks of
//! actions that exist and that do not; and programs of random instructions.

use anyhow::Result;
use auditor::filter::{Instruction, MAX_INSTRUCTIONS, Program};

use crate::chance::Chance;
use crate::trial::{Trial, harmless};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARG0: u32 = 16;
const ARG0_HIGH: u32 = 20;
const ARG1: u32 = 24;
const ARG5_HIGH: u32 = 60;

const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;
const TO_X: u16 = 0x07;
const TO_A: u16 = 0x87;
const AND: u16 = 0x54;
const OR: u16 = 0x44;
const EQUAL: u16 = 0x15;
/// The bit that makes an operand X of a constant.
const WITH_X: u16 = 0x08;

/// What filters return: each action, unknown ones between them, data that is clipped, and data that nobody reads.
const VALUES: [u32; 18] = [
    ALLOW,
    ALLOW | 9,
    0x7ffc_0000,
    0x7ffc_0003,
    0x7ff0_0000,
    0x7ff0_0005,
    0x7fc0_0000,
    ERRNO,
    ERRNO | 1,
    ERRNO | 4095,
    ERRNO | 4096,
    ERRNO | 0xffff,
    0x0003_0000,
    0x0003_abcd,
    0x0000_0000,
    0x8000_0000,
    0x0004_0001,
    0xf000_0002,
];

const fn stmt(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Before every filter, so that others can be stacked on it and a trapped caller can go on: `seccomp` and
/// `rt_sigreturn` are allowed. Both registers are zero behind it, as they are at the start.
const HEAD: [Instruction; 7] = [
    stmt(LOAD, ARCH),
    jump(EQUAL, 0xc000_003e, 0, 4),
    stmt(LOAD, NR),
    jump(EQUAL, 317, 1, 0),
    jump(EQUAL, 15, 0, 1),
    stmt(RETURN, ALLOW),
    stmt(0x00, 0),
];

fn program(body: &[Instruction]) -> Result<Program> {
    Ok(Program::new([&HEAD[..], body].concat())?)
}

/// Some bits of A as an errno.
fn tell(body: &[Instruction], shift: u32) -> Result<Program> {
    program(&[body, &[stmt(0x74, shift), stmt(AND, 0x3f), stmt(OR, ERRNO), stmt(RETURN_A, 0)]].concat())
}

/// All of them.
pub fn trials(seed: u64) -> Result<Vec<Trial>> {
    let mut chance = Chance::new(seed);
    let mut trials = Vec::new();
    let mut add = |name: String, programs: Vec<Program>, calls: usize, arguments: usize| {
        let mut trial = Trial::new(name, programs);
        trial.calls = harmless(&mut chance, calls);
        trial.arguments = arguments;
        trials.push(trial);
    };
    let ending = [jump(0x25, 0x1000, 0, 1), stmt(RETURN, ERRNO | 7), stmt(RETURN, ALLOW)];
    for (name, body) in complete() {
        add(name, vec![program(&body)?], 6, 30);
    }
    for (name, body) in computations() {
        add(name.clone(), vec![program(&[&body[..], &ending].concat())?], 3, 20);
        for shift in [0, 13, 26] {
            add(format!("{name}, told from bit {shift}"), vec![tell(&body, shift)?], 3, 20);
        }
    }
    for newer in VALUES {
        for older in VALUES {
            let programs = vec![program(&when(1, newer, ALLOW))?, program(&when(2, ALLOW, older))?];
            add(format!("{newer:#x} over {older:#x}"), programs, 2, 5);
        }
        let programs = vec![program(&[stmt(RETURN, newer)])?];
        add(format!("always {newer:#x}"), programs, 6, 5);
    }
    let mut chance = Chance::new(seed.wrapping_add(1));
    for count in [3, 5, 12, 30] {
        let returning = |chance: &mut Chance| program(&when(chance.half() % 4, *chance.pick(&VALUES), ALLOW));
        let programs = (0..count).map(|_| returning(&mut chance)).collect::<Result<_>>()?;
        add(format!("a stack of {count}"), programs, 4, 30);
    }
    for number in 0..400 {
        let programs = (0..1 + chance.below(2)).map(|_| random(&mut chance)).collect::<Result<_>>()?;
        add(format!("random program {number}"), programs, 3, 20);
    }
    Ok(trials)
}

/// One value where the lower half of the first argument is a number, else another.
fn when(number: u32, then: u32, otherwise: u32) -> Vec<Instruction> {
    vec![stmt(LOAD, ARG0), jump(EQUAL, number, 0, 1), stmt(RETURN, then), stmt(RETURN, otherwise)]
}

/// Straight and crooked ways to a value in A.
fn computations() -> Vec<(String, Vec<Instruction>)> {
    let mut found: Vec<(String, Vec<Instruction>)> = Vec::new();
    let with_argument = |code| vec![stmt(LOAD, ARG1), stmt(TO_X, 0), stmt(LOAD, ARG0), stmt(code | WITH_X, 0)];
    for code in [0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0xa4] {
        for k in [1, 3, 0x10, 0xffff, 0x8000_0001, u32::MAX] {
            found.push((format!("operation {code:#x} with {k:#x}"), vec![stmt(LOAD, ARG0), stmt(code, k)]));
        }
        found.push((format!("operation {code:#x} with an argument"), with_argument(code)));
    }
    for code in [0x64, 0x74] {
        for k in [0, 1, 12, 31] {
            found.push((format!("shift {code:#x} by {k}"), vec![stmt(LOAD, ARG0), stmt(code, k)]));
        }
        // By more bits than there are, too.
        found.push((format!("shift {code:#x} by an argument"), with_argument(code)));
    }
    let mut scratch = vec![stmt(LOAD, ARG0)];
    for cell in 0..16 {
        scratch.extend([stmt(0x02, cell), stmt(0x61, cell), stmt(0x74, 1), stmt(0xac, 0), stmt(0x03, 15 - cell)]);
    }
    scratch.extend([stmt(0x60, 3), stmt(0x61, 12), stmt(0xac, 0), stmt(TO_X, 0), stmt(TO_A, 0)]);
    // With what comes before and behind it as long as a program can be, and a jump over most of it.
    let filling = MAX_INSTRUCTIONS - HEAD.len() - 4 - 3;
    let over = u32::try_from(filling).unwrap_or(0);
    let mut long = vec![stmt(LOAD, ARG0), jump(0x45, 0x10, 0, 1), stmt(0x05, over)];
    long.extend((0..filling).map(|at| if at % 2 == 0 { stmt(0x04, 3) } else { stmt(0xa4, 5) }));
    for (name, body) in [
        ("registers at the start", vec![stmt(0x0c, 0), stmt(OR, 5)]),
        ("minus an argument", vec![stmt(LOAD, ARG0), stmt(0x84, 0)]),
        ("lengths", vec![stmt(0x80, 0), stmt(0x81, 0), stmt(0x0c, 0)]),
        ("the architecture and the number", vec![stmt(LOAD, ARCH), stmt(TO_X, 0), stmt(LOAD, NR), stmt(0xac, 0)]),
        ("the upper half of an argument", vec![stmt(LOAD, ARG0_HIGH)]),
        ("scratch memory", scratch),
        ("as long as can be", long),
    ] {
        found.push((name.to_owned(), body));
    }
    found
}

/// Filters that end in ways of their own.
fn complete() -> Vec<(String, Vec<Instruction>)> {
    let mut found: Vec<(String, Vec<Instruction>)> = Vec::new();
    for relation in [0x15, 0x25, 0x35, 0x45] {
        for k in [0, 1, 0x8000_0000, u32::MAX] {
            let test = [stmt(LOAD, ARG0_HIGH), jump(relation, k, 0, 1), stmt(RETURN, ERRNO | 2), stmt(RETURN, ALLOW)];
            found.push((format!("relation {relation:#x} with {k:#x}"), test.to_vec()));
        }
        let body = vec![
            stmt(LOAD, ARG5_HIGH),
            stmt(TO_X, 0),
            stmt(LOAD, ARG0),
            jump(relation | WITH_X, 0, 1, 0),
            stmt(RETURN, ERRNO | 2),
            stmt(RETURN, 0x0003_0002),
        ];
        found.push((format!("relation {relation:#x} with an argument"), body));
    }
    let negation = [stmt(LOAD, ARG0), stmt(TO_X, 0), stmt(0x84, 0), stmt(0x0c, 0), jump(EQUAL, 0, 0, 1)];
    let ends = [stmt(RETURN, ERRNO | 3), stmt(RETURN, 0)];
    let mut far = vec![stmt(LOAD, ARG0), jump(EQUAL, 1, 255, 254)];
    far.extend((0..254).map(|_| stmt(RETURN, 0)));
    far.extend([stmt(RETURN, ERRNO | 11), stmt(RETURN, ERRNO | 12)]);
    let kept = vec![
        stmt(LOAD, ARG0),
        stmt(0x02, 7),
        stmt(0x61, 7),
        stmt(LOAD, ARG1),
        jump(EQUAL, 5, 0, 2),
        stmt(0x60, 7),
        jump(EQUAL, 7, 3, 4),
        stmt(TO_A, 0),
        jump(EQUAL, 9, 0, 2),
        stmt(RETURN, ERRNO | 8),
        stmt(RETURN, ERRNO | 9),
        stmt(RETURN, ALLOW),
    ];
    for (name, body) in [
        ("what is kept over jumps", kept),
        ("an argument and its negation", [&negation[..], &ends].concat()),
        ("an action by argument", vec![stmt(LOAD, ARG0), stmt(AND, 7), stmt(0x64, 16), stmt(RETURN_A, 0)]),
        ("an unknown action by argument", vec![stmt(LOAD, ARG0_HIGH), stmt(AND, 0x8001_0001), stmt(RETURN_A, 0)]),
        ("jumps as far as can be", far),
    ] {
        found.push((name.to_owned(), body));
    }
    found
}

/// Instructions drawn by lot, as far as the kernel takes them.
fn random(chance: &mut Chance) -> Result<Program> {
    let mut body: Vec<Instruction> = (0..3).map(|cell| stmt(0x02, cell)).collect();
    for _ in 0..4 + chance.below(30) {
        let k = match chance.below(3) {
            0 => *chance.pick(&[0, 1, 2, 0xff, 0x8000_0000, u32::MAX]),
            1 => chance.half() % 64,
            _ => chance.half(),
        };
        let instruction = match chance.below(12) {
            0..=2 => stmt(LOAD, 4 * *chance.pick(&[0, 1, 4, 5, 6, 7, 15])),
            3 => stmt(*chance.pick(&[0x00, 0x01]), k),
            4 => stmt(*chance.pick(&[0x60, 0x61, 0x02, 0x03]), k % 3),
            5 => stmt(*chance.pick(&[TO_X, TO_A, 0x84, 0x80, 0x81]), 0),
            6 => stmt(*chance.pick(&[0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0xa4]), k.max(1)),
            7 => stmt(*chance.pick(&[0x64, 0x74]), k % 32),
            8 => stmt(*chance.pick(&[0x0c, 0x1c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0xac]), 0),
            9 => stmt(RETURN, *chance.pick(&VALUES)),
            _ => {
                let code = *chance.pick(&[0x15, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d]);
                let mut over = || u8::try_from(chance.below(6)).unwrap_or(0);
                jump(code, k, over(), over())
            }
        };
        body.push(instruction);
    }
    body.extend((0..6).map(|_| stmt(RETURN, *chance.pick(&VALUES))));
    program(&body)
}
