//! `auditor doctor` on hosts that lack something: each made so for real, by namespaces and capabilities.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditord;
use tests::bpffs::Bpffs;
use tests::cage::Cage;
use tests::engine::CgroupMode;
use tests::stage::Stage;

const FINDINGS: i32 = 1;
const CANNOT_AUDIT: i32 = 3;

/// What the doctor says behind these words: its exit code and findings.
fn doctor(wrapper: &[&str], args: &[&str]) -> Result<(Option<i32>, Vec<Value>)> {
    let binary = auditord::binary()?.display().to_string();
    let own = [binary.as_str(), "doctor", "--output=json"];
    let line: Vec<&str> = wrapper.iter().chain(&own).chain(args).copied().collect();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).env_remove("DOCKER_HOST").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("running {line:?}"))?;
    let findings = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{line:?}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code(), findings))
}

/// One finding: its status, what was found, and what to do.
fn find<'a>(findings: &'a [Value], check: &str) -> Result<(&'a str, String)> {
    let finding = findings.iter().find(|finding| finding["check"] == check);
    let finding = finding.with_context(|| format!("nothing is said of {check}: {findings:?}"))?;
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    Ok((text("status"), format!("{}: {}", text("detail"), text("advice"))))
}

/// In a mount namespace of its own, after this was done.
fn after(script: &str) -> Vec<String> {
    let words = ["unshare", "--mount", "--propagation=private", "sh", "-ec"];
    words.into_iter().map(str::to_owned).chain([format!("{script}\nexec \"$@\""), "sh".to_owned()]).collect()
}

const WITHOUT_CGROUP2: &str = "for at in $(grep ' cgroup2 ' /proc/mounts | cut -d' ' -f2); do umount -l \"$at\"; done";
const NO_ENGINE: &str = "--docker-host=unix:///nonexistent/docker.sock";

#[test]
fn what_a_host_lacks_is_found_and_said_with_the_next_step() -> Result<()> {
    // As in a container: a cgroup of its own as the root, and nothing else mounted.
    let cage = Cage::new()?;
    let enter = format!("echo $$ > {}/cgroup.procs\nexec unshare --cgroup \"$@\"", cage.path().display());
    let mut in_namespace_of_its_own = ["sh", "-ec", &enter, "sh"].map(str::to_owned).to_vec();
    in_namespace_of_its_own.extend(after(&format!("{WITHOUT_CGROUP2}\nmount -t cgroup2 none /sys/fs/cgroup")));
    let rows: [(Vec<String>, &str, &str, &[&str]); 9] = [
        (
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all"].map(str::to_owned).to_vec(),
            "capabilities",
            "fail",
            &["CAP_BPF", "CAP_PERFMON", "run as root"],
        ),
        (after("mount -t tmpfs none /sys/kernel/btf"), "btf", "fail", &["CONFIG_DEBUG_INFO_BTF"]),
        // Where there is none, one that says so: a kernel cannot be locked down for a test.
        (
            after(
                "mkdir -p /sys/kernel/security; mount -t tmpfs none /sys/kernel/security\n\
                 echo 'none integrity [confidentiality]' > /sys/kernel/security/lockdown",
            ),
            "lockdown",
            "fail",
            &["confidentiality", "lockdown=integrity"],
        ),
        (after(WITHOUT_CGROUP2), "cgroups", "fail", &["cgroup"]),
        (in_namespace_of_its_own, "cgroups", "fail", &["cgroup namespace", "--cgroupns=host"]),
        (
            ["unshare", "--time", "--fork", "--boottime", "1000"].map(str::to_owned).to_vec(),
            "clock",
            "warn",
            &["time namespace", "1000 s"],
        ),
        (Vec::new(), "docker", "warn", &["/nonexistent/docker.sock"]),
        (
            after("mkdir -p /run/auditor-test-state; mount -t tmpfs -o size=1m none /run/auditor-test-state"),
            "state",
            "warn",
            &["MiB are free", "make room"],
        ),
        (
            after("mkdir -p /run/auditor-test-state; mount -t tmpfs -o ro none /run/auditor-test-state"),
            "state",
            "warn",
            &["read-only", "--state-dir"],
        ),
    ];
    for (wrapper, check, status, words) in &rows {
        println!("{check}, {status}");
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let (code, findings) = doctor(&wrapper, &[NO_ENGINE, "--state-dir=/run/auditor-test-state"])?;
        let (found, text) = find(&findings, check)?;
        ensure!(found == *status, "{check} is {found}: {text}");
        for word in *words {
            ensure!(text.contains(word), "{check}: no {word:?} in: {text}");
        }
        let expected = if *status == "fail" { CANNOT_AUDIT } else { FINDINGS };
        ensure!(code == Some(expected), "{check}: exit code {code:?} where {expected} was expected");
        // Whatever is wrong has its next step, in the loader's words or ours.
        let silent: Vec<&Value> = findings
            .iter()
            .filter(|finding| finding["status"] == "fail" && finding["advice"].is_null())
            .filter(|finding| !finding["detail"].as_str().is_some_and(|detail| detail.contains(';')))
            .collect();
        ensure!(silent.is_empty(), "{check}: {silent:?}");
    }
    _ = std::fs::remove_dir("/run/auditor-test-state");
    Ok(())
}

#[test]
fn a_host_with_all_that_is_needed_and_a_daemon_is_well() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.engine.client([
        "run",
        "--detach",
        "--name",
        "looked-at",
        tests::image::BUSYBOX,
        "/bin/busybox",
        "sleep",
        "1000",
    ])?;
    let bpffs = Bpffs::mount()?;
    let mut auditor = bpffs.daemon(&stage.engine.host(), &[])?;
    let inside = bpffs.wrapper();
    let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
    let socket = format!("--socket={}", auditor.socket().display());
    let host = format!("--docker-host={}", stage.engine.host());
    let state = format!("--state-dir={}", auditor.directory().join("state").display());
    let pins = format!("--bpffs={}", bpffs.pins().display());
    let (code, findings) = doctor(&inside, &[&socket, &host, &state, &pins])?;
    let bad: Vec<&Value> = findings.iter().filter(|finding| finding["status"] != "ok").collect();
    ensure!(bad.is_empty() && code == Some(0), "{code:?}: {bad:?}");
    for (check, words) in [
        ("bundles", "1 of 1"),
        ("daemon", "nothing lost"),
        ("features", "task storage"),
        ("docker", "API"),
        ("pins", "counting outlives the daemon"),
    ] {
        let (_, text) = find(&findings, check)?;
        ensure!(text.contains(words), "{check}: {text}");
    }
    // By the daemon's own configuration the same is found.
    let config = auditor.directory().join("doctor.toml");
    let (socket, host, pins) = (auditor.socket(), stage.engine.host(), bpffs.pins());
    let state = auditor.directory().join("state");
    let text = format!("socket = {socket:?}\ndocker_host = {host:?}\nstate_dir = {state:?}\nbpffs = {pins:?}\n");
    std::fs::write(&config, text)?;
    let config = format!("--config={}", config.display());
    let (code, findings) = doctor(&inside, &[&config])?;
    ensure!(code == Some(0), "{findings:?}");
    ensure!(find(&findings, "state")?.1.contains(&*state.to_string_lossy()), "{findings:?}");
    ensure!(Path::new(&state).exists());
    // What a daemon that is gone has left counts on.
    auditor.process_mut().pause()?;
    let (code, findings) = doctor(&inside, &[&config])?;
    let (status, text) = find(&findings, "pins")?;
    ensure!(code == Some(FINDINGS) && status == "warn" && text.contains("auditor doctor --clean"), "{text}");
    Ok(())
}
