//! The files of the package, in the places where they are installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::control::{self, About};
use crate::repo;

/// What is installed as it is in the repository.
const AS_THEY_ARE: [(&str, &str); 7] = [
    ("packaging/auditor.service", "usr/lib/systemd/system/auditor.service"),
    ("packaging/auditor.toml", control::CONFIG),
    ("packaging/debian/copyright", "usr/share/doc/auditor/copyright"),
    ("packaging/debian/lintian-overrides", "usr/share/lintian/overrides/auditor"),
    ("dashboards/auditor.json", "usr/share/auditor/dashboards/auditor.json"),
    ("dashboards/rules/auditor.yml", "usr/share/auditor/rules/auditor.yml"),
    ("dashboards/README.md", "usr/share/doc/auditor/dashboards.md"),
];

/// Where each shell looks for what completes a command.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/auditor"),
    ("zsh", "usr/share/zsh/vendor-completions/_auditor"),
    ("fish", "usr/share/fish/vendor_completions.d/auditor.fish"),
];

/// Puts everything below `root`.
pub fn lay_out(root: &Path, binary: &Path, about: &About) -> Result<()> {
    let installed = root.join("usr/bin/auditor");
    install(binary, &installed, 0o755)?;
    repo::run(repo::command("strip").args(["--strip-unneeded", "--remove-section=.comment"]).arg(&installed))?;
    for (from, to) in AS_THEY_ARE {
        install(&repo::root().join(from), &root.join(to), 0o644)?;
    }
    for (shell, to) in COMPLETIONS {
        let script = repo::read(repo::command(binary).args(["completions", shell]))?;
        write(&root.join(to), format!("{script}\n").as_bytes())?;
    }
    let pages = root.join("usr/share/man/man1");
    make_directory(&pages)?;
    repo::run(repo::command(binary).arg("man").arg(&pages))?;
    for page in files(&pages)? {
        control::set_mode(&page, 0o644)?;
        compress(&page)?;
    }
    let doc = root.join("usr/share/doc/auditor");
    install(&repo::root().join("CHANGELOG.md"), &doc.join("changelog"), 0o644)?;
    write(&doc.join("changelog.Debian"), about.changelog().as_bytes())?;
    compress(&doc.join("changelog"))?;
    compress(&doc.join("changelog.Debian"))
}

/// Copies a file, with this mode.
pub fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    make_directory(to.parent().context("a file has a directory")?)?;
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    control::set_mode(to, mode)
}

/// Writes a file that everybody may read.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_directory(path.parent().context("a file has a directory")?)?;
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    control::set_mode(path, 0o644)
}

/// Makes a directory and those above it that everybody may enter.
fn make_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_directory(path.parent().context("the root is there")?)?;
    fs::create_dir(path).with_context(|| format!("creating {}", path.display()))?;
    control::set_mode(path, 0o755)
}

/// Without a name and a time in it.
fn compress(path: &Path) -> Result<()> {
    repo::run(repo::command("gzip").args(["-9n", "--"]).arg(path))
}

/// All files below a directory, sorted.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Gives everything below a directory one time, and the directory too.
pub fn set_times(path: &Path, epoch: u64) -> Result<()> {
    let setting = || format!("setting the time of {}", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(setting)? {
            set_times(&entry.with_context(setting)?.path(), epoch)?;
        }
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch);
    File::open(path).and_then(|file| file.set_modified(time)).with_context(setting)
}
