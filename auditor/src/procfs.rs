//! What `/proc` says about a container's processes. The process may be gone, or its number taken by another, at any
//! moment: whoever asks checks the container id in the cgroup path that comes back.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::ContainerId;

/// Bytes read of one file at most. `/proc/PID/status` has some 1.5 kB, a cgroup path at most 4 kB a line.
const FILE_LIMIT: u64 = 128 * 1024;

/// Why `/proc` did not tell.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// No such process (any more).
    #[error("read {}: process {pid} is gone", .path.display())]
    Gone {
        /// What was read.
        path: PathBuf,
        /// Of whom.
        pid: u32,
    },
    /// It is there and could not be read.
    #[error("read {}: {source}", .path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel does not write the line that is wanted.
    #[error("read {}: no line {line:?}; {hint}", .path.display())]
    NoLine {
        /// What was read.
        path: PathBuf,
        /// The start of the line.
        line: &'static str,
        /// What that means.
        hint: &'static str,
    },
}

/// The seccomp state of one process, from `/proc/PID/status` (`task_seccomp` in fs/proc/array.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeccompStatus {
    /// `Seccomp:`.
    pub mode: SeccompMode,
    /// `Seccomp_filters:`, how many filters are stacked. Linux 5.9 and newer.
    pub filters: Option<u32>,
    /// `NoNewPrivs:`.
    pub no_new_privs: Option<bool>,
}

/// The mode in `Seccomp:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeccompMode {
    /// 0: every call goes through.
    Disabled,
    /// 1: read, write, exit and sigreturn only.
    Strict,
    /// 2: a filter decides.
    Filter,
}

/// Reads the path of a process's cgroup in the default (v2) hierarchy, from the root of that hierarchy as seen from
/// this process's cgroup namespace.
///
/// # Errors
/// The process is gone or not readable; there is no v2 hierarchy.
pub fn cgroup_of(pid: u32) -> Result<String, ProcError> {
    let path = file_of(pid, "cgroup");
    let text = read(&path, pid)?;
    parse_cgroup(&text).map(str::to_owned).ok_or(ProcError::NoLine {
        path,
        line: "0::",
        hint: "mount cgroup2 (on cgroup v1 hosts: mount -t cgroup2 none /sys/fs/cgroup/unified)",
    })
}

/// Whether a cgroup path belongs to this container: a process number that was reused leads elsewhere.
#[must_use]
pub fn path_is_of(path: &str, id: ContainerId) -> bool {
    path.contains(&id.to_string())
}

/// Reads whether a process runs under seccomp filters.
///
/// # Errors
/// The process is gone or not readable; the kernel has no seccomp.
pub fn seccomp_status(pid: u32) -> Result<SeccompStatus, ProcError> {
    let path = file_of(pid, "status");
    let text = read(&path, pid)?;
    parse_seccomp(&text).ok_or(ProcError::NoLine { path, line: "Seccomp:", hint: "the kernel has no seccomp" })
}

/// Capabilities that matter here (`include/uapi/linux/capability.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Loads programs and maps.
    pub bpf: bool,
    /// Attaches tracing programs, lets them read kernel memory.
    pub perfmon: bool,
    /// Stands for both.
    pub sys_admin: bool,
}

impl Capabilities {
    /// Whether they suffice to load and attach the programs.
    #[must_use]
    pub const fn suffice(self) -> bool {
        self.sys_admin || (self.bpf && self.perfmon)
    }
}

/// Reads this process's effective capabilities.
///
/// # Errors
/// `/proc` is not readable.
pub fn own_capabilities() -> Result<Capabilities, ProcError> {
    let pid = std::process::id();
    let path = file_of(pid, "status");
    let text = read(&path, pid)?;
    parse_capabilities(&text).ok_or(ProcError::NoLine { path, line: "CapEff:", hint: "is /proc a proc filesystem" })
}

pub(crate) fn parse_capabilities(status: &str) -> Option<Capabilities> {
    let bits = u64::from_str_radix(field(status, "CapEff:")?, 16).ok()?;
    let has = |number: u32| bits >> number & 1 == 1;
    Some(Capabilities { bpf: has(39), perfmon: has(38), sys_admin: has(21) })
}

/// Reads the number of a process's parent.
///
/// # Errors
/// The process is gone or not readable.
pub fn parent_of(pid: u32) -> Result<u32, ProcError> {
    let path = file_of(pid, "status");
    let text = read(&path, pid)?;
    parse_parent(&text).ok_or(ProcError::NoLine { path, line: "PPid:", hint: "is /proc a proc filesystem" })
}

pub(crate) fn parse_parent(status: &str) -> Option<u32> {
    field(status, "PPid:")?.parse().ok()
}

/// Reads a process's command line, word by word. It is what the process wants it to be.
///
/// # Errors
/// The process is gone or not readable.
pub fn command_line(pid: u32) -> Result<Vec<String>, ProcError> {
    let text = read(&file_of(pid, "cmdline"), pid)?;
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

/// The numbers of all processes there are at this moment.
///
/// # Errors
/// `/proc` is not readable.
pub fn processes() -> Result<Vec<u32>, ProcError> {
    let path = Path::new("/proc");
    let entries = std::fs::read_dir(path).map_err(|source| ProcError::Read { path: path.to_owned(), source })?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// What tells this boot of the host from all others, of all hosts (random(4)).
///
/// # Errors
/// When it cannot be read.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Time since boot, suspend included: the clock that windows are measured by, since it never steps.
///
/// # Errors
/// The kernel has no such clock.
pub fn boot_time() -> io::Result<Duration> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
    Ok(Duration::from(time))
}

/// What the wall clock shows now for a moment that [`boot_time`] gave. For display only: it steps with the wall clock.
///
/// # Errors
/// The kernel has no boot-time clock.
pub fn wall_time_of(moment: Duration) -> io::Result<jiff::Timestamp> {
    Ok(wall_time_at(moment, boot_time()?, jiff::Timestamp::now()))
}

fn wall_time_at(moment: Duration, boot_now: Duration, wall_now: jiff::Timestamp) -> jiff::Timestamp {
    let moved = match boot_now.checked_sub(moment) {
        Some(age) => wall_now.checked_sub(age),
        None => wall_now.checked_add(moment - boot_now),
    };
    moved.unwrap_or(wall_now)
}

fn file_of(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read(path: &Path, pid: u32) -> Result<String, ProcError> {
    let mut bytes = Vec::new();
    let done = File::open(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut bytes));
    match done {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            Err(ProcError::Gone { path: path.to_owned(), pid })
        }
        Err(source) => Err(ProcError::Read { path: path.to_owned(), source }),
    }
}

pub(crate) fn parse_cgroup(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(|path| path.strip_suffix(" (deleted)").unwrap_or(path))
}

pub(crate) fn parse_seccomp(text: &str) -> Option<SeccompStatus> {
    let mode = match field(text, "Seccomp:")? {
        "0" => SeccompMode::Disabled,
        "1" => SeccompMode::Strict,
        "2" => SeccompMode::Filter,
        _ => return None,
    };
    let no_new_privs = match field(text, "NoNewPrivs:") {
        Some("0") => Some(false),
        Some("1") => Some(true),
        _ => None,
    };
    Some(SeccompStatus {
        mode,
        filters: field(text, "Seccomp_filters:").and_then(|text| text.parse().ok()),
        no_new_privs,
    })
}

/// The value of one line. A process's name comes first and cannot forge one: the kernel escapes line ends in it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status_text() {
        let caps = |bpf, perfmon, sys_admin| Some(Capabilities { bpf, perfmon, sys_admin });
        for (text, expected) in [
            ("CapEff:\t000001ffffffffff\n", caps(true, true, true)),
            ("CapPrm:\t000001ffffffffff\nCapEff:\t000000c000000000\n", caps(true, true, false)),
            ("CapEff:\t0000000000200000\n", caps(false, false, true)),
            ("CapEff:\t0000000000000000\n", caps(false, false, false)),
            ("CapEff:\tgarbage\n", None),
            ("Name:\tauditor\n", None),
        ] {
            assert_eq!(parse_capabilities(text), expected, "{text:?}");
        }
    }

    #[test]
    fn own_hierarchy_is_the_one_without_a_controller() {
        let rows = [
            ("0::/docker/abc\n", Some("/docker/abc")),
            (
                "12:pids:/docker/v1\n1:name=systemd:/x\n0::/system.slice/docker-abc.scope\n",
                Some("/system.slice/docker-abc.scope"),
            ),
            ("0::/gone (deleted)\n", Some("/gone")),
            ("0::/\n", Some("/")),
            ("12:pids:/docker/v1\n10::/odd\n", None),
            ("", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(parse_cgroup(text), wanted, "{text}");
        }
    }

    #[test]
    fn seccomp_lines_are_read_and_missing_ones_are_unknown() {
        let full = "Name:\tsh\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let wanted = SeccompStatus { mode: SeccompMode::Filter, filters: Some(3), no_new_privs: Some(true) };
        assert_eq!(parse_seccomp(full), Some(wanted));
        let old = "Name:\tsh\nSeccomp:\t0\n";
        let wanted = SeccompStatus { mode: SeccompMode::Disabled, filters: None, no_new_privs: None };
        assert_eq!(parse_seccomp(old), Some(wanted));
        assert_eq!(parse_seccomp("Name:\tSeccomp:\\n\n"), None);
        assert_eq!(parse_seccomp("Seccomp:\t7\n"), None);
    }

    #[test]
    fn this_process_is_found_and_has_a_parent() {
        let pid = std::process::id();
        assert!(processes().unwrap().contains(&pid));
        assert_eq!(parent_of(pid).unwrap(), std::os::unix::process::parent_id());
        assert!(seccomp_status(pid).is_ok());
        assert!(command_line(pid).unwrap()[0].contains("auditor"));
    }

    #[test]
    fn process_that_never_was_is_gone() {
        let error = seccomp_status(u32::MAX).unwrap_err();
        assert!(matches!(error, ProcError::Gone { .. }), "{error}");
    }

    #[test]
    fn another_container_s_path_is_recognised() {
        let (id, other) =
            (ContainerId::parse(&"ab".repeat(32)).unwrap(), ContainerId::parse(&"cd".repeat(32)).unwrap());
        let path = format!("/system.slice/docker-{id}.scope/nested");
        assert!(path_is_of(&path, id) && !path_is_of(&path, other));
    }

    #[test]
    fn boot_moments_become_wall_times() {
        let wall: jiff::Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let at = |seconds| wall_time_at(Duration::from_secs(seconds), Duration::from_secs(100), wall).to_string();
        assert_eq!((at(40), at(110)), ("2026-11-23T11:59:00Z".to_owned(), "2026-11-23T12:00:10Z".to_owned()));
        assert!(boot_time().unwrap() > Duration::ZERO);
    }
}
