//! Profiles that no container starts with, for want of what runc itself calls.

use anyhow::Result;

use crate::oci::holds;
use crate::row::{Real, Row, row};

/// Docker's default profile as an engine resolved it.
pub const DOCKER_DEFAULT: &str = include_str!("../../../auditor/tests/data/docker-default-20.10-oci.json");

/// The default profile without some calls; they meet the default action, or one of their own.
pub fn without(calls: &[&str], action: Option<&str>) -> String {
    let mut profile: serde_json::Value = serde_json::from_str(DOCKER_DEFAULT).expect("a profile");
    tests::profile::forbid(&mut profile, calls);
    if let (Some(action), Some(rules)) = (action, profile["syscalls"].as_array_mut()) {
        rules.push(serde_json::json!({"names": calls, "action": action}));
    }
    profile.to_string()
}

fn lacks(call: &'static str, words: &'static str) -> Row {
    row(call, &["cannot-start"], without(&[call], None)).refused(words)
}

#[test]
fn what_runc_needs_to_start_is_an_error_with_the_words_of_the_start_that_fails() -> Result<()> {
    holds(&[
        row("whole", &[], DOCKER_DEFAULT),
        lacks("capget", "unable to start container process: operation not permitted"),
        lacks("capset", "unable to apply caps: operation not permitted"),
        lacks("close", "close log pipe fd"),
        lacks("fstat", "unable to setup user: fstat /dev/stdin: operation not permitted"),
        lacks("fstatfs", "ensure /proc/self/fd is on procfs: operation not permitted"),
        lacks("getcwd", "failed to verify if current working directory is safe: operation not permitted"),
        lacks("getdents64", "readdirent /proc/self/fd: operation not permitted"),
        lacks("getppid", "panic: No error following JSON procError payload"),
        lacks("newfstatat", "unable to setup user: stat /dev/null: operation not permitted"),
        lacks("openat", "open /proc/self/fd: operation not permitted"),
        lacks("prctl", "unable to apply bounding set: operation not permitted"),
        lacks("read", "read /proc/self/status: operation not permitted"),
        lacks("setgid", "unable to setup user: operation not permitted"),
        lacks("setgroups", "unable to setup user: setgroups: operation not permitted"),
        lacks("setuid", "unable to setup user: operation not permitted"),
        lacks("write", "cannot start an already running container"),
        row("chdir", &["cannot-start"], without(&["chdir"], None))
            .refused("set in config.json failed: operation not permitted"),
        row("execve", &["cannot-start"], without(&["execve"], None)).refused(": operation not permitted"),
        row("one way to find a program", &[], without(&["faccessat2"], None)),
        row("no way to find a program", &["cannot-start"], without(&["faccessat", "faccessat2"], None))
            .refused(": operation not permitted"),
        row("the first one counts", &["cannot-start"], without(&["setuid", "fstatfs", "getppid"], None))
            .refused("ensure /proc/self/fd is on procfs: operation not permitted"),
        row("no words for it", &["cannot-start"], without(&["setuid", "write"], None))
            .refused("container process is already dead"),
        row("trap", &["cannot-start"], without(&["setuid"], Some("SCMP_ACT_TRAP"))).refused("SIGSYS: bad system call"),
        row("trace", &["cannot-start"], without(&["capset"], Some("SCMP_ACT_TRACE")))
            .refused("unable to apply caps: function not implemented"),
        row("kill process", &["cannot-start"], without(&["setuid"], Some("SCMP_ACT_KILL_PROCESS")))
            .refused("container process is already dead"),
        row("kill thread", &["cannot-start"], without(&["setuid"], Some("SCMP_ACT_KILL"))).is(Real::Hangs),
        row("log", &[], without(&["setuid"], Some("SCMP_ACT_LOG"))),
        row("nothing is allowed", &["cannot-start", "program-cannot-run"], r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#)
            .refused("container process is already dead"),
        row(
            "everything kills",
            &["cannot-start", "program-cannot-run"],
            r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS"}"#,
        )
        .refused("container process is already dead"),
        row("no end", &["program-cannot-run"], without(&["exit_group", "exit"], None)).is(Real::Breaks),
        row("another end", &[], without(&["exit_group"], None)),
        row("no way back from a signal", &["program-cannot-run"], without(&["rt_sigreturn"], None))
            .is(Real::Breaks)
            .shows("trap : USR1; kill -USR1 $$; echo survived", ""),
        row("no place for a thread's own data", &["program-cannot-run"], without(&["arch_prctl"], None))
            .is(Real::Breaks)
            .shows("true", "cannot set %fs base address for thread-local storage"),
        row("no protection", &["program-cannot-run"], without(&["mprotect"], None))
            .is(Real::Breaks)
            .shows("true", "cannot apply additional memory protection after relocation"),
    ])
}
