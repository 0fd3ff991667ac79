//! A machine that has nothing installed may have no control groups mounted either.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

const CGROUP: &str = "/sys/fs/cgroup";
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Sees to it that what is run from here finds a version 2 hierarchy. Where the machine mounts none, it is mounted for
/// us alone.
pub fn ensure_mounted() -> Result<()> {
    if [CGROUP, UNIFIED].iter().any(|at| statfs(*at).is_ok_and(|at| at.filesystem_type() == CGROUP2_SUPER_MAGIC)) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keeping mounts private")?;
    // Beside the hierarchies of version 1, where they are.
    let at = if Path::new(CGROUP).join("devices").is_dir() { UNIFIED } else { CGROUP };
    fs::create_dir_all(at).with_context(|| format!("making {at}"))?;
    mount(Some("none"), at, Some("cgroup2"), MsFlags::empty(), none).with_context(|| format!("mounting {at}"))?;
    println!("xtask: this machine mounts no cgroup2; it is mounted at {at} for this run");
    Ok(())
}
