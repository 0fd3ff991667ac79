//! Arguments in the kernel's words.

use auditor::denial::argument::{decode, inner_call};
use auditor::denial::decision::Call;
use auditor::syscall::{self, Abi, SyscallNr};
use proptest::prelude::*;

use super::{call, native};

fn text(call: &Call) -> String {
    let arguments = decode(call.abi, call.nr, &call.args);
    let texts: Vec<String> = arguments.iter().map(|one| format!("{}={}", one.name, one.text)).collect();
    texts.join(", ")
}

#[test]
fn arguments_are_written_as_the_kernel_names_them() {
    const CWD: u64 = 0xffff_ff9c;
    let rows: &[(Call, &str)] = &[
        (native("mkdir", &[0x7ffd_1000, 0o755]), "pathname=0x7ffd1000, mode=0755"),
        (native("mkdirat", &[CWD, 0, 0o1777]), "dfd=AT_FDCWD, pathname=NULL, mode=01777"),
        (native("mknod", &[1, 0o60644, 0x801]), "filename=0x1, mode=S_IFBLK|0644, dev=2049"),
        (native("mknodat", &[3, 1, 0o10600, 0]), "dfd=3, filename=0x1, mode=S_IFIFO|0600, dev=0"),
        (native("chmod", &[1, 0o4755]), "filename=0x1, mode=04755"),
        (
            native("clone", &[0x1000_0011, 0]),
            "clone_flags=SIGCHLD|CLONE_NEWUSER, newsp=0x0, parent_tidptr=NULL, child_tidptr=NULL, tls=0x0",
        ),
        (native("clone3", &[0x10, 88]), "uargs=0x10, size=88"),
        (
            native("unshare", &[0x7e02_0080]),
            "unshare_flags=CLONE_NEWTIME|CLONE_NEWNS|CLONE_NEWCGROUP|CLONE_NEWUTS|CLONE_NEWIPC|CLONE_NEWUSER|CLONE_NEWPID|CLONE_NEWNET",
        ),
        (native("unshare", &[0]), "unshare_flags=0"),
        (native("setns", &[4, 0x4000_0000]), "fd=4, flags=CLONE_NEWNET"),
        (native("socket", &[38, 5, 0]), "family=AF_ALG, type=SOCK_SEQPACKET, protocol=0"),
        (native("socket", &[2, 0x80003, 1]), "family=AF_INET, type=SOCK_RAW|SOCK_CLOEXEC, protocol=IPPROTO_ICMP"),
        (native("socket", &[16, 0x80003, 9]), "family=AF_NETLINK, type=SOCK_RAW|SOCK_CLOEXEC, protocol=NETLINK_AUDIT"),
        (native("socket", &[17, 3, 0x300]), "family=AF_PACKET, type=SOCK_RAW, protocol=0x300"),
        (native("socket", &[999, 99, 7]), "family=999, type=SOCK_RAW|0x60, protocol=7"),
        (
            native("socketpair", &[1, 0x801, 0, 9]),
            "family=AF_UNIX, type=SOCK_STREAM|SOCK_NONBLOCK, protocol=0, usockvec=0x9",
        ),
        (native("personality", &[0x0004_0000]), "personality=PER_LINUX|ADDR_NO_RANDOMIZE"),
        (native("personality", &[8]), "personality=PER_LINUX32"),
        (native("personality", &[0xffff_ffff]), "personality=0xffffffff"),
        (native("prctl", &[38, 1]), "option=PR_SET_NO_NEW_PRIVS, arg2=1, arg3=0, arg4=0, arg5=0"),
        (native("prctl", &[24, 21]), "option=PR_CAPBSET_DROP, arg2=CAP_SYS_ADMIN, arg3=0, arg4=0, arg5=0"),
        (
            native("prctl", &[22, 2, 0x10000]),
            "option=PR_SET_SECCOMP, arg2=SECCOMP_MODE_FILTER, arg3=0x10000, arg4=0, arg5=0",
        ),
        (native("prctl", &[1, 9]), "option=PR_SET_PDEATHSIG, arg2=SIGKILL, arg3=0, arg4=0, arg5=0"),
        (native("arch_prctl", &[0x1002, 7]), "option=ARCH_SET_FS, arg2=7"),
        (native("ptrace", &[0x4206, 12]), "request=PTRACE_SEIZE, pid=12, addr=0x0, data=0"),
        (native("keyctl", &[1, 0]), "option=KEYCTL_JOIN_SESSION_KEYRING, arg2=0, arg3=0, arg4=0, arg5=0"),
        (
            native("add_key", &[1, 2, 3, 4, 0xffff_fffd]),
            "type=0x1, description=0x2, payload=0x3, plen=4, ringid=KEY_SPEC_SESSION_KEYRING",
        ),
        (native("bpf", &[5, 0x10, 144]), "cmd=BPF_PROG_LOAD, uattr=0x10, size=144"),
        (native("ioctl", &[0, 0x5412, 1]), "fd=0, cmd=TIOCSTI, arg=1"),
        (native("ioctl", &[3, 0xc020_660b, 0]), "fd=3, cmd=FS_IOC_FIEMAP, arg=0"),
        (native("ioctl", &[3, 0x8010_aa07, 0]), "fd=3, cmd=_IOC(_IOC_READ, 0xaa, 0x7, 16), arg=0"),
        (native("ioctl", &[3, 0x4004_5499, 0]), "fd=3, cmd=_IOC(_IOC_WRITE, 'T', 0x99, 4), arg=0"),
        (native("open", &[1, 0x241, 0o644]), "filename=0x1, flags=O_WRONLY|O_CREAT|O_TRUNC, mode=0644"),
        (
            native("openat", &[CWD, 1, 0o20_200_002, 0o600]),
            "dfd=AT_FDCWD, filename=0x1, flags=O_RDWR|O_TMPFILE, mode=0600",
        ),
        (native("openat", &[CWD, 1, 0o2_000_000]), "dfd=AT_FDCWD, filename=0x1, flags=O_RDONLY|O_CLOEXEC, mode=00"),
        (
            native("mmap", &[0, 4096, 7, 0x22, u64::MAX, 0]),
            "addr=0x0, len=4096, prot=PROT_READ|PROT_WRITE|PROT_EXEC, flags=MAP_PRIVATE|MAP_ANONYMOUS, fd=-1, off=0",
        ),
        (native("mprotect", &[0x1000, 4096, 0]), "start=0x1000, len=4096, prot=0"),
        (
            native("mount", &[1, 2, 3, 0x5000, 0]),
            "dev_name=0x1, dir_name=0x2, type=0x3, flags=MS_BIND|MS_REC, data=NULL",
        ),
        (native("umount2", &[1, 2]), "name=0x1, flags=MNT_DETACH"),
        (native("fcntl", &[3, 1030, 0]), "fd=3, cmd=F_DUPFD_CLOEXEC, arg=0"),
        (
            native("futex", &[8, 0x189, 1, 0, 0, u64::MAX]),
            "uaddr=0x8, op=FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG|FUTEX_CLOCK_REALTIME, val=1, utime=NULL, uaddr2=NULL, val3=4294967295",
        ),
        (
            native("seccomp", &[1, 8, 9]),
            "op=SECCOMP_SET_MODE_FILTER, flags=SECCOMP_FILTER_FLAG_NEW_LISTENER, uargs=0x9",
        ),
        (native("seccomp", &[2, 0, 9]), "op=SECCOMP_GET_ACTION_AVAIL, flags=0, uargs=0x9"),
        (native("kill", &[0xffff_ffff, 9]), "pid=-1, sig=SIGKILL"),
        (native("tgkill", &[1, 2, 31]), "tgid=1, pid=2, sig=SIGSYS"),
        (native("kill", &[1, 40]), "pid=1, sig=40"),
        (
            native("setsockopt", &[3, 1, 26, 4, 16]),
            "fd=3, level=SOL_SOCKET, optname=SO_ATTACH_FILTER, optval=0x4, optlen=16",
        ),
        (native("setsockopt", &[3, 6, 1, 4, 4]), "fd=3, level=SOL_TCP, optname=1, optval=0x4, optlen=4"),
        (
            native("reboot", &[0xfee1_dead, 672_274_793, 0x4321_fedc]),
            "magic1=LINUX_REBOOT_MAGIC1, magic2=LINUX_REBOOT_MAGIC2, cmd=LINUX_REBOOT_CMD_POWER_OFF, arg=NULL",
        ),
        (native("swapon", &[1, 0x10000]), "specialfile=0x1, swap_flags=SWAP_FLAG_DISCARD"),
        (native("kexec_load", &[0, 0, 0, 1]), "entry=0, nr_segments=0, segments=NULL, flags=KEXEC_ON_CRASH"),
        (
            native("perf_event_open", &[1, 0, 0xffff_ffff, 0xffff_ffff, 8]),
            "attr_uptr=0x1, pid=0, cpu=-1, group_fd=-1, flags=PERF_FLAG_FD_CLOEXEC",
        ),
        (native("io_uring_register", &[3, 2, 1, 1]), "fd=3, opcode=IORING_REGISTER_FILES, arg=0x1, nr_args=1"),
        (native("getpid", &[1, 2, 3]), ""),
        (
            call(Abi::I386, "clone", &[0x11, 0, 1, 2, 3]),
            "clone_flags=SIGCHLD, newsp=0x0, parent_tidptr=0x1, tls=0x2, child_tidptr=0x3",
        ),
        (call(Abi::I386, "mmap", &[0xffee]), "arg=0xffee"),
        (
            call(Abi::I386, "mmap2", &[0, 4096, 1, 2, 0xffff_ffff, 1]),
            "addr=0x0, len=4096, prot=PROT_READ, flags=MAP_PRIVATE, fd=-1, pgoff=1",
        ),
        (call(Abi::I386, "pread64", &[3, 1, 2, 4, 0]), "fd=3, buf=0x1, count=2, pos_low=4, pos_high=0"),
        (call(Abi::I386, "lseek", &[3, 0xffff_fff0, 2]), "fd=3, offset=-16, whence=SEEK_END"),
        (call(Abi::I386, "openat", &[CWD, 1, 0]), "dfd=AT_FDCWD, filename=0x1, flags=O_RDONLY, mode=00"),
        (call(Abi::I386, "socketcall", &[1, 0xff00]), "call=SYS_SOCKET, args=0xff00"),
        (
            call(Abi::I386, "ipc", &[0x1_0017, 0, 4096]),
            "call=SHMGET|0x10000, first=0, second=4096, third=0, ptr=NULL, fifth=0",
        ),
        (call(Abi::X32, "ptrace", &[16, 5]), "request=PTRACE_ATTACH, pid=5, addr=0x0, data=0"),
        (
            call(Abi::Aarch64, "clone", &[0x11, 0, 1, 2, 3]),
            "clone_flags=SIGCHLD, newsp=0x0, parent_tidptr=0x1, tls=0x2, child_tidptr=0x3",
        ),
        (
            Call { abi: Abi::X86_64, nr: SyscallNr(4000), args: [1, 0, 0, 0, 0, 255] },
            "arg1=0x1, arg2=0x0, arg3=0x0, arg4=0x0, arg5=0x0, arg6=0xff",
        ),
    ];
    for (call, expected) in rows {
        let name = syscall::display_name(call.abi, call.nr);
        assert_eq!(text(call), *expected, "{} {name}", call.abi);
    }
}

#[test]
fn calls_behind_one_number_are_told_apart() {
    for (call, expected) in [
        (call(Abi::I386, "socketcall", &[1]), Some("socket")),
        (call(Abi::I386, "socketcall", &[3]), Some("connect")),
        (call(Abi::I386, "socketcall", &[9]), Some("send")),
        (call(Abi::I386, "socketcall", &[99]), None),
        (call(Abi::I386, "ipc", &[23]), Some("shmget")),
        (call(Abi::I386, "ipc", &[1 << 16 | 1]), Some("semop")),
        (call(Abi::I386, "mkdir", &[1]), None),
        (native("connect", &[1]), None),
    ] {
        assert_eq!(inner_call(call.abi, call.nr, &call.args), expected, "{call:?}");
    }
}

#[test]
fn every_call_of_every_table_has_a_signature() {
    for abi in Abi::ALL {
        for (nr, name) in syscall::all(abi) {
            let arguments = decode(abi, nr, &[0; 6]);
            assert!(arguments.iter().all(|argument| argument.name != "arg6"), "{abi} {name}");
            assert!(arguments.len() <= 6, "{abi} {name}");
        }
    }
}

proptest! {
    #[test]
    fn any_registers_give_printable_words(nr in -5_i32..600, args in any::<[u64; 6]>()) {
        for abi in Abi::ALL {
            for argument in decode(abi, SyscallNr(nr), &args) {
                prop_assert!(!argument.text.is_empty());
                prop_assert!(argument.text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            }
        }
    }
}
