//! What each call is for, by classes of equal risk.
//!
//! The classes follow the groups of system calls that systemd publishes (`SystemCallFilter=` in systemd.exec(5)). Which
//! calls reach beyond a container, and why, follows Docker's own list ("Significant syscalls blocked by the default
//! profile" in its documentation of seccomp) and capabilities(7).

use super::Risk::{High, Low, Medium};

classes! {
    Low "it acts on descriptors that the program has already" {
        read "read from a descriptor", write "write to a descriptor", close "close a descriptor",
        close_range "close a range of descriptors", lseek "move in a file", _llseek "move in a file",
        pread64 "read at an offset", pwrite64 "write at an offset", readv "read into several buffers",
        writev "write from several buffers", preadv "read into several buffers", pwritev "write from several buffers",
        preadv2 "read into several buffers", pwritev2 "write from several buffers", dup "copy a descriptor",
        dup2 "copy a descriptor", dup3 "copy a descriptor", fcntl "control a descriptor",
        fcntl64 "control a descriptor", flock "lock a file", pipe "make a pipe", pipe2 "make a pipe",
        splice "move data through a pipe", tee "copy data between pipes", vmsplice "move memory into a pipe",
        sendfile "copy between descriptors", sendfile64 "copy between descriptors",
        copy_file_range "copy between files", ftruncate "cut a file", ftruncate64 "cut a file",
        fallocate "reserve room in a file", fadvise64 "say how a file will be read",
        fadvise64_64 "say how a file will be read", arm_fadvise64_64 "say how a file will be read",
        readahead "read a file ahead", fsync "write a file to its disk", fdatasync "write a file to its disk",
        sync_file_range "write a part of a file to its disk",
        arm_sync_file_range "write a part of a file to its disk", syncfs "write a file system to its disk",
        sync "write all to disk", msync "write mapped memory to its file", cachestat "ask what of a file is cached"
    }
    Low "it waits, and changes nothing" {
        poll "wait for descriptors", ppoll "wait for descriptors", select "wait for descriptors",
        _newselect "wait for descriptors", pselect6 "wait for descriptors", epoll_create "make an epoll instance",
        epoll_create1 "make an epoll instance", epoll_ctl "change what an epoll instance watches",
        epoll_ctl_old "change what an epoll instance watches", epoll_wait "wait for events",
        epoll_wait_old "wait for events", epoll_pwait "wait for events", epoll_pwait2 "wait for events",
        eventfd "make an event descriptor", eventfd2 "make an event descriptor", pause "wait for a signal",
        nanosleep "sleep", clock_nanosleep "sleep", restart_syscall "go on with an interrupted wait",
        inotify_init "watch files", inotify_init1 "watch files", inotify_add_watch "watch a file",
        inotify_rm_watch "stop watching a file", wait4 "wait for a child", waitid "wait for a child",
        waitpid "wait for a child"
    }
    Low "it acts on files that the container can reach already; their permissions hold" {
        open "open a file", openat "open a file", openat2 "open a file", creat "create a file",
        access "ask for the right to a file", faccessat "ask for the right to a file",
        faccessat2 "ask for the right to a file", stat "ask about a file", stat64 "ask about a file",
        oldstat "ask about a file", lstat "ask about a file", lstat64 "ask about a file", oldlstat "ask about a file",
        fstat "ask about a file", fstat64 "ask about a file", oldfstat "ask about a file",
        newfstatat "ask about a file", fstatat "ask about a file", fstatat64 "ask about a file",
        statx "ask about a file", statfs "ask about a file system", statfs64 "ask about a file system",
        fstatfs "ask about a file system", fstatfs64 "ask about a file system", ustat "ask about a file system",
        getcwd "ask for its directory", chdir "change its directory", fchdir "change its directory",
        getdents "list a directory", getdents64 "list a directory", readdir "list a directory",
        mkdir "make a directory", mkdirat "make a directory", rmdir "remove a directory", link "make a hard link",
        linkat "make a hard link", symlink "make a symbolic link", symlinkat "make a symbolic link",
        readlink "read a symbolic link", readlinkat "read a symbolic link", rename "rename a file",
        renameat "rename a file", renameat2 "rename a file", unlink "remove a file", unlinkat "remove a file",
        truncate "cut a file", truncate64 "cut a file", utime "set a file's times", utimes "set a file's times",
        utimensat "set a file's times", futimesat "set a file's times", umask "set the mode mask for new files",
        getxattr "read an attribute of a file", lgetxattr "read an attribute of a file",
        fgetxattr "read an attribute of a file", getxattrat "read an attribute of a file",
        listxattr "list the attributes of a file", llistxattr "list the attributes of a file",
        flistxattr "list the attributes of a file", listxattrat "list the attributes of a file",
        setxattr "set an attribute of a file", lsetxattr "set an attribute of a file",
        fsetxattr "set an attribute of a file", setxattrat "set an attribute of a file",
        removexattr "remove an attribute of a file", lremovexattr "remove an attribute of a file",
        fremovexattr "remove an attribute of a file", removexattrat "remove an attribute of a file",
        file_getattr "read the flags of a file", file_setattr "set the flags of a file",
        name_to_handle_at "get a handle of a file", sysfs "ask for the kernel's file systems"
    }
    Medium "it changes whose a file is or what may be done with it; outside the container's own files only user ids and \
        the mounts keep it in" {
        chmod "change a file's mode", fchmod "change a file's mode", fchmodat "change a file's mode",
        fchmodat2 "change a file's mode", chown "change a file's owner", chown32 "change a file's owner",
        fchown "change a file's owner", fchown32 "change a file's owner", lchown "change a file's owner",
        lchown32 "change a file's owner", fchownat "change a file's owner", mknod "make a special file",
        mknodat "make a special file"
    }
    Low "it acts on the program's own memory" {
        mmap "map memory", mmap2 "map memory", munmap "unmap memory", mprotect "change the protection of memory",
        mremap "move or resize memory", brk "resize its heap", madvise "say how memory will be used",
        mincore "ask what is in memory", mlock "keep memory from being swapped",
        mlock2 "keep memory from being swapped", mlockall "keep all memory from being swapped",
        munlock "let memory be swapped", munlockall "let memory be swapped", mseal "seal a mapping",
        remap_file_pages "rearrange a mapping", memfd_create "make a file in memory",
        memfd_secret "make memory that the kernel itself does not map", pkey_alloc "take a memory protection key",
        pkey_free "give back a memory protection key", pkey_mprotect "protect memory with a key",
        map_shadow_stack "map a shadow stack", membarrier "make memory order hold on all processors",
        shmat "attach shared memory", shmctl "control shared memory", shmdt "detach shared memory",
        shmget "get shared memory"
    }
    Low "it acts on the program's own threads and processes" {
        fork "make a process", vfork "make a process", clone "make a process or thread",
        clone3 "make a process or thread", execve "execute a program", execveat "execute a program",
        exit "end a thread", exit_group "end itself", set_tid_address "say where its thread id is cleared",
        set_robust_list "register its list of locks", get_robust_list "read a list of locks",
        set_thread_area "set thread-local storage", get_thread_area "read thread-local storage",
        arch_prctl "set a register of its thread", set_tls "set thread-local storage",
        get_tls "read thread-local storage", rseq "register a restartable sequence",
        rseq_slice_yield "give back a longer time slice", futex "wait for or wake a thread",
        futex_wait "wait for a thread", futex_wake "wake a thread", futex_waitv "wait for several threads",
        futex_requeue "move waiting threads", sched_yield "give way", getpid "ask for its process id",
        getppid "ask for its parent's id", gettid "ask for its thread id", getpgid "ask for a process group",
        getpgrp "ask for its process group", getsid "ask for its session", setpgid "change a process group",
        setsid "begin a session", getcpu "ask for its processor", getrusage "ask what it has used",
        times "ask what it has used", prctl "change a setting of its process",
        pidfd_open "get a descriptor of a process", sgetmask "read its signal mask", ssetmask "set its signal mask",
        breakpoint "stop at a breakpoint", cacheflush "flush the instruction cache",
        usr26 "change the processor mode", usr32 "change the processor mode", uprobe "return from a user probe",
        uretprobe "return from a user probe"
    }
    Low "it reaches only processes that the container sees and may signal" {
        kill "send a signal", tkill "send a signal", tgkill "send a signal",
        rt_sigqueueinfo "send a signal with data", rt_tgsigqueueinfo "send a signal with data",
        pidfd_send_signal "send a signal", rt_sigaction "handle a signal", sigaction "handle a signal",
        signal "handle a signal", rt_sigprocmask "hold signals back", sigprocmask "hold signals back",
        rt_sigpending "ask for pending signals", sigpending "ask for pending signals",
        rt_sigsuspend "wait for a signal", sigsuspend "wait for a signal", rt_sigtimedwait "wait for a signal",
        rt_sigreturn "return from a signal handler", sigreturn "return from a signal handler",
        sigaltstack "set the stack of signal handlers", signalfd "read signals from a descriptor",
        signalfd4 "read signals from a descriptor", process_mrelease "release the memory of a dying process"
    }
    Low "it reads clocks, or sets timers of its own" {
        time "read the time", gettimeofday "read the time", clock_gettime "read a clock",
        clock_getres "ask how fine a clock is", ftime "read the time", alarm "set an alarm", getitimer "read a timer",
        setitimer "set a timer", timer_create "make a timer", timer_delete "delete a timer",
        timer_gettime "read a timer", timer_getoverrun "ask how late a timer is", timer_settime "set a timer",
        timerfd_create "make a timer descriptor", timerfd_gettime "read a timer", timerfd_settime "set a timer"
    }
    Low "it reads who and where the program is" {
        getuid "ask for its user", getuid32 "ask for its user", geteuid "ask for its user",
        geteuid32 "ask for its user", getgid "ask for its group", getgid32 "ask for its group",
        getegid "ask for its group", getegid32 "ask for its group", getgroups "ask for its groups",
        getgroups32 "ask for its groups", getresuid "ask for its users", getresuid32 "ask for its users",
        getresgid "ask for its groups", getresgid32 "ask for its groups", capget "ask for its capabilities",
        uname "ask for the system's name", olduname "ask for the system's name",
        oldolduname "ask for the system's name", sysinfo "ask for memory and load", getrandom "get random bytes",
        getrlimit "ask for a limit", ugetrlimit "ask for a limit", getpriority "ask for a priority",
        ioprio_get "ask for an I/O priority", sched_getaffinity "ask for processors",
        sched_getattr "ask for scheduling", sched_getparam "ask for scheduling",
        sched_getscheduler "ask for scheduling", sched_get_priority_max "ask for priorities",
        sched_get_priority_min "ask for priorities", sched_rr_get_interval "ask for a time slice",
        lsm_get_self_attr "ask for its security attributes", lsm_list_modules "ask for the security modules"
    }
    Low "it can only take rights away from the program itself" {
        seccomp "put a filter on itself", landlock_create_ruleset "restrict itself",
        landlock_add_rule "restrict itself", landlock_restrict_self "restrict itself"
    }
    Medium "it changes whose rights the program has; capabilities and no_new_privs still hold" {
        setuid "change its user", setuid32 "change its user", setgid "change its group", setgid32 "change its group",
        setreuid "change its user", setreuid32 "change its user", setregid "change its group",
        setregid32 "change its group", setresuid "change its user", setresuid32 "change its user",
        setresgid "change its group", setresgid32 "change its group", setfsuid "change its file system user",
        setfsuid32 "change its file system user", setfsgid "change its file system group",
        setfsgid32 "change its file system group", setgroups "change its groups", setgroups32 "change its groups",
        capset "change its capabilities", lsm_set_self_attr "change its security attributes"
    }
    Medium "it changes limits and priorities, and so may take more than its share of the machine" {
        setrlimit "set a limit", prlimit64 "read or set a limit", setpriority "set a priority",
        nice "set its priority", ioprio_set "set an I/O priority", sched_setaffinity "choose processors",
        sched_setattr "change scheduling", sched_setparam "change scheduling", sched_setscheduler "change scheduling"
    }
    Medium "it speaks to the network; what can be reached is decided by the container's network, not by seccomp" {
        socket "make a socket", socketpair "make a pair of sockets", socketcall "use sockets", bind "take an address",
        connect "connect", listen "take connections", accept "take a connection", accept4 "take a connection",
        getsockname "ask for a socket's address", getpeername "ask who is at the other end", send "send data",
        sendto "send data", sendmsg "send a message", sendmmsg "send messages", recv "receive data",
        recvfrom "receive data", recvmsg "receive a message", recvmmsg "receive messages",
        shutdown "end a connection", setsockopt "set an option of a socket", getsockopt "read an option of a socket"
    }
    Low "it speaks to processes in the same IPC namespace" {
        ipc "use System V IPC", semget "get semaphores", semop "use semaphores", semtimedop "use semaphores",
        semctl "control semaphores", msgget "get a message queue", msgsnd "send to a message queue",
        msgrcv "receive from a message queue", msgctl "control a message queue", mq_open "open a message queue",
        mq_unlink "remove a message queue", mq_timedsend "send to a message queue",
        mq_timedreceive "receive from a message queue", mq_notify "be told of messages",
        mq_getsetattr "control a message queue"
    }
    Medium "it is a wide door: each driver has its own requests" {
        ioctl "send a request to a device or file"
    }
    Medium "it makes the kernel do input and output on its own; until Linux 5.19 that was outside seccomp's rules" {
        io_setup "make a queue for input and output", io_destroy "end a queue for input and output",
        io_submit "submit input and output", io_getevents "wait for input and output",
        io_pgetevents "wait for input and output", io_cancel "cancel input and output"
    }
    High "operations in a ring pass no filter, and the code has had many holes; Docker's default profile blocks it" {
        io_uring_setup "make a ring for input and output", io_uring_enter "use a ring for input and output",
        io_uring_register "register with a ring for input and output"
    }
    High "it can set up other views of the machine, and the code behind it runs with the kernel's rights; Docker's default \
        profile lets only CAP_SYS_ADMIN have it" {
        unshare "leave its namespaces", setns "enter a namespace", mount "mount a file system",
        umount "unmount a file system", umount2 "unmount a file system", pivot_root "change the root of its mounts",
        fsopen "configure a file system", fsconfig "configure a file system", fsmount "mount a file system",
        fspick "reconfigure a file system", move_mount "move a mount", open_tree "copy a mount",
        open_tree_attr "copy a mount", mount_setattr "change a mount", statmount "ask about a mount",
        listmount "list mounts", listns "list namespaces"
    }
    Medium "with other mistakes it is a known way out of a directory; Docker's default profile lets only CAP_SYS_CHROOT \
        have it" {
        chroot "change its root directory"
    }
    High "it reads and changes other programs, and before Linux 4.8 it passed by seccomp" {
        ptrace "trace a program", process_vm_readv "read the memory of a program",
        process_vm_writev "write the memory of a program", kcmp "compare kernel objects of two programs",
        pidfd_getfd "take a descriptor from a program", process_madvise "advise on the memory of a program"
    }
    High "it puts code into the kernel, and with it everything on the machine is open" {
        init_module "load a kernel module", finit_module "load a kernel module",
        delete_module "unload a kernel module", create_module "make a kernel module",
        query_module "ask about kernel modules", get_kernel_syms "read the kernel's symbols",
        kexec_load "load another kernel", kexec_file_load "load another kernel", bpf "use eBPF"
    }
    High "it watches the whole machine and can read much of what others do" {
        perf_event_open "measure events", lookup_dcookie "look up a path for a profiler",
        fanotify_init "watch file systems", fanotify_mark "watch a file system",
        syslog "read or control the kernel's log", quotactl "control disk quotas", quotactl_fd "control disk quotas",
        acct "switch process accounting"
    }
    High "it opens files by handle and so past the container's mounts; this was a published way out of containers" {
        open_by_handle_at "open a file by handle"
    }
    High "it changes the machine for everybody" {
        reboot "restart or halt the machine", swapon "use a swap area", swapoff "stop using a swap area",
        sethostname "set the host name", setdomainname "set the domain name", settimeofday "set the time",
        stime "set the time", clock_settime "set a clock", clock_adjtime "adjust a clock",
        adjtimex "adjust the clock", iopl "get at all input and output ports", ioperm "get at input and output ports",
        pciconfig_iobase "get at the PCI bus", pciconfig_read "read from the PCI bus",
        pciconfig_write "write to the PCI bus", vhangup "hang up a terminal", idle "be the idle task",
        bdflush "control the flushing of buffers", nfsservctl "control the NFS server"
    }
    High "keys are not kept apart by namespaces: one container could reach another's" {
        add_key "add a key", keyctl "use the kernel's keys", request_key "ask for a key"
    }
    Medium "faults that a program handles itself make races in the kernel easy to win" {
        userfaultfd "handle page faults itself"
    }
    Medium "it lets programs run in other ways than usual, which the kernel's defences do not expect" {
        personality "change how it is executed", modify_ldt "change its segments", vm86 "run in virtual 8086 mode",
        vm86old "run in virtual 8086 mode"
    }
    Medium "it changes where memory lies in the machine, also that of others" {
        mbind "choose memory nodes", set_mempolicy "choose memory nodes", get_mempolicy "ask for memory nodes",
        set_mempolicy_home_node "choose a memory node", migrate_pages "move the memory of a program",
        move_pages "move the memory of a program"
    }
    Medium "it is out of use: hardly any program needs it, and hardly anybody tests it" {
        uselib "load a shared library", _sysctl "change a kernel setting", getpmsg "receive a STREAMS message",
        putpmsg "send a STREAMS message", afs_syscall "use AFS", tuxcall "use the TUX server",
        security "use a security module", vserver "use a virtual server", stty "set a terminal",
        gtty "read a terminal", prof "be profiled", profil "be profiled", lock "lock memory", mpx "use MPX",
        ulimit "set a limit", break "resize its heap"
    }
}
