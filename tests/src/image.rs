//! Images, made without a registry: an empty tree with busybox, and a Debian userland with real programs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::groundtruth;

/// The tag of the small image: a shell, the usual commands, and `/groundtruth`.
pub const BUSYBOX: &str = "busybox:rig";
/// The tag of the large one: Debian with [`PACKAGES`], and `/groundtruth`.
pub const DEBIAN: &str = "debian:rig";

/// What the large image has besides Debian's essential packages.
pub const PACKAGES: [&str; 6] =
    ["busybox-static", "strace", "nginx-light", "redis-server", "postgresql", "python3-minimal"];

/// Where Debian's static busybox lies.
const BUSYBOX_PROGRAM: &str = "/bin/busybox";

/// Gives an engine the small image.
pub fn import_busybox(engine: &Engine) -> Result<()> {
    let tree = busybox_tree(engine)?;
    add_groundtruth(tree.path())?;
    engine.import_image(tree.path(), BUSYBOX)
}

/// Makes a tree with busybox under the names of all its commands, for an image of this engine's.
pub fn busybox_tree(engine: &Engine) -> Result<tempfile::TempDir> {
    // In the engine's directory it goes with the engine, also when the import is interrupted.
    let tree = tempfile::tempdir_in(engine.directory()).context("making a tree for an image")?;
    let bin = tree.path().join("bin");
    fs::create_dir(&bin).context("making a tree for an image")?;
    fs::copy(BUSYBOX_PROGRAM, bin.join("busybox"))
        .with_context(|| format!("copying {BUSYBOX_PROGRAM}; run `cargo xtask setup`"))?;
    let list = Command::new(BUSYBOX_PROGRAM).arg("--list").output().context("asking busybox for its commands")?;
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", bin.join(name)).with_context(|| format!("linking {name}"))?;
    }
    for dir in ["tmp", "etc"] {
        fs::create_dir(tree.path().join(dir)).context("making a tree for an image")?;
    }
    fs::set_permissions(tree.path().join("tmp"), fs::Permissions::from_mode(0o1777)).context("opening /tmp to all")?;
    fs::write(tree.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")?;
    Ok(tree)
}

/// Gives an engine the large image, unless it has it. The first time on a machine takes minutes; the tree is kept in
/// `target/`.
pub fn import_debian(engine: &Engine) -> Result<()> {
    if engine.has_image(DEBIAN)? {
        return Ok(());
    }
    import_tree(engine, &debian_tree()?, DEBIAN)
}

/// Makes an image of a tree, and `/groundtruth`.
pub fn import_tree(engine: &Engine, tree: &Path, tag: &str) -> Result<()> {
    add_groundtruth(tree)?;
    engine.import_image(tree, tag)
}

fn add_groundtruth(tree: &Path) -> Result<()> {
    let program = groundtruth::program()?;
    fs::copy(program, tree.join("groundtruth")).with_context(|| format!("copying {}", program.display()))?;
    Ok(())
}

/// A tree of Debian with real programs; whoever changes something in it takes a copy.
pub fn debian_tree() -> Result<PathBuf> {
    let dir = crate::root().join("target/images");
    let tree = dir.join(format!("debian-{}", PACKAGES.join("-")));
    if tree.is_dir() {
        return Ok(tree);
    }
    let (suite, mirror) = (suite()?, mirror()?);
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    // Only a whole tree gets the name that is looked for.
    let raw = tempfile::tempdir_in(&dir).context("making a tree for an image")?;
    fs::set_permissions(raw.path(), fs::Permissions::from_mode(0o755)).context("opening a tree to all")?;
    eprintln!("making a Debian tree of {} from {mirror} (once, some minutes)", PACKAGES.join(", "));
    // In a mount namespace of its own: an interrupted debootstrap leaves its /proc mounted.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "debootstrap", "--variant=minbase"]);
    command.arg(format!("--include={}", PACKAGES.join(","))).arg(&suite).arg(raw.path()).arg(&mirror);
    run(&mut command).context("debootstrap; run `cargo xtask setup`")?;
    finish(raw, &tree)?;
    Ok(tree)
}

/// The tree of [`DEBIAN`] with more packages, installed by its own apt, each service stopped.
pub fn debian_tree_with(packages: &[&str]) -> Result<PathBuf> {
    let base = debian_tree()?;
    let dir = base.parent().context("the trees' directory")?;
    let tree = dir.join(format!("more-{}", packages.join("-")));
    if tree.is_dir() {
        return Ok(tree);
    }
    let raw = tempfile::tempdir_in(dir).context("making a tree for an image")?;
    eprintln!("making a Debian tree with {} (once, some minutes)", packages.join(", "));
    run(Command::new("cp").args(["--archive", "--reflink=auto", "--no-target-directory"]).arg(&base).arg(raw.path()))?;
    let at = |path: &str| raw.path().join(path);
    fs::copy("/etc/resolv.conf", at("etc/resolv.conf")).context("copying /etc/resolv.conf")?;
    fs::write(at("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n").context("writing policy-rc.d")?;
    fs::set_permissions(at("usr/sbin/policy-rc.d"), fs::Permissions::from_mode(0o755))?;
    // Java's packages want to put links there.
    fs::create_dir_all(at("usr/share/man/man1")).context("making a tree for an image")?;
    // In namespaces of their own, all that the packages' scripts start and mount ends with them.
    let install = "mount -t proc proc \"$0/proc\" && export DEBIAN_FRONTEND=noninteractive && \
                   chroot \"$0\" apt-get update -qq && \
                   exec chroot \"$0\" apt-get install --yes -qq --no-install-recommends \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "sh", "-c", install]);
    run(command.arg(raw.path()).args(packages))?;
    fs::remove_file(at("usr/sbin/policy-rc.d")).context("removing policy-rc.d")?;
    finish(raw, &tree)?;
    Ok(tree)
}

/// Takes out of a tree what no program needs, and gives it its name.
fn finish(raw: tempfile::TempDir, tree: &Path) -> Result<()> {
    for waste in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"] {
        _ = fs::remove_dir_all(raw.path().join(waste));
    }
    fs::rename(raw.keep(), tree).context("naming a finished tree")
}

/// Runs a program to its end; where it fails, the last lines of what it wrote say why.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {name}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let end: Vec<_> = text.lines().rev().take(10).collect();
        bail!("{name}: {}: {}", output.status, end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

/// The Debian release that this machine runs.
fn suite() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("no VERSION_CODENAME in /etc/os-release")?.to_owned())
}

/// The mirror that this machine's apt uses.
fn mirror() -> Result<String> {
    let etc = Path::new("/etc/apt");
    let mut files: Vec<PathBuf> =
        fs::read_dir(etc.join("sources.list.d")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.push(etc.join("sources.list"));
    for file in files {
        let Ok(open) = fs::File::open(&file) else { continue };
        for line in BufReader::new(open).lines().map_while(Result::ok) {
            let uri = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb ")).unwrap_or_default();
            let uri = uri.split_whitespace().find(|word| word.contains("://"));
            if let Some(uri) = uri.filter(|uri| uri.trim_end_matches('/').ends_with("/debian")) {
                return Ok(uri.to_owned());
            }
        }
    }
    bail!("no Debian mirror in /etc/apt/sources.list.d or /etc/apt/sources.list")
}
