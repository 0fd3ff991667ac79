//! `auditor profile check`: what it finds of a text, within which bounds. That runc and Docker agree is proven by
//! `tests/tests/profile_check`.

use std::time::Duration;

use auditor::profile::ProfileError;
use auditor::profile::check::{Checked, Finding, Host, MAX_SHOWN, RuncVersion, Severity, check};
use auditor::profile::docker::{KernelVersion, Target};
use auditor::profile::oci::parse_seccomp;
use auditor::syscall::Abi;
use proptest::prelude::*;

use crate::parse::arbitrary_profile;
use crate::worked;

fn host() -> Host {
    let capabilities = auditor::profile::capability::DOCKER_DEFAULT.map(str::to_owned).to_vec();
    Host {
        target: Target { native: Abi::X86_64, kernel: KernelVersion(6, 1), capabilities, drops_oci_fields: false },
        runc: RuncVersion::NEWEST,
    }
}

fn found(text: &str) -> Vec<Finding> {
    check(text.as_bytes(), &host()).findings
}

fn ids(text: &str) -> Vec<&'static str> {
    found(text).into_iter().map(|finding| finding.id).collect()
}

fn rules(rules: &str) -> String {
    format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rules}]}}"#)
}

#[test]
fn findings_have_the_place_of_what_is_wrong() {
    let text = "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\",\n  \"syscalls\": [\n    {\"names\": [\"acct\", \"ünknown\"],\n     \
                \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 0}\n  ]\n}\n";
    let places: Vec<_> = found(text).iter().map(|finding| (finding.line, finding.column, finding.id)).collect();
    assert_eq!(places, [(4, 24, "unknown-syscall"), (5, 46, "errno-zero")]);
}

#[test]
fn a_word_that_is_nearly_right_is_guessed() {
    for (text, guess) in [
        (rules(r#"{"names": ["mkdri"], "action": "SCMP_ACT_ERRNO"}"#), "is mkdir meant"),
        (rules(r#"{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoret": 3, "arguments": []}"#), "write errnoRet"),
        (rules(r#"{"name": "acct", "action": "SCMP_ACT_ERRNO", "include": {}}"#), "is includes meant"),
        (
            rules(r#"{"name": "acct", "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["sys_admin"]}}"#),
            "is CAP_SYS_ADMIN meant",
        ),
    ] {
        let findings = found(&text);
        assert!(findings.iter().any(|finding| finding.message.contains(guess)), "{text}: {findings:?}");
    }
}

#[test]
fn newer_runcs_know_more() {
    let flags = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_X"]}"#;
    assert_eq!(ids(flags), ["newer-field", "flags", "unknown-flag"]);
    let old = Host { runc: RuncVersion(1, 1, 5), ..host() };
    let refused = check(flags.as_bytes(), &old).findings;
    assert!(refused.iter().any(|finding| finding.message.contains("seccomp flags are not yet supported by runc")));
    for (text, version) in [
        ("1.1.5+ds1", Some(RuncVersion(1, 1, 5))),
        ("1.2.0-rc.1", Some(RuncVersion(1, 2, 0))),
        ("1.3", Some(RuncVersion(1, 3, 0))),
        ("new", None),
    ] {
        assert_eq!(RuncVersion::parse(text), version, "{text}");
    }
}

#[test]
fn the_policy_is_there_unless_the_profile_is_refused() {
    let acct = r#"{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}"#;
    assert!(check(rules(acct).as_bytes(), &host()).policy.is_some());
    for text in ["", "{}", r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": 1}"#, r#"{"defaultAction": "X"}"#] {
        assert!(check(text.as_bytes(), &host()).policy.is_none(), "{text}");
    }
}

#[test]
fn hostile_files_end_in_a_short_answer_within_a_second() {
    // A tenth without optimisation, or the tests take minutes.
    let scale = if cfg!(debug_assertions) { 10 } else { 1 };
    let many = |one: &dyn Fn(usize) -> String, count: usize| (0..count / scale).map(one).collect::<Vec<_>>().join(",");
    let rule = |names: &str, args: &str| format!(r#"{{"names":[{names}],"action":"SCMP_ACT_ERRNO","args":[{args}]}}"#);
    let calls: Vec<_> = auditor::syscall::all(Abi::X86_64).map(|(_, name)| format!("\"{name}\"")).collect();
    let value = |at: usize| format!(r#"{{"value":{at},"op":"SCMP_CMP_EQ"}}"#);
    let wide = |at: usize| format!(r#"{{"value":{},"op":"SCMP_CMP_EQ"}}"#, (1 << 40) + at);
    let top = |more: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{more}}}"#);
    for (what, text, expected) in [
        ("rules", rules(&many(&|at| rule("\"acct\"", &value(at % 100)), 100_000)), None),
        ("rules that differ", rules(&many(&|at| rule("\"acct\"", &value(at)), 100_000)), Some("filter-too-long")),
        ("rules about nothing", rules(&many(&|_| rule("", ""), 150_000)), Some("empty-rule")),
        ("unknown names", rules(&rule(&many(&|at| format!("\"call{at}\""), 500_000), "")), Some("unknown-syscall")),
        ("known names", rules(&rule(&many(&|_| "\"acct\"".to_owned(), 900_000), "")), None),
        ("names and conditions", rules(&rule(&calls.join(","), &many(&value, 150_000))), Some("too-much")),
        ("one condition", rules(&rule(&calls.join(","), &many(&|_| value(0), 200_000))), Some("too-much")),
        (
            "unknown names and conditions",
            rules(&rule(&many(&|_| "\"x\"".to_owned(), 500_000), &many(&wide, 100_000))),
            Some("too-much"),
        ),
        ("fields", top(&many(&|at| format!("\"{at}\":1"), 500_000)), Some("unknown-field")),
        ("one field", top(&many(&|_| "\"flags\":[]".to_owned(), 500_000)), Some("duplicate-key")),
        (
            "machines",
            top(&format!(r#""archMap":[{}]"#, many(&|_| r#"{"architecture":"x"}"#.to_owned(), 300_000))),
            Some("archmap-twice"),
        ),
        (
            "architectures",
            top(&format!(r#""architectures":[{}]"#, many(&|_| "\"x\"".to_owned(), 1_000_000))),
            Some("unknown-architecture"),
        ),
        (
            "capabilities",
            rules(&format!(
                r#"{{"names":["acct"],"action":"SCMP_ACT_ERRNO","includes":{{"caps":[{}]}}}}"#,
                many(&|_| "\"x\"".to_owned(), 1_000_000)
            )),
            Some("unknown-capability"),
        ),
        (
            "contradictions",
            rules(&format!(
                r#"{{"names":["acct"],"action":"SCMP_ACT_ERRNO","includes":{{"caps":[{}]}},"excludes":{{"caps":[{}]}}}}"#,
                many(&|at| format!("\"{at}\""), 200_000),
                many(&|at| format!("\"x{at}\""), 200_000)
            )),
            Some("unknown-capability"),
        ),
        ("depth", "[".repeat(10 << 20), Some("json-syntax")),
        ("depth of objects", top(&format!("\"x\":{}", r#"{"x":"#.repeat(1_000_000))), Some("json-syntax")),
        ("numbers", top(&format!("\"x\":[{}]", many(&|_| "0".to_owned(), 4_000_000))), Some("unknown-field")),
        (
            "a word",
            top(&format!("\"syscalls\":[{{\"names\":[\"{}\"],\"action\":\"SCMP_ACT_ERRNO\"}}]", "a".repeat(7 << 20))),
            Some("unknown-syscall"),
        ),
        ("an action", format!(r#"{{"defaultAction":"{}"}}"#, "A".repeat(7 << 20)), Some("unknown-action")),
        ("a digit", top(&format!("\"defaultErrnoRet\":{}", "1".repeat(7 << 20))), Some("json-type")),
        ("size", " ".repeat((10 << 20) + 1), Some("too-large")),
    ] {
        let start = worked();
        let Checked { findings, .. } = check(text.as_bytes(), &host());
        // A second of a processor is what the released program may take; without optimisation it takes more.
        let bound = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
        assert!(worked() - start < bound, "{what}: {:?}", worked() - start);
        assert!(findings.len() <= 3 * (MAX_SHOWN + 1), "{what}: {}", findings.len());
        let longest = findings.iter().map(|finding| finding.message.len()).max().unwrap_or(0);
        assert!(longest < 1_000, "{what}: {longest}");
        if let Some(expected) = expected {
            assert!(findings.iter().any(|finding| finding.id == expected), "{what}: {:?}", findings.first());
        }
    }
}

/// Ids of what is found beyond what makes a filter: a start that fails, a supervisor that is not there.
const BEYOND: [&str; 2] = ["cannot-start", "no-listener"];

proptest! {
    #[test]
    fn what_the_parser_refuses_is_an_error_and_nothing_else_is(profile in arbitrary_profile()) {
        let text = profile.render_oci().replacen('{', r#"{"ociVersion": "1.0.2", "linux": {"seccomp": {"#, 1) + "}}";
        let errors: Vec<_> = check(text.as_bytes(), &host()).findings.into_iter()
            .filter(|finding| finding.severity == Severity::Error && !BEYOND.contains(&finding.id))
            .map(|finding| finding.message)
            .collect();
        let refused = matches!(parse_seccomp(profile.render_oci().as_bytes()), Err(ProfileError::Refused { .. }));
        prop_assert_eq!(refused, !errors.is_empty(), "{:?}", errors);
    }

    #[test]
    fn no_bytes_make_the_check_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes, &host());
    }

    #[test]
    fn no_broken_profile_makes_the_check_panic(cut in 0..4_000_usize, at in 0..4_000_usize, byte in any::<u8>()) {
        let mut text = include_bytes!("../data/check/everything.json").to_vec();
        let at = at % text.len();
        text[at] = byte;
        let _ = check(&text, &host());
        text.truncate(cut);
        let _ = check(&text, &host());
    }
}
