//! The faults, what is done about each, and the tests that make it: `tests/faults.toml`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::repo;

const FILE: &str = "tests/faults.toml";

/// All rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub row: Vec<Row>,
}

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What goes wrong.
    pub fault: String,
    /// What the auditor does then.
    pub does: String,
    pub case: Vec<Case>,
}

/// One way of making it go wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// How it is made.
    pub made: String,
    /// `path/of/file.rs::name` of each test.
    pub tests: Vec<String>,
}

/// Where a test is, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// The directory of its package.
    pub package: String,
    /// The file that its binary is made of.
    pub binary: String,
    /// The modules around it, each with `::`.
    modules: String,
    name: String,
}

impl Table {
    /// Reads the table.
    pub fn read() -> Result<Self> {
        let path = repo::root().join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))
    }

    /// All tests that it names, each once.
    pub fn tests(&self) -> Result<Vec<Test>> {
        let cases = self.row.iter().flat_map(|row| &row.case);
        let mut tests = cases.flat_map(|case| &case.tests).map(|test| Test::parse(test)).collect::<Result<Vec<_>>>()?;
        tests.sort();
        tests.dedup();
        Ok(tests)
    }
}

impl Test {
    /// Takes a test apart that is given as `auditor/tests/store.rs::name` or `tests/tests/faults/engine.rs::name`.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = || {
            let (path, name) = text.split_once("::")?;
            let (package, below) = path.split_once("/tests/")?;
            Some((package, below.strip_suffix(".rs")?, name))
        };
        let (package, below, name) =
            parts().with_context(|| format!("{FILE}: {text}: not PACKAGE/tests/FILE.rs::NAME"))?;
        ensure!(!name.contains("::"), "{FILE}: {text}: modules are told by the file");
        // A file in a directory is a module of the binary that the directory's main.rs is.
        let (binary, modules) = match below.split_once('/') {
            None => (format!("{below}.rs"), String::new()),
            Some((directory, "main")) => (format!("{directory}/main.rs"), String::new()),
            Some((directory, module)) => (format!("{directory}/main.rs"), format!("{}::", module.replace('/', "::"))),
        };
        let binary = format!("{package}/tests/{binary}");
        Ok(Self { package: package.to_owned(), binary, modules, name: name.to_owned() })
    }

    /// Whether it is this test of its binary. It may be in a module more: one for each layout of control groups.
    pub fn is(&self, name: &str) -> bool {
        let inner = name.strip_prefix(&self.modules);
        inner.is_some_and(|inner| inner.rsplit("::").next() == Some(&self.name))
    }

    /// What cargo calls its binary.
    pub fn target(&self) -> &str {
        let below = self.binary.rsplit("/tests/").next().unwrap_or_default();
        below.split(['/', '.']).next().unwrap_or_default()
    }

    /// Words that choose it in its binary, and little else.
    pub fn filter(&self) -> String {
        format!("{}{}", self.modules, self.name)
    }
}
