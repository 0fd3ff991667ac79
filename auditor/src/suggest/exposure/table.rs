//! Who publishes what about which calls.

/// Groups of systemd's (`src/shared/seccomp-util.c`, version 252) that `systemd-analyze security` holds most against a
/// service that may use them: weight 1000 in `src/analyze/analyze-security.c`.
pub(super) const HEAVY: &[(&str, &str)] = &[
    ("@clock", "adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday"),
    ("@debug", "lookup_dcookie perf_event_open pidfd_getfd ptrace"),
    ("@module", "delete_module finit_module init_module"),
    (
        "@mount",
        "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root umount umount2",
    ),
    ("@raw-io", "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write"),
    ("@reboot", "kexec_file_load kexec_load reboot"),
    ("@swap", "swapoff swapon"),
];

/// Groups that it holds less against it: weight 700 or 250.
pub(super) const LIGHT: &[(&str, &str)] = &[
    ("@cpu-emulation", "modify_ldt vm86 vm86old"),
    (
        "@obsolete",
        "_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx prof profil \
        putpmsg query_module security sgetmask ssetmask stime stty sysfs tuxcall ulimit uselib ustat vserver",
    ),
    (
        "@privileged",
        "_sysctl acct bpf capset chown chown32 chroot fanotify_init fanotify_mark fchown fchown32 fchownat lchown \
        lchown32 nfsservctl open_by_handle_at pivot_root quotactl quotactl_fd setdomainname setfsuid setfsuid32 \
        setgroups setgroups32 sethostname setresuid setresuid32 setreuid setreuid32 setuid setuid32 vhangup",
    ),
    (
        "@resources",
        "ioprio_set mbind migrate_pages move_pages nice sched_setaffinity sched_setattr sched_setparam \
        sched_setscheduler set_mempolicy set_mempolicy_home_node setpriority setrlimit",
    ),
];

/// "Significant syscalls blocked by the default profile" in Docker's documentation of seccomp, but for `clone`, of which
/// it blocks flags alone.
pub(super) const DOCKER: &str = "acct add_key bpf clock_adjtime clock_settime create_module delete_module finit_module get_kernel_syms \
    get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load \
    kexec_load keyctl lookup_dcookie mbind mount move_pages nfsservctl open_by_handle_at perf_event_open personality \
    pivot_root process_vm_readv process_vm_writev ptrace query_module quotactl reboot request_key set_mempolicy \
    setns settimeofday stime swapoff swapon _sysctl sysfs umount umount2 unshare uselib userfaultfd ustat vm86 \
    vm86old";
