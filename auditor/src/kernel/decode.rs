//! From what the maps hold to [`Counters`]: pure.

use auditor_ebpf::{
    ABI_COMPAT, ABI_X32, DenialCount, DenialKey, FOREIGN_NRS, ForeignCounts, ForeignKey, LOGGED, NATIVE_NRS,
    NR_OUTSIDE, NativeCounts, REFUSED_ERRNO, REFUSED_SIGNAL, REFUSED_THREAD, RuntimeCounts,
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
            let tally = tally(counters, Abi::NATIVE, native_number(index));
            tally.calls += calls;
            tally.unfiltered_calls += unfiltered;
            tally.errors += errors;
            tally.unfiltered_errors += unfiltered_errors;
        }
    }
}

/// Adds those of the native counters that a runtime has made.
pub fn add_runtime(counters: &mut Counters, counts: &RuntimeCounts) {
    for (index, calls) in counts.calls.iter().enumerate().filter(|(_, calls)| **calls != 0) {
        tally(counters, Abi::NATIVE, native_number(index)).runtime_calls += calls;
    }
}

/// Adds one CPU's counters of one foreign call.
pub fn add_foreign(counters: &mut Counters, key: ForeignKey, counts: ForeignCounts) {
    let tally = tally(counters, abi(key.abi), key_number(key.nr));
    tally.calls += counts.calls;
    tally.runtime_calls += counts.runtime;
    tally.unfiltered_calls += counts.unfiltered;
    tally.errors += counts.errors;
    tally.unfiltered_errors += counts.unfiltered_errors;
}

/// Adds all CPUs' counters of one refused call.
pub fn add_denials(counters: &mut Counters, key: DenialKey, per_cpu: impl IntoIterator<Item = DenialCount>) {
    let mut latest_ns = 0;
    for denial in per_cpu {
        add_denial(counters, key, denial, &mut latest_ns);
    }
}

fn add_denial(counters: &mut Counters, key: DenialKey, denial: DenialCount, latest_ns: &mut u64) {
    if denial.count == 0 {
        return;
    }
    let denials = &mut tally(counters, abi(u16::from(key.abi)), key_number(key.nr)).denials;
    match key.kind {
        REFUSED_ERRNO => {
            denials.errno += denial.count;
            if denial.last_ns >= *latest_ns {
                *latest_ns = denial.last_ns;
                denials.last_errno = u16::try_from(denial.last_errno).ok();
            }
        }
        REFUSED_SIGNAL => denials.signalled += denial.count,
        REFUSED_THREAD => denials.thread_killed += denial.count,
        LOGGED => denials.logged += denial.count,
        _ => denials.supervised += denial.count,
    }
}

/// The text before the first zero.
pub fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn tally(counters: &mut Counters, abi: Abi, nr: SyscallNr) -> &mut Tally {
    counters.tallies.entry((abi, nr)).or_default()
}

pub const fn abi(code: u16) -> Abi {
    if code == ABI_COMPAT as u16 {
        compat_abi()
    } else if code == ABI_X32 as u16 {
        Abi::X32
    } else {
        Abi::NATIVE
    }
}

/// The number under which a call is counted: [`SyscallNr::OUTSIDE`] for those that share a counter.
#[must_use]
pub fn counted_nr(abi: Abi, nr: SyscallNr) -> SyscallNr {
    let end = if abi == Abi::NATIVE { NATIVE_NRS } else { FOREIGN_NRS as usize };
    if usize::try_from(nr.0).is_ok_and(|nr| nr < end) { nr } else { SyscallNr::OUTSIDE }
}

pub fn key_number(nr: u16) -> SyscallNr {
    if nr == NR_OUTSIDE { SyscallNr::OUTSIDE } else { SyscallNr(i32::from(nr)) }
}

/// The number of an index in a native table.
fn native_number(index: usize) -> SyscallNr {
    i32::try_from(index).ok().filter(|_| index < NATIVE_NRS).map_or(SyscallNr::OUTSIDE, SyscallNr)
}

/// The code of an ABI; `None` for one that the machine does not have.
pub fn abi_code(of: Abi) -> Option<u8> {
    [auditor_ebpf::ABI_NATIVE, ABI_COMPAT, ABI_X32].into_iter().find(|code| abi(u16::from(*code)) == of)
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
    fn a_runtime_s_calls_are_some_of_the_calls() {
        let (mut counts, mut runtime) = (NativeCounts::ZERO, RuntimeCounts::ZERO);
        counts.calls[59] = 3;
        runtime.calls[59] = 1;
        runtime.calls[NATIVE_NRS] = 2;
        let mut counters = Counters::default();
        add_runtime(&mut counters, &runtime);
        add_native(&mut counters, &counts);
        let execve = counters.tallies[&(Abi::NATIVE, SyscallNr(59))];
        assert_eq!((execve.calls, execve.runtime_calls), (3, 1));
        assert_eq!(counters.tallies[&(Abi::NATIVE, SyscallNr::OUTSIDE)].runtime_calls, 2);
    }

    #[test]
    fn the_latest_errno_is_the_latest_of_any_cpu() {
        let key = DenialKey { slot: 0, abi: auditor_ebpf::ABI_NATIVE, kind: REFUSED_ERRNO, nr: 83 };
        let of_cpu = |last_errno, last_ns| DenialCount { count: 1, last_errno, last_ns };
        let mut counters = Counters::default();
        add_denials(&mut counters, key, [of_cpu(1, 20), of_cpu(38, 10)]);
        let denials = counters.tallies[&(Abi::NATIVE, SyscallNr(83))].denials;
        assert_eq!((denials.errno, denials.last_errno), (2, Some(1)));
    }

    #[test]
    fn refusals_are_kept_apart_by_what_the_kernel_showed() {
        let mut counters = Counters::default();
        for (kind, count) in
            [(REFUSED_ERRNO, 1), (REFUSED_SIGNAL, 2), (REFUSED_THREAD, 3), (auditor_ebpf::REFUSED_SUPERVISED, 4)]
        {
            let key = DenialKey { slot: 0, abi: auditor_ebpf::ABI_NATIVE, kind, nr: 83 };
            add_denials(&mut counters, key, [DenialCount { count, last_errno: 1, last_ns: 1 }]);
        }
        let denials = counters.tallies[&(Abi::NATIVE, SyscallNr(83))].denials;
        assert_eq!((denials.errno, denials.signalled, denials.thread_killed, denials.supervised), (1, 2, 3, 4));
        assert_eq!(denials.last_errno, Some(1));
    }
}
