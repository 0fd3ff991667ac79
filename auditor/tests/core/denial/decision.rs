//! Which action, and which rule or filter.

use auditor::denial::decision::{Call, DecidedBy, Fate, Seen, explain};
use auditor::syscall::{Abi, SyscallNr};

use super::{call, explained, native};
use crate::{docker_default, profile};

#[test]
fn the_declared_profile_names_the_action_and_the_rule() {
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [
            {"names": ["read", "futex_waitv"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2},
            {"names": ["rmdir"], "action": "SCMP_ACT_TRAP"},
            {"names": ["unlink"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["link"], "action": "SCMP_ACT_KILL_THREAD"},
            {"names": ["symlink"], "action": "SCMP_ACT_TRACE"},
            {"names": ["getppid"], "action": "SCMP_ACT_LOG"},
            {"names": ["sync"], "action": "SCMP_ACT_NOTIFY"},
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
            {"names": ["chown"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4094},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
             "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let rule = |at| DecidedBy::Rule(at);
    let unnamed = || DecidedBy::Default(Vec::new());
    let rows = [
        (native("mkdir", &[]), Seen::Errno(2), "SCMP_ACT_ERRNO", Some(2), Fate::Denied, rule(1)),
        (native("rmdir", &[]), Seen::Signal, "SCMP_ACT_TRAP", None, Fate::Killed, rule(2)),
        (native("unlink", &[]), Seen::Signal, "SCMP_ACT_KILL_PROCESS", None, Fate::Killed, rule(3)),
        (native("link", &[]), Seen::Signal, "SCMP_ACT_KILL_THREAD", None, Fate::Killed, rule(4)),
        (native("link", &[]), Seen::ThreadKilled, "SCMP_ACT_KILL_THREAD", None, Fate::Killed, rule(4)),
        (native("symlink", &[]), Seen::Errno(38), "SCMP_ACT_TRACE", Some(38), Fate::Denied, rule(5)),
        (native("getppid", &[]), Seen::Logged, "SCMP_ACT_LOG", None, Fate::WouldBeDenied, rule(6)),
        (native("sync", &[]), Seen::Supervised(0), "SCMP_ACT_NOTIFY", None, Fate::Answered, DecidedBy::Supervisor),
        (native("sync", &[]), Seen::Supervised(-5), "SCMP_ACT_NOTIFY", Some(5), Fate::Answered, DecidedBy::Supervisor),
        (native("chmod", &[]), Seen::Errno(0), "SCMP_ACT_ERRNO", Some(0), Fate::Denied, rule(8)),
        (native("chown", &[]), Seen::Errno(4094), "SCMP_ACT_ERRNO", Some(4094), Fate::Denied, rule(9)),
        (native("mkdir", &[]), Seen::Supervised(-2), "SCMP_ACT_ERRNO", Some(2), Fate::Denied, rule(1)),
        (native("rename", &[]), Seen::Errno(13), "SCMP_ACT_ERRNO", Some(13), Fate::Denied, unnamed()),
        (native("personality", &[38]), Seen::Errno(97), "SCMP_ACT_ERRNO", Some(97), Fate::Denied, rule(11)),
        (
            native("personality", &[2]),
            Seen::Errno(13),
            "SCMP_ACT_ERRNO",
            Some(13),
            Fate::Denied,
            DecidedBy::Default(vec![10, 11]),
        ),
        (
            native("set_mempolicy_home_node", &[]),
            Seen::Errno(38),
            "SCMP_ACT_ERRNO",
            Some(38),
            Fate::Denied,
            DecidedBy::Stub(SyscallNr(449)),
        ),
        // What the profile allows, or refuses in another way, somebody else refused.
        (native("read", &[]), Seen::Errno(1), "SCMP_ACT_ERRNO", Some(1), Fate::Denied, DecidedBy::AnotherFilter),
        (native("mkdir", &[]), Seen::Errno(5), "SCMP_ACT_ERRNO", Some(5), Fate::Denied, DecidedBy::AnotherFilter),
        (native("read", &[]), Seen::Signal, "SCMP_ACT_TRAP|KILL", None, Fate::Killed, DecidedBy::AnotherFilter),
        (
            call(Abi::X32, "mkdir", &[]),
            Seen::ThreadKilled,
            "SCMP_ACT_KILL_THREAD",
            None,
            Fate::Killed,
            DecidedBy::ForeignAbi,
        ),
        // Through the door of socketcall.
        (call(Abi::I386, "socketcall", &[2, 9]), Seen::Errno(13), "SCMP_ACT_ERRNO", Some(13), Fate::Denied, unnamed()),
    ];
    for (call, seen, action, errno, fate, decided_by) in rows {
        let found = explained(&call, seen, &profile);
        assert_eq!(
            (found.action, found.errno, found.fate, found.decided_by.clone()),
            (action, errno, fate, decided_by),
            "{call:?} {seen:?}"
        );
        assert!(!found.decided_by.describe(call.abi).is_empty());
    }
}

#[test]
fn without_a_profile_what_was_seen_is_all_there_is_to_say() {
    for (seen, action) in [
        (Seen::Errno(1), "SCMP_ACT_ERRNO"),
        (Seen::Signal, "SCMP_ACT_TRAP|KILL"),
        (Seen::ThreadKilled, "SCMP_ACT_KILL_THREAD"),
        (Seen::Supervised(0), "SCMP_ACT_NOTIFY"),
        (Seen::Logged, "SCMP_ACT_LOG"),
    ] {
        let found = explain(&native("mkdir", &[]), seen, None);
        assert_eq!((found.action, found.decided_by), (action, DecidedBy::Unknown));
    }
}

#[test]
fn dockers_default_is_read_right() {
    let profile = docker_default();
    let rows: [(Call, Seen, &str); 5] = [
        (native("clone3", &[]), Seen::Errno(38), "rule"),
        (native("personality", &[0x0004_0000]), Seen::Errno(1), "default"),
        (native("clone", &[0x1000_0000]), Seen::Errno(1), "default"),
        (native("keyctl", &[]), Seen::Errno(1), "default"),
        (native("mkdir", &[]), Seen::Errno(1), "another_filter"),
    ];
    for (call, seen, by) in rows {
        assert_eq!(explained(&call, seen, &profile).decided_by.as_str(), by, "{call:?}");
    }
}
