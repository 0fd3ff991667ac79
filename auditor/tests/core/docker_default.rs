//! Docker's default profile, resolved by a real engine (20.10.24, Linux 6.18, default capabilities), against what the
//! kernel's bitmap holds for the filter that runc 1.1.5 made of it.

use auditor::profile::{Decision, HostArch, Policy, Verdict};
use auditor::syscall::{self, Abi, SyscallNr};

use crate::{docker_default, nr};

fn policy() -> Policy {
    docker_default().evaluate(HostArch::of(Abi::X86_64))
}

/// `task->seccomp.filter->cache.allow_native` of a container under the default profile, Linux 6.18.
const BITMAP: [u64; 8] = [
    0xfeff_ffff_ffff_ffff,
    0xffff_ff7f_ffff_ffff,
    0xfc00_0007_e5ff_f63f,
    0xf8bf_0ff7_ffef_ffff,
    0xfc2e_6bff_ff7e_fffe,
    0x0000_0000_0001_f1f4,
    0xf2b4_0f00_0000_0000,
    0xffff_ffff_ffc0_0003,
];

/// Calls that this kernel has: it fills the rest of the last word with ones that no filter clears
/// (`seccomp_cache_prepare_bitmap` in kernel/seccomp.c).
const CALLS: i32 = 470;

/// Exempt from filters since Linux 6.14 (`seccomp_uprobe_exception` in kernel/seccomp.c).
const EXEMPT: [&str; 2] = ["uretprobe", "uprobe"];

fn bit(nr: i32) -> bool {
    let nr = usize::try_from(nr).unwrap();
    BITMAP[nr / 64] >> (nr % 64) & 1 == 1
}

#[test]
fn default_profile_is_the_kernels_bitmap() {
    let policy = policy();
    for nr in (0..CALLS).map(SyscallNr) {
        let name = syscall::display_name(Abi::X86_64, nr);
        let expected = bit(nr.0) && !EXEMPT.contains(&&*name);
        assert_eq!(policy.is_constant_allow(Abi::X86_64, nr), expected, "{name}");
    }
}

#[test]
fn default_profile_always_allows_290_calls() {
    // Of the bitmap's 334 bits 2 are the exempt calls, and 42 are behind the last call.
    assert_eq!((0..512).filter(|nr| bit(*nr)).count(), 290 + 2 + 42);
    let policy = policy();
    assert_eq!(policy.always_allowed(Abi::X86_64).count(), 290);
    let summary = policy.native_summary();
    assert_eq!((summary.allowed, summary.conditional), (290, 2));
    assert_eq!(summary.denied as usize, syscall::all(Abi::X86_64).count() - 292);
}

#[test]
fn default_profile_says_what_docker_documents() {
    let eperm = Decision::errno(1);
    let enosys = Decision::errno(38);
    let allowed = Verdict::Allowed(Decision::ALLOW);
    for (abi, name, expected) in [
        (Abi::X86_64, "read", allowed),
        (Abi::X86_64, "ptrace", allowed),
        (Abi::X86_64, "socket", allowed),
        (Abi::X86_64, "mkdir", allowed),
        (Abi::X86_64, "futex_waitv", allowed),
        (Abi::X86_64, "personality", Verdict::Conditional(eperm)),
        (Abi::X86_64, "clone", Verdict::Conditional(eperm)),
        (Abi::X86_64, "clone3", Verdict::Denied(enosys)),
        (Abi::X86_64, "mount", Verdict::Denied(eperm)),
        (Abi::X86_64, "keyctl", Verdict::Denied(eperm)),
        (Abi::X86_64, "bpf", Verdict::Denied(eperm)),
        (Abi::X86_64, "set_mempolicy_home_node", Verdict::Denied(enosys)),
        (Abi::X86_64, "cachestat", Verdict::Denied(enosys)),
        (Abi::I386, "socketcall", allowed),
        (Abi::I386, "ipc", allowed),
        (Abi::I386, "waitpid", allowed),
        (Abi::I386, "mkdir", allowed),
        (Abi::I386, "clone", Verdict::Conditional(eperm)),
        (Abi::X32, "execve", allowed),
        (Abi::X32, "mkdir", allowed),
        // No number of x32 is above pwritev2, 547, that the profile names: the stub stays away.
        (Abi::X32, "cachestat", Verdict::Denied(eperm)),
    ] {
        assert_eq!(policy().verdict(abi, nr(abi, name)), expected, "{abi} {name}");
    }
}

#[test]
fn numbers_beyond_every_table_meet_the_enosys_stub() {
    for nr in [SyscallNr::OUTSIDE, SyscallNr(511), SyscallNr(i32::MAX), SyscallNr(i32::MIN)] {
        assert_eq!(policy().verdict(Abi::X86_64, nr), Verdict::Denied(Decision::errno(38)), "{nr:?}");
    }
}

#[test]
fn a_foreign_abi_is_killed() {
    let verdict = policy().verdict(Abi::Aarch64, nr(Abi::Aarch64, "read"));
    assert!(matches!(verdict, Verdict::Denied(decision) if decision.action.as_str() == "SCMP_ACT_KILL_THREAD"));
}
