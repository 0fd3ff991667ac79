//! What a container runtime itself needs once its filter is in force: without these no container starts.

use crate::profile::Runtime;

/// The calls that a runtime makes in the container between installing the filter and the start of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeFloor {
    /// Whose.
    pub runtime: Runtime,
    /// Kernel names of the calls.
    pub calls: &'static [&'static str],
}

impl RuntimeFloor {
    /// Of what no runtime starts.
    pub const NONE: Self = Self { runtime: Runtime::Runc, calls: &[] };

    /// The floor of a runtime.
    #[must_use]
    pub const fn of(runtime: Runtime) -> &'static Self {
        match runtime {
            Runtime::Runc => &Self::RUNC,
            Runtime::Crun => &Self::CRUN,
        }
    }

    /// runc.
    ///
    /// The first group was measured with runc 1.1.5, Docker 20.10 and Linux 6.18 (x86-64), with and without
    /// no_new_privs, a terminal, a user and capabilities: Docker's default profile without one of them starts no
    /// container. Of `faccessat2` and `faccessat` one is enough, but without both it does not find the program. With
    /// these and the program's own calls `docker exec` works too. The second group is what runc's Go runtime may do at
    /// any moment (a new thread, a grown heap, a signal that preempts), so that a start that went well once goes well
    /// again.
    pub const RUNC: Self = Self {
        runtime: Runtime::Runc,
        calls: &[
            "capget",
            "capset",
            "chdir",
            "close",
            "execve",
            "faccessat",
            "faccessat2",
            "fstat",
            "fstatfs",
            "futex",
            "getcwd",
            "getdents64",
            "getppid",
            "newfstatat",
            "openat",
            "prctl",
            "read",
            "setgid",
            "setgroups",
            "setuid",
            "write",
            // Go's runtime.
            "clone",
            "epoll_ctl",
            "epoll_pwait",
            "exit_group",
            "fcntl",
            "getpid",
            "gettid",
            "madvise",
            "mmap",
            "munmap",
            "nanosleep",
            "rt_sigaction",
            "rt_sigprocmask",
            "rt_sigreturn",
            "sched_yield",
            "sigaltstack",
            "tgkill",
        ],
    };

    /// crun.
    ///
    /// The first group was measured with crun 1.8.1, Docker 20.10 and Linux 6.18 (x86-64), with and without
    /// no_new_privs, a terminal, a user and capabilities: without one of them no container starts. Without one of the
    /// second group `docker exec` fails. The third is what it also does; it goes on when they are refused, with files
    /// left open, in another directory, or with a child that does not end.
    pub const CRUN: Self = Self {
        runtime: Runtime::Crun,
        calls: &[
            "capset",
            "execve",
            "prctl",
            "pselect6",
            "read",
            "rt_sigaction",
            "rt_sigprocmask",
            "setresgid",
            "setresuid",
            "write",
            // `docker exec`.
            "openat",
            "setgroups",
            "statx",
            // Not needed to start.
            "chdir",
            "close",
            "exit_group",
        ],
    };
}
