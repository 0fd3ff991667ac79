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

fn bitmap() -> Vec<SyscallNr> {
    (0..512)
        .filter(|nr| BITMAP[nr / 64] >> (nr % 64) & 1 == 1)
        .map(|nr| SyscallNr(i32::try_from(nr).unwrap()))
        .collect()
}

#[test]
fn default_profile_is_the_kernels_bitmap() {
    assert_eq!(policy().disagreements(Abi::X86_64, &bitmap()), []);
}

#[test]
fn a_missing_bit_and_one_too_many_are_disagreements() {
    let mkdir = nr(Abi::X86_64, "mkdir");
    let mount = nr(Abi::X86_64, "mount");
    let mut bits = bitmap();
    bits.retain(|bit| *bit != mkdir);
    bits.push(mount);
    assert_eq!(policy().disagreements(Abi::X86_64, &bits), [mkdir, mount]);
}

#[test]
fn default_profile_always_allows_290_calls() {
    // The bitmap has 334 bits: these, uretprobe and uprobe (exempt from filters), and 42 of padding above call 469.
    assert_eq!(bitmap().len(), 290 + 2 + 42);
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
