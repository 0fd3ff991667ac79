//! Calls that come through another call's door: on i386 socket and IPC calls have numbers of their own, and can also
//! be made by `socketcall` and `ipc`, whose first argument says which call is meant.

use crate::syscall::{Abi, SyscallNr};

const SOCKETCALL: SyscallNr = SyscallNr(102);
const IPC: SyscallNr = SyscallNr(117);

/// The doors that an ABI has.
pub(crate) const fn doors(abi: Abi) -> &'static [SyscallNr] {
    match abi {
        Abi::I386 => &[SOCKETCALL, IPC],
        _ => &[],
    }
}

/// The door of a call, and what the first argument is there.
pub(crate) fn door(abi: Abi, name: &str) -> Option<(SyscallNr, u64)> {
    if abi != Abi::I386 {
        return None;
    }
    let through = |door, calls: &[(&str, u64)]| {
        calls.iter().find(|(call, _)| *call == name).map(|(_, argument)| (door, *argument))
    };
    through(SOCKETCALL, &SOCKET_CALLS).or_else(|| through(IPC, &IPC_CALLS))
}

/// `SYS_SOCKET` and so on, include/uapi/linux/net.h.
const SOCKET_CALLS: [(&str, u64); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

/// `SEMOP` and so on, include/uapi/linux/ipc.h.
const IPC_CALLS: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
