//! Profiles in Docker's own format, given to Docker: first its client reads them, then its daemon, then runc.

use anyhow::{Context as _, Result};
use tests::engine::{CgroupMode, Engine};
use tests::image::{BUSYBOX, import_busybox};

use crate::row::{Reality, Row, acct, agree, allow, disagreements, row, top};
use crate::start::without;

fn holds(rows: &[Row]) -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    import_busybox(&engine)?;
    let file = engine.directory().join("profile.json");
    let option = format!("--security-opt=seccomp={}", file.display());
    let mut found = Vec::new();
    for row in rows {
        std::fs::write(&file, &row.profile).context("writing a profile")?;
        let mut line = vec!["run", "--rm", &option, BUSYBOX];
        line.extend(row.program());
        let ran = engine.output(line)?;
        let output = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        // The client's own exit codes for a container that did not start.
        let started = !matches!(ran.status.code(), Some(125..=127));
        let reality = Reality { code: ran.status.code(), output, ran: started };
        found.extend(disagreements(row, &reality, &file, &["--runc", "1.1.5", "--docker", "20.10"])?);
    }
    agree(&found)
}

const MKDIR: &str = "exec 2>&1; mkdir /tmp/a; echo result $?; true";
const SECCOMP: &str = "grep Seccomp: /proc/self/status";

/// A rule about `mkdir` with something more in it, and one that counts always.
fn mkdir(more: &str) -> String {
    allow(&format!(
        r#"{{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"{more}}}, {{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}}"#
    ))
}

#[test]
fn what_docker_refuses_is_an_error_with_its_reason() -> Result<()> {
    let minimum = |version: &str| mkdir(&format!(r#", "includes": {{"minKernel": {version}}}"#));
    holds(&[
        row("an empty file", &["json-syntax"], "").refused("unexpected end of JSON input"),
        row("half a file", &["json-syntax"], r#"{"defaultAction": "SCMP_ACT_ALLOW""#).refused("unexpected end of JSON input"),
        row("a byte order mark", &["json-syntax"], "\u{feff}{}").refused("invalid character 'ï' looking for beginning of value"),
        row("two values", &["json-syntax"], format!("{} {{}}", acct(""))).refused("invalid character '{' after top-level value"),
        row("a quote", &["json-syntax"], "{'a': 1}").refused(r"invalid character '\'' looking for beginning of object key string"),
        row("not UTF-8, nor anything else", &["json-syntax"], "\u{0}").refused(r"invalid character '\x00' looking for beginning of value"),
        row("deeper than Go goes", &["json-syntax"], "[".repeat(20_000)).refused("exceeded max depth"),
        row("a list", &["json-type"], "[]").refused("cannot unmarshal array into Go"),
        row("a word", &["json-type"], r#""unconfined""#).refused("cannot unmarshal string into Go"),
        row("a remark of a type", &["json-type"], acct(r#", "comment": 5"#)).refused("cannot unmarshal number into Go"),
        row("conditions of a type", &["json-type"], acct(r#", "includes": []"#)).refused("cannot unmarshal array into Go"),
        row("capabilities of a type", &["json-type"], acct(r#", "includes": {"caps": "CAP_CHOWN"}"#)).refused("cannot unmarshal string into Go"),
        row("both names", &["name-and-names"], acct(r#", "name": "acct""#)).refused("seccomp profile, use either 'name' or 'names'"),
        row("both architectures", &["architectures-and-archmap"],
            top(r#""architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}]"#))
            .refused("seccomp profile, use either 'architectures' or 'archMap'"),
        row("one number", &["kernel-version"], minimum(r#""4""#)).refused(r#"invalid kernel version: "4", expected "<kernel>.<major>""#),
        row("three numbers", &["kernel-version"], minimum(r#""4.8.1""#)).refused(r#"invalid kernel version: "4.8.1", expected "<kernel>.<major>""#),
        row("a bare number", &["kernel-version"], minimum("4.8")).refused(r#"invalid kernel version: 4.8, expected "<kernel>.<major>""#),
        row("no kernel", &["kernel-version"], minimum(r#""0.0""#)).refused(r#"invalid kernel version: "0.0", expected "<kernel>.<major>""#),
        row("a large number", &["kernel-version"], minimum(r#""4.256""#)).refused(r#"invalid kernel version: "4.256", expected "<kernel>.<major>""#),
        row("an architecture of this host's", &["unknown-architecture"],
            top(r#""archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["x86"]}]"#))
            .refused("string x86 is not a valid arch for seccomp"),
        row("an action", &["unknown-action"], acct("").replace("SCMP_ACT_ERRNO", "ERRNO")).refused("string ERRNO is not a valid action for seccomp"),
        row("an empty name", &["empty-name"], acct("").replace("acct", "")).refused("empty string is not a valid syscall"),
        row("an errno", &["errno-too-large"], acct(r#", "errnoRet": 4095"#)).refused("two checks on same syscall argument"),
        row("no way to start", &["cannot-start"], without(&["capset"], None)).refused("unable to apply caps: operation not permitted"),
        row("no program", &["cannot-start"], without(&["execve"], None)).refused(": operation not permitted"),
    ])
}

#[test]
fn what_docker_passes_over_is_a_warning() -> Result<()> {
    let map = |entries: &str| top(&format!(r#""archMap": [{entries}]"#));
    let own = r#"{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}"#;
    holds(&[
        row("everything", &[], mkdir(r#", "comment": "why", "args": [], "includes": {}, "excludes": {}"#))
            .shows(MKDIR, "result 1"),
        row(
            "the older form",
            &[],
            allow(r#"{"name": "mkdir", "action": "SCMP_ACT_ERRNO"}, {"name": "mkdirat", "action": "SCMP_ACT_ERRNO"}"#),
        )
        .shows(MKDIR, "result 1"),
        row("a map", &[], map(own)),
        row("a capability that it has", &[], mkdir(r#", "includes": {"caps": ["CAP_CHOWN"]}"#))
            .shows(MKDIR, "result 1"),
        row("a capability that it lacks", &[], mkdir(r#", "includes": {"caps": ["CAP_SYS_ADMIN"]}"#))
            .shows(MKDIR, "result 0"),
        row("a kernel that is older", &[], mkdir(r#", "includes": {"minKernel": "4.8"}"#)).shows(MKDIR, "result 1"),
        row("a kernel to come", &[], mkdir(r#", "includes": {"minKernel": "255.0"}"#)).shows(MKDIR, "result 0"),
        row("no kernel", &[], mkdir(r#", "includes": {"minKernel": ""}"#)).shows(MKDIR, "result 1"),
        row("this machine", &[], mkdir(r#", "excludes": {"arches": ["amd64", "x32"]}"#)).shows(MKDIR, "result 0"),
        row("an unknown capability", &["unknown-capability"], mkdir(r#", "includes": {"caps": ["SYS_CHROOT"]}"#))
            .shows(MKDIR, "result 0"),
        row("an unknown machine", &["unknown-machine"], mkdir(r#", "includes": {"arches": ["x86_64"]}"#))
            .shows(MKDIR, "result 0"),
        row(
            "never",
            &["never-included"],
            mkdir(r#", "includes": {"caps": ["CAP_CHOWN"]}, "excludes": {"caps": ["CAP_CHOWN"]}"#),
        )
        .shows(MKDIR, "result 0"),
        row(
            "a wrong action that does not count",
            &["unknown-action"],
            mkdir(r#", "excludes": {"caps": ["CAP_CHOWN"]}"#).replacen("SCMP_ACT_ERRNO", "ERRNO", 1),
        )
        .shows(MKDIR, "result 0"),
        row(
            "both names where they do not count",
            &["name-and-names"],
            mkdir(r#", "name": "mkdir", "excludes": {"caps": ["CAP_CHOWN"]}"#),
        )
        .shows(MKDIR, "result 0"),
        row(
            "an architecture of other hosts",
            &["unknown-architecture"],
            map(&format!(r#"{own}, {{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["arm"]}}"#)),
        ),
        row(
            "the host twice",
            &["archmap-twice"],
            map(&format!(r#"{own}, {{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["nonsense"]}}"#)),
        ),
        row(
            "without the host",
            &["archmap-without-host"],
            map(r#"{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}"#),
        ),
        row("an errno by default", &["dropped-field"], {
            let denying = without(&["mkdir", "mkdirat"], None);
            denying.replacen('{', r#"{"defaultErrnoRet": 38, "#, 1)
        })
        .shows(MKDIR, "Operation not permitted"),
        row("flags", &["dropped-field"], top(r#""flags": ["SECCOMP_FILTER_FLAG_LOG"]"#)),
        row("a listener", &["dropped-field"], top(r#""listenerPath": "/nonexistent""#)),
        row("a field", &["unknown-field"], mkdir(r#", "include": {"caps": ["CAP_SYS_ADMIN"]}"#))
            .shows(MKDIR, "result 1"),
        row("a field of a condition", &["unknown-field"], mkdir(r#", "includes": {"minkernal": "255.0"}"#))
            .shows(MKDIR, "result 1"),
        row("a field in another case", &["field-case"], mkdir(r#", "includes": {"minkernel": "255.0"}"#))
            .shows(MKDIR, "result 0"),
        row("a field twice", &["duplicate-key"], mkdir(r#", "action": "SCMP_ACT_LOG""#)).shows(MKDIR, "result 0"),
        row("nothing", &["no-filter"], "{}").shows(SECCOMP, "Seccomp:\t0"),
        row("an unknown call", &["unknown-syscall"], acct("").replace("acct", r#"acct", "no_such_call"#)),
    ])
}
