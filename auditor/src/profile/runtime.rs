//! Container runtimes, as far as they make different filters of one profile.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who makes a filter of a profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// runc, and what calls runc: puts a stub before the filter that answers ENOSYS to newer calls than the profile
    /// names (`libcontainer/seccomp/patchbpf/enosys_linux.go`).
    #[default]
    Runc,
    /// crun: the filter as libseccomp makes it (`libcrun_generate_seccomp` in crun's `src/libcrun/seccomp.c`). Newer
    /// calls than the profile names get its default action, as all others that it does not name.
    Crun,
}

impl Runtime {
    /// By the name or path of its program. One that is not known is taken for runc, since most of them call it.
    #[must_use]
    pub fn of(program: &str) -> Self {
        let name = program.rsplit('/').next().unwrap_or(program);
        if name.split(['-', '_', '.']).any(|word| word == "crun") { Self::Crun } else { Self::Runc }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_known_by_their_programs() {
        for (program, runtime) in [
            ("runc", Runtime::Runc),
            ("/usr/sbin/runc", Runtime::Runc),
            ("io.containerd.runc.v2", Runtime::Runc),
            ("nvidia-container-runtime", Runtime::Runc),
            ("", Runtime::Runc),
            ("crun", Runtime::Crun),
            ("/usr/local/bin/crun", Runtime::Crun),
            ("crun-1.8.1", Runtime::Crun),
            ("limited-crun", Runtime::Crun),
            ("/opt/crun/bin/runc", Runtime::Runc),
            ("crunchy", Runtime::Runc),
        ] {
            assert_eq!(Runtime::of(program), runtime, "{program}");
        }
    }
}
