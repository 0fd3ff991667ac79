//! From what the maps hold to [`Counters`]: pure.

use auditor_ebpf::{
    ABI_COMPAT, ABI_X32, DenialCount, DenialKey, ForeignCounts, ForeignKey, NATIVE_NRS, NR_OUTSIDE, NativeCounts,
    REFUSED_ERRNO, REFUSED_SIGNAL, REFUSED_THREAD,
};

use super::compat_abi;
use crate::counters::{Counters, Tally};
use crate::syscall::{Abi, SyscallNr};

/// Adds one CPU's native counters.
pub fn add_native(counters: &mut Counters, counts: &NativeCounts) {
    for index in 0..=NATIVE_NRS {
        let (calls, unfiltered) = (counts.calls[index], counts.unfiltered[index]);
        let (errors, unfiltered_errors) = (counts.errors[index], counts.unfiltered_errors[index]);
        if calls | unfiltered | errors | unfiltered_errors != 0 {
            let nr = if index == NATIVE_NRS { SyscallNr::OUTSIDE } else { number(index) };
            let tally = tally(counters, Abi::NATIVE, nr);
            tally.calls += calls;
            tally.unfiltered_calls += unfiltered;
            tally.errors += errors;
            tally.unfiltered_errors += unfiltered_errors;
        }
    }
}

/// Adds one CPU's counters of one foreign call.
pub fn add_foreign(counters: &mut Counters, key: ForeignKey, counts: ForeignCounts) {
    let tally = tally(counters, abi(key.abi), key_number(key.nr));
    tally.calls += counts.calls;
    tally.unfiltered_calls += counts.unfiltered;
    tally.errors += counts.errors;
    tally.unfiltered_errors += counts.unfiltered_errors;
}

/// Adds one CPU's counter of one refused call.
pub fn add_denial(counters: &mut Counters, key: DenialKey, denial: DenialCount) {
    if denial.count == 0 {
        return;
    }
    let denials = &mut tally(counters, abi(u16::from(key.abi)), key_number(key.nr)).denials;
    match key.kind {
        REFUSED_ERRNO => {
            denials.errno += denial.count;
            denials.last_errno = u16::try_from(denial.last_errno).ok();
        }
        REFUSED_SIGNAL => denials.signalled += denial.count,
        REFUSED_THREAD => denials.thread_killed += denial.count,
        _ => denials.supervised += denial.count,
    }
}

fn tally(counters: &mut Counters, abi: Abi, nr: SyscallNr) -> &mut Tally {
    counters.tallies.entry((abi, nr)).or_default()
}

const fn abi(code: u16) -> Abi {
    if code == ABI_COMPAT as u16 {
        compat_abi()
    } else if code == ABI_X32 as u16 {
        Abi::X32
    } else {
        Abi::NATIVE
    }
}

fn key_number(nr: u16) -> SyscallNr {
    if nr == NR_OUTSIDE { SyscallNr::OUTSIDE } else { SyscallNr(i32::from(nr)) }
}

fn number(index: usize) -> SyscallNr {
    i32::try_from(index).map_or(SyscallNr::OUTSIDE, SyscallNr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_the_native_table_stands_for_all_other_numbers() {
        let mut counts = NativeCounts::ZERO;
        counts.calls[NATIVE_NRS] = 3;
        counts.errors[0] = 1;
        let mut counters = Counters::default();
        add_native(&mut counters, &counts);
        add_native(&mut counters, &counts);
        assert_eq!(counters.tallies[&(Abi::NATIVE, SyscallNr::OUTSIDE)].calls, 6);
        assert_eq!(counters.tallies[&(Abi::NATIVE, SyscallNr(0))].errors, 2);
        assert_eq!(counters.tallies.len(), 2);
    }

    #[test]
    fn refusals_are_kept_apart_by_what_the_kernel_showed() {
        let mut counters = Counters::default();
        for (kind, count) in
            [(REFUSED_ERRNO, 1), (REFUSED_SIGNAL, 2), (REFUSED_THREAD, 3), (auditor_ebpf::REFUSED_SUPERVISED, 4)]
        {
            let key = DenialKey { slot: 0, abi: auditor_ebpf::ABI_NATIVE, kind, nr: 83 };
            add_denial(&mut counters, key, DenialCount { count, last_errno: 1 });
        }
        let denials = counters.tallies[&(Abi::NATIVE, SyscallNr(83))].denials;
        assert_eq!((denials.errno, denials.signalled, denials.thread_killed, denials.supervised), (1, 2, 3, 4));
        assert_eq!(denials.last_errno, Some(1));
    }
}
