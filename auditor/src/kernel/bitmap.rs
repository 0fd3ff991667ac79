//! The calls that the kernel lets through without running the filter (`struct action_cache` in `kernel/seccomp.c`).

use auditor_ebpf::BITMAP_WORDS;

use crate::syscall::SyscallNr;

/// Numbers below this exist in every kernel that the programs run on (Linux 5.15 ends at 448).
const IN_EVERY_KERNEL: i32 = 449;

/// Always-allowed calls of one ABI.
///
/// The kernel fills the bitmap with ones and then clears the bits of the calls that it has and the filter may refuse
/// (`seccomp_cache_prepare_bitmap`), so bits behind the kernel's last call are ones that mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    words: [u64; BITMAP_WORDS],
    end: i32,
}

impl Bitmap {
    /// A bitmap as the kernel has it.
    #[must_use]
    pub fn new(words: [u64; BITMAP_WORDS]) -> Self {
        let last_zero = (0..).zip(words).filter(|(_, word)| *word != u64::MAX).last();
        let above_last_zero = last_zero.map_or(0, |(at, word): (i32, u64)| at * 64 + 64 - width(word.leading_ones()));
        Self { words, end: above_last_zero.max(IN_EVERY_KERNEL) }
    }

    /// Whether the kernel lets the call through unasked; `None` where the bitmap does not tell whether the kernel has
    /// such a call at all: behind the last call that the filter may refuse.
    #[must_use]
    pub fn allows(&self, nr: SyscallNr) -> Option<bool> {
        let bit = u32::try_from(nr.0).ok().filter(|_| nr.0 < self.end)?;
        let word = self.words.get(usize::try_from(bit / 64).ok()?)?;
        Some(word >> (bit % 64) & 1 == 1)
    }

    /// The calls that are known to be let through unasked.
    pub fn iter(&self) -> impl Iterator<Item = SyscallNr> + '_ {
        (0..self.end).map(SyscallNr).filter(|nr| self.allows(*nr) == Some(true))
    }
}

fn width(bits: u32) -> i32 {
    i32::try_from(bits).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_bit_is_its_number() {
        let mut words = [0; BITMAP_WORDS];
        words[0] = 0b101;
        words[2] = 1 << 63;
        let bitmap = Bitmap::new(words);
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), [SyscallNr(0), SyscallNr(2), SyscallNr(191)]);
        assert_eq!(bitmap.allows(SyscallNr(1)), Some(false));
        assert_eq!(bitmap.allows(SyscallNr(-1)), None);
    }

    #[test]
    fn ones_behind_the_kernel_s_last_call_mean_nothing() {
        let mut words = [u64::MAX; BITMAP_WORDS];
        words[7] &= !(1 << (469 - 448));
        let bitmap = Bitmap::new(words);
        assert_eq!(bitmap.allows(SyscallNr(469)), Some(false));
        assert_eq!(bitmap.allows(SyscallNr(470)), None);
        assert_eq!(bitmap.allows(SyscallNr(468)), Some(true));
        assert_eq!(Bitmap::new([u64::MAX; BITMAP_WORDS]).allows(SyscallNr(449)), None);
    }
}
