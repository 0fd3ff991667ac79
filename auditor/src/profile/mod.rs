//! Seccomp profiles: the vocabulary, and what a profile means once a container runtime made a filter of it.
//!
//! [`Profile`] is the OCI runtime's `linux.seccomp` object. [`docker`] reads the engine's wider format and resolves
//! it to a `Profile`; [`Profile::evaluate`] gives the [`Policy`], which answers for every ABI and number.

pub mod capability;
pub mod check;
mod code;
pub mod compare;
pub mod docker;
mod evaluate;
pub mod explain;
mod half;
mod json;
pub mod merge;
pub mod minimize;
mod multiplex;
mod naming;
pub mod oci;
mod policy;
mod refuse;
mod render;
mod runtime;
mod tree;

use std::fmt;

pub(crate) use self::compare::reach;
pub use self::evaluate::HostArch;
pub use self::json::MAX_BYTES;
pub(crate) use self::multiplex::{door, doors};
pub use self::naming::Naming;
pub(crate) use self::policy::Entry;
pub use self::policy::{Policy, Summary, Undetermined};
pub use self::render::{Format, RenderError, Rendered, object_name};
pub use self::runtime::Runtime;
use crate::syscall::Abi;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Runs.
    Allow,
    /// Runs, and leaves a line in the audit log.
    Log,
    /// A supervisor decides (`SECCOMP_RET_USER_NOTIF`).
    Notify,
    /// A tracer decides; without one the caller gets ENOSYS.
    Trace,
    /// Does not run; the caller gets an errno.
    Errno,
    /// Does not run; the thread gets SIGSYS.
    Trap,
    /// Ends the calling thread. `SCMP_ACT_KILL` is another name for it.
    KillThread,
    /// Ends the whole process.
    KillProcess,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::Allow,
        Self::Log,
        Self::Notify,
        Self::Trace,
        Self::Errno,
        Self::Trap,
        Self::KillThread,
        Self::KillProcess,
    ];

    /// The spelling of the OCI runtime specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Log => "SCMP_ACT_LOG",
            Self::Notify => "SCMP_ACT_NOTIFY",
            Self::Trace => "SCMP_ACT_TRACE",
            Self::Errno => "SCMP_ACT_ERRNO",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
        }
    }

    /// Reads the specification's spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "SCMP_ACT_KILL" => Some(Self::KillThread),
            _ => Self::ALL.into_iter().find(|action| action.as_str() == text),
        }
    }

    /// The call reaches the kernel whatever anybody else says.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }

    /// The call never runs. Neither this nor [`Action::passes`] holds where a supervisor decides. A tracer could
    /// decide too, but containers have none.
    #[must_use]
    pub const fn denies(self) -> bool {
        !self.passes() && !matches!(self, Self::Notify)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An action, and what the caller gets by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// What happens.
    pub action: Action,
    /// The errno the caller gets: for `Errno` what the filter says, for `Trace` ENOSYS (no tracer), else none.
    pub errno: Option<u16>,
}

impl Decision {
    /// The call runs.
    pub const ALLOW: Self = Self { action: Action::Allow, errno: None };

    /// An errno for an answer.
    #[must_use]
    pub const fn errno(errno: u16) -> Self {
        Self { action: Action::Errno, errno: Some(errno) }
    }
}

/// What a profile says of one call, whatever its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It always runs.
    Allowed(Decision),
    /// It runs for some arguments, or when a supervisor says so. Holds what happens when no condition is met.
    Conditional(Decision),
    /// It never runs. Where the errno depends on arguments: what happens when no condition is met.
    Denied(Decision),
}

impl Verdict {
    /// The decision inside.
    #[must_use]
    pub const fn decision(self) -> Decision {
        match self {
            Self::Allowed(decision) | Self::Conditional(decision) | Self::Denied(decision) => decision,
        }
    }
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `argument != value`.
    NotEqual,
    /// `argument < value`.
    Less,
    /// `argument <= value`.
    LessOrEqual,
    /// `argument == value`.
    Equal,
    /// `argument >= value`.
    GreaterOrEqual,
    /// `argument > value`.
    Greater,
    /// `argument & value == value_two`.
    MaskedEqual,
}

impl Operator {
    /// Every operator.
    pub const ALL: [Self; 7] = [
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Equal,
        Self::GreaterOrEqual,
        Self::Greater,
        Self::MaskedEqual,
    ];

    /// The spelling of the OCI runtime specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotEqual => "SCMP_CMP_NE",
            Self::Less => "SCMP_CMP_LT",
            Self::LessOrEqual => "SCMP_CMP_LE",
            Self::Equal => "SCMP_CMP_EQ",
            Self::GreaterOrEqual => "SCMP_CMP_GE",
            Self::Greater => "SCMP_CMP_GT",
            Self::MaskedEqual => "SCMP_CMP_MASKED_EQ",
        }
    }

    /// Reads the specification's spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text)
    }
}

/// A condition on one argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgCondition {
    /// Which argument, 0 to 5.
    pub index: u32,
    /// What it is compared with; the mask of [`Operator::MaskedEqual`].
    pub value: u64,
    /// What is left of a masked argument is compared with this; meaningless for other operators.
    pub value_two: u64,
    /// How.
    pub operator: Operator,
}

/// Some calls, and what is done with them when every condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The calls, in the profile's order.
    pub names: Vec<String>,
    /// What is done.
    pub action: Action,
    /// The errno for `Errno` (EPERM where there is none) and `Trace`; without meaning for other actions.
    pub errno: Option<u32>,
    /// The conditions.
    pub args: Vec<ArgCondition>,
}

/// An architecture by libseccomp's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Arch {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64N32,
    Mipsel,
    Mipsel64,
    Mipsel64N32,
    Ppc,
    Ppc64,
    Ppc64le,
    Riscv64,
    S390,
    S390x,
    Loongarch64,
}

impl Arch {
    /// Every architecture that a container runtime knows, with the specification's spelling.
    const SPELLINGS: [(Self, &'static str); 18] = [
        (Self::X86, "SCMP_ARCH_X86"),
        (Self::X86_64, "SCMP_ARCH_X86_64"),
        (Self::X32, "SCMP_ARCH_X32"),
        (Self::Arm, "SCMP_ARCH_ARM"),
        (Self::Aarch64, "SCMP_ARCH_AARCH64"),
        (Self::Mips, "SCMP_ARCH_MIPS"),
        (Self::Mips64, "SCMP_ARCH_MIPS64"),
        (Self::Mips64N32, "SCMP_ARCH_MIPS64N32"),
        (Self::Mipsel, "SCMP_ARCH_MIPSEL"),
        (Self::Mipsel64, "SCMP_ARCH_MIPSEL64"),
        (Self::Mipsel64N32, "SCMP_ARCH_MIPSEL64N32"),
        (Self::Ppc, "SCMP_ARCH_PPC"),
        (Self::Ppc64, "SCMP_ARCH_PPC64"),
        (Self::Ppc64le, "SCMP_ARCH_PPC64LE"),
        (Self::Riscv64, "SCMP_ARCH_RISCV64"),
        (Self::S390, "SCMP_ARCH_S390"),
        (Self::S390x, "SCMP_ARCH_S390X"),
        (Self::Loongarch64, "SCMP_ARCH_LOONGARCH64"),
    ];

    /// The spelling of the OCI runtime specification.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::SPELLINGS.into_iter().find(|(arch, _)| *arch == self).map_or("SCMP_ARCH_NATIVE", |(_, text)| text)
    }

    /// Reads the specification's spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::SPELLINGS.into_iter().find(|(_, spelling)| *spelling == text).map(|(arch, _)| arch)
    }

    /// Its bytes are in another order than those of the ABIs that the auditor counts.
    pub(super) const fn is_big_endian(self) -> bool {
        matches!(self, Self::Mips | Self::Mips64 | Self::Mips64N32 | Self::Ppc | Self::Ppc64 | Self::S390 | Self::S390x)
    }

    /// The ABI it stands for, where it is one that the auditor counts.
    #[must_use]
    pub const fn abi(self) -> Option<Abi> {
        match self {
            Self::X86 => Some(Abi::I386),
            Self::X86_64 => Some(Abi::X86_64),
            Self::X32 => Some(Abi::X32),
            Self::Arm => Some(Abi::Arm),
            Self::Aarch64 => Some(Abi::Aarch64),
            _ => None,
        }
    }

    /// The token of an ABI.
    #[must_use]
    pub const fn of(abi: Abi) -> Self {
        match abi {
            Abi::X86_64 => Self::X86_64,
            Abi::I386 => Self::X86,
            Abi::X32 => Self::X32,
            Abi::Aarch64 => Self::Aarch64,
            Abi::Arm => Self::Arm,
        }
    }
}

/// A profile as the runtime gets it: the OCI `linux.seccomp` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// For calls that no rule matches.
    pub default_action: Action,
    /// The errno that goes with it.
    pub default_errno: Option<u32>,
    /// What the filter contains beside the host's own architecture.
    pub architectures: Vec<Arch>,
    /// Filter flags; `None` (the runtime's own choice) is not the empty list.
    pub flags: Option<Vec<String>>,
    /// The socket of the supervisor for `SCMP_ACT_NOTIFY`.
    pub listener_path: Option<String>,
    /// What the supervisor is told.
    pub listener_metadata: Option<String>,
    /// The rules, in the profile's order, which matters where two name the same call.
    pub rules: Vec<Rule>,
}

/// Why a text is no usable profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Larger than [`json::MAX_BYTES`].
    #[error("seccomp profile: {size} bytes are more than the {limit} that are read; is this the right file?")]
    TooLarge {
        /// Bytes that were given.
        size: usize,
        /// Bytes that are read.
        limit: usize,
    },
    /// Not JSON, or nested too deeply.
    #[error("seccomp profile: not readable as JSON: {0}")]
    Json(String),
    /// JSON, but of the wrong shape.
    #[error("seccomp profile: {path}: expected {expected}")]
    Shape {
        /// Where, as in `syscalls[3].args[0].index`.
        path: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A word that the runtime does not know.
    #[error("seccomp profile: {path}: unknown {what} {word:?}; the runtime would refuse this profile")]
    UnknownWord {
        /// Where.
        path: String,
        /// `action`, `operator` or `architecture`.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// Well-formed, but engine or runtime refuse to start a container with it.
    #[error("seccomp profile: {path}: {reason}; the runtime would refuse this profile")]
    Refused {
        /// Where.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// Neither a default action nor a rule: the runtime installs no filter then.
    #[error("seccomp profile: neither a default action nor rules, so the runtime installs no filter")]
    NoFilter,
}
