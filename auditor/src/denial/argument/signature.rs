//! What each call takes: names of its arguments, and what they are.

use super::values::Values;
use crate::syscall::Abi;

macro_rules! format_of {
    (VALUES $values:ident) => {
        Format::Values($values)
    };
    (LONG $values:ident) => {
        Format::Long($values)
    };
    (OCTAL $values:ident) => {
        Format::Octal($values)
    };
    ($format:ident) => {
        $format
    };
}

macro_rules! signatures {
    ($table:ident: $($call:ident { $($name:ident: $($format:ident)+),* })*) => {
        pub(super) const $table: &[(&str, &[Parameter])] = &[$((stringify!($call), &[$(
            Parameter { name: stringify!($name), format: format_of!($($format)+) }
        ),*])),*];
    };
}

mod table;

/// One argument of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) format: Format,
}

/// What an argument is, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// An address of something; what is there is not read.
    Pointer,
    /// An address of nothing in particular.
    Address,
    /// A file descriptor.
    Descriptor,
    /// A file descriptor, or `AT_FDCWD`.
    Directory,
    /// `int` and its kind.
    Int,
    /// `unsigned int`.
    Unsigned,
    /// `long` and offsets.
    Signed,
    /// `size_t`.
    Size,
    /// `unsigned long` that may be anything.
    Word,
    /// 32 bits of flags without known names.
    Hex,
    /// Permission bits.
    Mode,
    /// Named values in an `int`.
    Values(&'static Values),
    /// Named values in an `unsigned long`.
    Long(&'static Values),
    /// Named values with permission bits.
    Octal(&'static Values),
    /// `personality`, where all ones ask and change nothing.
    Personality,
    /// `request` of `ioctl`.
    Ioctl,
    /// `protocol` of `socket`, which depends on the family.
    Protocol,
    /// `arg2` of `prctl`, which depends on the option.
    PrctlArgument,
    /// `flags` of `seccomp`, which depend on the operation.
    SeccompFlags,
    /// `optname` of `setsockopt`, which depends on the level.
    SocketOption,
}

impl Format {
    /// Whether the value says what was wanted: names and modes do, addresses and descriptors do not.
    pub(super) const fn is_telling(self) -> bool {
        !matches!(
            self,
            Self::Pointer
                | Self::Address
                | Self::Descriptor
                | Self::Directory
                | Self::Int
                | Self::Unsigned
                | Self::Signed
                | Self::Size
                | Self::Word
        )
    }
}

/// The arguments that a call has, or `None` where no table knows the call.
pub(super) fn parameters(abi: Abi, call: &str) -> Option<&'static [Parameter]> {
    let own = match abi {
        Abi::I386 => table::I386,
        Abi::Aarch64 | Abi::Arm => table::ARM,
        Abi::X86_64 | Abi::X32 => &[],
    };
    let own = own.iter().find(|(name, _)| *name == call);
    let found = own.or_else(|| table::ALL.iter().find(|(name, _)| *name == call));
    found.map(|(_, parameters)| *parameters)
}
