//! The daemon's settings: what the file and the command line say, checked together before anything is touched.
//!
//! [`Settings`] is what somebody said, all of it optional; [`Config`] is what the daemon runs with. The file's keys are
//! the flags' names; flags win.

mod check;
mod file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::file::load;
pub(crate) use self::file::parse;
use crate::docker::Host;

/// What the file or the command line says. `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `--docker-host`.
    pub docker_host: Option<String>,
    /// `--cgroup-root`.
    pub cgroup_root: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--bpffs`.
    pub bpffs: Option<PathBuf>,
    /// `--detach-on-exit`.
    pub detach_on_exit: Option<bool>,
    /// `--max-containers`.
    pub max_containers: Option<u32>,
    /// How often the kernel's counters are read: `500ms`, `2s`, `1m`.
    pub poll_interval: Option<String>,
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// The group that may use the control socket.
    pub socket_group: Option<String>,
    /// `--web.*`.
    pub web: WebSettings,
    /// What is exported.
    pub metrics: MetricsSettings,
}

/// `[web]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSettings {
    /// `--web.listen-address`.
    pub listen_address: Option<Vec<String>>,
    /// `--web.config.file`; empty: none.
    pub config_file: Option<PathBuf>,
}

/// `[metrics]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Whether there is a series for each syscall of each container.
    pub per_syscall: Option<bool>,
    /// How many of those series there may be; the rest is summed up as `other`.
    pub max_series: Option<u32>,
}

/// Where something is kept that outlives the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Here, or the daemon does not start.
    Given(PathBuf),
    /// Where it is by default, if that can be had.
    Default,
    /// Nowhere: it ends with the daemon.
    None,
}

/// What the daemon runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The engine's socket.
    pub docker_host: Host,
    /// Where cgroup2 is mounted; `None`: to be found.
    pub cgroup_root: Option<PathBuf>,
    /// Where evidence is kept.
    pub state_dir: Place,
    /// Where programs, links and maps are pinned.
    pub bpffs: Place,
    /// Whether they are removed when the daemon is told to stop.
    pub detach_on_exit: bool,
    /// How many containers can be counted at once.
    pub max_containers: u32,
    /// How often the kernel's counters are read.
    pub poll_interval: Duration,
    /// The control socket.
    pub socket: PathBuf,
    /// The group that may use it; `None`: the daemon's own.
    pub socket_group: Option<String>,
    /// Where metrics are served.
    pub listen_addresses: Vec<SocketAddr>,
    /// TLS and passwords for that; `None`: neither.
    pub web_config_file: Option<PathBuf>,
    /// Whether there is a series for each syscall of each container.
    pub per_syscall: bool,
    /// How many of those series there may be.
    pub max_series: u32,
}

/// A setting the daemon cannot run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not readable.
    #[error("read configuration {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML, or says what nobody understands.
    #[error("{}:{line}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was perhaps meant.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{key} = {value:?}: {reason}")]
    Value {
        /// The key, as in the file.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What is wrong, and what would do.
        reason: String,
    },
}

impl Settings {
    /// These settings where they say something, else the others: `flags.or(file)`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            docker_host: self.docker_host.or(other.docker_host),
            cgroup_root: self.cgroup_root.or(other.cgroup_root),
            state_dir: self.state_dir.or(other.state_dir),
            bpffs: self.bpffs.or(other.bpffs),
            detach_on_exit: self.detach_on_exit.or(other.detach_on_exit),
            max_containers: self.max_containers.or(other.max_containers),
            poll_interval: self.poll_interval.or(other.poll_interval),
            socket: self.socket.or(other.socket),
            socket_group: self.socket_group.or(other.socket_group),
            web: WebSettings {
                listen_address: self.web.listen_address.or(other.web.listen_address),
                config_file: self.web.config_file.or(other.web.config_file),
            },
            metrics: MetricsSettings {
                per_syscall: self.metrics.per_syscall.or(other.metrics.per_syscall),
                max_series: self.metrics.max_series.or(other.metrics.max_series),
            },
        }
    }
}

impl Config {
    /// The file that the package's service is configured by.
    pub const DEFAULT_FILE: &'static str = "/etc/auditor/auditor.toml";
    /// The control socket when nobody says otherwise.
    pub const DEFAULT_SOCKET: &'static str = "/run/auditor/auditor.sock";
    /// Where evidence is kept when nobody says otherwise.
    pub const DEFAULT_STATE_DIR: &'static str = "/var/lib/auditor";
    /// Where programs, links and maps are pinned when nobody says otherwise.
    pub const DEFAULT_BPFFS: &'static str = "/sys/fs/bpf/auditor";
    /// Where metrics are served when nobody says otherwise.
    pub const DEFAULT_LISTEN_ADDRESS: &'static str = "127.0.0.1:9779";

    /// Checks all settings and fills in what nobody said.
    ///
    /// # Errors
    /// For the first value that the daemon cannot run with.
    pub fn check(settings: Settings) -> Result<Self, ConfigError> {
        let Settings { docker_host, cgroup_root, state_dir, web, metrics, socket, .. } = settings;
        let path = |key, given: Option<PathBuf>, default: &str| check::absolute(key, given.unwrap_or(default.into()));
        let listen = web.listen_address.unwrap_or_else(|| vec![Self::DEFAULT_LISTEN_ADDRESS.to_owned()]);
        Ok(Self {
            docker_host: check::docker_host(docker_host)?,
            cgroup_root: cgroup_root.map(|given| check::absolute("cgroup_root", given)).transpose()?,
            state_dir: check::place("state_dir", state_dir)?,
            bpffs: check::place("bpffs", settings.bpffs)?,
            detach_on_exit: settings.detach_on_exit.unwrap_or(false),
            max_containers: check::within("max_containers", settings.max_containers, 1024, 1..=65_536)?,
            poll_interval: check::interval("poll_interval", settings.poll_interval.as_deref().unwrap_or("1s"))?,
            socket: check::socket(path("socket", socket, Self::DEFAULT_SOCKET)?)?,
            socket_group: settings.socket_group.map(check::group).transpose()?,
            listen_addresses: check::listen_addresses(&listen)?,
            web_config_file: web.config_file.filter(|path| !path.as_os_str().is_empty()),
            per_syscall: metrics.per_syscall.unwrap_or(true),
            max_series: check::within("metrics.max_series", metrics.max_series, 20_000, 0..=1_000_000)?,
        })
    }
}

/// Reads and checks a file alone, as `auditor check-config` does.
///
/// # Errors
/// As for [`load`] and [`Config::check`].
pub fn check_file(path: &Path) -> Result<Config, ConfigError> {
    Config::check(load(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_the_contract_s_defaults() {
        let config = Config::check(Settings::default()).unwrap();
        assert_eq!(config.docker_host, Host::default());
        assert_eq!(config.listen_addresses, ["127.0.0.1:9779".parse().unwrap()]);
        assert_eq!(config.socket, Path::new("/run/auditor/auditor.sock"));
        assert_eq!((config.cgroup_root, config.socket_group), (None, None));
        assert_eq!((config.state_dir, config.bpffs, config.detach_on_exit), (Place::Default, Place::Default, false));
        assert!(config.per_syscall);
    }

    #[test]
    fn flags_win_over_the_file_key_by_key() {
        let listen = |text: &str| WebSettings { listen_address: Some(vec![text.to_owned()]), config_file: None };
        let flags = Settings { max_containers: Some(5), web: listen("[::1]:1"), ..Settings::default() };
        let web = listen("127.0.0.1:2");
        let file = Settings { max_containers: Some(9), cgroup_root: Some("/cg".into()), web, ..Settings::default() };
        let both = flags.or(file);
        assert_eq!((both.max_containers, both.cgroup_root.as_deref()), (Some(5), Some(Path::new("/cg"))));
        assert_eq!(both.web.listen_address, Some(vec!["[::1]:1".to_owned()]));
    }
}
