//! Packages that are unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::repo;
use crate::vm::bare::copy;
use crate::vm::machine::newest;

/// Debian's packages for a processor, and lists of them that this machine's own apt does not see.
pub struct Packages {
    directory: PathBuf,
    processor: &'static str,
}

impl Packages {
    /// Fetches the lists.
    pub fn update(directory: &Path, processor: &'static str) -> Result<Self> {
        let packages = Self { directory: directory.to_owned(), processor };
        for path in ["apt/lists/partial", "apt/cache/archives/partial", "packages"] {
            fs::create_dir_all(directory.join(path)).with_context(|| format!("creating {path}"))?;
        }
        fs::write(directory.join("apt/status"), "")?;
        // The archives of others have nothing for this, and may not know the processor.
        let sources = directory.join("apt/sources");
        _ = fs::remove_dir_all(&sources);
        fs::create_dir_all(&sources)?;
        for file in ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"].map(Path::new) {
            if let (Some(name), true) = (file.file_name(), file.exists()) {
                copy(
                    file,
                    &sources.join(name).with_extension(if name == "sources.list" { "list" } else { "sources" }),
                )?;
            }
        }
        let at = |path: &str| directory.join("apt").join(path).display().to_string();
        let settings = [
            ("Dir::State::Lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("cache")),
            ("Dir::Etc::sourcelist", "/dev/null".to_owned()),
            ("Dir::Etc::sourceparts", at("sources")),
            ("APT::Architecture", processor.to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
        ];
        let lines = settings.map(|(name, value)| format!("{name} \"{value}\";\n"));
        fs::write(
            directory.join("apt/conf"),
            lines.concat() + &format!("APT::Architectures {{ \"{processor}\"; }};\n"),
        )?;
        repo::read(packages.apt("apt-get").args(["update", "--quiet=2"]))?;
        Ok(packages)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = repo::command(program);
        command.env("APT_CONFIG", self.directory.join("apt/conf")).current_dir(&self.directory);
        command
    }

    /// The newest package of a kernel of this series.
    pub fn kernel(&self, series: &str) -> Result<String> {
        let processor = self.processor;
        let pattern = format!("^linux-image-{}\\.[0-9][^ ]*-{processor}$", series.replace('.', "\\."));
        let found = repo::read(self.apt("apt-cache").args(["search", "--names-only", &pattern]))?;
        let names = found.lines().filter_map(|line| line.split_whitespace().next());
        // `-rt` and `-cloud` are other builds.
        let names = names.filter(|name| !name.contains("-rt-") && !name.contains("-cloud-"));
        names
            .max_by_key(|name| numbers(name))
            .map(str::to_owned)
            .with_context(|| format!("no Linux {series} for {processor} in the sources of apt"))
    }

    /// The tree of a package's files, fetched where there is none of its newest version.
    pub fn unpack(&self, package: &str) -> Result<PathBuf> {
        let said = repo::read(self.apt("apt-cache").args(["show", "--no-all-versions", package]))?;
        let version = said.lines().find_map(|line| line.strip_prefix("Version: "));
        let version =
            version.with_context(|| format!("no package {package} for {} in the sources of apt", self.processor))?;
        let tree = self.directory.join("packages").join(format!("{package}_{version}"));
        if !tree.exists() {
            println!("vm: fetching {package} for {}", self.processor);
            let fetched = tempfile::tempdir_in(&self.directory).context("making a directory for a package")?;
            repo::read(self.apt("apt-get").args(["download", "--quiet=2", package]).current_dir(fetched.path()))?;
            let file = newest(fetched.path(), package)?;
            // Only a whole one gets the name that is looked for.
            let unpacked = fetched.path().join("tree");
            repo::run(repo::command("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked))?;
            fs::rename(&unpacked, &tree).with_context(|| format!("naming {}", tree.display()))?;
        }
        Ok(tree)
    }
}

/// The numbers in a name, to tell the newest.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}
