//! The distinct arguments of the calls that the core's table names, as the programs note them.

use std::collections::{BTreeMap, BTreeSet};

use auditor_ebpf::{
    ABI_COMPAT, ABI_NATIVE, ABI_X32, ArgumentShare, CLASS_FILTERED, Calls, NO_ARGUMENT, NOTED_CALLS, NOTED_NRS,
    NotedCall,
};

use super::record::CallsRecord;
use super::{Kernel, KernelError, SlotNr, decode};
use crate::evidence::argument::table::{self, Kind, Noted};
use crate::evidence::{Arguments, ByFilter};
use crate::syscall::{self, Abi, SyscallNr};

/// What several slots have seen, by slot.
pub type ArgumentsBySlot = BTreeMap<SlotNr, ByFilter>;

impl Kernel {
    /// With which arguments calls were made in one slot.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn arguments(&self, slot: SlotNr) -> Result<ByFilter, KernelError> {
        self.counted.arguments(slot)
    }

    /// The same of several slots: all of them cost hardly more than one.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn arguments_of(&self, slots: &BTreeSet<SlotNr>) -> Result<ArgumentsBySlot, KernelError> {
        self.counted.arguments_of(slots)
    }

    /// Removes what slots have noted, so that others have the room.
    pub(super) fn forget_arguments(&mut self, slots: &BTreeSet<SlotNr>) -> Result<(), KernelError> {
        let mut any = false;
        for slot in slots {
            any |= self.counted.share(*slot)?.entries > 0;
        }
        if !any {
            return Ok(());
        }
        let theirs: Vec<_> = self
            .counted
            .arguments
            .keys()
            .filter_map(Result::ok)
            .filter(|key| slots.contains(&SlotNr(key.0.slot)))
            .collect();
        for key in theirs {
            self.counted.arguments.remove(&key).map_err(|error| KernelError::map("ARGUMENTS", &error))?;
        }
        Ok(())
    }
}

pub(super) const fn of_class(of_slot: &mut ByFilter, class: u8) -> &mut Arguments {
    if class == CLASS_FILTERED { &mut of_slot.filtered } else { &mut of_slot.unfiltered }
}

pub(super) fn overflowed(share: &ArgumentShare) -> ByFilter {
    let mut of_slot = ByFilter::default();
    for (class, counts) in (0..).zip(&share.overflowed) {
        for ((abi, nr, _), count) in noted().zip(counts).filter(|(_, count)| **count > 0) {
            of_class(&mut of_slot, class).calls.entry((abi, nr)).or_default().overflowed += count;
        }
    }
    of_slot
}

/// The calls of this machine's ABIs, in the order in which the programs number them.
fn noted() -> impl Iterator<Item = (Abi, SyscallNr, &'static Noted)> {
    table::all().filter(|(abi, nr, _)| place(*abi, *nr).is_some()).take(NOTED_CALLS)
}

/// Where a call is in [`Calls::index`].
fn place(abi: Abi, nr: SyscallNr) -> Option<usize> {
    let code = u32::from(decode::abi_code(abi)?);
    let nr = u32::try_from(nr.0).ok().filter(|nr| *nr < NOTED_NRS)?;
    usize::try_from(code * NOTED_NRS + nr).ok()
}

/// What the loader writes into the programs.
pub fn calls() -> CallsRecord {
    let mut calls = Calls::NONE;
    for (at, (abi, nr, noted)) in (0_u8..).zip(noted()) {
        if let Some(place) = place(abi, nr) {
            calls.index[place] = at + 1;
            calls.noted[usize::from(at)] = encode(noted);
        }
    }
    for code in [ABI_NATIVE, ABI_COMPAT, ABI_X32] {
        let abi = decode::abi(u16::from(code));
        let number = |name| syscall::number(abi, name).and_then(|nr| u32::try_from(nr.0).ok()).unwrap_or(u32::MAX);
        // On a machine without x32 its code stands for the native ABI: no call has it.
        calls.executes[usize::from(code)] = [number("execve"), number("execveat")];
    }
    CallsRecord(calls)
}

fn encode(noted: &Noted) -> NotedCall {
    let (bytes, offset) = match noted.first.kind {
        Kind::Pointer { offset, bytes } => (bytes, offset),
        Kind::Flags | Kind::Operation | Kind::Protection => (0, 0),
    };
    NotedCall {
        first: noted.first.index,
        second: noted.second.map_or(NO_ARGUMENT, |second| second.index),
        bytes,
        offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_table_has_a_place() {
        let of_machine = table::all().filter(|(abi, ..)| decode::abi_code(*abi).is_some()).count();
        assert!(of_machine <= NOTED_CALLS, "{of_machine}");
        assert_eq!(noted().count(), of_machine);
        let calls = calls().0;
        for (abi, nr, noted) in noted() {
            let index = usize::from(calls.index[place(abi, nr).unwrap()]);
            assert_eq!(calls.noted[index - 1].first, noted.first.index, "{abi} {}", noted.name);
        }
        assert_eq!(calls.index.iter().filter(|index| **index != 0).count(), of_machine);
    }

    #[test]
    fn the_second_value_of_a_call_in_memory_is_never_a_register() {
        for (_, _, noted) in noted() {
            let encoded = encode(noted);
            assert!(encoded.bytes == 0 || encoded.second == NO_ARGUMENT, "{}", noted.name);
            assert!(matches!(encoded.bytes, 0 | 4 | 8), "{}", noted.name);
        }
    }

    #[test]
    fn overflow_belongs_to_its_call() {
        let mut share = ArgumentShare::ZERO;
        let at = noted().position(|(abi, _, noted)| abi == Abi::NATIVE && noted.name == "clone3").unwrap();
        share.overflowed[1][at] = 7;
        let clone3 = (Abi::NATIVE, syscall::number(Abi::NATIVE, "clone3").unwrap());
        let of_slot = overflowed(&share);
        assert_eq!(of_slot.unfiltered.calls[&clone3].overflowed, 7);
        assert!(of_slot.filtered.calls.is_empty());
    }
}
