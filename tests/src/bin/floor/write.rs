//! The table as Rust source, in the form that `cargo fmt` leaves as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use auditor::profile::Runtime;
use auditor::suggest::RuntimeFloor;

use super::Versions;
use super::measure::{Made, Measured};

/// The file's text.
pub(super) fn table(
    tables: &BTreeMap<Runtime, BTreeMap<&str, Measured>>,
    versions: &Versions,
    calls: &impl Fn(Runtime) -> BTreeSet<String>,
) -> Result<String> {
    let mut text = String::from(
        "//! What `cargo xtask floor` measured, and wrote; changed by measuring again.\n\nuse super::{Call, Measurement, RuntimeFloor};\nuse crate::profile::Runtime;\n",
    );
    for (runtime, configurations) in tables {
        let constant = runtime.as_str().to_uppercase();
        let all = Vec::from_iter(calls(*runtime));
        let mut arguments = Made::new();
        for (name, values) in configurations.values().flat_map(|measured| &measured.made) {
            arguments.entry(name.clone()).or_default().extend(values);
        }
        let measured = arguments.clone();
        for (name, value, _) in RuntimeFloor::values_at_any_moment(*runtime) {
            arguments.entry((*name).to_owned()).or_default().insert([*value, 0]);
        }
        arguments.retain(|_, values| !values.is_empty());
        let rows: Vec<String> = arguments.iter().map(|(name, of)| format!("({name:?}, &{})", values(of))).collect();
        writeln!(
            text,
            "\n/// {runtime}: what it made in any configuration, and what it may do at any moment.\n\
             pub(super) const {constant}: RuntimeFloor = RuntimeFloor {{ runtime: Runtime::{runtime:?}, calls: &{all:?}, \
             arguments: &[{}] }};",
            rows.join(", ")
        )?;
        let version = versions.runtimes.get(runtime).context("a runtime without a version")?;
        let names: BTreeSet<&String> = configurations.values().flat_map(|measured| measured.made.keys()).collect();
        writeln!(
            text,
            "\npub(super) const {constant}_MEASURED: Measurement = Measurement {{ runtime: {version:?}, engine: {:?}, init: {:?}, \
             kernel: {:?}, date: {:?}, calls: &[",
            versions.engine, versions.init, versions.kernel, versions.date
        )?;
        for name in names {
            let of = |is_in: &dyn Fn(&Measured) -> bool| -> Vec<&str> {
                configurations.iter().filter(|(_, measured)| is_in(measured)).map(|(name, _)| *name).collect()
            };
            let made = of(&|measured| measured.made.contains_key(name));
            let needed = of(&|measured| measured.needed.contains(name));
            let values = measured.get(name).map_or_else(|| "[]".to_owned(), values);
            writeln!(text, "Call {{ name: {name:?}, needed: &{needed:?}, made: &{made:?}, values: &{values} }},")?;
        }
        text.push_str("] };\n");
    }
    formatted(&text)
}

/// Values of registers in the kernel's way of writing them.
fn values(values: &BTreeSet<[u64; 2]>) -> String {
    let pairs: Vec<String> = values.iter().map(|[first, second]| format!("[{first:#x}, {second:#x}]")).collect();
    format!("[{}]", pairs.join(", "))
}

fn formatted(text: &str) -> Result<String> {
    let config = format!("--config-path={}", tests::root().display());
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", &config])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("running rustfmt")?;
    let mut input = child.stdin.take().context("rustfmt has no input")?;
    input.write_all(text.as_bytes()).context("giving rustfmt a table")?;
    drop(input);
    let output = child.wait_with_output().context("waiting for rustfmt")?;
    ensure!(output.status.success(), "rustfmt: {}: {text}", output.status);
    String::from_utf8(output.stdout).context("what rustfmt wrote")
}
