//! What a container runtime itself needs once its filter is in force: without these no container starts.

/// The calls that a runtime makes in the container between installing the filter and the start of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeFloor {
    /// The runtime's name, as the engine gives it.
    pub runtime: &'static str,
    /// Kernel names of the calls.
    pub calls: &'static [&'static str],
}

impl RuntimeFloor {
    /// runc.
    ///
    /// The first group was measured with runc 1.1.5, Docker 20.10 and Linux 6.18 (x86-64), with and without
    /// no_new_privs, a terminal, a user and capabilities: Docker's default profile without one of them starts no
    /// container. Of `faccessat2` and `faccessat` one is enough, but without both it does not find the program. With
    /// these and the program's own calls `docker exec` works too. The second group is what runc's Go runtime may do at
    /// any moment (a new thread, a grown heap, a signal that preempts), so that a start that went well once goes well
    /// again.
    pub const RUNC: Self = Self {
        runtime: "runc",
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
}
