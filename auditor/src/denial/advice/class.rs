//! What a call is for, and what allowing it risks.

macro_rules! classes {
    ($($risk:ident $why:literal { $($name:ident $purpose:literal),* })*) => {
        pub(super) const CLASSES: &[super::Class] = &[$(super::Class {
            risk: $risk,
            why: $why,
            calls: &[$((stringify!($name), $purpose)),*],
        }),*];
    };
}

mod table;

use self::table::CLASSES;

/// How much a call opens to a program that turns hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// It stays within what the program has already.
    Low,
    /// It opens more of the kernel, or more of what the container shares.
    Medium,
    /// It reaches beyond the container.
    High,
}

impl Risk {
    /// As it is written in JSON and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Calls of one kind.
pub(super) struct Class {
    pub(super) risk: Risk,
    pub(super) why: &'static str,
    pub(super) calls: &'static [(&'static str, &'static str)],
}

/// What a call is for, by its own name or that of the call that it is a wider version of.
pub(super) fn of(call: &str) -> Option<(&'static Class, &'static str)> {
    let known = |name: &str| {
        CLASSES
            .iter()
            .find_map(|class| class.calls.iter().find(|(call, _)| *call == name).map(|(_, purpose)| (class, *purpose)))
    };
    let narrow = || ["_time64", "64", "32"].iter().find_map(|suffix| known(call.strip_suffix(suffix)?));
    known(call).or_else(narrow)
}
