//! Does 95 % mean 95 %? Programs are made up of which the truth is known, records are drawn from them, and what the
//! estimate promises is held against it. `cargo xtask bench coverage` writes docs/coverage.md anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod law;
mod program;

use std::fmt::Write as _;
use std::path::Path;

use auditor::coverage::{Estimate, upper_limit};

use self::program::{Program, Random};

/// Records drawn for a row: more of the hard cases, which are small, than of the others.
const RECORDS: u32 = 500;
const RECORDS_OF_SMALL: u32 = 4000;
const STARTS: [u32; 8] = [2, 3, 4, 5, 10, 20, 48, 100];
const SEED: u64 = 20_261_124;

/// Of one program after so many starts, over all records.
struct Row {
    name: &'static str,
    starts: u32,
    /// Means: the true chance, the share of starts with a call of their own, new calls by Good and Turing, the bound.
    truth: f64,
    estimate: f64,
    expected: f64,
    below: f64,
    /// Shares of the records in which the truth was not above the bound: ours, and Clopper and Pearson's 95 % over
    /// starts with a call of their own alone.
    held: f64,
    held_by_own_alone: f64,
}

type Make = fn(f64) -> Program;

/// The programs, by the number of starts: the hardest ones are such that a rare call has a fair chance to be missed by
/// all of them.
const PROGRAMS: [(&str, Make); 14] = [
    ("nothing rare", |_| Program::of([])),
    ("one call in every 10th start", |_| Program::of([0.1])),
    ("one call in every 50th start", |_| Program::of([0.02])),
    ("one call, hardest: 3.7 starts of T", |t| Program::of([hard(3.7, t)])),
    ("2 calls, each 3.7 starts of T", |t| Program::of([hard(3.7, t); 2])),
    ("4 modes, each 3.7 starts of T", |t| Program::modes([hard(3.7, t).min(0.25); 4])),
    ("100 calls, each 1 start of T", |t| Program::of([hard(1.0, t); 100])),
    ("100 calls, each 5 starts of T", |t| Program::of([hard(5.0, t); 100])),
    ("60 calls, chances as 0.9 / n (Zipf)", |_| Program::of((1..=60).map(|n| 0.9 / f64::from(n)))),
    ("60 calls, chances as 0.9 / n^2", |_| Program::of((1..=60).map(|n| 0.9 / f64::from(n * n)))),
    ("groups of 5 calls, chances 1/2, 1/4, 1/8, ...", |_| Program::grouped((1..=20).map(|n| 0.5_f64.powi(n)), 5)),
    ("20 groups of 5 calls, each in every 40th start", |_| Program::grouped([0.025; 20], 5)),
    ("two modes, 95 % and 5 %", |_| Program::modes([0.95, 0.05])),
    ("20 modes, equally likely", |_| Program::modes([0.05; 20])),
];

fn hard(expected: f64, starts: f64) -> f64 {
    (expected / starts).min(0.9)
}

fn row(name: &'static str, make: Make, starts: u32, random: &mut Random) -> Row {
    let program = make(f64::from(starts));
    let mut row =
        Row { name, starts, truth: 0.0, estimate: 0.0, expected: 0.0, below: 0.0, held: 0.0, held_by_own_alone: 0.0 };
    let records = if program.groups.len() <= 4 { RECORDS_OF_SMALL } else { RECORDS };
    let part = 1.0 / f64::from(records);
    for _ in 0..records {
        let (incidence, truth) = program.record(starts, random);
        let estimate = Estimate::of(&incidence);
        let chance = estimate.chance.unwrap();
        // Sums of many chances are not exact.
        let holds = |bound: f64| if truth <= bound + 1e-9 { part } else { 0.0 };
        row.truth += part * truth;
        row.estimate += part * chance.estimate;
        row.expected += part * estimate.expected_new_calls.unwrap();
        row.below += part * chance.below;
        row.held += holds(chance.below);
        row.held_by_own_alone += holds(upper_limit(estimate.starts_with_own_call, starts, 0.05));
    }
    row
}

fn rows() -> Vec<Row> {
    let mut random = Random::new(SEED);
    let mut rows = Vec::new();
    for (name, make) in PROGRAMS {
        rows.extend(STARTS.map(|starts| row(name, make, starts, &mut random)));
    }
    rows
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

const INTRODUCTION: &str = include_str!("introduction.md");

fn document(rows: &[Row]) -> String {
    let worst = |held: fn(&Row) -> f64| rows.iter().map(held).fold(1.0, f64::min);
    let mean =
        |held: fn(&Row) -> f64| rows.iter().map(held).sum::<f64>() / f64::from(u32::try_from(rows.len()).unwrap());
    let mut text = INTRODUCTION.to_owned();
    let _ = writeln!(
        text,
        "{RECORDS} records of each program and number of starts ({RECORDS_OF_SMALL} of the programs with four rare groups or fewer), seed {SEED}. The bound of the auditor held in {} % of all \
         records, and in {} % in the worst row; that over starts with a call of their own alone in {} % and {} %.\n",
        percent(mean(|row| row.held)),
        percent(worst(|row| row.held)),
        percent(mean(|row| row.held_by_own_alone)),
        percent(worst(|row| row.held_by_own_alone)),
    );
    text += "| program | starts | true chance, % | starts with a call of their own, % | new calls in the next start, Q1/T | bound, % | bound held, % | bound over own calls alone held, % |\n";
    text += "|---|---:|---:|---:|---:|---:|---:|---:|\n";
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} | {} | {} | {} |",
            row.name,
            row.starts,
            percent(row.truth),
            percent(row.estimate),
            row.expected,
            percent(row.below),
            percent(row.held),
            percent(row.held_by_own_alone),
        );
    }
    text
}

fn recorded(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage.md");
    if std::env::var_os("AUDITOR_RECORD").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == recorded, "docs/coverage.md is out of date: cargo xtask bench coverage writes it anew");
}

#[test]
fn ninety_five_percent_means_ninety_five_percent() {
    let rows = rows();
    for row in &rows {
        let what = format!("{}, {} starts", row.name, row.starts);
        assert!(row.held >= 0.95, "{what}: the bound held in {} %", percent(row.held));
        // On average leaving one out gives the truth after one start fewer: it is no smaller than that after all.
        assert!(row.estimate >= row.truth - 0.02, "{what}: {} against {}", percent(row.estimate), percent(row.truth));
    }
    // The simple way does not hold, or the other one would not be needed.
    assert!(rows.iter().any(|row| row.held_by_own_alone < 0.9));
    recorded(&document(&rows));
}
