//! Whether a container starts at all: what runc itself calls once its filter is in force, and with which words it fails.

use super::super::{Action, Decision, HostArch, Policy, Verdict};
use super::finding::Findings;
use super::model::Model;
use super::rules::outcome;
use super::{Host, RuncVersion};
use crate::syscall;

/// A call that a start needs.
struct Need {
    calls: &'static [&'static str],
    /// Needed also where the process may not gain privileges: there runc installs the filter later.
    always: bool,
    /// How the message begins that a user sees when the call is refused with an errno, whose words follow.
    fails_with: &'static str,
}

const fn need(call: &'static [&'static str], always: bool, fails_with: &'static str) -> Need {
    Need { calls: call, always, fails_with }
}

/// Measured: runc 1.1.5 on Linux 6.18 (x86-64), Docker's default profile without one of them (the last: without both),
/// with and without no_new_privs. In the order in which runc comes to them: the first that is refused is what it
/// complains of. `tests/tests/profile_check.rs` keeps it so.
const NEEDS: [Need; 19] = [
    need(&["openat"], true, "open /proc/self/fd: "),
    need(&["fstatfs"], true, "ensure /proc/self/fd is on procfs: "),
    need(&["getdents64"], true, "readdirent /proc/self/fd: "),
    need(&["capget"], false, "unable to start container process: "),
    need(&["read"], false, "read /proc/self/status: "),
    need(&["prctl"], false, "unable to apply bounding set: "),
    need(&["newfstatat"], false, "unable to setup user: stat /dev/null: "),
    need(&["fstat"], false, "unable to setup user: fstat /dev/stdin: "),
    need(&["setgroups"], false, "unable to setup user: setgroups: "),
    need(&["setgid"], false, "unable to setup user: "),
    need(&["setuid"], false, "unable to setup user: "),
    need(&["chdir"], false, "chdir to cwd (\"/\") set in config.json failed: "),
    need(&["capset"], false, "unable to apply caps: "),
    need(&["getcwd"], false, "failed to verify if current working directory is safe: "),
    need(&["getppid"], false, "panic: No error following JSON procError payload"),
    need(&["faccessat", "faccessat2"], false, "exec PROGRAM: "),
    need(&["close"], true, "close log pipe fd "),
    need(&["write"], true, "cannot start an already running container"),
    need(&["execve"], true, "exec PROGRAM: "),
];

/// Calls that programs cannot do without: where all of a row are refused, this happens. Measured with Debian's static
/// busybox (glibc 2.36).
const PROGRAM: [(&[&str], &str); 4] = [
    (&["exit_group", "exit"], "no program ends but by a crash"),
    (&["rt_sigreturn"], "a program crashes when it has handled a signal, and so may runc when it starts one"),
    (&["arch_prctl"], "programs end with: cannot set %fs base address for thread-local storage"),
    (&["mprotect"], "programs end with: cannot apply additional memory protection after relocation"),
];

pub(super) fn check(model: &Model, policy: &Policy, host: &Host, found: &mut Findings) {
    let native = host.target.native;
    let verdict = |name: &str| syscall::number(native, name).map(|nr| policy.verdict(native, nr));
    let at = model.default_action.at;
    let mut refused: Vec<(&Need, Decision)> = Vec::new();
    for need in NEEDS.iter().filter(|need| need.always || !model.no_new_privileges) {
        let verdicts: Vec<Verdict> = need.calls.iter().filter_map(|call| verdict(call)).collect();
        let denied = all_denied(&verdicts);
        // An errno of 0 is what a call that went well looks like, and some starts survive it.
        if let Some(decision) = denied.filter(|decision| decision.errno != Some(0)) {
            refused.push((need, decision));
        } else if verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Allowed(_))) {
            let how = if denied.is_some() { "only looks as if it had worked" } else { "depends on its arguments" };
            found.warning("may-not-start", at, || {
                let names = need.calls.join(" and ");
                format!("{names}: runc needs it to start a container, and here it {how}; allow it")
            });
        }
    }
    if let Some((first, decision)) = refused.first() {
        found.error("cannot-start", at, || {
            let names: Vec<String> = refused.iter().map(|(need, _)| need.calls.join(" or ")).collect();
            let unless = if refused.iter().any(|(need, _)| need.always) { "" } else { " but with no-new-privileges" };
            let fails = if refused.len() > 1 && refused.iter().any(|(need, _)| need.calls == ["write"]) {
                DEAD.to_owned()
            } else {
                failure(*decision, first)
            };
            let them = if refused.len() == 1 { "it" } else { "them" };
            format!(
                "{}: refused with {}, and no container starts without {them}{unless}; allow {them}; runc fails with: {fails}",
                names.join(", "),
                outcome(*decision)
            )
        });
    }
    for (calls, what) in PROGRAM {
        let verdicts: Vec<Verdict> = calls.iter().filter_map(|call| verdict(call)).collect();
        if let Some(decision) = all_denied(&verdicts) {
            found.warning("program-cannot-run", at, || {
                format!("{}: refused with {}: {what}; allow it", calls.join(" and "), outcome(decision))
            });
        }
    }
}

/// What happens to all of them, if none ever passes.
fn all_denied(verdicts: &[Verdict]) -> Option<Decision> {
    let mut last = None;
    for verdict in verdicts {
        match verdict {
            Verdict::Denied(decision) => last = Some(*decision),
            _ => return None,
        }
    }
    last
}

/// What runc says when its own process in the container has no way to say it.
const DEAD: &str = "container process is already dead";

fn failure(decision: Decision, need: &Need) -> String {
    let Need { calls, fails_with, .. } = need;
    match (decision.action, decision.errno) {
        (Action::KillThread, _) => "nothing at all: it waits for ever".to_owned(),
        (Action::KillProcess, _) if *calls == ["execve"] => {
            "nothing at all: the container ends with signal 31".to_owned()
        }
        (Action::KillProcess, _) if *calls != ["write"] => DEAD.to_owned(),
        (Action::Trap, _) if *calls != ["write"] => "SIGSYS: bad system call".to_owned(),
        (_, Some(errno)) if fails_with.ends_with(": ") => format!("{fails_with}{}", words(errno)),
        _ => fails_with.trim_end().to_owned(),
    }
}

/// As Go's `syscall.Errno` says it.
fn words(errno: u16) -> String {
    match errno {
        1 => "operation not permitted".to_owned(),
        13 => "permission denied".to_owned(),
        22 => "invalid argument".to_owned(),
        38 => "function not implemented".to_owned(),
        other => format!("the words for errno {other}"),
    }
}

/// Calls whose refusal programs do not understand, and calls that are another way around a refusal.
pub(super) fn check_pitfalls(model: &Model, policy: &Policy, host: &Host, found: &mut Findings) {
    let native = host.target.native;
    let verdict = |name: &str| syscall::number(native, name).map(|nr| policy.verdict(native, nr));
    let at = model.default_action.at;
    let (clone, clone3) = (verdict("clone"), verdict("clone3"));
    if let (Some(Verdict::Denied(decision)), Some(Verdict::Allowed(_) | Verdict::Conditional(_))) = (clone3, clone)
        && decision.errno != Some(ENOSYS)
    {
        found.warning("clone3-errno", place_of(model, "clone3").unwrap_or(at), || {
            format!(
                "clone3: refused with {}, so newer C libraries cannot start a thread or a process: they fall back on clone \
                 only after ENOSYS; refuse it with SCMP_ACT_ERRNO and errnoRet 38",
                outcome(decision)
            )
        });
    }
    if let (Some(Verdict::Allowed(_)), Some(Verdict::Conditional(_))) = (clone3, clone) {
        found.warning("clone3-bypass", place_of(model, "clone3").unwrap_or(at), || {
            "clone3: allowed whatever its flags, while clone is allowed for some: clone3 does the same, and its flags are \
             in memory where no filter sees them; refuse it with SCMP_ACT_ERRNO and errnoRet 38"
                .to_owned()
        });
    }
    if !policy.default_decision().action.passes() {
        return;
    }
    let summary = policy.native_summary();
    if summary.denied == 0 && summary.conditional == 0 {
        found.warning("refuses-nothing", at, || {
            "defaultAction: lets every call through, and no rule refuses one: the filter does nothing but cost time"
                .to_owned()
        });
    }
    for (refused, ways) in TWINS {
        let open: Vec<&str> =
            ways.iter().copied().filter(|way| matches!(verdict(way), Some(Verdict::Allowed(_)))).collect();
        if matches!(verdict(refused), Some(Verdict::Denied(_))) && !open.is_empty() {
            found.warning("another-way", place_of(model, refused).unwrap_or(at), || {
                format!("{refused}: refused, while {} does the same and is allowed; refuse it too", open.join(", "))
            });
        }
    }
}

const ENOSYS: u16 = 38;

/// Calls, and others that do the same, for profiles that list what is refused.
const TWINS: [(&str, &[&str]); 13] = [
    ("chmod", &["fchmodat", "fchmodat2"]),
    ("chown", &["fchownat", "lchown"]),
    ("clone", &["clone3"]),
    ("execve", &["execveat"]),
    ("init_module", &["finit_module"]),
    ("kexec_load", &["kexec_file_load"]),
    ("link", &["linkat"]),
    ("mkdir", &["mkdirat"]),
    ("mount", &["move_mount"]),
    ("open", &["openat", "openat2"]),
    ("rename", &["renameat", "renameat2"]),
    ("symlink", &["symlinkat"]),
    ("unlink", &["unlinkat"]),
];

/// Where the profile first names a call.
fn place_of(model: &Model, name: &str) -> Option<usize> {
    model.rules.iter().flat_map(super::model::Rule::calls).find(|call| call.is == name).map(|call| call.at)
}

/// What runc makes of a profile on a host.
pub(super) fn policy_of(profile: &super::super::Profile, host: &Host) -> Policy {
    let stub_always_native = host.runc >= RuncVersion::WITH_NATIVE_STUB;
    profile.evaluate(HostArch { stub_always_native, ..HostArch::of(host.target.native) })
}
