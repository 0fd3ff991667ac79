//! Reading profiles: both formats, and what is none.

use std::time::Duration;

use auditor::profile::docker::{KernelVersion, Target, parse_docker, parse_file};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Action, Arch, ArgCondition, HostArch, Operator, Profile, ProfileError, Rule};
use auditor::syscall::Abi;
use proptest::prelude::*;

use crate::{profile, worked};

fn error(json: &str) -> String {
    parse_seccomp(json.as_bytes()).map(|profile| format!("{profile:?}")).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (json, expected) in [
        ("not json", "not readable as JSON"),
        ("[]", "top level: expected an object"),
        (r#"{"defaultAction": 1}"#, "defaultAction: expected a string"),
        (r#"{"defaultAction": "ALLOW"}"#, r#"defaultAction: unknown action "ALLOW""#),
        (r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#, r#"defaultAction: unknown action """#),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "defaultAction: SCMP_ACT_NOTIFY cannot be the default"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}"#, "defaultErrnoRet: an errno is below 4095"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}"#, "defaultErrnoRet: expected a whole number"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4294967296}"#, "defaultErrnoRet: expected an errno"),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["X86"]}"#,
            r#"architectures[0]: unknown architecture "X86""#,
        ),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": {}}"#, "syscalls: expected a list"),
    ] {
        let error = error(json);
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn what_is_wrong_in_a_rule_is_said_with_its_place() {
    for (rule, expected) in [
        (r#""read""#, "syscalls[0]: expected an object"),
        (r#"{"names": "read", "action": "SCMP_ACT_ALLOW"}"#, "syscalls[0].names: expected a list"),
        (r#"{"names": [1], "action": "SCMP_ACT_ALLOW"}"#, "syscalls[0].names[0]: expected a string"),
        (r#"{"names": [""], "action": "SCMP_ACT_ALLOW"}"#, "syscalls[0].names: an empty name"),
        (r#"{"names": ["read"]}"#, r#"syscalls[0].action: unknown action """#),
        (r#"{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY cannot be used for write"),
        (r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}"#, "an errno is below 4095"),
        (r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}"#, "0 to 5"),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": -1, "op": "SCMP_CMP_EQ"}]}"#,
            "args[0].index",
        ),
        (r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "EQ"}]}"#, "unknown operator"),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"value": 1.5, "op": "SCMP_CMP_EQ"}]}"#,
            "args[0].value",
        ),
    ] {
        let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{rule}]}}"#);
        let error = error(&json);
        assert!(error.contains(expected), "{rule}: {error}");
    }
}

/// Tried with runc 1.1.5 and libseccomp 2.5.4: "error adding seccomp rule: file exists", or a container that starts.
#[test]
fn rules_that_contradict_each_other_are_refused_where_libseccomp_refuses_them() {
    let rule = |action: &str, args: &[(u32, &str, u64)]| {
        let args: Vec<_> = args
            .iter()
            .map(|(index, op, value)| format!(r#"{{"index": {index}, "op": "SCMP_CMP_{op}", "value": {value}}}"#))
            .collect();
        format!(r#"{{"names": ["acct"], "action": "SCMP_ACT_{action}", "errnoRet": 7, "args": [{}]}}"#, args.join(","))
    };
    let equal = &[(0, "EQ", 5)][..];
    let longer = &[(0, "EQ", 5), (1, "EQ", 1)][..];
    for (first, second, refused) in [
        (rule("ALLOW", equal), rule("ERRNO", equal), true),
        (rule("ALLOW", equal), rule("ALLOW", equal), false),
        (rule("ALLOW", equal), rule("ERRNO", &[(0, "NE", 5)]), false),
        (rule("ALLOW", &[(0, "GE", 5)]), rule("ERRNO", &[(0, "GT", 5)]), false),
        (rule("ALLOW", equal), rule("ERRNO", longer), false),
        (rule("ALLOW", longer), rule("ERRNO", equal), true),
        (rule("ALLOW", longer), rule("ALLOW", equal), false),
        (rule("ALLOW", &[]), rule("ERRNO", &[]), false),
        (rule("ALLOW", equal), rule("ERRNO", &[]), false),
    ] {
        let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{first}, {second}]}}"#);
        assert_eq!(parse_seccomp(json.as_bytes()).is_err(), refused, "{json}");
    }
}

#[test]
fn an_empty_object_is_no_filter() {
    for json in ["{}", "null", r#"{"defaultAction": "", "syscalls": []}"#] {
        assert_eq!(parse_seccomp(json.as_bytes()), Err(ProfileError::NoFilter), "{json}");
    }
}

#[test]
fn keys_match_whatever_their_case_and_null_is_absent() {
    let odd = r#"{"DEFAULTACTION": "SCMP_ACT_ERRNO", "architectures": null, "x": 1,
        "Syscalls": [{"Names": ["read"], "ACTION": "SCMP_ACT_ALLOW", "args": null, "errnoRet": null}]}"#;
    let plain = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;
    assert_eq!(profile(odd), profile(plain));
}

#[test]
fn an_index_beyond_5_is_passed_over_where_the_rule_is() {
    for rule in [
        r#"{"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}"#,
        r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}"#,
    ] {
        profile(&format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{rule}]}}"#));
    }
}

#[test]
fn hostile_input_ends_in_an_answer_within_a_second() {
    let document = |rule: &dyn Fn(usize) -> String, rules| {
        let rules: Vec<_> = (0..rules).map(rule).collect();
        format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{}]}}"#, rules.join(","))
    };
    let plain = |at: usize| format!(r#"{{"names":["{}"],"action":"SCMP_ACT_ALLOW"}}"#, ["read", "mkdir"][at % 2]);
    let conditional = |at: usize| {
        let args = format!(r#"[{{"value":{at},"op":"SCMP_CMP_EQ"}}]"#);
        format!(r#"{{"names":["mkdir"],"action":"SCMP_ACT_ALLOW","args":{args}}}"#)
    };
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let deep_rule =
        format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","x":{}1{}}}"#, r#"{"x":"#.repeat(200_000), "}".repeat(200_000));
    let word = format!(r#"{{"defaultAction":"{}"}}"#, "A".repeat(7 << 20));
    for (what, json) in [
        ("rules", document(&plain, 100_000)),
        ("conditions", document(&conditional, 80_000)),
        ("size", document(&conditional, 200_000)),
        ("depth", deep),
        ("depth of objects", deep_rule),
        ("word", word),
    ] {
        let start = worked();
        match parse_seccomp(json.as_bytes()) {
            Ok(profile) => {
                let _ = profile.evaluate(HostArch::NATIVE).native_summary();
            }
            Err(error) => assert!(error.to_string().len() < 300, "{what}: {error}"),
        }
        // A second of a processor is what the released program may take; without optimisation it takes more.
        let bound = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
        assert!(worked() - start < bound, "{what}: {:?}", worked() - start);
    }
}

fn target(capabilities: &[&str]) -> Target {
    Target {
        native: Abi::X86_64,
        kernel: KernelVersion(6, 18),
        capabilities: capabilities.iter().map(|cap| (*cap).to_owned()).collect(),
        drops_oci_fields: true,
    }
}

/// Every kind of condition that the engine resolves, in Docker's own format.
const DOCKER: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 2,
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
    ],
    "syscalls": [
        {"name": "read", "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.19"}},
        {"names": ["past"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "4.8"}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["arm_sync_file_range"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "arm64"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["both"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}
    ]
}"#;

fn resolved(target: &Target) -> Vec<String> {
    let profile = parse_docker(DOCKER.as_bytes()).unwrap().resolve(target).unwrap();
    profile.rules.into_iter().flat_map(|rule| rule.names).collect()
}

#[test]
fn rules_are_taken_by_capability_kernel_and_architecture() {
    assert_eq!(resolved(&target(&[])), ["read", "ptrace", "arch_prctl", "clone3"]);
    assert_eq!(resolved(&target(&["CAP_SYS_ADMIN"])), ["read", "ptrace", "arch_prctl", "mount"]);
    assert_eq!(resolved(&target(&["CAP_SYS_ADMIN", "CAP_BPF"])), ["read", "ptrace", "arch_prctl", "mount", "both"]);
    let arm = Target { native: Abi::Aarch64, kernel: KernelVersion(4, 7), ..target(&[]) };
    assert_eq!(resolved(&arm), ["read", "past", "arm_sync_file_range", "clone3"]);
}

#[test]
fn architectures_come_from_the_map_and_old_engines_drop_the_default_errno() {
    let docker = parse_docker(DOCKER.as_bytes()).unwrap();
    let old = docker.resolve(&target(&[])).unwrap();
    assert_eq!(old.architectures, [Arch::X86_64, Arch::X86, Arch::X32]);
    assert_eq!(old.default_errno, None);
    let new = docker.resolve(&Target { drops_oci_fields: false, ..target(&[]) }).unwrap();
    assert_eq!(new.default_errno, Some(2));
}

#[test]
fn name_and_names_or_two_kinds_of_architectures_are_refused() {
    for (json, expected) in [
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}"#,
            "either name or names",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]}"#,
            "either architectures or archMap",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4"}}]}"#,
            "includes.minKernel: expected a version",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "0.0"}}]}"#,
            "includes.minKernel: expected a version",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.300"}}]}"#,
            "includes.minKernel: expected a version",
        ),
    ] {
        let error = parse_docker(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn a_kernel_release_is_read_up_to_its_second_number() {
    for (release, expected) in [
        ("6.18.44-fc", Some(KernelVersion(6, 18))),
        ("3.12-1-amd64", Some(KernelVersion(3, 12))),
        ("6.1", Some(KernelVersion(6, 1))),
        ("linux", None),
        ("6.x", None),
    ] {
        assert_eq!(KernelVersion::parse_release(release), expected, "{release}");
    }
}

pub fn arbitrary_profile() -> impl Strategy<Value = Profile> {
    let action = || proptest::sample::select(Action::ALL.to_vec());
    let name = || proptest::sample::select(vec!["read", "mkdir", "clone3", "no_such_call", "socket", "rt_sigaction"]);
    let condition = (0..6u32, any::<u64>(), any::<u64>(), proptest::sample::select(Operator::ALL.to_vec()))
        .prop_map(|(index, value, value_two, operator)| ArgCondition { index, value, value_two, operator });
    let rule = (
        proptest::collection::vec(name().prop_map(str::to_owned), 1..4),
        action(),
        proptest::option::of(0..4095u32),
        proptest::collection::vec(condition, 0..3),
    )
        .prop_map(|(names, action, errno, args)| Rule { names, action, errno, args });
    let arches = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Loongarch64];
    (
        action().prop_filter("not as a default", |action| *action != Action::Notify),
        proptest::option::of(0..4095u32),
        proptest::sample::subsequence(arches.to_vec(), 0..5),
        proptest::option::of(Just(vec!["SECCOMP_FILTER_FLAG_LOG".to_owned()])),
        proptest::option::of(".+"),
        proptest::collection::vec(rule, 0..6),
    )
        .prop_map(|(default_action, default_errno, architectures, flags, listener_path, rules)| Profile {
            default_action,
            default_errno,
            architectures,
            flags,
            listener_path,
            listener_metadata: None,
            rules,
        })
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_back(profile in arbitrary_profile()) {
        let oci = profile.render_oci();
        // Some contradict themselves, most often where i386 has one door for two calls.
        prop_assume!(!matches!(parse_seccomp(oci.as_bytes()), Err(ProfileError::Refused { .. })));
        prop_assert_eq!(parse_seccomp(oci.as_bytes()).unwrap(), profile.clone());
        let again = parse_docker(profile.render_docker().as_bytes()).unwrap();
        let target = Target { drops_oci_fields: false, ..target(&[]) };
        prop_assert_eq!(again.resolve(&target).unwrap(), profile.clone());
        prop_assert_eq!(profile.render_oci(), oci);
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_seccomp(&bytes);
        let _ = parse_docker(&bytes);
    }
}

#[test]
fn in_a_whole_configuration_what_is_the_engines_alone_is_passed_over() {
    let plain = r#""defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"]"#;
    let rule = r#""names": ["mount"], "action": "SCMP_ACT_ALLOW""#;
    let text = format!(
        r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {{{plain}, "archMap": [1], "syscalls": [
            {{{rule}, "name": "umount2", "includes": {{"caps": ["CAP_SYS_ADMIN"]}}, "excludes": 1, "comment": 2}}]}}}}}}"#
    );
    let expected = parse_seccomp(format!(r#"{{{plain}, "syscalls": [{{{rule}}}]}}"#).as_bytes()).unwrap();
    assert_eq!(parse_file(text.as_bytes()).unwrap().resolve(&target(&[])).unwrap(), expected);
    // Without the version it is a profile with a field that nobody reads.
    let text = format!(r#"{{{plain}, "linux": {{}}, "syscalls": [{{{rule}}}]}}"#);
    assert_eq!(parse_file(text.as_bytes()).unwrap().resolve(&target(&[])).unwrap(), expected);
    let empty = parse_file(br#"{"ociVersion": "1.0.2", "linux": {}}"#).unwrap_err();
    assert_eq!(empty, ProfileError::NoFilter);
}

#[test]
fn keys_that_differ_in_case_alone_are_refused_and_equal_ones_overwrite() {
    let text = |one: &str, two: &str| format!(r#"{{"{one}": "SCMP_ACT_ALLOW", "{two}": "SCMP_ACT_ERRNO"}}"#);
    let expected = "seccomp profile: defaultAction: expected one key, and there are several that differ in case alone; \
                    keep one";
    assert_eq!(error(&text("DefaultAction", "defaultAction")), expected);
    assert_eq!(error(&text("defaultAction", "defaultaction")), expected);
    let last = parse_seccomp(text("defaultAction", "defaultAction").as_bytes()).unwrap();
    assert_eq!(last.default_action, Action::Errno);
    let folded = parse_seccomp("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"flag\u{17f}\": []}".as_bytes()).unwrap();
    assert_eq!(folded.flags, Some(Vec::new()));
}
