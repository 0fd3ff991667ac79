//! The reader of seccomp filters.

use auditor::filter::{Diagrams, Program, SeccompData, Stack};
use auditor::syscall::{Abi, SyscallNr};

/// Steps of work for one input: what takes more is too complex, as in the product with a larger number.
const STEPS: u32 = 1 << 11;

/// The first byte: a call's number. The next six: where the arguments that are tried come from in what follows, so that
/// they are near the numbers that the filter compares with. A second filter begins behind the first half, if so chosen.
pub(super) fn run(bytes: &[u8]) {
    let Some(([nr, choice, picks @ ..], code)) = bytes.split_first_chunk::<8>() else { return };
    let Ok(program) = Program::parse(code) else {
        return;
    };
    assert_eq!(program.to_bytes(), code);
    let listing = program.disassemble();
    assert!(listing.lines().count() >= program.instructions().len(), "{listing}");
    let mut programs = vec![program];
    if choice & 4 != 0 {
        let half = code.len() / 16 * 8;
        programs.extend(Program::parse(&code[half..]));
    }
    let stack = Stack(programs);
    let abi = Abi::ALL[usize::from(choice & 3)];
    let nr = SyscallNr(i32::from(*nr));
    let word = |pick: u8| {
        let at = usize::from(pick) * 4 % code.len();
        code.get(at + 4..at + 8).map_or(u32::from(pick), |word| u32::from_ne_bytes(word.try_into().unwrap()))
    };
    let value = |at: usize| {
        let (low, high) = (u64::from(word(picks[at % 6])), u64::from(word(picks[(at + 1) % 6])));
        if choice & 8 == 0 { low } else { high << 32 | low }
    };
    let near = |off: u64| std::array::from_fn(|at| value(at).wrapping_add(off));
    let arguments: [[u64; 6]; 4] = [near(0), near(1), near(u64::MAX), std::array::from_fn(|at| value(at) >> 32)];
    let answer = |args: [u64; 6]| stack.run(&SeccompData::new(abi, nr, args));
    for args in arguments {
        let (outcome, by) = answer(args);
        assert!(by.is_none_or(|index| index < stack.0.len()), "{outcome:?}");
    }
    let mut diagrams = Diagrams::with_limit(STEPS);
    let Ok(diagram) = stack.analyze(&mut diagrams, abi, nr) else { return };
    let cases = diagrams.cases(diagram).ok();
    for args in arguments {
        let (outcome, _) = answer(args);
        assert_eq!(diagrams.evaluate(diagram, &args), outcome, "{args:x?}");
        if let Some(cases) = &cases {
            let case = cases.iter().find(|case| case.holds(&args)).unwrap();
            assert_eq!(case.outcome, outcome, "{case}: {args:x?}");
        }
    }
    for outcome in diagrams.outcomes(diagram) {
        let args = diagrams.witness(diagram, |other| other == outcome).unwrap();
        assert_eq!(answer(args).0, outcome, "{args:x?}");
    }
    if let Some(cases) = &cases {
        assert!(cases.last().is_some_and(|case| case.conditions.is_empty()));
    }
}
