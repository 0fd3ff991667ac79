//! What holds for every program.

use auditor::filter::{Comparison, Diagram, Diagrams, Outcome, Program, SeccompData, Stack, Test, Unknown};
use auditor::syscall::{Abi, SyscallNr};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::arbitrary::{VALUES, args, program};

const CALL: (Abi, SyscallNr) = (Abi::X86_64, SyscallNr(2));

fn test() -> impl Strategy<Value = Test> {
    let comparison = select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let mask = prop_oneof![2 => Just(u64::MAX), 1 => Just(0xffff_ffff), 1 => args().prop_map(|args| args[0])];
    (0..3_u8, mask, comparison, args()).prop_map(|(argument, mask, comparison, args)| Test {
        argument,
        mask,
        comparison,
        value: args[0],
    })
}

/// A function of some tests, the first that holds decides.
fn function(diagrams: &mut Diagrams, tests: &[(Test, u32)]) -> Diagram {
    let mut function = diagrams.constant(Outcome::ALLOW).unwrap();
    for (test, value) in tests.iter().rev() {
        let then = diagrams.constant(Outcome::from_ret(*value)).unwrap();
        function = diagrams.test(*test, then, function).unwrap();
    }
    function
}

fn first(tests: &[(Test, u32)], args: &[u64; 6]) -> Outcome {
    tests.iter().find(|(test, _)| test.holds(args)).map_or(Outcome::ALLOW, |(_, value)| Outcome::from_ret(*value))
}

fn tests() -> impl Strategy<Value = Vec<(Test, u32)>> {
    vec((test(), select(&VALUES[..])), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_was_read_is_written_again(program in program()) {
        prop_assert_eq!(Program::parse(&program.to_bytes()).unwrap(), program);
    }

    #[test]
    fn analysis_says_what_a_run_gives(stack in vec(program(), 1..3), arguments in vec(args(), 32)) {
        let (abi, nr) = CALL;
        let stack = Stack(stack);
        let mut diagrams = Diagrams::with_limit(1 << 14);
        let diagram = match stack.analyze(&mut diagrams, abi, nr) {
            Ok(diagram) => diagram,
            Err(Unknown::TooComplex(_)) => return Err(TestCaseError::reject("too complex")),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        for args in arguments {
            let (outcome, _) = stack.run(&SeccompData::new(abi, nr, args));
            prop_assert_eq!(diagrams.evaluate(diagram, &args), outcome, "{:x?}", args);
        }
        for outcome in diagrams.outcomes(diagram) {
            let args = diagrams.witness(diagram, |other| other == outcome).unwrap();
            prop_assert_eq!(stack.run(&SeccompData::new(abi, nr, args)).0, outcome);
        }
    }

    #[test]
    fn cases_say_what_the_diagram_says(a in tests(), b in tests(), arguments in vec(args(), 16)) {
        let mut diagrams = Diagrams::new();
        let (left, right) = (function(&mut diagrams, &a), function(&mut diagrams, &b));
        let both = diagrams.combine(left, right, |a, b| if b.prevails_over(a) { b } else { a }).unwrap();
        let Ok(cases) = diagrams.cases(both) else { return Err(TestCaseError::reject("too complex")) };
        prop_assert!(cases.last().is_some_and(|case| case.conditions.is_empty()));
        for args in arguments {
            let case = cases.iter().find(|case| case.holds(&args)).unwrap();
            prop_assert_eq!(case.outcome, diagrams.evaluate(both, &args));
        }
        // Made into a diagram again they are the very same.
        let mut again = diagrams.constant(cases.last().unwrap().outcome).unwrap();
        for case in cases.iter().rev() {
            let mut inside = diagrams.constant(case.outcome).unwrap();
            for test in &case.conditions {
                inside = diagrams.test(*test, inside, again).unwrap();
            }
            again = inside;
        }
        prop_assert_eq!(again, both);
    }

    #[test]
    fn a_test_is_a_diagram(test in test(), arguments in vec(args(), 32)) {
        let mut diagrams = Diagrams::new();
        let diagram = function(&mut diagrams, &[(test, 0)]);
        for args in arguments {
            prop_assert_eq!(diagrams.evaluate(diagram, &args), first(&[(test, 0)], &args), "{}", test);
        }
    }

    #[test]
    fn combining_is_done_argument_by_argument(a in tests(), b in tests(), arguments in vec(args(), 16)) {
        let mut diagrams = Diagrams::new();
        let (left, right) = (function(&mut diagrams, &a), function(&mut diagrams, &b));
        let stricter = |a: Outcome, b: Outcome| if b.prevails_over(a) { b } else { a };
        let both = diagrams.combine(left, right, stricter).unwrap();
        for args in arguments {
            prop_assert_eq!(diagrams.evaluate(both, &args), stricter(first(&a, &args), first(&b, &args)));
        }
        let differ = diagrams.pair_witness(left, right, |a, b| a != b);
        prop_assert_eq!(differ.is_none(), left == right);
        if let Some(args) = differ {
            prop_assert_ne!(first(&a, &args), first(&b, &args));
        }
    }
}
