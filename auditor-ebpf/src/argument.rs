//! What the dangerous calls are made with: the distinct arguments of those that the loader named, and how often.
//!
//! A slot may have so many entries, so that a container which makes up arguments costs the others nothing. What finds no
//! room, and what could not be read, is counted. All other calls pay a look into a constant table.

use auditor_ebpf::{
    ABI_COMPAT, ABI_X32, ARGUMENTS_PER_SLOT, ArgumentKey, ArgumentShare, CLASS_FILTERED, CLASS_UNFILTERED, NO_ARGUMENT,
    NOTED_CALLS, NOTED_NRS, NotedCall, X32_BIT,
};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_probe_read_user;

use crate::counter::{add, read};
use crate::kernel::{field, masked, offset};
use crate::maps::{ARGUMENT_SHARES, ARGUMENTS, CALLS};

/// A call that was made.
pub struct Made {
    pub slot: u32,
    /// As the kernel has it, x32 bit included.
    pub nr: u32,
    /// One of the `ABI_` constants.
    pub abi: u8,
    pub filtered: bool,
}

/// The index of a call of which arguments are noted.
#[inline(always)]
pub fn noted(abi: u8, nr: u32) -> Option<u32> {
    let nr = plain(abi, nr);
    if nr >= NOTED_NRS {
        return None;
    }
    const { assert!(4 * NOTED_NRS == 4096) };
    let at = masked!((u32::from(abi) * NOTED_NRS + nr) as usize, 4095);
    // SAFETY: the mask keeps it within the table. Volatile, because the loader replaces what is there.
    let index = unsafe { (&raw const CALLS.index).cast::<u8>().add(at).read_volatile() };
    u32::from(index).checked_sub(1)
}

/// Notes what a call is made with.
#[inline(never)]
pub fn note(regs: *const u8, made: &Made, index: u32) {
    const { assert!(NOTED_CALLS == 64) };
    let index = masked!(index as usize, 63);
    // SAFETY: the mask keeps it within the table. Volatile, because the loader replaces what is there.
    let call = unsafe { (&raw const CALLS.noted).cast::<NotedCall>().add(index).read_volatile() };
    let Some(share) = ARGUMENT_SHARES.get_ptr_mut(made.slot) else { return };
    let class = if made.filtered { CLASS_FILTERED } else { CLASS_UNFILTERED };
    // SAFETY: the typed registers of the current task.
    let values = unsafe { values(regs, made.abi, call) };
    let kept = values.is_some_and(|values| {
        let nr = plain(made.abi, made.nr) as u16;
        // SAFETY: an array element.
        unsafe { count(share, &ArgumentKey { slot: made.slot, abi: made.abi, class, nr, values }) }
    });
    if !kept {
        // SAFETY: an array element, and both indices are within it.
        unsafe {
            let of_class = (&raw mut (*share).overflowed).cast::<u64>().add(class as usize * NOTED_CALLS);
            add(of_class.add(index), 1);
        }
    }
}

#[inline(always)]
fn plain(abi: u8, nr: u32) -> u32 {
    if abi == ABI_X32 { nr & !X32_BIT } else { nr }
}

/// Counts one more of these; `false` where there is no room for a new one.
///
/// # Safety
/// `share` must point to an element of [`ARGUMENT_SHARES`].
#[inline(always)]
unsafe fn count(share: *mut ArgumentShare, key: &ArgumentKey) -> bool {
    if ARGUMENTS.get_ptr_mut(key).is_none() {
        // SAFETY: see above. Whoever adds sees what it has added at least, so that no more get through than there is
        // room for.
        unsafe {
            let entries = &raw mut (*share).entries;
            if read(entries) >= u64::from(ARGUMENTS_PER_SLOT) {
                return false;
            }
            add(entries, 1);
            // Another CPU may be quicker; then its entry is there for this one too.
            if read(entries) > u64::from(ARGUMENTS_PER_SLOT)
                || ARGUMENTS.insert(key, 0, u64::from(BPF_NOEXIST)).is_err()
            {
                add(entries, u64::MAX);
            }
        }
    }
    let Some(counter) = ARGUMENTS.get_ptr_mut(key) else { return false };
    // SAFETY: a map's value; entries are removed only by the daemon, for slots that no task can be in.
    unsafe { add(counter, 1) };
    true
}

/// What is to be noted; `None` where it is in memory that cannot be read.
///
/// # Safety
/// `regs` must be typed registers of a user task that is in a call.
#[inline(always)]
unsafe fn values(regs: *const u8, abi: u8, call: NotedCall) -> Option<[u64; 2]> {
    // SAFETY: see above.
    let first = unsafe { register(regs, abi, call.first) };
    if call.bytes != 0 {
        let address = if abi == ABI_COMPAT { first & 0xffff_ffff } else { first };
        let mut value = 0u64;
        let bytes = if call.bytes == 4 { 4 } else { 8 };
        // SAFETY: the helper checks the source; the destination has room for what is read. The machine is little-endian.
        let failed = unsafe {
            bpf_probe_read_user((&raw mut value).cast(), bytes, (address + u64::from(call.offset)) as *const _)
        };
        return (failed == 0).then_some([value, 0]);
    }
    // SAFETY: as above.
    let second = if call.second == NO_ARGUMENT { 0 } else { unsafe { register(regs, abi, call.second) } };
    Some([first, second])
}

/// An argument as a filter sees it: the whole register (`populate_seccomp_data` in `kernel/seccomp.c`).
///
/// # Safety
/// As for [`values`].
#[inline(never)]
unsafe fn register(regs: *const u8, abi: u8, index: u8) -> u64 {
    macro_rules! one_of {
        ($registers:ident: $($at:literal),+) => {
            match index {
                // SAFETY: see above.
                $($at => unsafe { field(regs, offset!($registers[$at])) },)+
                _ => 0,
            }
        };
    }
    if abi == ABI_COMPAT { one_of!(regs_compat_args: 0, 1, 2, 3, 4, 5) } else { one_of!(regs_args: 0, 1, 2, 3, 4, 5) }
}
