//! What runs in a container and was not started with it: `docker exec`, containers of an engine in the container, builds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::engine::{CgroupMode, Engine, privileged};
use tests::groundtruth::{self, compare};
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::stage::Stage;

/// `docker exec`: its program's calls are the container's, and what the runtime does for it is told apart.
#[test]
fn what_docker_exec_runs_is_counted_for_the_container_and_marked_as_the_runtime_s_doing() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.engine.client(["run", "--detach", "--name", "entered", BUSYBOX, "/bin/busybox", "sleep", "1000"])?;
    stage.auditor.settled("entered")?;
    let runtime_execs = || -> Result<u64> {
        let shown = stage.auditor.show("entered")?;
        let rows = shown["syscalls"].as_array().context("no rows")?;
        let execve = rows.iter().find(|row| row["abi"] == "x86_64" && row["nr"] == 59).context("no execve")?;
        execve["calls"].as_u64().context("no calls")
    };
    let before = runtime_execs()?;
    let line = ["exec", "entered", "/groundtruth", "work", "--threads=2", "--forks=3", "124*50", "i386:147*5"];
    let issued = groundtruth::parse(&stage.engine.client(line)?)?;
    compare(&stage.auditor.rows("entered")?, &issued, true)?;
    ensure!(runtime_execs()? == before + 1, "one execve for one exec");
    // `getsid` is the program's, what puts it into the container is not.
    let start = wait_for("the start", Duration::from_secs(20), || {
        let (text, _) = stage.auditor.run(&["history", "--output=json", BUSYBOX])?;
        let starts: Vec<Value> = serde_json::from_str(&text)?;
        let has = |start: &Value| {
            start["phases"]["startup"].as_array().is_some_and(|calls| calls.iter().any(|call| call == "getsid"))
        };
        Ok(starts.into_iter().find(|start| start["name"] == "entered" && has(start)))
    })?;
    let phase = |name: &str, call: &str| {
        start["phases"][name].as_array().is_some_and(|calls| calls.iter().any(|found| found == call))
    };
    ensure!(phase("runtime", "capset") && !phase("startup", "capset") && !phase("runtime", "getsid"), "{start}");
    stage.engine.client(["rm", "--force", "entered"])?;
    Ok(())
}

/// A dockerd in a privileged container, from the machine's own programs, and a container of its own: all of that is the
/// outer container's.
#[test]
fn containers_of_an_engine_in_a_container_count_for_the_outer_one() -> Result<()> {
    const SCRIPT: &str = "set -e; exec 2>&1
        mkdir -p /sys/fs/cgroup/init
        for pid in $(cat /sys/fs/cgroup/cgroup.procs); do echo $pid > /sys/fs/cgroup/init/cgroup.procs || true; done
        mount -t tmpfs none /run; mount -t tmpfs none /var
        dockerd --data-root=/var/data --exec-root=/run/exec --pidfile=/run/pid --host=unix:///run/docker.sock \
            --storage-driver=vfs --bridge=none --iptables=false --ip6tables=false > /run/log &
        n=0; until docker --host unix:///run/docker.sock version > /dev/null; do
            n=$((n + 1)); [ $n -lt 100 ] || { cat /run/log; exit 1; }; sleep 0.2; done
        tar --create --directory=/image . | docker --host unix:///run/docker.sock import - inner > /dev/null
        docker --host unix:///run/docker.sock run --network=none --name inner inner /groundtruth work '124*30' 'i386:147*5' \
            || { cat /run/log; exit 1; }
        docker --host unix:///run/docker.sock inspect --format 'id {{.Id}}' inner";
    let stage = Stage::shared(CgroupMode::Unified)?;
    let tree = tempfile::tempdir_in(stage.engine.directory())?;
    for dir in ["usr", "etc", "tmp", "run", "var", "proc", "sys", "dev", "image"] {
        fs::create_dir(tree.path().join(dir))?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), tree.path().join(link))?;
    }
    fs::copy(groundtruth::program()?, tree.path().join("image/groundtruth"))?;
    stage.engine.import_image(tree.path(), "engine:rig")?;
    let privileged = privileged()?;
    let mut line = vec!["run", "--name", "outer", "--volume=/usr:/usr:ro", "--volume=/etc:/etc:ro"];
    line.extend(privileged.iter().map(String::as_str));
    line.extend(["--cgroupns=private", "engine:rig", "/bin/sh", "-c", SCRIPT]);
    let said = stage.engine.client(line)?;
    // Its containerd says a lot in between.
    let line = |start: &str| said.lines().find(|line| line.starts_with(start)).with_context(|| said.clone());
    let issued = groundtruth::parse(line("[{")?)?;
    let id = line("id ")?.trim_start_matches("id ");
    // Some of it under the inner container's filter, some without one: all are the outer one's.
    let rows = stage.auditor.rows("outer")?;
    for (key, issued) in
        issued.iter().filter(|(key, _)| matches!((key.0.as_str(), key.1), ("x86_64", 124) | ("i386", 147)))
    {
        let row = rows.get(key).cloned().unwrap_or_default();
        ensure!(row.calls + row.unfiltered == issued.before + issued.under, "{key:?}: {row:?}, issued {issued:?}");
    }
    ensure!(issued.len() >= 2, "{issued:?}");
    ensure!(stage.auditor.ps()?.iter().all(|view| view["id"] != id), "the inner one is told as one of its own");
    ensure!(stage.auditor.show("outer")?["window"]["lost"] == 0);
    stage.engine.client(["rm", "--force", "outer"])?;
    Ok(())
}

/// A build with dockerd's own BuildKit: its steps are in control groups that are no container's. They take no slot, and
/// nobody's counts. The engine's older builder makes containers, and these are counted.
#[test]
fn builds_are_counted_where_they_are_containers_and_disturb_nobody_where_they_are_not() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let dir = tempfile::tempdir()?;
    let text = format!("FROM {BUSYBOX}\nRUN [\"/groundtruth\", \"work\", \"124*321\"]\n");
    fs::write(dir.path().join("Dockerfile"), text)?;
    let before = ids(stage)?;
    build(&stage.engine, dir.path(), true)?;
    let issued = groundtruth::parse(&stage.groundtruth("beside-build", &[], &["work", "124*9"])?)?;
    compare(&stage.auditor.rows("beside-build")?, &issued, true)?;
    ensure!(builders(stage, &before)?.is_empty(), "a step of BuildKit's is told as a container");
    ensure!(stage.auditor.log().lines().all(|line| !line.contains(" ERROR ")), "{}", stage.auditor.log());

    build(&stage.engine, dir.path(), false)?;
    let found = wait_for("the builder's container", Duration::from_secs(10), || Ok(builders(stage, &before)?.pop()))?;
    ensure!(stage.auditor.show(&found)?["window"]["complete"] == true);
    Ok(())
}

fn ids(stage: &Stage) -> Result<Vec<String>> {
    Ok(stage.auditor.ps()?.iter().filter_map(|view| view["id"].as_str().map(str::to_owned)).collect())
}

/// Those that are new and did what the build does.
fn builders(stage: &Stage, before: &[String]) -> Result<Vec<String>> {
    let mut found = ids(stage)?;
    found.retain(|id| !before.contains(id));
    // Others of this machine may have gone meanwhile.
    let built = |id: &String| {
        let rows = stage.auditor.rows(id).unwrap_or_default();
        rows.get(&("x86_64".to_owned(), 124)).is_some_and(|row| row.calls + row.unfiltered == 321)
    };
    found.retain(built);
    Ok(found)
}

/// Builds with a client that can.
fn build(engine: &Engine, context: &Path, buildkit: bool) -> Result<()> {
    let mut said = String::new();
    // Newer clients need a plugin for BuildKit that older ones bring along.
    for client in ["docker", "/usr/bin/docker"] {
        let mut command = Command::new(client);
        command.args(["--host", &engine.host(), "build", "--no-cache", "--network=none"]).arg(context);
        command.env("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" }).env("DOCKER_CONFIG", context.join("client"));
        let output = command.output().with_context(|| format!("running {client}"))?;
        if output.status.success() {
            return Ok(());
        }
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    anyhow::bail!("no client that builds: {said}")
}
