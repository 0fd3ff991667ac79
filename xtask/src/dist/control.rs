//! What dpkg is told of the package: its control file, sums, scripts and changelog.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::tree;
use crate::repo;

/// Who answers for it: the commits' author.
const NAME: &str = "auditor";
/// The configuration that an upgrade does not overwrite where somebody changed it.
pub const CONFIG: &str = "etc/auditor/auditor.toml";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

const DESCRIPTION: &str = "seccomp auditor for containers
 Counts the system calls of every container on a Docker host, in the kernel,
 and compares them with the seccomp profile that each container really runs
 under. It says what the profile denied, what it allows and nobody uses, and
 which smaller profile would do. Containers are not changed, stopped or traced
 for it.
 .
 This package has the command and the daemon, which runs as a user of its own
 with three capabilities.
";

/// What is the same for everything in it.
pub struct About {
    /// With the revision, as dpkg compares it.
    pub version: String,
    /// As dpkg calls it.
    pub architecture: String,
    /// Seconds since 1970: when the last commit was made.
    pub epoch: u64,
    maintainer: String,
    date: String,
}

impl About {
    /// Asks git and dpkg.
    pub fn gather(revision: u32) -> Result<Self> {
        let last = |format: &str| repo::read(repo::command("git").args(["log", "-1", &format!("--format={format}")]));
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => last("%ct")?,
        };
        let date = repo::command("date")
            .args(["--utc", "--rfc-email", "--date", &format!("@{epoch}")])
            .env("LC_ALL", "C")
            .output()
            .context("running date")?;
        Ok(Self {
            version: format!("{}-{revision}", env!("CARGO_PKG_VERSION")),
            architecture: repo::read(repo::command("dpkg").arg("--print-architecture"))?,
            epoch: epoch.parse().with_context(|| format!("SOURCE_DATE_EPOCH={epoch}: not a number of seconds"))?,
            maintainer: last("%an <%ae>")?,
            date: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
        })
    }

    /// `changelog.Debian`.
    pub fn changelog(&self) -> String {
        let Self { version, maintainer, date, .. } = self;
        format!(
            "{NAME} ({version}) unstable; urgency=medium\n\n  * What is new is in changelog.gz.\n\n -- {maintainer}  {date}\n"
        )
    }
}

/// Writes `DEBIAN/` below `root`; all else must be there. `work` is a directory for what is needed on the way.
pub fn write(root: &Path, work: &Path, about: &About) -> Result<()> {
    let control = root.join("DEBIAN");
    let packaging = repo::root().join("packaging/debian");
    for script in SCRIPTS {
        tree::install(&packaging.join(script), &control.join(script), 0o755)?;
    }
    tree::install(&packaging.join("triggers"), &control.join("triggers"), 0o644)?;
    tree::write(&control.join("conffiles"), format!("/{CONFIG}\n").as_bytes())?;
    let files = tree::files(root)?;
    let mut sums = String::new();
    let mut bytes = 0;
    for path in &files {
        let relative = path.strip_prefix(root)?;
        if relative.starts_with("DEBIAN") {
            continue;
        }
        bytes += fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
        if relative != Path::new(CONFIG) {
            let sum = repo::read(repo::command("md5sum").arg("--").arg(path))?;
            let sum = sum.split_whitespace().next().unwrap_or_default().to_owned();
            sums.push_str(&format!("{sum}  {}\n", relative.display()));
        }
    }
    tree::write(&control.join("md5sums"), sums.as_bytes())?;
    let depends = libraries(&root.join("usr/bin/auditor"), work)?;
    let text = format!(
        "Package: {NAME}\nVersion: {}\nArchitecture: {}\nMaintainer: {}\nInstalled-Size: {}\nDepends: {depends}, adduser\n\
         Suggests: docker.io | docker-ce, prometheus\nSection: admin\nPriority: optional\nDescription: {DESCRIPTION}",
        about.version,
        about.architecture,
        about.maintainer,
        bytes.div_ceil(1024),
    );
    tree::write(&control.join("control"), text.as_bytes())
}

/// The packages of the libraries that the binary is linked with, in the versions that have what it uses.
fn libraries(binary: &Path, work: &Path) -> Result<String> {
    // dpkg-shlibdeps works in a source package alone.
    tree::write(
        &work.join("debian/control"),
        format!("Source: {NAME}\n\nPackage: {NAME}\nArchitecture: any\n").as_bytes(),
    )?;
    let found = repo::read(repo::command("dpkg-shlibdeps").arg("-O").arg(binary).current_dir(work))?;
    let depends = found.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(depends.with_context(|| format!("dpkg-shlibdeps {}: no shlibs:Depends", binary.display()))?.to_owned())
}

/// Makes a file and its directory readable for all, whatever the umask.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}
