//! What a program called, as `strace -c` has it: a line for each call, the most frequent first, and their sum.

use std::cmp::Reverse;

use crate::counters::total;
use crate::report::table::{Align, Paint, Style, Table};
use crate::report::view::SyscallView;
use crate::syscall::Abi;

/// Sorts rows as the table has them.
pub fn sort(rows: &mut [SyscallView]) {
    rows.sort_by(|a, b| {
        let key = |row: &SyscallView| (Reverse(calls(row)), Reverse(row.denied), row.abi, row.nr);
        key(a).cmp(&key(b))
    });
}

/// The table. The column of refused calls is there where any was, that of the ABI where there is more than the native
/// one.
#[must_use]
pub fn table(rows: &[SyscallView], style: &Style) -> String {
    let refused = rows.iter().any(|row| row.denied > 0);
    let foreign = rows.iter().any(|row| row.abi != Abi::NATIVE);
    let mut columns = vec![("% CALLS", Align::Right), ("CALLS", Align::Right), ("ERRORS", Align::Right)];
    columns.extend(refused.then_some(("DENIED", Align::Right)));
    columns.extend(foreign.then_some(("ABI", Align::Left)));
    columns.push(("SYSCALL", Align::Left));
    let all_calls = total(rows.iter().map(calls));
    let mut table = Table::new(&columns);
    let mut add = |paint: Paint, [calls, errors, denied]: [u64; 3], abi: &str, name: &str| {
        // As in `strace -c`, no error is no text.
        let errors = if errors == 0 { String::new() } else { errors.to_string() };
        let mut cells = vec![percent(calls, all_calls), calls.to_string(), errors];
        cells.extend(refused.then(|| denied.to_string()));
        cells.extend(foreign.then(|| abi.to_owned()));
        cells.push(style.name(name));
        table.row(paint, cells);
    };
    for row in rows {
        let paint = if row.denied > 0 { Paint::Red } else { Paint::Plain };
        add(paint, [calls(row), errors(row), row.denied], row.abi.as_str(), &row.name);
    }
    let sums = [all_calls, total(rows.iter().map(errors)), total(rows.iter().map(|row| row.denied))];
    add(Paint::Bold, sums, "", "total");
    table.render(style)
}

/// With a filter or without one: a program that puts itself under one makes both.
const fn calls(row: &SyscallView) -> u64 {
    row.calls.saturating_add(row.unfiltered_calls)
}

const fn errors(row: &SyscallView) -> u64 {
    row.errors.saturating_add(row.unfiltered_errors)
}

/// Two digits behind the point, rounded.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = (u128::from(part) * 10_000 + u128::from(whole) / 2).checked_div(u128::from(whole)).unwrap_or(0);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::view::VerdictKind;
    use crate::syscall::SyscallNr;

    fn row(abi: Abi, nr: i32, calls: u64, errors: u64, denied: u64) -> SyscallView {
        SyscallView {
            abi,
            nr: SyscallNr(nr),
            name: crate::syscall::display_name(abi, SyscallNr(nr)),
            calls: 0,
            unfiltered_calls: calls,
            errors: 0,
            unfiltered_errors: errors,
            denied,
            verdict: VerdictKind::Unknown,
            action: None,
            errno: None,
            first_seen: None,
            last_seen: None,
        }
    }

    #[test]
    fn the_most_frequent_call_comes_first_and_the_sum_last() {
        let mut rows = [row(Abi::X86_64, 0, 3, 0, 0), row(Abi::X86_64, 1, 6, 2, 0), row(Abi::X86_64, 3, 0, 0, 0)];
        sort(&mut rows);
        let wanted = "\
% CALLS  CALLS  ERRORS  SYSCALL
  66.67      6       2  write
  33.33      3          read
   0.00      0          close
 100.00      9       2  total
";
        assert_eq!(table(&rows, &Style::default()), wanted);
    }

    #[test]
    fn other_abis_and_refused_calls_have_columns_where_there_are_any() {
        let mut rows = [row(Abi::I386, 20, 1, 0, 0), row(Abi::X86_64, 39, 1, 1, 4)];
        sort(&mut rows);
        let wanted = "\
% CALLS  CALLS  ERRORS  DENIED  ABI     SYSCALL
  50.00      1       1       4  x86_64  getpid
  50.00      1               0  i386    getpid
 100.00      2       1       4          total
";
        assert_eq!(table(&rows, &Style::default()), wanted);
    }

    #[test]
    fn of_nothing_there_is_no_share() {
        assert_eq!(percent(0, 0), "0.00");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.00");
        assert_eq!((percent(1, 8), percent(1, 3)), ("12.50".to_owned(), "33.33".to_owned()));
    }
}
