//! Which capability opens a call: with it Docker's default profile allows the call, and without it the kernel itself
//! would mostly refuse.

/// The rules of Docker's default profile that count for containers with a capability (profiles/seccomp/default.json of
/// moby), the older capability first.
const DOCKER_DEFAULT: [(&str, &[&str]); 14] = [
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["delete_module", "init_module", "finit_module"]),
    ("CAP_SYS_PACCT", &["acct"]),
    ("CAP_SYS_PTRACE", &["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"]),
    ("CAP_SYS_RAWIO", &["iopl", "ioperm"]),
    ("CAP_SYS_TIME", &["settimeofday", "stime", "clock_settime", "clock_settime64"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    ("CAP_SYS_NICE", &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    ("CAP_SYSLOG", &["syslog"]),
    ("CAP_BPF", &["bpf"]),
    ("CAP_PERFMON", &["perf_event_open"]),
];

/// Calls that Docker's default profile refuses whatever the capabilities, and that the kernel asks a capability for
/// (capabilities(7)).
const KERNEL: [(&str, &[&str]); 4] = [
    ("CAP_SYS_ADMIN", &["swapon", "swapoff", "pivot_root", "nfsservctl", "bdflush"]),
    ("CAP_SYS_BOOT", &["kexec_load", "kexec_file_load"]),
    ("CAP_SYS_TIME", &["adjtimex", "clock_adjtime"]),
    ("CAP_SYS_MODULE", &["create_module"]),
];

/// The capability by which Docker's default profile allows a call; the narrowest where there are several.
pub(super) fn in_docker_default(call: &str) -> Option<&'static str> {
    find(&DOCKER_DEFAULT, call)
}

/// The capability that the kernel asks for. Reading the time of a clock or one's own processes takes none.
pub(super) fn in_kernel(call: &str) -> Option<&'static str> {
    const NOT_ALWAYS: [&str; 8] =
        ["clone", "clone3", "unshare", "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node", "ptrace"];
    find(&KERNEL, call).or_else(|| find(&DOCKER_DEFAULT, call).filter(|_| !NOT_ALWAYS.contains(&call)))
}

fn find(table: &[(&'static str, &[&str])], call: &str) -> Option<&'static str> {
    table.iter().rev().find(|(_, calls)| calls.contains(&call)).map(|(capability, _)| *capability)
}
