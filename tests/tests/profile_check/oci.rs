//! Profiles in an OCI configuration, given to runc itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::bundle::Bundles;

use crate::row::{Real, Reality, Row, acct, agree, allow, arg, disagreements, row, top, two};
use crate::start::DOCKER_DEFAULT;

/// Runs every row, and fails with all disagreements.
pub fn holds(rows: &[Row]) -> Result<()> {
    let bundles = Bundles::new()?;
    let mut found = Vec::new();
    for row in rows {
        let configuration = bundles.configuration(&row.profile, &row.program(), false)?;
        let limit = Duration::from_secs(if row.real == Real::Hangs { 3 } else { 30 });
        let ran = bundles.run(&configuration, limit).with_context(|| row.name.to_owned())?;
        let reality = Reality { code: ran.code, ran: !ran.output.contains("runc run failed"), output: ran.output };
        let file = bundles.directory().join("checked.json");
        std::fs::write(&file, &configuration).context("writing a configuration")?;
        found.extend(disagreements(row, &reality, &file, &["--runc", "1.1.5"])?);
    }
    agree(&found)
}

const MKDIR: &str = "exec 2>&1; mkdir /tmp/a; echo result $?; rmdir /tmp/a; true";

#[test]
fn good_profiles_start_and_nothing_is_found() -> Result<()> {
    let different = two("acct", &arg(0, "EQ", 5), &arg(0, "NE", 5));
    holds(&[
        row("a refused call", &[], acct("")),
        row("an errno", &[], acct(r#", "errnoRet": 38"#)),
        row("log by default", &[], acct("").replace("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")),
        row("no flags", &[], top(r#""flags": []"#)),
        row("every ABI", &[], top(r#""architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]"#)),
        row("an architecture twice", &[], top(r#""architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86"]"#)),
        row("another machine's", &[], top(r#""architectures": ["SCMP_ARCH_PPC64LE", "SCMP_ARCH_MIPSEL"]"#)),
        row("complements", &[], allow(&different)),
        row("ranges", &[], allow(&two("acct", &arg(0, "LT", 5), &arg(0, "GE", 5)))),
        row("an exception", &[], allow(&two("acct", &arg(0, "EQ", 5), &format!("{}, {}", arg(0, "EQ", 5), arg(1, "EQ", 6))))),
        row("a tracer's number", &[], acct(r#", "errnoRet": 5000"#).replace("ERRNO", "TRACE")),
        row("kill", &[], acct("").replace("ERRNO", "KILL")),
        row("kill process", &[], acct("").replace("ERRNO", "KILL_PROCESS")),
        row("null", &[], acct(r#", "args": null, "errnoRet": null"#)),
        row("escapes", &[], acct("").replace("acct", "a\\u0063ct")),
        row("not quite text", &["unknown-syscall"], acct("").replace("acct", r#"acct", "ac\ud800ct"#)),
        row("31 bits", &[], allow(r#"{"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 384, "op": "SCMP_CMP_EQ"}]}"#))
            .shows("exec 2>&1; touch /tmp/f; chmod 600 /tmp/f; echo $?; chmod 700 /tmp/f; echo $?", "Operation not permitted\n1\n0"),
    ])
}

#[test]
fn words_and_types_that_runc_does_not_know_are_errors() -> Result<()> {
    let word = |from: &str, to: &str| acct("").replace(from, to);
    let one = |more: &str| acct(&format!(r#", "args": [{{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"{more}}}]"#));
    holds(&[
        row("default action", &["unknown-action"], word("SCMP_ACT_ALLOW", "ALLOW"))
            .refused("string ALLOW is not a valid action for seccomp"),
        row(
            "no default action",
            &["unknown-action"],
            r#"{"syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}"#,
        )
        .refused("string  is not a valid action for seccomp"),
        row("action", &["unknown-action"], word("SCMP_ACT_ERRNO", "scmp_act_errno"))
            .refused("string scmp_act_errno is not a valid action for seccomp"),
        row("no action", &["unknown-action"], word(r#", "action": "SCMP_ACT_ERRNO""#, ""))
            .refused("string  is not a valid action for seccomp"),
        row("no rule", &["empty-rule", "unknown-action"], allow("null"))
            .refused("string  is not a valid action for seccomp"),
        row("operator", &["unknown-operator"], one("").replace("SCMP_CMP_EQ", "EQ"))
            .refused("string EQ is not a valid operator for seccomp"),
        row("no operator", &["unknown-operator"], acct(r#", "args": [{"index": 0, "value": 1}]"#))
            .refused("string  is not a valid operator for seccomp"),
        row("no condition", &["unknown-operator"], acct(r#", "args": [null]"#))
            .refused("string  is not a valid operator for seccomp"),
        row(
            "operator of an unknown call",
            &["unknown-operator", "unknown-syscall"],
            one("").replace("acct", "no_such_call").replace("SCMP_CMP_EQ", "EQ"),
        )
        .refused("string EQ is not a valid operator for seccomp"),
        row("architecture", &["unknown-architecture"], top(r#""architectures": ["x86"]"#))
            .refused("string x86 is not a valid arch for seccomp"),
        row("native", &["unknown-architecture"], top(r#""architectures": ["SCMP_ARCH_NATIVE"]"#))
            .refused("string SCMP_ARCH_NATIVE is not a valid arch for seccomp"),
        row(
            "an architecture of newer runcs",
            &["unknown-architecture"],
            top(r#""architectures": ["SCMP_ARCH_RISCV64"]"#),
        )
        .refused("string SCMP_ARCH_RISCV64 is not a valid arch for seccomp"),
        row("flags", &["flags"], top(r#""flags": ["SECCOMP_FILTER_FLAG_LOG"]"#))
            .refused("seccomp flags are not yet supported by runc"),
        row("action of a type", &["json-type"], word(r#""SCMP_ACT_ERRNO""#, "1"))
            .refused("cannot unmarshal number into Go"),
        row("default of a type", &["json-type"], word(r#""SCMP_ACT_ALLOW""#, "true"))
            .refused("cannot unmarshal bool into Go"),
        row("rules of a type", &["json-type"], r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}"#)
            .refused("cannot unmarshal object into Go"),
        row("names of a type", &["json-type"], word(r#"["acct"]"#, r#""acct""#))
            .refused("cannot unmarshal string into Go"),
        row("name of a type", &["json-type"], word(r#""acct""#, "163")).refused("cannot unmarshal number into Go"),
        row("architectures of a type", &["json-type"], top(r#""architectures": "SCMP_ARCH_X86""#))
            .refused("cannot unmarshal string into Go"),
        row("the whole of a type", &["json-type"], "[]").refused("cannot unmarshal array into Go"),
        row("listener of a type", &["json-type"], top(r#""listenerPath": 1"#))
            .refused("cannot unmarshal number into Go"),
        row("flags of a type", &["json-type"], top(r#""flags": "x""#)).refused("cannot unmarshal string into Go"),
        row("a negative errno", &["json-type"], acct(r#", "errnoRet": -1"#))
            .refused("cannot unmarshal number -1 into Go"),
        row("half an errno", &["json-type"], acct(r#", "errnoRet": 1.5"#))
            .refused("cannot unmarshal number 1.5 into Go"),
        row("an errno with an exponent", &["json-type"], acct(r#", "errnoRet": 1e1"#))
            .refused("cannot unmarshal number 1e1 into Go"),
        row("an errno in quotes", &["json-type"], acct(r#", "errnoRet": "1""#))
            .refused("cannot unmarshal string into Go"),
        row("a value beyond 64 bits", &["json-type"], one(r#", "valueTwo": 18446744073709551616"#))
            .refused("cannot unmarshal number 18446744073709551616 into Go"),
        row("a negative index", &["json-type"], acct(r#", "args": [{"index": -1, "op": "SCMP_CMP_EQ"}]"#))
            .refused("cannot unmarshal number -1 into Go"),
        row("arguments of a type", &["json-type"], acct(r#", "args": {}"#)).refused("cannot unmarshal object into Go"),
        row("an errno name", &["json-type"], acct(r#", "errnoRet": "EPERM""#))
            .refused("cannot unmarshal string into Go"),
    ])
}

#[test]
fn what_is_no_json_is_refused_in_runcs_words() -> Result<()> {
    holds(&[
        row("a comma too many", &["json-syntax"], r#"{"defaultAction": "SCMP_ACT_ALLOW",}"#)
            .refused("looking for beginning of object key string"),
        row("a comma too few", &["json-syntax"], r#"{"defaultAction": "SCMP_ACT_ALLOW" "flags": []}"#)
            .refused("after object key:value pair"),
        row("a remark", &["json-syntax"], "// remark\n{}")
            .refused("invalid character '/' looking for beginning of value"),
        row("single quotes", &["json-syntax"], "{'a': 1}").refused(r"looking for beginning of object key string"),
        row("a bare word", &["json-syntax"], "unconfined")
            .refused("invalid character 'u' looking for beginning of value"),
        row("a number with a 0 first", &["json-syntax"], acct(r#", "errnoRet": 01"#))
            .refused("after object key:value pair"),
        row("a hexadecimal number", &["json-syntax"], acct(r#", "errnoRet": 0x26"#))
            .refused("invalid character 'x' after object key:value pair"),
        row("a tab in a string", &["json-syntax"], acct("").replace("acct", "a\tcct")).refused("in string literal"),
        row(
            "deeper than Go goes",
            &["json-syntax"],
            top(&format!(r#""x": {}{}"#, "[".repeat(10_001), "]".repeat(10_001))),
        )
        .refused("exceeded max depth"),
        row(
            "as deep as Go goes",
            &["unknown-field"],
            top(&format!(r#""x": {}{}"#, "[".repeat(9_990), "]".repeat(9_990))),
        ),
    ])
}

#[test]
fn what_runc_or_libseccomp_refuse_is_an_error_with_their_reason() -> Result<()> {
    let beyond = |index: &str| acct(&format!(r#", "args": [{{"index": {index}, "value": 1, "op": "SCMP_CMP_EQ"}}]"#));
    let exists = "error adding seccomp rule for syscall acct: file exists";
    let conflict = |first: &str, second: &str| allow(&two("acct", first, second));
    let on =
        |profile: String, arch: &str| profile.replacen('{', &format!(r#"{{"architectures": ["SCMP_ARCH_{arch}"],"#), 1);
    let both = format!("{}, {}", arg(0, "EQ", 5), arg(1, "EQ", 6));
    let masked = |two: u64| format!(r#"{{"index": 0, "value": 1, "valueTwo": {two}, "op": "SCMP_CMP_MASKED_EQ"}}"#);
    let many: Vec<_> = (0..5_000)
        .map(|value| format!(r#"{{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "args": [{}]}}"#, arg(0, "EQ", value)))
        .collect();
    holds(&[
        row("default notify", &["notify-default"], r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#)
            .refused("SCMP_ACT_NOTIFY cannot be used as default action"),
        row(
            "notify for write",
            &["no-listener", "notify-write"],
            acct("").replace("acct", "write").replace("ERRNO", "NOTIFY"),
        )
        .refused("SCMP_ACT_NOTIFY cannot be used for the write syscall"),
        row("notify without a listener", &["no-listener"], acct("").replace("ERRNO", "NOTIFY"))
            .refused("listenerPath is not set"),
        row(
            "notify for nothing",
            &["no-listener", "unknown-syscall"],
            acct("").replace("ERRNO", "NOTIFY").replace("acct", "no_such_call"),
        )
        .refused("listenerPath is not set"),
        row("default errno", &["errno-too-large"], r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}"#)
            .refused("error creating filter: could not create filter"),
        row("errno", &["errno-too-large"], acct(r#", "errnoRet": 4095"#))
            .refused("for syscall acct: two checks on same syscall argument"),
        row(
            "errno with conditions",
            &["errno-too-large"],
            beyond("0").replace(r#""args""#, r#""errnoRet": 5000, "args""#),
        )
        .refused("for syscall acct: two checks on same syscall argument"),
        row("errno of 17 bits", &["errno-cut", "errno-too-large"], acct(r#", "errnoRet": 70000"#))
            .refused("for syscall acct: two checks on same syscall argument"),
        row("a seventh argument", &["argument-index"], beyond("6"))
            .refused("for syscall acct: syscalls only have up to 6 arguments (6 given)"),
        row("the last argument of all", &["argument-index"], beyond("4294967295"))
            .refused("for syscall acct: syscalls only have up to 6 arguments (4294967295 given)"),
        row("an empty name", &["empty-name"], acct("").replace("acct", ""))
            .refused("empty string is not a valid syscall"),
        row("an empty name by default", &["empty-name"], acct("").replace("acct", "").replace("ERRNO", "ALLOW"))
            .refused("empty string is not a valid syscall"),
        row("no name", &["empty-name"], acct("").replace(r#""acct""#, "null"))
            .refused("empty string is not a valid syscall"),
        row("the other byte order", &["byte-order"], top(r#""architectures": ["SCMP_ARCH_S390X"]"#))
            .refused("error adding architecture to seccomp filter: numerical argument out of domain"),
        row("another of that kind", &["byte-order"], top(r#""architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_PPC"]"#))
            .refused("error adding architecture to seccomp filter: numerical argument out of domain"),
        row("the same conditions", &["conflicting-conditions"], conflict(&arg(0, "EQ", 5), &arg(0, "EQ", 5)))
            .refused(exists),
        row("fewer conditions", &["conflicting-conditions"], conflict(&both, &arg(0, "EQ", 5))).refused(exists),
        row(
            "the same in 32 bits",
            &["conflicting-conditions", "value-cut"],
            on(conflict(&arg(0, "EQ", 5), &arg(0, "EQ", (1 << 32) + 5)), "X86"),
        )
        .refused(exists),
        row(
            "the same on x32",
            &["conflicting-conditions", "value-cut"],
            on(conflict(&arg(0, "EQ", 5), &arg(0, "EQ", (1 << 32) + 5)), "X32"),
        )
        .refused(exists),
        row("not the same in 64 bits", &[], conflict(&arg(0, "EQ", 5), &arg(0, "EQ", (1 << 32) + 5))),
        row(
            "the same behind the mask",
            &["conflicting-conditions", "value-outside-mask"],
            conflict(&masked(2), &masked(0)),
        )
        .refused(exists),
        row(
            "one of several",
            &["conflicting-conditions", "split-conditions"],
            conflict(&format!("{}, {}", arg(0, "EQ", 5), arg(0, "EQ", 6)), &arg(0, "EQ", 6)),
        )
        .refused(exists),
        row(
            "always, in two ways",
            &["always-matches", "conflicting-conditions"],
            conflict(&arg(0, "GE", 0), &arg(0, "GE", 0)),
        )
        .refused(exists),
        row(
            "through one door",
            &["conflicting-conditions"],
            on(allow(&two("socket", &arg(0, "EQ", 2), &arg(0, "EQ", 3))), "X86"),
        )
        .refused("error adding seccomp rule for syscall socket: file exists"),
        row("without that door", &[], allow(&two("socket", &arg(0, "EQ", 2), &arg(0, "EQ", 3)))),
        row(
            "a call of another ABI",
            &["conflicting-conditions", "foreign-syscall"],
            allow(&two("waitpid", &arg(0, "EQ", 5), &arg(0, "EQ", 5))),
        )
        .refused("error adding seccomp rule for syscall waitpid: file exists"),
        row("more than the kernel takes", &["filter-too-long"], allow(&many.join(", ")))
            .refused("error loading seccomp filter into kernel"),
    ])
}

#[test]
fn what_runc_passes_over_in_the_text_is_a_warning() -> Result<()> {
    let mkdir = acct("").replace("acct", r#"mkdir", "mkdirat"#);
    holds(&[
        row("an unknown call", &["unknown-syscall"], acct("").replace("acct", r#"acct", "mkdirr"#))
            .shows(MKDIR, "result 0"),
        row("another ABI's call", &["foreign-syscall"], acct("").replace("acct", r#"acct", "waitpid"#)),
        row("another machine's call", &["foreign-syscall"], acct("").replace("acct", r#"acct", "spu_run"#)),
        row("a key twice", &["duplicate-key"], mkdir.replacen('{', r#"{"defaultAction": "SCMP_ACT_NONSENSE", "#, 1))
            .shows(MKDIR, "not permitted\nresult 1"),
        row("a list twice", &["duplicate-key"], mkdir.replace(r#""names""#, r#""names": ["acct"], "names""#))
            .shows(MKDIR, "result 1"),
        row("a key in another case", &["field-case"], mkdir.replace("names", "NAMES")).shows(MKDIR, "result 1"),
        row("a key with a long s", &["field-case"], mkdir.replace("names", "name\u{17f}")).shows(MKDIR, "result 1"),
        row("a field of the top", &["unknown-field"], top(r#""syscals": []"#)),
        row("a field of a rule", &["unknown-field"], acct(r#", "arg": []"#)),
        row(
            "a field of a condition",
            &["unknown-field"],
            acct(r#", "args": [{"index": 0, "value": 1, "values": 2, "op": "SCMP_CMP_EQ"}]"#),
        ),
        row("a remark", &[], acct(r#", "_comment": "why""#)),
        row("docker's map", &["docker-only-field"], top(r#""archMap": 7"#)),
        row(
            "docker's condition",
            &["docker-only-field"],
            mkdir.replace(r#""names""#, r#""includes": {"caps": ["CAP_SYS_ADMIN"]}, "names""#),
        )
        .shows(MKDIR, "result 1"),
        row(
            "docker's name",
            &["docker-only-field", "empty-rule", "refuses-nothing"],
            mkdir.replace(r#""names": ["mkdir", "mkdirat"]"#, r#""name": "mkdir""#),
        )
        .shows(MKDIR, "result 0"),
        row("nothing", &["no-filter"], "{}").shows("grep Seccomp: /proc/self/status", "Seccomp:\t0"),
        row("null", &["no-filter"], "null").shows("grep Seccomp: /proc/self/status", "Seccomp:\t0"),
        row("architectures alone", &["no-filter"], r#"{"architectures": ["SCMP_ARCH_NONSENSE"]}"#)
            .shows("grep Seccomp: /proc/self/status", "Seccomp:\t0"),
        row(
            "a rule about nothing",
            &["empty-rule"],
            allow(r#"{"names": [], "action": "SCMP_ACT_ERRNO"}"#)
                .replace("}]", r#"}, {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]"#),
        ),
        row(
            "a wrong operator about nothing",
            &["empty-rule", "refuses-nothing", "unknown-operator"],
            allow(r#"{"names": [], "action": "SCMP_ACT_ERRNO", "args": [{"op": "EQ"}]}"#),
        ),
        row("nothing is refused", &["refuses-nothing"], r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#),
        row("a listener nobody asks", &["unused-listener"], top(r#""listenerPath": "/nonexistent""#)),
    ])
}

#[test]
fn what_runc_passes_over_in_the_rules_is_a_warning() -> Result<()> {
    let chmod = |args: &str| {
        allow(&format!(
            r#"{{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "args": [{args}]}}"#
        ))
    };
    let mkdir = |rules: &str| allow(&rules.replace("CALL", r#""names": ["mkdir", "mkdirat"]"#));
    let masked = |value: u64, two: u64| {
        format!(r#"{{"index": 1, "value": {value}, "valueTwo": {two}, "op": "SCMP_CMP_MASKED_EQ"}}"#)
    };
    let modes = "exec 2>&1; touch /tmp/f; chmod 600 /tmp/f; echo one $?; chmod 700 /tmp/f; echo two $?";
    let on_i386 = |profile: String| profile.replacen('{', r#"{"architectures": ["SCMP_ARCH_X86"],"#, 1);
    let clone = r#"{"names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 268435456, "valueTwo": 268435456, "op": "SCMP_CMP_MASKED_EQ"}]}"#;
    holds(&[
        row("two conditions on one argument", &["split-conditions"], chmod(&format!("{}, {}", arg(1, "EQ", 0o600), arg(1, "EQ", 0o700))))
            .shows(modes, "two 1"),
        row("bits outside of the mask", &["value-outside-mask"], chmod(&masked(0o777, 0o100_600))).shows(modes, "one 1"),
        row("a value nobody looks at", &["unused-value"], chmod(r#"{"index": 1, "value": 384, "valueTwo": 1, "op": "SCMP_CMP_EQ"}"#)).shows(modes, "one 1"),
        row("a mask without bits", &["always-matches"], chmod(&masked(0, 0))).shows(modes, "two 1"),
        row("never less than 0", &["never-matches"], chmod(&arg(1, "LT", 0))).shows(modes, "one 0"),
        row("never more than all", &["never-matches"], chmod(&arg(1, "GT", u64::MAX))).shows(modes, "one 0"),
        row("always at least 0", &["always-matches"], chmod(&arg(1, "GE", 0))).shows(modes, "one 1"),
        row("more than 32 bits", &["value-cut"], on_i386(chmod(&arg(1, "EQ", (1 << 32) + 0o600)))).shows(modes, "one 0"),
        row("an errno for what has none", &["errno-without-effect"], mkdir(r#"{CALL, "action": "SCMP_ACT_LOG", "errnoRet": 3}, {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}"#))
            .shows(MKDIR, "result 0"),
        row("an errno of more than 16 bits", &["errno-cut"], mkdir(r#"{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 65574}"#))
            .shows(MKDIR, "Function not implemented\nresult 1"),
        row("an errno of more than 32 bits", &["errno-cut"], mkdir(r#"{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 4294967334}"#))
            .shows(MKDIR, "Function not implemented\nresult 1"),
        row("an errno of 0", &["errno-zero"], mkdir(r#"{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 0}"#)).shows(MKDIR, "result 0\nrmdir: '/tmp/a': No such file or directory"),
        row("the default action", &["default-action-rule"], mkdir(r#"{"names": ["acct", "openat2"], "action": "SCMP_ACT_ERRNO"}, {CALL, "action": "SCMP_ACT_ALLOW"}"#)),
        row("the default action with a wrong errno and index", &["argument-index-ignored", "default-action-rule", "errno-without-effect"],
            mkdir(r#"{"names": ["openat2"], "action": "SCMP_ACT_ERRNO"}, {CALL, "action": "SCMP_ACT_ALLOW", "errnoRet": 5000, "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}"#)),
        row("an index of an unknown call", &["argument-index-ignored", "unknown-syscall"], allow(
            r#"{"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}, {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}"#,
        )),
        row("two actions", &["conflicting-actions"], mkdir(r#"{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}, {CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 13}"#))
            .shows(MKDIR, "Function not implemented\nresult 1"),
        row("conditions that come too late", &["shadowed-rule"], mkdir(&format!(r#"{{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}}, {{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": [{}]}}"#, arg(1, "EQ", 0o777))))
            .shows(MKDIR, "Function not implemented\nresult 1"),
        row("conditions that come too early", &["shadowed-rule"], mkdir(&format!(r#"{{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": [{}]}}, {{CALL, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}}"#, arg(1, "EQ", 0o777))))
            .shows(MKDIR, "Function not implemented\nresult 1"),
        row("a name twice", &[], mkdir(r#"{"names": ["mkdir", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}"#)).shows(MKDIR, "result 1"),
        row("clone3 with EPERM", &["clone3-errno"], allow(r#"{"names": ["clone3"], "action": "SCMP_ACT_ERRNO"}"#)),
        row("clone3 with ENOSYS", &[], allow(r#"{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}"#)),
        row("clone for some flags", &["clone3-bypass"], allow(clone)),

    ])
}

#[test]
fn the_default_profile_has_nothing_to_complain_of() -> Result<()> {
    holds(&[row("docker's default", &[], DOCKER_DEFAULT).shows(MKDIR, "result 0")])
}
