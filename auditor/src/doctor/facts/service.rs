//! What the machine offers the daemon besides the kernel: clocks, a place for evidence, a service manager.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::kernel::Pins;
use crate::procfs;

/// Where systemd's own time client says that the clock is right.
const TIMESYNC: &str = "/run/systemd/timesync";

/// The clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// Since the machine was started, suspended times included.
    pub boot: Result<Duration, String>,
    /// Since 1970, as the wall clock has it; zero where it is before that.
    pub wall: Duration,
    /// By how much this process's boot clock is not the kernel's: it is in a time namespace.
    pub shifted: Option<String>,
    /// Whether systemd-timesyncd has set the wall clock; `None`: it is not in use.
    pub synchronized: Option<bool>,
}

/// Where evidence is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The directory.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Whether this process may write there, or make it.
    pub writable: Result<(), String>,
    /// Bytes that are free for whoever is not root.
    pub free: Result<u64, String>,
}

/// Where programs are pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The directory.
    pub path: PathBuf,
    /// Whether it is on a bpffs, or would be.
    pub on_bpffs: bool,
    /// The sets of programs that are there.
    pub sets: Result<usize, String>,
    /// Whether a daemon counts with them.
    pub in_use: bool,
}

/// What systemd says of the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// `LoadState`: `loaded`, `not-found`, `masked` and others.
    pub load: String,
    /// `ActiveState`: `active`, `failed` and others.
    pub active: String,
    /// `SubState`.
    pub sub: String,
    /// `Result` of the last run.
    pub result: String,
    /// `NRestarts`: starts by systemd itself, after failures.
    pub restarts: u64,
}

impl Clocks {
    pub(super) fn read() -> Self {
        let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        let timesync = Path::new(TIMESYNC);
        Self {
            boot: procfs::boot_time().map_err(|error| error.to_string()),
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            shifted: shift(&offsets),
            synchronized: timesync.exists().then(|| timesync.join("synchronized").exists()),
        }
    }
}

/// `boottime  SECONDS  NANOSECONDS`, where that is not nothing.
fn shift(offsets: &str) -> Option<String> {
    let line = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?;
    let numbers: Vec<&str> = line.split_whitespace().collect();
    numbers.iter().any(|number| *number != "0").then(|| format!("{} s", numbers.first().unwrap_or(&"?")))
}

impl State {
    pub(super) fn look(path: &Path) -> Self {
        // The directory, or what it would be made in.
        let nearest = path.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
        let words = |error: nix::Error| error.desc().to_lowercase();
        Self {
            path: path.to_owned(),
            exists: path.exists(),
            writable: access(nearest, AccessFlags::W_OK | AccessFlags::X_OK).map_err(words),
            free: statvfs(nearest).map(|found| found.blocks_available() * found.fragment_size()).map_err(words),
        }
    }
}

impl Pinned {
    pub(super) fn look(path: &Path) -> Self {
        let nearest = path.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
        Self {
            path: path.to_owned(),
            on_bpffs: Pins::is_bpffs(nearest),
            sets: Pins::sets(path).map(|sets| sets.len()).map_err(|error| error.kind().to_string()),
            in_use: Pins::is_in_use(path),
        }
    }
}

/// Asks systemd for the service; `None`: it does not run this machine.
pub(super) fn ask_systemd() -> Option<Result<Unit, String>> {
    if !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let mut command = Command::new("systemctl");
    command.args(["show", "auditor.service", "--property=LoadState,ActiveState,SubState,Result,NRestarts"]);
    Some(match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(unit(&String::from_utf8_lossy(&output.stdout))),
        Ok(output) => Err(format!("systemctl: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("running systemctl: {}", error.kind())),
    })
}

fn unit(text: &str) -> Unit {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        sub: value("SubState"),
        result: value("Result"),
        restarts: value("NRestarts").parse().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_boot_clock_is_seen() {
        assert_eq!(shift("monotonic           0         0\nboottime            0         0\n"), None);
        assert_eq!(shift(""), None);
        assert_eq!(shift("monotonic 0 0\nboottime        86400         0\n"), Some("86400 s".to_owned()));
    }

    #[test]
    fn the_service_is_read_from_what_systemctl_shows() {
        let text = "Result=exit-code\nNRestarts=5\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n";
        let expected = Unit {
            load: "loaded".to_owned(),
            active: "activating".to_owned(),
            sub: "auto-restart".to_owned(),
            result: "exit-code".to_owned(),
            restarts: 5,
        };
        assert_eq!(unit(text), expected);
        assert_eq!(unit(""), Unit::default());
    }

    #[test]
    fn a_directory_that_is_not_there_is_judged_by_where_it_would_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::look(&directory.path().join("a/b"));
        assert!(!state.exists && state.writable.is_ok() && state.free.is_ok_and(|free| free > 0));
    }
}
