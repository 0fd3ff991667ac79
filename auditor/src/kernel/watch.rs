//! Calls that are let through and still of interest: those that a filter logs.

use std::collections::BTreeSet;

use auditor_ebpf::{WATCHED_NRS, Watch};

use super::record::WatchRecord;
use super::{Kernel, KernelError, SlotNr, decode};
use crate::syscall::{Abi, SyscallNr};

impl Kernel {
    /// Has these calls of a slot, and no others, counted and told of from now on when a task under a filter makes them
    /// (`Denials::logged`, [`RefusalKind::Logged`](super::RefusalKind::Logged)): the programs see that a filter let a
    /// call through, and only who knows the filter knows that it logged it (`SECCOMP_RET_LOG`). A call is known by its
    /// number alone: where a filter logs it for some arguments, the arguments of the events tell, and the count is of
    /// all of them.
    ///
    /// [`SyscallNr::OUTSIDE`] stands for all numbers from 1024 on, and below 0. Giving the slot back ends it.
    ///
    /// Containers of which nothing is watched pay one comparison for each call.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn watch_calls(&mut self, slot: SlotNr, calls: &BTreeSet<(Abi, SyscallNr)>) -> Result<(), KernelError> {
        let failed = |error: aya::maps::MapError| KernelError::map("WATCHES", &error);
        let wanted = watch_of(calls);
        let before = self.watches.get(&slot.0, 0).map_err(failed)?.0;
        if (before.bits, before.outside) == (wanted.bits, wanted.outside) {
            return Ok(());
        }
        self.watches.set(slot.0, WatchRecord(wanted), 0).map_err(failed)?;
        // CPUs remember whether anything is watched.
        self.raise_generation().map(drop)
    }
}

fn watch_of(calls: &BTreeSet<(Abi, SyscallNr)>) -> Watch {
    let mut watch = Watch::NONE;
    for (abi, nr) in calls {
        let Some(code) = decode::abi_code(*abi) else { continue };
        match u32::try_from(nr.0).ok().filter(|nr| *nr < WATCHED_NRS) {
            Some(nr) => watch.bits[((u32::from(code) * WATCHED_NRS + nr) / 64) as usize] |= 1 << (nr % 64),
            None => watch.outside |= 1 << code,
        }
        watch.any = 1;
    }
    watch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_a_bit_of_its_own() {
        let calls = [(Abi::NATIVE, 0), (Abi::NATIVE, 1023), (Abi::X32, 65)].map(|(abi, nr)| (abi, SyscallNr(nr)));
        let watch = watch_of(&BTreeSet::from(calls));
        let set = (0..).zip(watch.bits).filter(|(_, word)| *word != 0).collect::<Vec<(usize, u64)>>();
        assert_eq!(set, [(0, 1), (15, 1 << 63), (33, 2)]);
        assert_eq!((watch.outside, watch.any), (0, 1));
        let watch = watch_of(&BTreeSet::from([(Abi::X32, SyscallNr::OUTSIDE)]));
        assert_eq!((watch.outside, watch.any, watch.bits), (4, 1, [0; 64]));
        assert_eq!(watch_of(&BTreeSet::new()).any, 0);
    }
}
