//! With which arguments the dangerous calls were made, in words: `auditor show --args`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::denial::argument::{COUNT, decode};
use crate::evidence::Arguments;
use crate::evidence::argument::table::{self, Kind, Noted};
use crate::report::table::{Align, Paint, Style, Table};
use crate::syscall::{Abi, SyscallNr, display_name};

/// The distinct arguments of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgumentsView {
    /// Calling convention.
    pub abi: Abi,
    /// Number within it.
    pub nr: SyscallNr,
    /// The kernel's name.
    pub name: String,
    /// What it was made with, the most frequent first.
    pub values: Vec<ValueView>,
    /// Calls whose arguments found no room, or could not be read: there are values that nobody noted.
    pub overflowed: u64,
}

/// One combination of arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueView {
    /// The whole registers as a filter sees them (for `clone3` and i386's oldest `mmap`: what they point to), by the
    /// kernel's names for the arguments.
    pub args: BTreeMap<String, u64>,
    /// The same in words.
    pub text: String,
    /// Calls that were made with them.
    pub calls: u64,
}

/// What was noted, call by call.
#[must_use]
pub fn views(arguments: &Arguments) -> Vec<ArgumentsView> {
    let calls = arguments.calls.iter().filter_map(|(&(abi, nr), values)| {
        let noted = table::noted(abi, nr)?;
        let mut shown: Vec<ValueView> =
            values.seen.iter().map(|(registers, &calls)| value(abi, nr, noted, registers, calls)).collect();
        // Equal counts stay in the order of the values.
        shown.sort_by_key(|value| std::cmp::Reverse(value.calls));
        Some(ArgumentsView {
            abi,
            nr,
            name: display_name(abi, nr).into_owned(),
            values: shown,
            overflowed: values.overflowed,
        })
    });
    calls.collect()
}

fn value(abi: Abi, nr: SyscallNr, noted: &Noted, registers: &[u64; 2], calls: u64) -> ValueView {
    let mut all = [0; COUNT];
    for (argument, register) in noted.arguments().zip(registers) {
        all[usize::from(argument.index)] = *register;
    }
    let words = decode(abi, nr, &all);
    let named = noted.arguments().zip(registers).map(|(argument, &register)| {
        let text = match (argument.kind, words.get(usize::from(argument.index))) {
            // The word of the table is about the pointer.
            (Kind::Pointer { .. }, _) | (_, None) => format!("{register:#x}"),
            (_, Some(word)) => word.text.clone(),
        };
        (argument.name, register, text)
    });
    let named: Vec<_> = named.collect();
    let text: Vec<String> = named.iter().map(|(name, _, text)| format!("{name}={text}")).collect();
    let args = named.into_iter().map(|(name, register, _)| (name.to_owned(), register)).collect();
    ValueView { args, text: text.join(", "), calls }
}

/// A table of them, and a line for what found no room.
#[must_use]
pub fn table(views: &[ArgumentsView], style: &Style) -> String {
    if views.is_empty() {
        return "none of the calls of which arguments are noted was made\n".to_owned();
    }
    let foreign = views.iter().any(|view| view.abi != Abi::NATIVE);
    let mut columns = vec![("CALLS", Align::Right)];
    if foreign {
        columns.push(("ABI", Align::Left));
    }
    columns.extend([("SYSCALL", Align::Left), ("ARGUMENTS", Align::Left)]);
    let mut table = Table::new(&columns);
    let mut add = |paint: Paint, calls: u64, view: &ArgumentsView, text: String| {
        let mut cells = vec![calls.to_string()];
        if foreign {
            cells.push(view.abi.as_str().to_owned());
        }
        cells.extend([view.name.clone(), text]);
        table.row(paint, cells);
    };
    for view in views {
        for value in &view.values {
            add(Paint::Plain, value.calls, view, value.text.clone());
        }
        if view.overflowed > 0 {
            add(
                Paint::Yellow,
                view.overflowed,
                view,
                "not noted: no room, or in memory that could not be read".to_owned(),
            );
        }
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Values;
    use crate::golden::assert_recorded;
    use crate::syscall;

    fn noted() -> Arguments {
        let call = |abi, name, seen: &[([u64; 2], u64)], overflowed| {
            let values = Values { seen: seen.iter().copied().collect(), overflowed };
            ((abi, syscall::number(abi, name).expect("a call of the tables")), values)
        };
        let calls = [
            call(Abi::X86_64, "socket", &[([1, 1], 2), ([2, 0x80802], 7), ([16, 3], 2)], 0),
            call(Abi::X86_64, "mprotect", &[([1, 0], 40), ([5, 0], 1)], 3),
            call(Abi::X86_64, "clone3", &[([0x1_0000_0011, 0], 1)], 0),
            call(Abi::I386, "ioctl", &[([0xffff_ffff_0000_5401, 0], 1)], 0),
        ];
        Arguments { calls: calls.into() }
    }

    #[test]
    fn arguments_are_in_words_and_what_found_no_room_is_told() {
        assert_recorded("show-args.txt", &table(&views(&noted()), &Style::default()));
    }

    #[test]
    fn scripts_get_whole_registers() {
        let json = serde_json::to_string_pretty(&views(&noted())).expect("plain values");
        assert_recorded("show-args.json", &json);
    }

    #[test]
    fn nothing_noted_is_said() {
        assert_eq!(table(&[], &Style::default()), "none of the calls of which arguments are noted was made\n");
    }
}
