//! What a filter answers: one `SECCOMP_RET_*` value.

use std::fmt;

use crate::profile::{Action, Decision};
use crate::syscall::errno;

/// An answer, with as much of its data as has an effect. A filter's raw value is more than that: an unknown action
/// kills the process, but among stacked filters takes the place of its number (see [`Stack`](super::Stack)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// What happens.
    pub action: Action,
    /// For `Errno` the errno, for `Trap` what the signal carries in `si_errno`, for `Trace` the tracer's message; zero
    /// for the others, which have no use for it.
    pub data: u16,
}

/// `SECCOMP_RET_ACTION_FULL`.
const ACTION: u32 = 0xffff_0000;

/// `MAX_ERRNO`: a larger one is clipped (`__seccomp_filter` in kernel/seccomp.c).
const MAX_ERRNO: u16 = 4095;

/// ENOSYS: what a traced call without a tracer, and a supervised one without a supervisor, give.
const ENOSYS: u16 = 38;

impl Outcome {
    /// The call runs.
    pub const ALLOW: Self = Self { action: Action::Allow, data: 0 };

    /// An errno for an answer, clipped as the kernel clips it.
    #[must_use]
    pub const fn errno(errno: u16) -> Self {
        Self { action: Action::Errno, data: if errno > MAX_ERRNO { MAX_ERRNO } else { errno } }
    }

    /// What the kernel makes of a filter's value.
    #[must_use]
    pub const fn from_ret(value: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "SECCOMP_RET_DATA is the lower half")]
        let data = value as u16;
        match value & ACTION {
            0x7fff_0000 => Self::ALLOW,
            0x7ffc_0000 => Self { action: Action::Log, data: 0 },
            0x7fc0_0000 => Self { action: Action::Notify, data: 0 },
            0x7ff0_0000 => Self { action: Action::Trace, data },
            0x0005_0000 => Self::errno(data),
            0x0003_0000 => Self { action: Action::Trap, data },
            0x0000_0000 => Self { action: Action::KillThread, data: 0 },
            _ => Self { action: Action::KillProcess, data: 0 },
        }
    }

    /// The value that a filter returns for it.
    #[must_use]
    pub const fn to_ret(self) -> u32 {
        let action: u32 = match self.action {
            Action::Allow => 0x7fff_0000,
            Action::Log => 0x7ffc_0000,
            Action::Trace => 0x7ff0_0000,
            Action::Notify => 0x7fc0_0000,
            Action::Errno => 0x0005_0000,
            Action::Trap => 0x0003_0000,
            Action::KillThread => 0x0000_0000,
            Action::KillProcess => 0x8000_0000,
        };
        action | self.data as u32
    }

    /// What the caller gets where nobody traces or supervises it.
    #[must_use]
    pub const fn decision(self) -> Decision {
        let errno = match self.action {
            Action::Errno => Some(self.data),
            Action::Trace => Some(ENOSYS),
            _ => None,
        };
        Decision { action: self.action, errno }
    }

    /// Of two stacked filters the one with this answer decides, whichever is the newer.
    #[must_use]
    pub const fn prevails_over(self, other: Self) -> bool {
        prevails(self.to_ret(), other.to_ret())
    }
}

impl fmt::Display for Outcome {
    /// `SCMP_ACT_ERRNO (EPERM)`, `SCMP_ACT_ALLOW`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        match self.action {
            Action::Errno => write!(f, " ({})", errno::describe(self.data)),
            Action::Trap | Action::Trace if self.data != 0 => write!(f, " ({})", self.data),
            _ => Ok(()),
        }
    }
}

/// The kernel's order of two raw values: the action bits as a signed number, the lower one wins (`seccomp_run_filters`
/// in kernel/seccomp.c).
pub(super) const fn prevails(value: u32, over: u32) -> bool {
    (value & ACTION).cast_signed() < (over & ACTION).cast_signed()
}

impl From<Decision> for Outcome {
    /// The value that a runtime writes for a decision. What it puts beside `Trace` is for a tracer, and a decision does
    /// not hold it: zero here.
    fn from(decision: Decision) -> Self {
        match (decision.action, decision.errno) {
            (Action::Errno, errno) => Self::errno(errno.unwrap_or(0)),
            (action, _) => Self { action, data: 0 },
        }
    }
}
