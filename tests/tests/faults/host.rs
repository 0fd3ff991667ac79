//! Hosts that lack something: what is missing is taken away by namespaces, limits and filters, and the kernel refuses.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::auditord::{self, Auditor};
use tests::cage::Cage;
use tests::ending::{CANNOT_AUDIT, daemon, one_line};
use tests::groundtruth;

const NOBODY: &str = "unix:///nonexistent/docker.sock";
const OWN_MOUNTS: [&str; 5] = ["unshare", "--mount", "--propagation=private", "sh", "-c"];
/// Takes the version 2 hierarchy away, wherever it is mounted.
const WITHOUT_CGROUP2: &str = "for at in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do umount -l $at; done";

/// The daemon and `doctor` behind these words: both say in one line what is missing.
fn cannot_be_audited(wrapper: &[&str], words: &[&str]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    one_line(&daemon(wrapper, &dir.path().join("socket"), &[])?, CANNOT_AUDIT, words)?;
    doctor(wrapper, words)
}

fn doctor(wrapper: &[&str], words: &[&str]) -> Result<()> {
    let (program, args) = wrapper.split_first().context("no wrapper")?;
    let mut command = Command::new(program);
    command.args(args).arg(auditord::binary()?).args(["doctor", "--docker-host", NOBODY]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(CANNOT_AUDIT), "{}: {said}", output.status);
    // One line that has all of it.
    let told = said.lines().any(|line| words.iter().all(|word| line.contains(word)));
    ensure!(told, "no line with {words:?} in {said}");
    Ok(())
}

#[test]
fn with_cgroup_v1_alone_the_host_cannot_be_audited() -> Result<()> {
    // A hierarchy of version 1 stays, or comes.
    let script = format!(
        "{WITHOUT_CGROUP2}; mkdir -p /sys/fs/cgroup/devices 2>/dev/null; grep -q ' cgroup ' /proc/mounts || \
         {{ mount -t tmpfs none /sys/fs/cgroup; mkdir /sys/fs/cgroup/systemd; \
         mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd; }}; exec \"$@\""
    );
    cannot_be_audited(&[&OWN_MOUNTS[..], &[&script, "sh"]].concat(), &["cgroup2"])
}

#[test]
fn in_a_private_cgroup_namespace_the_host_cannot_be_audited() -> Result<()> {
    let around = Cage::named("private")?;
    let procs = around.path().join("cgroup.procs");
    // As in a container: the namespace's part of the hierarchy is mounted, and nothing else of it.
    let inside = format!(
        "{WITHOUT_CGROUP2}; mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\""
    );
    let script = format!(
        "echo $$ > {} && exec unshare --cgroup --mount --propagation=private sh -c '{}' sh \"$@\"",
        procs.display(),
        inside.replace('\'', r"'\''")
    );
    cannot_be_audited(&["sh", "-c", &script, "sh"], &["cgroup namespace"])
}

/// What the kernel does under lockdown=confidentiality: it refuses the programs, whatever capabilities there are. A
/// running kernel cannot be locked down for one process, so a filter refuses bpf(2), and the file that tells is put in
/// its place.
#[test]
fn a_kernel_that_takes_no_programs_is_told_in_one_line() -> Result<()> {
    let program = groundtruth::program()?.display().to_string();
    // bpf(2) is 321.
    cannot_be_audited(&[&program, "under", "321=errno:1", "--"], &["eBPF"])?;
    let script = "mount -t tmpfs none /sys/kernel/security && echo 'none integrity [confidentiality]' > \
                  /sys/kernel/security/lockdown && exec \"$@\"";
    doctor(&[&OWN_MOUNTS[..], &[script, "sh"]].concat(), &["lockdown", "confidentiality", "boot with"])
}

/// Half of what is needed is not enough, and the line says which half is missing.
#[test]
fn each_capability_that_is_missing_is_named() -> Result<()> {
    for (kept, missing) in [("+bpf", "CAP_PERFMON"), ("+perfmon", "CAP_BPF")] {
        let bounding = format!("--bounding-set=-all,{kept}");
        cannot_be_audited(&["setpriv", &bounding, "--inh-caps=-all"], &[missing])?;
    }
    Ok(())
}

/// Kernels since 5.11 charge maps to the control group and not to this limit: nothing is missing.
#[test]
fn without_locked_memory_the_daemon_counts_all_the_same() -> Result<()> {
    let auditor = Auditor::start_behind(&["prlimit", "--memlock=0:0"], NOBODY, &[])?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", auditor.process().pid()))?;
    let line = limits.lines().find(|line| line.starts_with("Max locked memory")).context("no such limit")?;
    ensure!(line.split_whitespace().nth(3) == Some("0"), "{line}");
    let cage = Cage::new()?;
    cage.run(groundtruth::program()?, &["work", "124*30"])?;
    let rows = auditor.rows(&cage.name())?;
    ensure!(rows[&("x86_64".to_owned(), 124)].unfiltered == 30);
    Ok(())
}

/// A state directory and a socket that cannot be had are this daemon's matter, not the host's.
#[test]
fn what_is_wrong_with_the_daemon_s_own_places_is_another_exit_code() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("file");
    std::fs::write(&file, "")?;
    let state = format!("--state-dir={}", file.display());
    one_line(&daemon(&[], &dir.path().join("socket"), &[&state])?, 2, &["file", "state directory"])?;
    one_line(&daemon(&[], Path::new("/proc/nowhere/socket"), &["--state-dir=none"])?, 2, &["/proc/nowhere"])
}
