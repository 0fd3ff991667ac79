//! `auditor profile explain`, `diff`, `merge` and `prove` as people and scripts see them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Runs a verb in the folder of the test data, so that names in outputs are short.
fn run(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditor"));
    command.arg("profile").args(arguments).current_dir(data("profiles"));
    for variable in ["AUDITOR_LOG", "COLUMNS", "NO_COLOR"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The same for a machine that is the same everywhere.
fn run_for(arguments: &[&str]) -> Ran {
    run(&[arguments, &["--kernel", "6.1", "--arch", "amd64"]].concat())
}

/// Asserts that the output is what `golden/NAME` holds; `AUDITOR_RECORD=1` writes it anew.
fn assert_recorded(name: &str, output: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("AUDITOR_RECORD").is_some() {
        std::fs::write(&path, output).unwrap();
    }
    assert_eq!(output, std::fs::read_to_string(&path).unwrap_or_default(), "{name} differs from what is recorded");
}

const DOCKER: &str = "docker-format.json";

#[test]
fn explain_says_what_happens_and_which_rule_decides() {
    let names = ["clone", "clone3", "mount", "ptrace", "socket", "socketcall", "personality", "mkdir", "cachestat"];
    let ran = run_for(&[&["explain", DOCKER][..], &names].concat());
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "for x86_64 with Linux 6.1, runc, and Docker's default capabilities\n")
    );
    assert_recorded("explain.txt", &ran.stdout);
    let json = run_for(&[&["explain", DOCKER, "-o", "json"][..], &names[..3]].concat());
    assert_recorded("explain.json", &json.stdout);
}

#[test]
fn explain_is_for_the_capabilities_that_are_named() {
    let ran = run_for(&["explain", DOCKER, "clone", "mount", "--cap", "sys_admin"]);
    assert_eq!(ran.stderr, "for x86_64 with Linux 6.1, runc, and Docker's default capabilities and CAP_SYS_ADMIN\n");
    assert_recorded("explain-sys-admin.txt", &ran.stdout);
    let old = run(&["explain", DOCKER, "ptrace", "--kernel", "4.4", "--arch", "amd64"]);
    assert!(old.stdout.contains("would say SCMP_ACT_ALLOW, always: needs a kernel of 4.8 or later"), "{}", old.stdout);
    let arm = run(&["explain", DOCKER, "set_tls", "--kernel", "6.1", "--arch", "arm64"]);
    assert!(arm.stdout.starts_with("set_tls (arm, 983045): allowed, by rule 8 (line 24)\n"), "{}", arm.stdout);
}

#[test]
fn explain_without_a_name_lists_every_call_of_the_profile() {
    let ran = run_for(&["explain", DOCKER]);
    assert_recorded("explain-all.txt", &ran.stdout);
    let json: serde_json::Value = serde_json::from_str(&run_for(&["explain", DOCKER, "-o", "json"]).stdout).unwrap();
    let calls = ["x86_64", "i386", "x32"].map(|abi| abi.parse().unwrap()).map(|abi| auditor::syscall::all(abi).count());
    assert_eq!(json.as_array().unwrap().len(), calls.into_iter().sum::<usize>());
}

#[test]
fn what_is_no_call_or_no_profile_is_one_line_and_exit_code_2() {
    for (arguments, words) in [
        (&["explain", DOCKER, "opnat"][..], "auditor: no system call is called \"opnat\"; did you mean openat?\n"),
        (&["explain", DOCKER, "frobnicate\n"], "auditor: no system call is called \"frobnicate\\n\"\n"),
        (&["explain", DOCKER, ""], "auditor: no system call is called \"\"\n"),
        (&["diff", "-", "-"], "auditor: reading stdin: - is named more than once"),
        (&["check", "-", DOCKER, "-"], "auditor: reading stdin: - is named more than once"),
        (&["merge", "-", "-"], "auditor: reading stdin: - is named more than once"),
        (&["explain", "nothing.json", "read"], "auditor: reading nothing.json: "),
        (&["explain", "../filters/conditions.bpf", "read"], "not readable as JSON"),
        (&["explain", DOCKER, "--arch", "vax"], "auditor: --arch vax: unknown architecture; say amd64 or arm64\n"),
        (&["explain", DOCKER, "--cap", "SYS_ADMN"], "no such capability"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn diff_names_every_call_that_differs_with_an_example() {
    let ran = run_for(&["diff", DOCKER, "other.json"]);
    let stderr = "A is docker-format.json, B is other.json, \
                  for x86_64 with Linux 6.1, runc, and Docker's default capabilities\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (1, stderr));
    assert_recorded("diff.txt", &ran.stdout);
    assert_recorded("diff.json", &run_for(&["diff", DOCKER, "other.json", "-o", "json"]).stdout);
}

#[test]
fn diff_of_what_does_the_same_is_empty_and_exit_code_0() {
    // `< 9` is `<= 8`, and rules are in another order.
    let ran = run_for(&["diff", "same-a.json", "same-b.json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(run_for(&["diff", DOCKER, DOCKER]).code, 0);
    assert_eq!(run_for(&["diff", DOCKER, DOCKER, "-o", "json"]).stdout, "[]\n");
}

#[test]
fn widened_is_for_pipelines_that_only_refuse_wider_profiles() {
    assert_eq!(run_for(&["diff", "same-a.json", "narrow.json"]).code, 1);
    let narrower = run_for(&["diff", "same-a.json", "narrow.json", "--widened"]);
    assert_eq!((narrower.code, narrower.stdout.as_str()), (0, ""));
    let wider = run_for(&["diff", "narrow.json", "same-a.json", "--widened"]);
    assert_eq!(wider.code, 1);
    assert_recorded("diff-widened.txt", &wider.stdout);
}

#[test]
fn merge_writes_the_union_alone_to_stdout_whatever_the_order() {
    let ran = run_for(&["merge", "other.json", "same-a.json", "narrow.json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_recorded("merge.json", &ran.stdout);
    assert_recorded("merge-notes.txt", &ran.stderr);
    let again = run_for(&["merge", "narrow.json", "other.json", "same-a.json", "other.json"]);
    assert_eq!(again.stdout, ran.stdout);
    // Every input is within it, and the engine takes it.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("merged.json");
    std::fs::write(&file, &ran.stdout).unwrap();
    let merged = file.to_str().unwrap();
    for input in ["other.json", "same-a.json", "narrow.json"] {
        let wider = run_for(&["diff", "--widened", merged, input]);
        assert_eq!((wider.code, wider.stdout.as_str()), (0, ""), "{input}");
    }
}

#[test]
fn merge_of_one_profile_does_what_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("merged.json");
    // socket comes through socketcall's door on i386, and does not move the stub there.
    let sockets = ["", r#", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]"#].map(|args| {
        let file = directory.path().join(format!("socket{}.json", args.len()));
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
                {{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}},
                {{"names": ["socket"], "action": "SCMP_ACT_ALLOW"{args}}}]}}"#
        );
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let inputs = [DOCKER, "other.json", "narrow.json", "../docker-default-20.10-oci.json", "../filters/actions.json"]
        .into_iter();
    for input in inputs.chain(sockets.iter().map(String::as_str)) {
        let ran = run_for(&["merge", input]);
        assert_eq!(ran.code, 0, "{input}: {}", ran.stderr);
        std::fs::write(&file, &ran.stdout).unwrap();
        let same = run_for(&["diff", input, file.to_str().unwrap()]);
        assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{input}");
    }
}

#[test]
fn merge_refuses_what_has_no_rules_unless_wider_is_asked_for() {
    let ran = run_for(&["merge", DOCKER, "same-a.json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    let words = "auditor: merge: no rules let through for ioctl, statx what one of the profiles does and nothing more, \
                 since their architectures differ and a rule is for all of them; --widen lets these calls through for \
                 all arguments and ABIs\n";
    assert_eq!(ran.stderr, words);
    let ran = run_for(&["merge", DOCKER, "same-a.json", "--widen"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("wider than the profiles, as was asked for: ioctl, statx\n"), "{}", ran.stderr);
}

/// Writes a profile with these rules.
fn with_rules(directory: &Path, name: &str, rules: impl Iterator<Item = String>) -> String {
    let file = directory.join(name);
    let rules = rules.collect::<Vec<_>>().join(",");
    std::fs::write(&file, format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rules}]}}"#)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_hundred_thousand_rules_or_names_come_to_an_end() {
    // Work that grew with the square of these numbers would take hours.
    const MANY: usize = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let rule = |names: &str| format!(r#"{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}"#);
    let calls: Vec<_> = auditor::syscall::all(auditor::syscall::Abi::X86_64).map(|(_, name)| name).collect();
    let unknown = (0..MANY).map(|at| format!("\"call{at}\"")).collect::<Vec<_>>().join(",");
    let unknown = format!("\"read\",{unknown}");
    for file in [
        with_rules(directory.path(), "names.json", [rule(&unknown)].into_iter()),
        with_rules(directory.path(), "unknown.json", (0..MANY).map(|at| rule(&format!("\"read\",\"call{at}\"")))),
        with_rules(
            directory.path(),
            "known.json",
            (0..MANY).map(|at| rule(&format!("\"{}\"", calls[at % calls.len()]))),
        ),
    ] {
        for arguments in
            [&["explain", &file][..], &["explain", &file, "read"], &["diff", &file, &file], &["merge", &file]]
        {
            let ran = run_for(arguments);
            assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_is_refused_is_named_by_its_place_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let rules = [
        r#"{"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}"#,
        r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW"}"#,
        r#"{"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}"#,
    ];
    let file = with_rules(directory.path(), "refused.json", rules.into_iter().map(str::to_owned));
    for arguments in [&["explain", &file][..], &["diff", &file, DOCKER], &["merge", &file]] {
        let ran = run_for(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains("syscalls[2].args[0]: a call has the arguments 0 to 5"), "{}", ran.stderr);
    }
}

#[test]
fn widened_names_another_supervisor_and_a_guard_that_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, head: &str, action: &str| {
        let file = directory.path().join(name);
        let rule = format!(r#"{{"names": ["mount"], "action": "{action}"}}"#);
        let text = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", {head}, "syscalls": [{rule}]}}"#);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (allow, notify) = ("SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY");
    let one = |action| (r#""listenerPath": "/run/one""#, action);
    let two = |action| (r#""listenerPath": "/run/two""#, action);
    let flags = [r#""flags": []"#, r#""flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]"#, r#""flags": null"#];
    let [none, spec, default] = flags.map(|flags| (flags, allow));
    for (a, b, code, words) in [
        (one(notify), two(notify), 1, "listenerPath: /run/one in A, /run/two in B\n"),
        (one(allow), two(allow), 0, ""),
        (none, spec, 1, "flags: wider: none in A, SECCOMP_FILTER_FLAG_SPEC_ALLOW in B\n"),
        (spec, none, 0, ""),
        (none, default, 1, "flags: none in A, the runtime's own in B\n"),
        (default, default, 0, ""),
    ] {
        let ran = run_for(&["diff", "--widened", &write("a.json", a.0, a.1), &write("b.json", b.0, b.1)]);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, words), "{a:?} {b:?}: {}", ran.stderr);
    }
}

#[test]
fn an_engine_that_changes_the_answer_is_named() {
    let ran = run_for(&["explain", DOCKER, "read", "--docker", "20.10"]);
    let words = "for x86_64 with Linux 6.1, runc, Docker before 23.0, and Docker's default capabilities\n";
    assert_eq!(ran.stderr, words);
}

#[test]
fn prove_says_what_keeps_it_from_trying() {
    let socket = "unix:///nonexistent/docker.sock";
    for (arguments, expected) in [
        (&["prove", "no-such-file", "--image", "web"][..], "no-such-file: no such file"),
        (&["prove", DOCKER, "--image", "web", "--docker-host", socket], "no such socket"),
        (&["prove", DOCKER, "--image", "web", "--docker-host", "tcp://host"], "only unix sockets"),
        (&["prove", DOCKER, "--image", "web", "--time-limit", "soon"], "--time-limit"),
        (&["prove", DOCKER, "--image", "web", "--budget", "1m"], "--minimize"),
        (&["prove", DOCKER], "--image"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
    }
}
