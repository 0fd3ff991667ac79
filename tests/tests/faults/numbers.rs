//! Numbers that no table of calls has, by every ABI.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::cage::Cage;
use tests::engine::CgroupMode;
use tests::groundtruth;
use tests::stage::Stage;

/// What a view counted of calls outside the tables, by ABI.
fn unknown(shown: &Value, count: &str) -> Result<BTreeMap<String, u64>> {
    let rows = shown["syscalls"].as_array().context("no rows")?;
    let mut counts = BTreeMap::new();
    for row in rows.iter().filter(|row| row["name"].as_str().is_some_and(|name| name.starts_with("unknown"))) {
        let abi = row["abi"].as_str().context("no ABI")?.to_owned();
        *counts.entry(abi).or_default() += row[count].as_u64().context("no count")?;
    }
    Ok(counts)
}

#[test]
fn numbers_that_no_table_has_are_counted_as_unknown_by_their_abi() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    // Behind the tables, far behind, the largest, and -1 and others below 0.
    let numbers = [600_u32, 1024, 65_535, 1 << 29, (1 << 30) - 1];
    let negative = [u32::MAX, u32::MAX - 4, i32::MIN.cast_unsigned()];
    let mut calls = Vec::new();
    for number in numbers {
        calls.extend(["", "i386:", "x32:"].map(|abi| format!("{abi}{number}*3")));
    }
    // These are x32's too, which is told by bit 30, but for the last.
    calls.extend(negative.map(|number| format!("i386:{number}*3")));
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let wanted =
        BTreeMap::from([("x86_64", 15), ("i386", 24), ("x32", 15)].map(|(abi, count)| (abi.to_owned(), count)));

    // Without a filter all of them reach the kernel.
    let cage = Cage::new()?;
    cage.run(groundtruth::program()?, &[&["work"][..], &calls].concat())?;
    let shown = stage.auditor.show(&cage.name())?;
    let counts = unknown(&shown, "unfiltered_calls")?;
    ensure!(counts == wanted, "{counts:?}");
    ensure!(shown["window"]["lost"] == 0, "{}", shown["window"]);
    let told = cage.run("perl".as_ref(), &["-e", "print syscall(-1), ' ', $! + 0"])?;
    ensure!(told == "-1 38", "{told}");
    let more = unknown(&stage.auditor.show(&cage.name())?, "unfiltered_calls")?;
    ensure!(more.values().sum::<u64>() == wanted.values().sum::<u64>() + 1, "{more:?}");

    // Under Docker's profile none does.
    stage.groundtruth("numbers", &[], &[&["work"][..], &calls].concat())?;
    let shown = stage.auditor.show("numbers")?;
    let (refused, made) = (unknown(&shown, "denied")?, unknown(&shown, "calls")?);
    ensure!(refused == wanted && made.values().all(|count| *count == 0), "{refused:?}, {made:?}");
    ensure!(stage.auditor.log().lines().all(|line| !line.contains(" ERROR ")), "{}", stage.auditor.log());
    Ok(())
}
