//! Reads `docs/corpus.md`, for the tests that hold it and the README against each other.

use anyhow::{Context as _, Result, bail, ensure};

use super::Program;
use super::document::{HEADLINES, HEADS, INTRODUCTION};

/// Holds a document against the form that the command gives it: its introduction, its headlines, and in each table one
/// row for each program, in their order; and every start of the first half worked, with nothing refused of what was
/// recorded.
///
/// # Errors
/// The first difference.
pub fn check(text: &str, programs: &[Program]) -> Result<()> {
    ensure!(text.starts_with(INTRODUCTION), "it does not begin as the command writes it");
    for head in HEADS {
        let (_, after) = text.split_once(&format!("{head}\n|---|")).with_context(|| format!("no table {head}"))?;
        let rows: Vec<&str> = after.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
        let names: Vec<&str> = rows.iter().filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
        let expected: Vec<&str> = programs.iter().map(|program| program.name).collect();
        ensure!(names == expected, "the rows below {head} are {names:?}, not {expected:?}");
        let columns = head.matches('|').count();
        let odd = rows.iter().find(|row| row.matches('|').count() != columns);
        ensure!(odd.is_none(), "a row that does not fit {head}: {odd:?}");
    }
    for program in programs {
        let start = format!("| {} | ", program.name);
        let mut rows = text.lines().filter(|line| line.starts_with(&start));
        let mut cells = || rows.next().context("a row").map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        let (row, promised) = (cells()?, cells()?);
        let worked = row[4].strip_suffix(" worked").and_then(|cell| cell.split_once(" of "));
        let (worked, starts) = worked.with_context(|| format!("no starts: {row:?}"))?;
        let needed = promised[3].rsplit("; ").next().unwrap_or_default();
        let kept = worked == starts && row[5] == "none" && needed.starts_with("0 of ");
        ensure!(kept, "a broken promise: {row:?}, {promised:?}");
    }
    figures(text).map(drop)
}

/// The figures of a document that the README repeats, in its order.
///
/// # Errors
/// A headline that is not there, or has other numbers than it should have.
pub fn figures(text: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (headline, count) in HEADLINES.into_iter().zip([2, 3, 5, 7, 4, 1]) {
        let line = text.lines().find_map(|line| line.strip_prefix(headline));
        let mut numbers = numbers(line.with_context(|| format!("no line {headline}"))?);
        // After them the first line has versions.
        if headline == HEADLINES[0] {
            numbers.truncate(count);
        }
        ensure!(numbers.len() == count, "{headline} has other numbers: {numbers:?}");
        all.push(numbers);
    }
    let [run, first, promised, second, allowed, missed] = &all[..] else { bail!("other headlines") };
    let of_second = [&second[2], &second[1], &second[0]].map(String::clone);
    let of_first = [&first[0], &first[1], &first[2], &promised[1], &promised[0], &promised[2]].map(String::clone);
    Ok([run.as_slice(), allowed, &of_first, &of_second, missed].concat())
}

/// The numbers in a text.
#[must_use]
pub fn numbers(text: &str) -> Vec<String> {
    let parts = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.').map(|part| part.trim_matches('.'));
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
