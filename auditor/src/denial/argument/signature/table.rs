//! What each call takes, as the kernel declares it (`SYSCALL_DEFINE` of the call; names and types as its own
//! `events/syscalls/*/format` give them). Calls that no machine has any more take nothing.

use super::super::values::table::*;
use super::Format::{
    Address as ADDRESS, Descriptor as FD, Directory as DIRECTORY, Hex as HEX, Int as INT, Ioctl, Mode as MODE,
    Personality, Pointer as POINTER, PrctlArgument, Protocol, SeccompFlags, Signed as SIGNED, Size as SIZE,
    SocketOption, Unsigned as UNSIGNED, Word as WORD,
};
use super::{Format, Parameter};

signatures! { ALL:
    _llseek { fd: FD, offset_high: WORD, offset_low: WORD, result: POINTER, whence: VALUES SEEK }
    _newselect { n: INT, inp: POINTER, outp: POINTER, exp: POINTER, tvp: POINTER }
    _sysctl { args: POINTER }
    accept { fd: FD, upeer_sockaddr: POINTER, upeer_addrlen: POINTER }
    accept4 { fd: FD, upeer_sockaddr: POINTER, upeer_addrlen: POINTER, flags: VALUES SOCK_FLAGS }
    access { filename: POINTER, mode: VALUES ACCESS }
    acct { name: POINTER }
    add_key { type: POINTER, description: POINTER, payload: POINTER, plen: SIZE, ringid: VALUES KEYRING }
    adjtimex { txc_p: POINTER }
    afs_syscall {}
    alarm { seconds: UNSIGNED }
    arch_prctl { option: VALUES ARCH_PRCTL, arg2: WORD }
    arm_fadvise64_64 { fd: FD, advice: VALUES FADVISE, offset_low: UNSIGNED, offset_high: UNSIGNED, len_low: UNSIGNED,
        len_high: UNSIGNED }
    arm_sync_file_range { fd: FD, flags: VALUES SYNC_RANGE, offset_low: UNSIGNED, offset_high: UNSIGNED, nbytes_low:
        UNSIGNED, nbytes_high: UNSIGNED }
    bdflush { func: INT, data: SIGNED }
    bind { fd: FD, umyaddr: POINTER, addrlen: INT }
    bpf { cmd: VALUES BPF, uattr: POINTER, size: UNSIGNED }
    break {}
    breakpoint {}
    brk { brk: ADDRESS }
    cacheflush { start: ADDRESS, end: WORD, flags: HEX }
    cachestat { fd: FD, cstat_range: POINTER, cstat: POINTER, flags: HEX }
    capget { header: POINTER, dataptr: POINTER }
    capset { header: POINTER, data: POINTER }
    chdir { filename: POINTER }
    chmod { filename: POINTER, mode: MODE }
    chown { filename: POINTER, user: INT, group: INT }
    chown32 { filename: POINTER, user: INT, group: INT }
    chroot { filename: POINTER }
    clock_adjtime { which_clock: VALUES CLOCK, utx: POINTER }
    clock_adjtime64 { which_clock: VALUES CLOCK, utx: POINTER }
    clock_getres { which_clock: VALUES CLOCK, tp: POINTER }
    clock_getres_time64 { which_clock: VALUES CLOCK, tp: POINTER }
    clock_gettime { which_clock: VALUES CLOCK, tp: POINTER }
    clock_gettime64 { which_clock: VALUES CLOCK, tp: POINTER }
    clock_nanosleep { which_clock: VALUES CLOCK, flags: VALUES TIMER, rqtp: POINTER, rmtp: POINTER }
    clock_nanosleep_time64 { which_clock: VALUES CLOCK, flags: VALUES TIMER, rqtp: POINTER, rmtp: POINTER }
    clock_settime { which_clock: VALUES CLOCK, tp: POINTER }
    clock_settime64 { which_clock: VALUES CLOCK, tp: POINTER }
    clone { clone_flags: VALUES CLONE, newsp: ADDRESS, parent_tidptr: POINTER, child_tidptr: POINTER, tls: ADDRESS }
    clone3 { uargs: POINTER, size: SIZE }
    close { fd: FD }
    close_range { fd: FD, max_fd: FD, flags: VALUES CLOSE_RANGE }
    connect { fd: FD, uservaddr: POINTER, addrlen: INT }
    copy_file_range { fd_in: FD, off_in: POINTER, fd_out: FD, off_out: POINTER, len: SIZE, flags: HEX }
    creat { pathname: POINTER, mode: MODE }
    create_module { name: POINTER, size: SIZE }
    delete_module { name_user: POINTER, flags: VALUES DELETE_MODULE }
    dup { fildes: FD }
    dup2 { oldfd: FD, newfd: FD }
    dup3 { oldfd: FD, newfd: FD, flags: VALUES PIPE }
    epoll_create { size: INT }
    epoll_create1 { flags: VALUES EPOLL }
    epoll_ctl { epfd: FD, op: VALUES EPOLL_CTL, fd: FD, event: POINTER }
    epoll_ctl_old {}
    epoll_pwait { epfd: FD, events: POINTER, maxevents: INT, timeout: INT, sigmask: POINTER, sigsetsize: SIZE }
    epoll_pwait2 { epfd: FD, events: POINTER, maxevents: INT, timeout: POINTER, sigmask: POINTER, sigsetsize: SIZE }
    epoll_wait { epfd: FD, events: POINTER, maxevents: INT, timeout: INT }
    epoll_wait_old {}
    eventfd { count: UNSIGNED }
    eventfd2 { count: UNSIGNED, flags: VALUES EVENTFD }
    execve { filename: POINTER, argv: POINTER, envp: POINTER }
    execveat { fd: DIRECTORY, filename: POINTER, argv: POINTER, envp: POINTER, flags: VALUES AT }
    exit { error_code: INT }
    exit_group { error_code: INT }
    faccessat { dfd: DIRECTORY, filename: POINTER, mode: VALUES ACCESS }
    faccessat2 { dfd: DIRECTORY, filename: POINTER, mode: VALUES ACCESS, flags: VALUES AT_ACCESS }
    fadvise64 { fd: FD, offset: SIGNED, len: SIZE, advice: VALUES FADVISE }
    fadvise64_64 { fd: FD, offset_low: UNSIGNED, offset_high: UNSIGNED, len_low: UNSIGNED, len_high: UNSIGNED, advice:
        VALUES FADVISE }
    fallocate { fd: FD, mode: VALUES FALLOCATE, offset: SIGNED, len: SIGNED }
    fanotify_init { flags: VALUES FANOTIFY, event_f_flags: VALUES OPEN }
    fanotify_mark { fanotify_fd: FD, flags: VALUES FANOTIFY_MARK, mask: SIZE, dfd: DIRECTORY, pathname: POINTER }
    fchdir { fd: FD }
    fchmod { fd: FD, mode: MODE }
    fchmodat { dfd: DIRECTORY, filename: POINTER, mode: MODE }
    fchmodat2 { dfd: DIRECTORY, filename: POINTER, mode: MODE, flags: VALUES AT }
    fchown { fd: FD, user: INT, group: INT }
    fchown32 { fd: FD, user: INT, group: INT }
    fchownat { dfd: DIRECTORY, filename: POINTER, user: INT, group: INT, flag: VALUES AT }
    fcntl { fd: FD, cmd: VALUES FCNTL, arg: WORD }
    fcntl64 { fd: FD, cmd: VALUES FCNTL, arg: WORD }
    fdatasync { fd: FD }
    fgetxattr { fd: FD, name: POINTER, value: POINTER, size: SIZE }
    file_getattr { dfd: DIRECTORY, filename: POINTER, ufattr: POINTER, usize: SIZE, at_flags: VALUES AT }
    file_setattr { dfd: DIRECTORY, filename: POINTER, ufattr: POINTER, usize: SIZE, at_flags: VALUES AT }
    finit_module { fd: FD, uargs: POINTER, flags: VALUES MODULE }
    flistxattr { fd: FD, list: POINTER, size: SIZE }
    flock { fd: FD, cmd: VALUES FLOCK }
    fork {}
    fremovexattr { fd: FD, name: POINTER }
    fsconfig { fd: FD, cmd: VALUES FSCONFIG, key: POINTER, value: POINTER, aux: INT }
    fsetxattr { fd: FD, name: POINTER, value: POINTER, size: SIZE, flags: VALUES XATTR }
    fsmount { fs_fd: FD, flags: VALUES FSMOUNT, attr_flags: VALUES MOUNT_ATTR }
    fsopen { fs_name: POINTER, flags: VALUES FSOPEN }
    fspick { dfd: DIRECTORY, path: POINTER, flags: VALUES FSPICK }
    fstat { fd: FD, statbuf: POINTER }
    fstat64 { fd: FD, statbuf: POINTER }
    fstatat { dfd: DIRECTORY, filename: POINTER, statbuf: POINTER, flag: VALUES AT }
    fstatat64 { dfd: DIRECTORY, filename: POINTER, statbuf: POINTER, flag: VALUES AT }
    fstatfs { fd: FD, buf: POINTER }
    fstatfs64 { fd: FD, sz: SIZE, buf: POINTER }
    fsync { fd: FD }
    ftime {}
    ftruncate { fd: FD, length: SIGNED }
    ftruncate64 { fd: FD, length_low: UNSIGNED, length_high: UNSIGNED }
    futex { uaddr: POINTER, op: VALUES FUTEX, val: UNSIGNED, utime: POINTER, uaddr2: POINTER, val3: UNSIGNED }
    futex_requeue { waiters: POINTER, flags: HEX, nr_wake: INT, nr_requeue: INT }
    futex_time64 { uaddr: POINTER, op: VALUES FUTEX, val: UNSIGNED, utime: POINTER, uaddr2: POINTER, val3: UNSIGNED }
    futex_wait { uaddr: POINTER, val: WORD, mask: WORD, flags: HEX, timeout: POINTER, clockid: VALUES CLOCK }
    futex_waitv { waiters: POINTER, nr_futexes: UNSIGNED, flags: HEX, timeout: POINTER, clockid: VALUES CLOCK }
    futex_wake { uaddr: POINTER, mask: WORD, nr: INT, flags: HEX }
    futimesat { dfd: DIRECTORY, filename: POINTER, utimes: POINTER }
    get_kernel_syms { table: POINTER }
    get_mempolicy { policy: POINTER, nmask: POINTER, maxnode: WORD, addr: ADDRESS, flags: VALUES GET_MEMPOLICY }
    get_robust_list { pid: INT, head_ptr: POINTER, len_ptr: POINTER }
    get_thread_area { u_info: POINTER }
    get_tls {}
    getcpu { cpup: POINTER, nodep: POINTER, unused: POINTER }
    getcwd { buf: POINTER, size: WORD }
    getdents { fd: FD, dirent: POINTER, count: UNSIGNED }
    getdents64 { fd: FD, dirent: POINTER, count: UNSIGNED }
    getegid {}
    getegid32 {}
    geteuid {}
    geteuid32 {}
    getgid {}
    getgid32 {}
    getgroups { gidsetsize: INT, grouplist: POINTER }
    getgroups32 { gidsetsize: INT, grouplist: POINTER }
    getitimer { which: VALUES ITIMER, value: POINTER }
    getpeername { fd: FD, usockaddr: POINTER, usockaddr_len: POINTER }
    getpgid { pid: INT }
    getpgrp {}
    getpid {}
    getpmsg { fd: FD, ctlptr: POINTER, dataptr: POINTER, bandp: POINTER, flagsp: POINTER }
    getppid {}
    getpriority { which: VALUES PRIO, who: INT }
    getrandom { ubuf: POINTER, len: SIZE, flags: VALUES GETRANDOM }
    getresgid { rgidp: POINTER, egidp: POINTER, sgidp: POINTER }
    getresgid32 { rgidp: POINTER, egidp: POINTER, sgidp: POINTER }
    getresuid { ruidp: POINTER, euidp: POINTER, suidp: POINTER }
    getresuid32 { ruidp: POINTER, euidp: POINTER, suidp: POINTER }
    getrlimit { resource: VALUES RLIMIT, rlim: POINTER }
    getrusage { who: VALUES RUSAGE, ru: POINTER }
    getsid { pid: INT }
    getsockname { fd: FD, usockaddr: POINTER, usockaddr_len: POINTER }
    getsockopt { fd: FD, level: VALUES SOL, optname: SocketOption, optval: POINTER, optlen: POINTER }
    gettid {}
    gettimeofday { tv: POINTER, tz: POINTER }
    getuid {}
    getuid32 {}
    getxattr { pathname: POINTER, name: POINTER, value: POINTER, size: SIZE }
    getxattrat { dfd: DIRECTORY, pathname: POINTER, at_flags: VALUES AT, name: POINTER, uargs: POINTER, usize: SIZE }
    gtty {}
    idle {}
    init_module { umod: POINTER, len: WORD, uargs: POINTER }
    inotify_add_watch { fd: FD, pathname: POINTER, mask: VALUES INOTIFY }
    inotify_init {}
    inotify_init1 { flags: VALUES INOTIFY_INIT }
    inotify_rm_watch { fd: FD, wd: INT }
    io_cancel { ctx_id: SIZE, iocb: POINTER, result: POINTER }
    io_destroy { ctx: SIZE }
    io_getevents { ctx_id: SIZE, min_nr: SIGNED, nr: SIGNED, events: POINTER, timeout: POINTER }
    io_pgetevents { ctx_id: SIZE, min_nr: SIGNED, nr: SIGNED, events: POINTER, timeout: POINTER, usig: POINTER }
    io_pgetevents_time64 { ctx_id: SIZE, min_nr: SIGNED, nr: SIGNED, events: POINTER, timeout: POINTER, usig: POINTER }
    io_setup { nr_events: UNSIGNED, ctxp: POINTER }
    io_submit { ctx_id: SIZE, nr: SIGNED, iocbpp: POINTER }
    io_uring_enter { fd: FD, to_submit: UNSIGNED, min_complete: UNSIGNED, flags: VALUES URING_ENTER, argp: POINTER,
        argsz: SIZE }
    io_uring_register { fd: FD, opcode: VALUES URING_REGISTER, arg: POINTER, nr_args: UNSIGNED }
    io_uring_setup { entries: UNSIGNED, params: POINTER }
    ioctl { fd: FD, cmd: Ioctl, arg: WORD }
    ioperm { from: WORD, num: WORD, turn_on: INT }
    iopl { level: INT }
    ioprio_get { which: VALUES IOPRIO, who: INT }
    ioprio_set { which: VALUES IOPRIO, who: INT, ioprio: INT }
    ipc { call: VALUES IPCCALL, first: INT, second: WORD, third: WORD, ptr: POINTER, fifth: SIGNED }
    kcmp { pid1: INT, pid2: INT, type: VALUES KCMP, idx1: WORD, idx2: WORD }
    kexec_file_load { kernel_fd: FD, initrd_fd: FD, cmdline_len: WORD, cmdline_ptr: POINTER, flags: LONG KEXEC_FILE }
    kexec_load { entry: WORD, nr_segments: WORD, segments: POINTER, flags: LONG KEXEC }
    keyctl { option: VALUES KEYCTL, arg2: WORD, arg3: WORD, arg4: WORD, arg5: WORD }
    kill { pid: INT, sig: VALUES SIGNAL }
    landlock_add_rule { ruleset_fd: FD, rule_type: VALUES LANDLOCK_RULE, rule_attr: POINTER, flags: HEX }
    landlock_create_ruleset { attr: POINTER, size: SIZE, flags: VALUES LANDLOCK }
    landlock_restrict_self { ruleset_fd: FD, flags: HEX }
    lchown { filename: POINTER, user: INT, group: INT }
    lchown32 { filename: POINTER, user: INT, group: INT }
    lgetxattr { pathname: POINTER, name: POINTER, value: POINTER, size: SIZE }
    link { oldname: POINTER, newname: POINTER }
    linkat { olddfd: DIRECTORY, oldname: POINTER, newdfd: DIRECTORY, newname: POINTER, flags: VALUES AT }
    listen { fd: FD, backlog: INT }
    listmount { req: POINTER, mnt_ids: POINTER, nr_mnt_ids: SIZE, flags: HEX }
    listns { req: POINTER, ns_ids: POINTER, nr_ns_ids: SIZE, flags: HEX }
    listxattr { pathname: POINTER, list: POINTER, size: SIZE }
    listxattrat { dfd: DIRECTORY, pathname: POINTER, at_flags: VALUES AT, list: POINTER, size: SIZE }
    llistxattr { pathname: POINTER, list: POINTER, size: SIZE }
    lock {}
    lookup_dcookie { cookie: SIZE, buf: POINTER, len: SIZE }
    lremovexattr { pathname: POINTER, name: POINTER }
    lseek { fd: FD, offset: SIGNED, whence: VALUES SEEK }
    lsetxattr { pathname: POINTER, name: POINTER, value: POINTER, size: SIZE, flags: VALUES XATTR }
    lsm_get_self_attr { attr: UNSIGNED, ctx: POINTER, size: POINTER, flags: HEX }
    lsm_list_modules { ids: POINTER, size: POINTER, flags: HEX }
    lsm_set_self_attr { attr: UNSIGNED, ctx: POINTER, size: UNSIGNED, flags: HEX }
    lstat { filename: POINTER, statbuf: POINTER }
    lstat64 { filename: POINTER, statbuf: POINTER }
    madvise { start: ADDRESS, len_in: SIZE, behavior: VALUES MADVISE }
    map_shadow_stack { addr: ADDRESS, size: WORD, flags: HEX }
    mbind { start: ADDRESS, len: WORD, mode: LONG MPOL, nmask: POINTER, maxnode: WORD, flags: VALUES MBIND }
    membarrier { cmd: VALUES MEMBARRIER, flags: HEX, cpu_id: INT }
    memfd_create { uname: POINTER, flags: VALUES MEMFD }
    memfd_secret { flags: VALUES PIPE }
    migrate_pages { pid: INT, maxnode: WORD, old_nodes: POINTER, new_nodes: POINTER }
    mincore { start: ADDRESS, len: SIZE, vec: POINTER }
    mkdir { pathname: POINTER, mode: MODE }
    mkdirat { dfd: DIRECTORY, pathname: POINTER, mode: MODE }
    mknod { filename: POINTER, mode: OCTAL FILE_TYPE, dev: UNSIGNED }
    mknodat { dfd: DIRECTORY, filename: POINTER, mode: OCTAL FILE_TYPE, dev: UNSIGNED }
    mlock { start: ADDRESS, len: SIZE }
    mlock2 { start: ADDRESS, len: SIZE, flags: VALUES MLOCK }
    mlockall { flags: VALUES MLOCKALL }
    mmap { addr: ADDRESS, len: WORD, prot: LONG PROT, flags: LONG MAP, fd: FD, off: WORD }
    mmap2 { addr: ADDRESS, len: WORD, prot: LONG PROT, flags: LONG MAP, fd: FD, pgoff: WORD }
    modify_ldt { func: VALUES MODIFY_LDT, ptr: POINTER, bytecount: WORD }
    mount { dev_name: POINTER, dir_name: POINTER, type: POINTER, flags: LONG MOUNT, data: POINTER }
    mount_setattr { dfd: DIRECTORY, path: POINTER, flags: VALUES AT, uattr: POINTER, usize: SIZE }
    move_mount { from_dfd: DIRECTORY, from_pathname: POINTER, to_dfd: DIRECTORY, to_pathname: POINTER, flags: VALUES
        MOVE_MOUNT }
    move_pages { pid: INT, nr_pages: WORD, pages: POINTER, nodes: POINTER, status: POINTER, flags: VALUES MOVE_PAGES }
    mprotect { start: ADDRESS, len: SIZE, prot: LONG PROT }
    mpx {}
    mq_getsetattr { mqdes: FD, u_mqstat: POINTER, u_omqstat: POINTER }
    mq_notify { mqdes: FD, u_notification: POINTER }
    mq_open { u_name: POINTER, oflag: VALUES OPEN, mode: MODE, u_attr: POINTER }
    mq_timedreceive { mqdes: FD, u_msg_ptr: POINTER, msg_len: SIZE, u_msg_prio: POINTER, u_abs_timeout: POINTER }
    mq_timedreceive_time64 { mqdes: FD, u_msg_ptr: POINTER, msg_len: SIZE, u_msg_prio: POINTER, u_abs_timeout: POINTER }
    mq_timedsend { mqdes: FD, u_msg_ptr: POINTER, msg_len: SIZE, msg_prio: UNSIGNED, u_abs_timeout: POINTER }
    mq_timedsend_time64 { mqdes: FD, u_msg_ptr: POINTER, msg_len: SIZE, msg_prio: UNSIGNED, u_abs_timeout: POINTER }
    mq_unlink { u_name: POINTER }
    mremap { addr: ADDRESS, old_len: WORD, new_len: WORD, flags: LONG MREMAP, new_addr: ADDRESS }
    mseal { start: ADDRESS, len: SIZE, flags: HEX }
    msgctl { msqid: INT, cmd: VALUES IPC, buf: POINTER }
    msgget { key: INT, msgflg: OCTAL IPC_GET }
    msgrcv { msqid: INT, msgp: POINTER, msgsz: SIZE, msgtyp: SIGNED, msgflg: VALUES MSGRCV }
    msgsnd { msqid: INT, msgp: POINTER, msgsz: SIZE, msgflg: VALUES MSGRCV }
    msync { start: ADDRESS, len: SIZE, flags: VALUES MSYNC }
    munlock { start: ADDRESS, len: SIZE }
    munlockall {}
    munmap { addr: ADDRESS, len: SIZE }
    name_to_handle_at { dfd: DIRECTORY, name: POINTER, handle: POINTER, mnt_id: POINTER, flag: VALUES AT }
    nanosleep { rqtp: POINTER, rmtp: POINTER }
    newfstatat { dfd: DIRECTORY, filename: POINTER, statbuf: POINTER, flag: VALUES AT }
    nfsservctl { cmd: INT, argp: POINTER, resp: POINTER }
    nice { increment: INT }
    oldfstat { fd: FD, statbuf: POINTER }
    oldlstat { filename: POINTER, statbuf: POINTER }
    oldolduname { name: POINTER }
    oldstat { filename: POINTER, statbuf: POINTER }
    olduname { name: POINTER }
    open { filename: POINTER, flags: VALUES OPEN, mode: MODE }
    open_by_handle_at { mountdirfd: FD, handle: POINTER, flags: VALUES OPEN }
    open_tree { dfd: DIRECTORY, filename: POINTER, flags: VALUES OPEN_TREE }
    open_tree_attr { dfd: DIRECTORY, filename: POINTER, flags: VALUES OPEN_TREE, uattr: POINTER, usize: SIZE }
    openat { dfd: DIRECTORY, filename: POINTER, flags: VALUES OPEN, mode: MODE }
    openat2 { dfd: DIRECTORY, filename: POINTER, how: POINTER, usize: SIZE }
    pause {}
    pciconfig_iobase { which: SIGNED, bus: WORD, devfn: WORD }
    pciconfig_read { bus: WORD, dfn: WORD, off: WORD, len: WORD, buf: POINTER }
    pciconfig_write { bus: WORD, dfn: WORD, off: WORD, len: WORD, buf: POINTER }
    perf_event_open { attr_uptr: POINTER, pid: INT, cpu: INT, group_fd: FD, flags: LONG PERF }
    personality { personality: Personality }
    pidfd_getfd { pidfd: FD, fd: FD, flags: HEX }
    pidfd_open { pid: INT, flags: VALUES PIDFD }
    pidfd_send_signal { pidfd: FD, sig: VALUES SIGNAL, info: POINTER, flags: HEX }
    pipe { fildes: POINTER }
    pipe2 { fildes: POINTER, flags: VALUES PIPE }
    pivot_root { new_root: POINTER, put_old: POINTER }
    pkey_alloc { flags: HEX, init_val: WORD }
    pkey_free { pkey: INT }
    pkey_mprotect { start: ADDRESS, len: SIZE, prot: LONG PROT, pkey: INT }
    poll { ufds: POINTER, nfds: UNSIGNED, timeout_msecs: INT }
    ppoll { ufds: POINTER, nfds: UNSIGNED, tsp: POINTER, sigmask: POINTER, sigsetsize: SIZE }
    ppoll_time64 { ufds: POINTER, nfds: UNSIGNED, tsp: POINTER, sigmask: POINTER, sigsetsize: SIZE }
    prctl { option: VALUES PRCTL, arg2: PrctlArgument, arg3: WORD, arg4: WORD, arg5: WORD }
    pread64 { fd: FD, buf: POINTER, count: SIZE, pos: SIGNED }
    preadv { fd: FD, vec: POINTER, vlen: WORD, pos_l: WORD, pos_h: WORD }
    preadv2 { fd: FD, vec: POINTER, vlen: WORD, pos_l: WORD, pos_h: WORD, flags: VALUES RWF }
    prlimit64 { pid: INT, resource: VALUES RLIMIT, new_rlim: POINTER, old_rlim: POINTER }
    process_madvise { pidfd: FD, vec: POINTER, vlen: SIZE, behavior: VALUES MADVISE, flags: HEX }
    process_mrelease { pidfd: FD, flags: HEX }
    process_vm_readv { pid: INT, lvec: POINTER, liovcnt: WORD, rvec: POINTER, riovcnt: WORD, flags: HEX }
    process_vm_writev { pid: INT, lvec: POINTER, liovcnt: WORD, rvec: POINTER, riovcnt: WORD, flags: HEX }
    prof {}
    profil {}
    pselect6 { n: INT, inp: POINTER, outp: POINTER, exp: POINTER, tsp: POINTER, sig: POINTER }
    pselect6_time64 { n: INT, inp: POINTER, outp: POINTER, exp: POINTER, tsp: POINTER, sig: POINTER }
    ptrace { request: LONG PTRACE, pid: SIGNED, addr: ADDRESS, data: WORD }
    putpmsg { fd: FD, ctlptr: POINTER, dataptr: POINTER, band: INT, flags: HEX }
    pwrite64 { fd: FD, buf: POINTER, count: SIZE, pos: SIGNED }
    pwritev { fd: FD, vec: POINTER, vlen: WORD, pos_l: WORD, pos_h: WORD }
    pwritev2 { fd: FD, vec: POINTER, vlen: WORD, pos_l: WORD, pos_h: WORD, flags: VALUES RWF }
    query_module { name: POINTER, which: INT, buf: POINTER, bufsize: SIZE, ret: POINTER }
    quotactl { cmd: VALUES QUOTACTL, special: POINTER, id: INT, addr: POINTER }
    quotactl_fd { fd: FD, cmd: VALUES QUOTACTL, id: INT, addr: POINTER }
    read { fd: FD, buf: POINTER, count: SIZE }
    readahead { fd: FD, offset: SIGNED, count: SIZE }
    readdir { fd: FD, dirent: POINTER, count: UNSIGNED }
    readlink { path: POINTER, buf: POINTER, bufsiz: INT }
    readlinkat { dfd: DIRECTORY, pathname: POINTER, buf: POINTER, bufsiz: INT }
    readv { fd: FD, vec: POINTER, vlen: WORD }
    reboot { magic1: VALUES REBOOT_MAGIC1, magic2: VALUES REBOOT_MAGIC2, cmd: VALUES REBOOT, arg: POINTER }
    recv { fd: FD, ubuf: POINTER, size: SIZE, flags: VALUES MSG }
    recvfrom { fd: FD, ubuf: POINTER, size: SIZE, flags: VALUES MSG, addr: POINTER, addr_len: POINTER }
    recvmmsg { fd: FD, mmsg: POINTER, vlen: UNSIGNED, flags: VALUES MSG, timeout: POINTER }
    recvmmsg_time64 { fd: FD, mmsg: POINTER, vlen: UNSIGNED, flags: VALUES MSG, timeout: POINTER }
    recvmsg { fd: FD, msg: POINTER, flags: VALUES MSG }
    remap_file_pages { start: ADDRESS, size: WORD, prot: LONG PROT, pgoff: WORD, flags: LONG MAP }
    removexattr { pathname: POINTER, name: POINTER }
    removexattrat { dfd: DIRECTORY, pathname: POINTER, at_flags: VALUES AT, name: POINTER }
    rename { oldname: POINTER, newname: POINTER }
    renameat { olddfd: DIRECTORY, oldname: POINTER, newdfd: DIRECTORY, newname: POINTER }
    renameat2 { olddfd: DIRECTORY, oldname: POINTER, newdfd: DIRECTORY, newname: POINTER, flags: VALUES RENAME }
    request_key { type: POINTER, description: POINTER, callout_info: POINTER, destringid: VALUES KEYRING }
    restart_syscall {}
    rmdir { pathname: POINTER }
    rseq { rseq: POINTER, rseq_len: UNSIGNED, flags: VALUES RSEQ, sig: UNSIGNED }
    rseq_slice_yield {}
    rt_sigaction { sig: VALUES SIGNAL, act: POINTER, oact: POINTER, sigsetsize: SIZE }
    rt_sigpending { uset: POINTER, sigsetsize: SIZE }
    rt_sigprocmask { how: VALUES SIGMASK, nset: POINTER, oset: POINTER, sigsetsize: SIZE }
    rt_sigqueueinfo { pid: INT, sig: VALUES SIGNAL, uinfo: POINTER }
    rt_sigreturn {}
    rt_sigsuspend { unewset: POINTER, sigsetsize: SIZE }
    rt_sigtimedwait { uthese: POINTER, uinfo: POINTER, uts: POINTER, sigsetsize: SIZE }
    rt_sigtimedwait_time64 { uthese: POINTER, uinfo: POINTER, uts: POINTER, sigsetsize: SIZE }
    rt_tgsigqueueinfo { tgid: INT, pid: INT, sig: VALUES SIGNAL, uinfo: POINTER }
    sched_get_priority_max { policy: VALUES SCHED }
    sched_get_priority_min { policy: VALUES SCHED }
    sched_getaffinity { pid: INT, len: UNSIGNED, user_mask_ptr: POINTER }
    sched_getattr { pid: INT, uattr: POINTER, usize: UNSIGNED, flags: HEX }
    sched_getparam { pid: INT, param: POINTER }
    sched_getscheduler { pid: INT }
    sched_rr_get_interval { pid: INT, interval: POINTER }
    sched_rr_get_interval_time64 { pid: INT, interval: POINTER }
    sched_setaffinity { pid: INT, len: UNSIGNED, user_mask_ptr: POINTER }
    sched_setattr { pid: INT, uattr: POINTER, flags: HEX }
    sched_setparam { pid: INT, param: POINTER }
    sched_setscheduler { pid: INT, policy: VALUES SCHED, param: POINTER }
    sched_yield {}
    seccomp { op: VALUES SECCOMP, flags: SeccompFlags, uargs: POINTER }
    security {}
    select { n: INT, inp: POINTER, outp: POINTER, exp: POINTER, tvp: POINTER }
    semctl { semid: INT, semnum: INT, cmd: VALUES SEMCTL, arg: WORD }
    semget { key: INT, nsems: INT, semflg: OCTAL IPC_GET }
    semop { semid: INT, tsops: POINTER, nsops: UNSIGNED }
    semtimedop { semid: INT, tsops: POINTER, nsops: UNSIGNED, timeout: POINTER }
    semtimedop_time64 { semid: INT, tsops: POINTER, nsops: UNSIGNED, timeout: POINTER }
    send { fd: FD, buff: POINTER, len: SIZE, flags: VALUES MSG }
    sendfile { out_fd: FD, in_fd: FD, offset: POINTER, count: SIZE }
    sendfile64 { out_fd: FD, in_fd: FD, offset: POINTER, count: SIZE }
    sendmmsg { fd: FD, mmsg: POINTER, vlen: UNSIGNED, flags: VALUES MSG }
    sendmsg { fd: FD, msg: POINTER, flags: VALUES MSG }
    sendto { fd: FD, buff: POINTER, len: SIZE, flags: VALUES MSG, addr: POINTER, addr_len: INT }
    set_mempolicy { mode: VALUES MPOL, nmask: POINTER, maxnode: WORD }
    set_mempolicy_home_node { start: ADDRESS, len: WORD, home_node: WORD, flags: HEX }
    set_robust_list { head: POINTER, len: SIZE }
    set_thread_area { u_info: POINTER }
    set_tid_address { tidptr: POINTER }
    set_tls { value: WORD }
    setdomainname { name: POINTER, len: INT }
    setfsgid { gid: INT }
    setfsgid32 { gid: INT }
    setfsuid { uid: INT }
    setfsuid32 { uid: INT }
    setgid { gid: INT }
    setgid32 { gid: INT }
    setgroups { gidsetsize: INT, grouplist: POINTER }
    setgroups32 { gidsetsize: INT, grouplist: POINTER }
    sethostname { name: POINTER, len: INT }
    setitimer { which: VALUES ITIMER, value: POINTER, ovalue: POINTER }
    setns { fd: FD, flags: VALUES NAMESPACE }
    setpgid { pid: INT, pgid: INT }
    setpriority { which: VALUES PRIO, who: INT, niceval: INT }
    setregid { rgid: INT, egid: INT }
    setregid32 { rgid: INT, egid: INT }
    setresgid { rgid: INT, egid: INT, sgid: INT }
    setresgid32 { rgid: INT, egid: INT, sgid: INT }
    setresuid { ruid: INT, euid: INT, suid: INT }
    setresuid32 { ruid: INT, euid: INT, suid: INT }
    setreuid { ruid: INT, euid: INT }
    setreuid32 { ruid: INT, euid: INT }
    setrlimit { resource: VALUES RLIMIT, rlim: POINTER }
    setsid {}
    setsockopt { fd: FD, level: VALUES SOL, optname: SocketOption, optval: POINTER, optlen: INT }
    settimeofday { tv: POINTER, tz: POINTER }
    setuid { uid: INT }
    setuid32 { uid: INT }
    setxattr { pathname: POINTER, name: POINTER, value: POINTER, size: SIZE, flags: VALUES XATTR }
    setxattrat { dfd: DIRECTORY, pathname: POINTER, at_flags: VALUES AT, name: POINTER, uargs: POINTER, usize: SIZE }
    sgetmask {}
    shmat { shmid: INT, shmaddr: POINTER, shmflg: VALUES SHMAT }
    shmctl { shmid: INT, cmd: VALUES SHMCTL, buf: POINTER }
    shmdt { shmaddr: POINTER }
    shmget { key: INT, size: SIZE, shmflg: OCTAL IPC_GET }
    shutdown { fd: FD, how: VALUES SHUT }
    sigaction { sig: VALUES SIGNAL, act: POINTER, oact: POINTER }
    sigaltstack { uss: POINTER, uoss: POINTER }
    signal { sig: VALUES SIGNAL, handler: POINTER }
    signalfd { ufd: FD, user_mask: POINTER, sizemask: SIZE }
    signalfd4 { ufd: FD, user_mask: POINTER, sizemask: SIZE, flags: VALUES SIGNALFD }
    sigpending { uset: POINTER }
    sigprocmask { how: VALUES SIGMASK, nset: POINTER, oset: POINTER }
    sigreturn {}
    sigsuspend { unused1: INT, unused2: INT, mask: WORD }
    socket { family: VALUES AF, type: VALUES SOCK, protocol: Protocol }
    socketcall { call: VALUES SOCKETCALL, args: POINTER }
    socketpair { family: VALUES AF, type: VALUES SOCK, protocol: Protocol, usockvec: POINTER }
    splice { fd_in: FD, off_in: POINTER, fd_out: FD, off_out: POINTER, len: SIZE, flags: VALUES SPLICE }
    ssetmask { newmask: INT }
    stat { filename: POINTER, statbuf: POINTER }
    stat64 { filename: POINTER, statbuf: POINTER }
    statfs { pathname: POINTER, buf: POINTER }
    statfs64 { pathname: POINTER, sz: SIZE, buf: POINTER }
    statmount { req: POINTER, buf: POINTER, bufsize: SIZE, flags: HEX }
    statx { dfd: DIRECTORY, filename: POINTER, flags: VALUES AT, mask: VALUES STATX, buffer: POINTER }
    stime { tptr: POINTER }
    stty {}
    swapoff { specialfile: POINTER }
    swapon { specialfile: POINTER, swap_flags: VALUES SWAPON }
    symlink { oldname: POINTER, newname: POINTER }
    symlinkat { oldname: POINTER, newdfd: DIRECTORY, newname: POINTER }
    sync {}
    sync_file_range { fd: FD, offset: SIGNED, nbytes: SIGNED, flags: VALUES SYNC_RANGE }
    syncfs { fd: FD }
    sysfs { option: INT, arg1: WORD, arg2: WORD }
    sysinfo { info: POINTER }
    syslog { type: VALUES SYSLOG, buf: POINTER, len: INT }
    tee { fdin: FD, fdout: FD, len: SIZE, flags: VALUES SPLICE }
    tgkill { tgid: INT, pid: INT, sig: VALUES SIGNAL }
    time { tloc: POINTER }
    timer_create { which_clock: VALUES CLOCK, timer_event_spec: POINTER, created_timer_id: POINTER }
    timer_delete { timer_id: INT }
    timer_getoverrun { timer_id: INT }
    timer_gettime { timer_id: INT, setting: POINTER }
    timer_gettime64 { timer_id: INT, setting: POINTER }
    timer_settime { timer_id: INT, flags: VALUES TIMER, new_setting: POINTER, old_setting: POINTER }
    timer_settime64 { timer_id: INT, flags: VALUES TIMER, new_setting: POINTER, old_setting: POINTER }
    timerfd_create { clockid: VALUES CLOCK, flags: VALUES TIMERFD }
    timerfd_gettime { ufd: FD, otmr: POINTER }
    timerfd_gettime64 { ufd: FD, otmr: POINTER }
    timerfd_settime { ufd: FD, flags: VALUES TIMERFD_SET, utmr: POINTER, otmr: POINTER }
    timerfd_settime64 { ufd: FD, flags: VALUES TIMERFD_SET, utmr: POINTER, otmr: POINTER }
    times { tbuf: POINTER }
    tkill { pid: INT, sig: VALUES SIGNAL }
    truncate { path: POINTER, length: SIGNED }
    truncate64 { path: POINTER, length_low: UNSIGNED, length_high: UNSIGNED }
    tuxcall {}
    ugetrlimit { resource: VALUES RLIMIT, rlim: POINTER }
    ulimit {}
    umask { mask: MODE }
    umount { name: POINTER }
    umount2 { name: POINTER, flags: VALUES UMOUNT }
    uname { name: POINTER }
    unlink { pathname: POINTER }
    unlinkat { dfd: DIRECTORY, pathname: POINTER, flag: VALUES AT_UNLINK }
    unshare { unshare_flags: LONG NAMESPACE }
    uprobe {}
    uretprobe {}
    uselib { library: POINTER }
    userfaultfd { flags: VALUES USERFAULTFD }
    usr26 {}
    usr32 {}
    ustat { dev: UNSIGNED, ubuf: POINTER }
    utime { filename: POINTER, times: POINTER }
    utimensat { dfd: DIRECTORY, filename: POINTER, utimes: POINTER, flags: VALUES AT }
    utimensat_time64 { dfd: DIRECTORY, filename: POINTER, utimes: POINTER, flags: VALUES AT }
    utimes { filename: POINTER, utimes: POINTER }
    vfork {}
    vhangup {}
    vm86 { cmd: WORD, arg: WORD }
    vm86old { user_vm86: POINTER }
    vmsplice { fd: FD, uiov: POINTER, nr_segs: WORD, flags: VALUES SPLICE }
    vserver {}
    wait4 { upid: INT, stat_addr: POINTER, options: VALUES WAIT, ru: POINTER }
    waitid { which: VALUES WAITID, upid: INT, infop: POINTER, options: VALUES WAIT, ru: POINTER }
    waitpid { pid: INT, stat_addr: POINTER, options: VALUES WAIT }
    write { fd: FD, buf: POINTER, count: SIZE }
    writev { fd: FD, vec: POINTER, vlen: WORD }
}

// The 32-bit x86 layout where it is another one: 64-bit values in two registers, arguments in memory, and `clone` with
// `CONFIG_CLONE_BACKWARDS` (arch/x86/ia32/sys_ia32.c, kernel/fork.c).
signatures! { I386:
    clone { clone_flags: VALUES CLONE, newsp: ADDRESS, parent_tidptr: POINTER, tls: ADDRESS, child_tidptr: POINTER }
    fadvise64 { fd: FD, offset_low: UNSIGNED, offset_high: UNSIGNED, len: SIZE, advice: VALUES FADVISE }
    fallocate { fd: FD, mode: VALUES FALLOCATE, offset_low: UNSIGNED, offset_high: UNSIGNED, len_low: UNSIGNED,
        len_high: UNSIGNED }
    fanotify_mark { fanotify_fd: FD, flags: VALUES FANOTIFY_MARK, mask_low: HEX, mask_high: HEX, dfd: DIRECTORY,
        pathname: POINTER }
    lookup_dcookie { cookie_low: UNSIGNED, cookie_high: UNSIGNED, buf: POINTER, len: SIZE }
    mmap { arg: POINTER }
    pread64 { fd: FD, buf: POINTER, count: SIZE, pos_low: UNSIGNED, pos_high: UNSIGNED }
    pwrite64 { fd: FD, buf: POINTER, count: SIZE, pos_low: UNSIGNED, pos_high: UNSIGNED }
    readahead { fd: FD, offset_low: UNSIGNED, offset_high: UNSIGNED, count: SIZE }
    select { arg: POINTER }
    sync_file_range { fd: FD, offset_low: UNSIGNED, offset_high: UNSIGNED, nbytes_low: UNSIGNED, nbytes_high: UNSIGNED,
        flags: VALUES SYNC_RANGE }
}

// arm64 and Arm have `CONFIG_CLONE_BACKWARDS` too.
signatures! { ARM:
    clone { clone_flags: VALUES CLONE, newsp: ADDRESS, parent_tidptr: POINTER, tls: ADDRESS, child_tidptr: POINTER }
}
