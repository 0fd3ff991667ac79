//! The Debian package on a Debian system of its own: what it brings, an upgrade, an engine that comes later, and that
//! nothing is left of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use tests::image;

/// A Debian system that nothing runs in.
struct System {
    root: tempfile::TempDir,
}

impl System {
    fn new() -> Result<Self> {
        let tree = image::debian_tree()?;
        let root = tempfile::tempdir_in(tree.parent().context("the trees' directory")?)?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        run(Command::new("cp")
            .args(["--archive", "--reflink=auto", "--no-target-directory"])
            .arg(&tree)
            .arg(root.path()))?;
        Ok(Self { root })
    }

    /// Runs a script in it; what it mounts and starts ends with it.
    fn sh(&self, script: &str) -> Result<String> {
        let enter = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" sh -ec \"$1\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "sh", "-c", enter]);
        run(command.arg(self.root.path()).arg(script).env("DEBIAN_FRONTEND", "noninteractive"))
    }

    fn install(&self, package: &Path) -> Result<String> {
        fs::copy(package, self.root.path().join("package.deb"))?;
        let said = self.sh("dpkg --install /package.deb")?;
        fs::remove_file(self.root.path().join("package.deb"))?;
        Ok(said)
    }

    /// All that is there, but for dpkg's own notes.
    fn files(&self) -> Result<BTreeSet<String>> {
        let list = self.sh(
            "find / -xdev \\( -path /proc -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache \\) -prune -o -print",
        )?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    fn has(&self, path: &str) -> bool {
        self.root.path().join(path).symlink_metadata().is_ok()
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds the package as `cargo xtask dist` does, which has lintian judge it.
fn package(revision: u32) -> Result<PathBuf> {
    let mut dist = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    dist.args(["xtask", "dist", "--debug", "--revision"]).arg(revision.to_string()).current_dir(tests::root());
    let said = run(&mut dist)?;
    Ok(said.lines().last().context("dist names no package")?.into())
}

/// What an engine's package does: a group for its socket, and the engine.
fn engine(directory: &Path) -> Result<PathBuf> {
    let tree = directory.join("engine");
    fs::create_dir_all(tree.join("DEBIAN"))?;
    fs::create_dir_all(tree.join("usr/sbin"))?;
    fs::write(tree.join("usr/sbin/dockerd"), "")?;
    let control =
        "Package: engine\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: one\n";
    fs::write(tree.join("DEBIAN/control"), control)?;
    fs::write(tree.join("DEBIAN/postinst"), "#!/bin/sh\nset -e\naddgroup --quiet --system docker\n")?;
    fs::set_permissions(tree.join("DEBIAN/postinst"), fs::Permissions::from_mode(0o755))?;
    let package = directory.join("engine.deb");
    run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&tree).arg(&package))?;
    Ok(package)
}

#[test]
fn it_is_installed_upgraded_and_removed_and_nothing_is_left() -> Result<()> {
    let read = |package: &Path| fs::read(package).with_context(|| format!("reading {}", package.display()));
    let (first, second) = (package(1)?, package(2)?);
    let bytes = read(&first)?;
    ensure!(read(&package(1)?)? == bytes, "two runs give two packages");
    let system = System::new()?;
    let users = system.sh("getent passwd; getent group")?;
    let before = system.files()?;

    system.install(&first)?;
    let identity = system.sh("id auditor")?;
    assert!(identity.contains("(auditor) groups=") && !identity.contains("docker"), "{identity}");
    system.sh("auditor --version && auditor check-config /etc/auditor/auditor.toml")?;
    let wanted = "etc/systemd/system/multi-user.target.wants/auditor.service";
    ensure!(system.has(wanted), "the unit is not enabled");
    for file in [
        "usr/lib/systemd/system/auditor.service",
        "usr/share/man/man1/auditor-daemon.1.gz",
        "usr/share/bash-completion/completions/auditor",
        "usr/share/zsh/vendor-completions/_auditor",
        "usr/share/fish/vendor_completions.d/auditor.fish",
        "usr/share/auditor/dashboards/auditor.json",
        "usr/share/auditor/rules/auditor.yml",
    ] {
        ensure!(system.has(file), "no {file}");
    }

    // What somebody changed and what somebody switched off stays so.
    system.sh(
        "echo '# ours' >> /etc/auditor/auditor.toml && rm /etc/systemd/system/multi-user.target.wants/auditor.service",
    )?;
    system.install(&second)?;
    assert!(system.sh("cat /etc/auditor/auditor.toml")?.ends_with("# ours\n"));
    ensure!(!system.has(wanted), "an upgrade has enabled the unit again");
    assert_eq!(system.sh("id auditor")?, identity);

    // An engine that comes later: its socket can be asked.
    let directory = tempfile::tempdir()?;
    system.install(&engine(directory.path())?)?;
    let member = system.sh("id auditor")?;
    assert!(member.contains("(docker)"), "{member}");
    system.sh("dpkg --purge engine && delgroup --quiet docker")?;

    system.sh("mkdir /var/lib/auditor && touch /var/lib/auditor/evidence.redb && dpkg --remove auditor")?;
    ensure!(
        system.has("var/lib/auditor/evidence.redb") && system.has("etc/auditor/auditor.toml"),
        "removed is not purged"
    );
    ensure!(!system.has("usr/bin/auditor"), "the program is there");
    system.sh("dpkg --purge auditor")?;
    let after = system.files()?;
    assert_eq!(before.symmetric_difference(&after).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(system.sh("getent passwd; getent group")?, users);
    Ok(())
}
