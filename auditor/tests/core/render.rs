//! Profiles in the formats of others, read back as their readers do.

use std::collections::BTreeMap;

use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Action, Format, HostArch, Profile, RenderError, Rendered, Verdict, object_name};
use auditor::syscall::{self, Abi};
use proptest::prelude::*;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Value, json};

use crate::suggest::any_profile;
use crate::{assert_recorded, profile};

const HOST: HostArch = HostArch::of(Abi::X86_64);

/// A bit of everything that formats differ in.
const MIXED: &str = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
    {"names": ["read", "write", "mmap", "execve", "socketcall", "no"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["mkdir", "rmdir"], "action": "SCMP_ACT_LOG"},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["acct"], "action": "SCMP_ACT_TRAP"}]}"#;

fn rendered(profile: &Profile, format: Format) -> Rendered {
    profile.render(format, "shop-web", HOST).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_formats_are_as_recorded() {
    let profile = profile(MIXED);
    for (format, name) in [
        (Format::Docker, "format-docker.json"),
        (Format::Oci, "format-oci.json"),
        (Format::Operator, "format-spo.yaml"),
        (Format::Systemd, "format-systemd.conf"),
    ] {
        let Rendered { text, notes } = rendered(&profile, format);
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
        // Notes are for stderr; the file has both, so that a change of either shows.
        let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
        assert_recorded(name, &format!("{text}--\n{notes}"));
    }
}

#[test]
fn what_a_format_has_no_word_for_is_said() {
    let wide = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let error = wide.render(Format::Operator, "web", HOST).unwrap_err();
    assert_eq!(
        error.to_string(),
        "writing the profile as spo: there is no way to say the number 0xffffffffffffffff in a condition on ptrace; use \
         --format docker or oci"
    );
    for name in ["", "Web", "a_b", "-a", "a-", "a..b", "a/b", &"a".repeat(254)] {
        let error = profile(MIXED).render(Format::Operator, name, HOST).unwrap_err();
        assert!(matches!(error, RenderError::Name { .. }), "{name}");
    }
}

#[test]
fn any_name_becomes_one_that_an_object_can_have() {
    for (name, expected) in [
        ("shop/web", "shop-web"),
        ("Nginx_1.25", "nginx-1-25"),
        ("--", "suggested"),
        ("", "suggested"),
        ("\u{1b}[31mred\u{1b}", "31mred"),
        ("sha256:abc", "sha256-abc"),
    ] {
        assert_eq!(object_name(name), expected, "{name:?}");
        assert!(profile(MIXED).render(Format::Operator, &object_name(name), HOST).is_ok(), "{name:?}");
    }
    assert!(profile(MIXED).render(Format::Operator, &object_name(&"long ".repeat(100)), HOST).is_ok());
}

/// YAML as Kubernetes takes it: by way of JSON.
fn yaml(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(documents.len(), 1);
    as_json(&documents[0])
}

fn as_json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Sequence(items) => items.iter().map(as_json).collect(),
        Yaml::Mapping(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (as_json(key).as_str().unwrap_or_default().to_owned(), as_json(value)));
            Value::Object(fields.collect())
        }
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        other => panic!("neither text nor number: {other:?}"),
    }
}

/// What the operator's definition says of a field: `deploy/base-crds/crds/seccompprofile.yaml` of version 1.0, `v1beta1`.
/// There is no cluster to ask.
fn check_spec(spec: &Value) {
    let word =
        |value: &Value, start: &str| assert!(value.as_str().is_some_and(|word| word.starts_with(start)), "{value}");
    let whole = |value: &Value, most: i64| {
        assert!(value.as_i64().is_some_and(|number| (0..=most).contains(&number)), "{value}");
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_else(|| panic!("no list: {value}"));
    let distinct = |value: &Value| {
        let all = items(value);
        let mut texts: Vec<String> = all.iter().map(Value::to_string).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all.len(), "{value}");
    };
    for (field, value) in spec.as_object().unwrap() {
        match field.as_str() {
            "defaultAction" => word(value, "SCMP_ACT_"),
            "architectures" => {
                distinct(value);
                items(value).iter().for_each(|arch| word(arch, "SCMP_ARCH_"));
            }
            "flags" => {
                distinct(value);
                items(value).iter().for_each(|flag| word(flag, "SECCOMP_FILTER_FLAG_"));
            }
            "listenerPath" | "listenerMetadata" => assert!(value.is_string()),
            "syscalls" => {
                for (field, value) in items(value).iter().flat_map(|rule| rule.as_object().unwrap().clone()) {
                    match field.as_str() {
                        "action" => word(&value, "SCMP_ACT_"),
                        "errnoRet" => whole(&value, i64::from(i32::MAX)),
                        "names" => {
                            distinct(&value);
                            assert!(!items(&value).is_empty() && items(&value).iter().all(Value::is_string));
                        }
                        "args" => {
                            assert!(items(&value).len() <= 6);
                            for (field, value) in items(&value).iter().flat_map(|arg| arg.as_object().unwrap().clone())
                            {
                                match field.as_str() {
                                    "index" => whole(&value, 5),
                                    "op" => word(&value, "SCMP_CMP_"),
                                    "value" | "valueTwo" => whole(&value, i64::MAX),
                                    other => panic!("{other}"),
                                }
                            }
                        }
                        other => panic!("{other}"),
                    }
                }
            }
            other => panic!("{other}"),
        }
    }
    assert!(spec.get("defaultAction").is_some());
}

/// What systemd makes of settings: `config_parse_syscall_filter` and `seccomp_parse_syscall_filter`.
struct Unit {
    allow_list: bool,
    /// Names in the list; with an errno, or `None` for a kill, where one was given.
    filter: BTreeMap<String, Option<String>>,
    settings: BTreeMap<String, String>,
}

impl Unit {
    fn read(text: &str) -> Self {
        let mut unit = Self { allow_list: false, filter: BTreeMap::new(), settings: BTreeMap::new() };
        let mut first = true;
        assert_eq!(text.lines().next(), Some("[Service]"));
        for line in text.lines().skip(1) {
            let (setting, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            if setting != "SystemCallFilter" {
                let known = unit.settings.entry(setting.to_owned()).or_default();
                known.push_str(value);
                known.push(' ');
                continue;
            }
            let inverted = value.starts_with('~');
            if std::mem::take(&mut first) {
                unit.allow_list = !inverted;
            }
            for word in value.trim_start_matches('~').split_whitespace() {
                let (name, errno) =
                    word.split_once(':').map_or((word, None), |(name, errno)| (name, Some(errno.to_owned())));
                assert!(inverted || errno.is_none(), "{line}");
                if inverted != unit.allow_list || errno.is_some() {
                    unit.filter.insert(name.to_owned(), errno);
                } else {
                    unit.filter.remove(name);
                }
            }
        }
        unit
    }

    fn lets_through(&self, name: &str) -> bool {
        match self.filter.get(name) {
            Some(None) => self.allow_list,
            Some(Some(_)) => false,
            None => !self.allow_list,
        }
    }
}

#[test]
fn the_unit_logs_and_answers_as_the_profile_does() {
    let unit = Unit::read(&rendered(&profile(MIXED), Format::Systemd).text);
    assert!(unit.allow_list && unit.lets_through("clone") && unit.lets_through("socketcall"));
    assert_eq!(unit.filter["clone3"].as_deref(), Some("ENOSYS"));
    assert_eq!(unit.filter["acct"].as_deref(), Some("kill"));
    assert_eq!(unit.settings["SystemCallErrorNumber"], "EACCES ");
    assert_eq!(unit.settings["SystemCallLog"], "mkdir rmdir ");
    assert_eq!(unit.settings["SystemCallArchitectures"], "native x86 ");
    let open = profile(
        r#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]}"#,
    );
    let unit = Unit::read(&rendered(&open, Format::Systemd).text);
    assert!(!unit.allow_list && unit.lets_through("mkdir") && !unit.lets_through("acct"));
    assert_eq!(unit.filter["acct"].as_deref(), Some("77"));
    assert_eq!(unit.settings["SystemCallLog"], "~read ");
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn the_unit_lets_through_what_the_profile_does_for_any_arguments(profile in any_profile()) {
        let unit = Unit::read(&rendered(&profile, Format::Systemd).text);
        let policy = profile.evaluate(HOST);
        let names = policy.abis().flat_map(|abi| syscall::all(abi).map(move |(nr, name)| (abi, nr, name)));
        let mut passes: BTreeMap<&str, bool> = BTreeMap::new();
        for (abi, nr, name) in names {
            *passes.entry(name).or_default() |= !matches!(policy.verdict(abi, nr), Verdict::Denied(_));
        }
        for (name, passes) in passes {
            prop_assert_eq!(unit.lets_through(name), passes, "{}", name);
        }
    }

    #[test]
    fn the_operator_reads_the_same_profile(profile in any_profile()) {
        let Rendered { text, notes } = rendered(&profile, Format::Operator);
        let object = yaml(&text);
        prop_assert_eq!(&object["apiVersion"], "security-profiles-operator.x-k8s.io/v1beta1");
        prop_assert_eq!(&object["kind"], "SeccompProfile");
        prop_assert_eq!(&object["metadata"], &json!({"name": "shop-web"}));
        check_spec(&object["spec"]);
        // Errnos that it has no way to say are EPERM there, and told.
        let mut expected = profile.clone();
        let told = expected.default_errno.is_some_and(|errno| errno != 1) || expected.rules.iter().any(|rule| rule.errno == Some(0));
        expected.default_errno = None;
        for rule in &mut expected.rules {
            let has_errno = matches!(rule.action, Action::Errno | Action::Trace);
            rule.errno = rule.errno.filter(|errno| has_errno && *errno != 0);
        }
        if let Ok(expected) = parse_seccomp(expected.render_oci().as_bytes()) {
            let read = parse_seccomp(object["spec"].to_string().as_bytes()).unwrap();
            prop_assert_eq!(read.evaluate(HOST), expected.evaluate(HOST));
        }
        prop_assert!(told || notes.is_empty(), "{:?}", notes);
    }

    #[test]
    fn docker_and_runc_read_the_same_profile(profile in any_profile()) {
        for format in [Format::Docker, Format::Oci] {
            let Rendered { text, notes } = rendered(&profile, format);
            prop_assert!(notes.is_empty());
            if let Ok(read) = parse_seccomp(text.as_bytes()) {
                prop_assert_eq!(read.evaluate(HOST), profile.evaluate(HOST));
            }
        }
    }
}
