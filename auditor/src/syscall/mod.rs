//! System call numbers, names and the ABIs they belong to.
//!
//! Names and numbers come from the `syscalls` crate (generated from the kernel's own tables) and agree with
//! libseccomp's. Numbers are what `syscall_get_nr` gives, with the x32 marker bit already taken off: the ABI says
//! what it was.

pub mod errno;
mod table;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use self::table::Table;

/// The calling convention a system call was made by. A number means nothing without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abi {
    /// 64-bit x86 (`AUDIT_ARCH_X86_64`).
    #[serde(rename = "x86_64")]
    X86_64,
    /// 32-bit x86, through `int 0x80` or by a 32-bit program (`AUDIT_ARCH_I386`).
    I386,
    /// 64-bit x86 with 32-bit pointers: `AUDIT_ARCH_X86_64` with bit 30 of the number set.
    X32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm (EABI).
    Arm,
}

impl Abi {
    /// Every ABI, in the order in which tables list them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::I386, Self::X32, Self::Aarch64, Self::Arm];

    /// The ABI of a 64-bit program on the machine this was built for.
    pub const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// A filter sees all 64 bits of its arguments; of others the lower half is compared alone.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// The spelling used in JSON, metrics and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Abi {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|abi| abi.as_str() == text).ok_or(())
    }
}

/// A system call number within its ABI; for x32 without the marker bit 30.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SyscallNr(pub i32);

impl SyscallNr {
    /// Stands for all numbers that are outside the kernel program's table (negative ones among them).
    pub const OUTSIDE: Self = Self(-1);
}

/// The kernel's name of a call, or `None` where no table knows the number.
#[must_use]
pub fn known_name(abi: Abi, nr: SyscallNr) -> Option<&'static str> {
    Table::of(abi).name(nr)
}

/// The number of a call by name, as libseccomp resolves it for the ABI; `None` where the ABI has no such call.
#[must_use]
pub fn number(abi: Abi, name: &str) -> Option<SyscallNr> {
    Table::of(abi).number(name)
}

/// Whether any ABI has a call of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&'static str>> =
        LazyLock::new(|| Abi::ALL.into_iter().flat_map(all).map(|(_, name)| name).collect());
    NAMES.contains(name)
}

/// Every call of an ABI that a table knows, by rising number.
pub fn all(abi: Abi) -> impl Iterator<Item = (SyscallNr, &'static str)> {
    Table::of(abi).iter()
}

/// The name to show: the kernel's, else `unknown_NNN`, and `unknown` for [`SyscallNr::OUTSIDE`].
#[must_use]
pub fn display_name(abi: Abi, nr: SyscallNr) -> Cow<'static, str> {
    match known_name(abi, nr) {
        Some(name) => name.into(),
        None if nr == SyscallNr::OUTSIDE => "unknown".into(),
        None => format!("unknown_{}", nr.0).into(),
    }
}
