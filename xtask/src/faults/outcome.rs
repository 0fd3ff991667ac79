//! What became of each test, read from what cargo and the tests print.

use std::collections::BTreeMap;

use super::table::Test;

/// Tests by the file of their binary and their name in it; whether they passed, each time that they ran.
#[derive(Debug, Default)]
pub struct Outcomes {
    tests: BTreeMap<(String, String), bool>,
    package: String,
    binary: String,
    /// A test that began, and may print something before it ends.
    begun: Option<String>,
    in_failures: bool,
}

/// Of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    DidNotRun,
}

impl Outcomes {
    /// What follows is of the tests of the package in this directory.
    pub fn of_package(&mut self, directory: &str) {
        directory.clone_into(&mut self.package);
        self.binary.clear();
        self.begun = None;
    }

    /// Takes a line of cargo's or of a test's.
    pub fn take(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(rest) = line.trim_start().strip_prefix("Running ") {
            // `Running tests/store.rs (target/debug/deps/store-...)`
            let file = rest.trim_start_matches("unittests ").split(" (").next().unwrap_or_default();
            self.binary = format!("{}/{file}", self.package);
            (self.begun, self.in_failures) = (None, false);
        } else if let Some((name, rest)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            self.begun = Some(name.to_owned());
            self.end(rest);
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ...")) {
            self.begun = Some(name.to_owned());
        } else if line == "failures:" {
            self.in_failures = true;
        } else if line.starts_with("test result:") {
            (self.begun, self.in_failures) = (None, false);
        } else if self.in_failures {
            // The list at the end, whatever stood between a test's name and its result.
            if let Some(name) = line.strip_prefix("    ").filter(|name| !name.contains(' ')) {
                self.note(name.to_owned(), false);
            }
        } else {
            self.end(line);
        }
    }

    fn end(&mut self, rest: &str) {
        let passed = match rest.split_whitespace().next_back() {
            Some("ok") => true,
            Some("FAILED") => false,
            _ => return,
        };
        if let Some(name) = self.begun.take() {
            self.note(name, passed);
        }
    }

    fn note(&mut self, name: String, passed: bool) {
        *self.tests.entry((self.binary.clone(), name)).or_insert(true) &= passed;
    }

    /// What became of a test, which may have run in more than one way.
    pub fn of(&self, test: &Test) -> Outcome {
        let mut found = Outcome::DidNotRun;
        let same = |binary: &str, name: &str| binary == test.binary && test.is(name);
        for ((binary, name), passed) in &self.tests {
            if same(binary, name) {
                match (passed, found) {
                    (false, _) | (_, Outcome::Failed) => found = Outcome::Failed,
                    (true, _) => found = Outcome::Passed,
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
     Running unittests src/lib.rs (target/debug/deps/auditor-1)
test other::tests::fine ... ok
     Running tests/faults/main.rs (target/debug/deps/faults-1)

running 5 tests
test engine::killed ... ok
test engine::frozen ... something that a child wrote
and more of it: ok, nearly
ok
test engine::gone ... FAILED
test unified::both ... ok
test hybrid::both ... FAILED
test state::crashed ...
failures:

---- engine::gone stdout ----
Error: no

failures:
    engine::gone
    hybrid::both

test result: FAILED. 2 passed; 3 failed
     Running tests/lifecycle.rs (target/debug/deps/lifecycle-1)
test both ... ok
";

    fn outcome(test: &str) -> Outcome {
        let mut outcomes = Outcomes::default();
        outcomes.of_package("tests");
        OUTPUT.lines().for_each(|line| outcomes.take(line));
        outcomes.of(&Test::parse(test).unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn results_are_read_whatever_stands_between() {
        for (test, wanted) in [
            ("tests/tests/faults/engine.rs::killed", Outcome::Passed),
            ("tests/tests/faults/engine.rs::frozen", Outcome::Passed),
            ("tests/tests/faults/engine.rs::gone", Outcome::Failed),
            ("tests/tests/faults/state.rs::crashed", Outcome::DidNotRun),
            ("tests/tests/faults/state.rs::killed", Outcome::DidNotRun),
            ("tests/tests/faults/main.rs::both", Outcome::Failed),
            ("tests/tests/lifecycle.rs::both", Outcome::Passed),
            ("auditor/tests/lifecycle.rs::both", Outcome::DidNotRun),
        ] {
            assert_eq!(outcome(test), wanted, "{test}");
        }
    }

    #[test]
    fn a_test_that_fails_once_has_failed() {
        let mut outcomes = Outcomes::default();
        outcomes.of_package("tests");
        for result in ["ok", "FAILED", "ok"] {
            outcomes.take("Running tests/a.rs (x)");
            outcomes.take(&format!("test one ... {result}"));
        }
        let test = Test::parse("tests/tests/a.rs::one").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(outcomes.of(&test), Outcome::Failed);
    }
}
