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
    /// runc. Measured with runc 1.1.5 on Linux 6.18 (x86-64), Docker 20.10, with and without no_new_privs: leave one
    /// out of a profile and the container does not start.
    pub const RUNC: Self = Self {
        runtime: "runc",
        calls: &[
            "capget",
            "capset",
            "chdir",
            "close",
            "epoll_ctl",
            "execve",
            "exit_group",
            "fcntl",
            "fstat",
            "fstatfs",
            "futex",
            "getcwd",
            "getdents64",
            "getpid",
            "getppid",
            "mmap",
            "newfstatat",
            "openat",
            "prctl",
            "read",
            "rt_sigaction",
            "rt_sigreturn",
            "setgid",
            "setgroups",
            "setuid",
            "write",
        ],
    };
}
