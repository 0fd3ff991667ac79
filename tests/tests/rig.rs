//! The rig itself: both cgroup layouts work, and nothing is left behind.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tests::engine::{CgroupMode, Engine};

fn starts_runs_and_leaves_nothing(mode: CgroupMode) -> Result<()> {
    let engine = Engine::start(mode)?;
    let tree = tempfile::tempdir()?;
    fs::create_dir(tree.path().join("bin"))?;
    fs::copy("/bin/busybox", tree.path().join("bin/busybox"))?;
    engine.import_image(tree.path(), "busybox")?;
    engine.client(["run", "--detach", "--name", "sleeper", "busybox", "/bin/busybox", "sleep", "1000"])?;
    assert!(engine.bundle("sleeper")?.is_dir());
    let cgroup = engine.cgroup("sleeper")?;
    assert!(cgroup.is_dir(), "{}", cgroup.display());
    let pid = engine.inspect("sleeper")?["State"]["Pid"].as_u64().expect("a process id");
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let unified = cgroups.lines().find_map(|line| line.strip_prefix("0::")).expect("a version 2 cgroup");
    assert!(cgroup.ends_with(unified.trim_start_matches('/')), "{cgroups}");
    let version = engine.client(["info", "--format", "{{.CgroupVersion}}"])?;
    assert_eq!(version, if mode == CgroupMode::Unified { "2" } else { "1" });
    drop(engine);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the container outlived its engine");
    let parent = cgroup.parent().and_then(Path::file_name).expect("the engine's cgroup");
    for hierarchy in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        assert!(!hierarchy.path().join(parent).exists(), "{} has {}", hierarchy.path().display(), parent.display());
    }
    Ok(())
}

#[test]
fn engine_starts_runs_and_leaves_nothing_on_unified_cgroups() -> Result<()> {
    starts_runs_and_leaves_nothing(CgroupMode::Unified)
}

#[test]
fn engine_starts_runs_and_leaves_nothing_on_hybrid_cgroups() -> Result<()> {
    starts_runs_and_leaves_nothing(CgroupMode::Hybrid)
}
