//! What is wrong is said in one clear line, with the exit code of the contract, and nothing is lost by it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::auditord::{self, Auditor};
use tests::ending::{CANNOT_AUDIT, ERROR, daemon, one_line};
use tests::engine::{CgroupMode, Engine};
use tests::groundtruth::{self, compare};
use tests::image::{self, BUSYBOX};
use tests::process::wait_for;
use tests::stage::Stage;

#[test]
fn without_permission_the_host_cannot_be_audited() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // The binary has to be reachable for everybody; so it runs as root without a single capability.
    let wrapper = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let output = daemon(&wrapper, &dir.path().join("socket"), &[])?;
    one_line(&output, CANNOT_AUDIT, &["CAP_BPF"])?;

    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    let binary = dir.path().join("auditor");
    std::fs::copy(auditord::binary()?, &binary)?;
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).arg("daemon");
    one_line(&nobody.output()?, CANNOT_AUDIT, &["CAP_BPF"])
}

#[test]
fn a_command_of_somebody_else_is_refused_and_says_so() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let mode = std::fs::metadata(stage.auditor.socket())?.permissions().mode();
    ensure!(mode & 0o777 == 0o660, "the control socket has mode {mode:o}");
    let dir = tempfile::tempdir()?;
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    // The build directory may be closed to others, and so is the daemon's.
    std::fs::set_permissions(stage.auditor.directory(), Permissions::from_mode(0o755))?;
    let binary = dir.path().join("auditor");
    std::fs::copy(auditord::binary()?, &binary)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
    let output = command.arg("--socket").arg(stage.auditor.socket()).arg("ps").output()?;
    one_line(&output, ERROR, &["auditor.sock", "permi"])
}

#[test]
fn without_btf_the_host_cannot_be_audited() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "--propagation=private", "sh", "-c", hide, "sh"];
    let output = daemon(&wrapper, &dir.path().join("socket"), &[])?;
    one_line(&output, CANNOT_AUDIT, &["BTF"])?;

    let doctor = Command::new("unshare")
        .args(&wrapper[1..])
        .arg(auditord::binary()?)
        .args(["doctor", "--docker-host=unix:///nonexistent/docker.sock"])
        .output()?;
    ensure!(doctor.status.code() == Some(CANNOT_AUDIT), "{}", doctor.status);
    ensure!(String::from_utf8_lossy(&doctor.stdout).to_lowercase().contains("btf"));
    Ok(())
}

#[test]
fn a_second_daemon_and_a_taken_socket_are_errors() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    one_line(&daemon(&[], &stage.auditor.socket(), &[])?, ERROR, &["auditor.sock"])?;
    let address = format!("--web.listen-address={}", stage.auditor.address());
    let dir = tempfile::tempdir()?;
    one_line(&daemon(&[], &dir.path().join("socket"), &[&address])?, ERROR, &[&stage.auditor.address().to_string()])?;

    let taken = dir.path().join("taken");
    let _listener = UnixListener::bind(&taken)?;
    one_line(&daemon(&[], &taken, &[])?, ERROR, &["taken"])?;

    // Nothing that is somebody's file is removed to make room.
    let file = dir.path().join("file");
    std::fs::write(&file, "precious")?;
    one_line(&daemon(&[], &file, &[])?, ERROR, &["file"])?;
    ensure!(std::fs::read_to_string(&file)? == "precious");

    // And the first daemon has not noticed.
    let issued = groundtruth::parse(&stage.groundtruth("undisturbed", &[], &["work", "124*9"])?)?;
    compare(&stage.auditor.rows("undisturbed")?, &issued, true)
}

#[test]
fn a_socket_left_by_a_killed_daemon_is_no_obstacle() -> Result<()> {
    let mut auditor = Auditor::start("unix:///nonexistent/docker.sock", &[])?;
    auditor.process().signal(nix::sys::signal::Signal::SIGKILL)?;
    wait_for("the daemon's end", Duration::from_secs(5), || Ok((!auditor.process().is_running()).then_some(())))?;
    ensure!(auditor.socket().exists());
    auditor.process_mut().restart()?;
    wait_for("the daemon's answer", Duration::from_secs(10), || Ok(auditor.ps().ok()))?;
    Ok(())
}

#[test]
fn a_broken_configuration_is_an_error_before_anything_is_touched() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("auditor.toml");
    let config = format!("--config={}", file.display());
    for text in ["this is not TOML [", "no_such_setting = 1\n", "max_containers = \"many\"\n", "max_containers = -1\n"]
    {
        std::fs::write(&file, text)?;
        one_line(&daemon(&[], &dir.path().join("socket"), &[&config])?, ERROR, &["auditor.toml"])
            .with_context(|| format!("configuration {text:?}"))?;
        let checked = Command::new(auditord::binary()?).arg("check-config").arg(&file).output()?;
        ensure!(checked.status.code().is_some_and(|code| code == 1 || code == ERROR), "{text:?}: {}", checked.status);
    }
    let missing = format!("--config={}", dir.path().join("missing.toml").display());
    one_line(&daemon(&[], &dir.path().join("socket"), &[&missing])?, ERROR, &["missing.toml"])
}

#[test]
fn no_such_container_and_an_ambiguous_prefix_are_errors() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    for verb in ["show", "suggest"] {
        one_line(&stage.auditor.output(&[verb, "nobody"])?, ERROR, &["nobody"])?;
    }
    // Of seventeen ids two begin with the same of sixteen digits.
    let mut first = std::collections::BTreeMap::new();
    for number in 0..17 {
        let name = format!("prefix{number}");
        stage.engine.client(["run", "--name", &name, BUSYBOX, "/bin/true"])?;
        let digit = stage.engine.id(&name)?[..1].to_owned();
        if let Some(other) = first.insert(digit.clone(), name.clone()) {
            wait_for("both containers", Duration::from_secs(10), || {
                let known = stage.auditor.ps()?;
                let is_known = |name: &String| known.iter().any(|container| container["name"] == name.as_str());
                Ok((is_known(&name) && is_known(&other)).then_some(()))
            })?;
            return one_line(&stage.auditor.output(&["show", &digit])?, ERROR, &[&name, &other]);
        }
    }
    anyhow::bail!("seventeen ids and no two with the same first digit");
}

/// Starts a container, does something to its bundle, and then lets a daemon look at it.
fn with_bundle(change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let engine = Engine::start(CgroupMode::Unified)?;
    image::import_busybox(&engine)?;
    engine.client(["run", "--detach", "--name", "odd", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    change(&engine.bundle("odd")?.join("config.json"))?;
    let auditor = Auditor::start(&engine.host(), &[])?;
    let issued = groundtruth::parse(&engine.client(["exec", "odd", "/groundtruth", "work", "124*9"])?)?;
    let shown = auditor.show("odd")?;
    // The engine may have told the kind; what the profile says nobody has.
    ensure!(shown["profile"]["sha256"] == Value::Null, "{}", shown["profile"]);
    for unknown in ["allowed", "conditional", "denied", "unused"] {
        ensure!(shown[unknown] == Value::Null, "{unknown} is {}: unknown is null", shown[unknown]);
    }
    // What is counted does not depend on it.
    compare(&auditord::rows(&shown)?, &issued, true)?;
    one_line(&auditor.output(&["suggest", "odd"])?, ERROR, &["profile", "bundle"])
}

#[test]
fn an_unreadable_bundle_is_unknown_and_not_allowed() -> Result<()> {
    with_bundle(|config| std::fs::remove_file(config).context("removing a bundle's configuration"))
}

#[test]
fn a_bundle_that_is_not_json_is_unknown_and_not_allowed() -> Result<()> {
    with_bundle(|config| std::fs::write(config, "not JSON").context("spoiling a bundle's configuration"))
}

#[test]
fn a_garbage_profile_is_unknown_and_not_allowed() -> Result<()> {
    with_bundle(|config| {
        let mut spec: Value = serde_json::from_slice(&std::fs::read(config)?)?;
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_WHATEVER", "syscalls": [{"names": [7]}]});
        std::fs::write(config, spec.to_string()).context("spoiling a bundle's configuration")
    })
}
