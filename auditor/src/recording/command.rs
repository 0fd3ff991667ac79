//! A command in a cgroup of its own: started so that nothing but the command is counted, told what we are told, and
//! waited for.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::{Recording, RecordingError};
use crate::cgroupfs::OwnCgroup;

/// Signals that are meant for the command, whoever gets them.
const FORWARDED: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];

/// How often the counters are read: how exactly it is known when a call was made first and last.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked whether the rest has ended, once the command has.
const REST_TICK: Duration = Duration::from_millis(20);
/// How long the rest may take before people are told what is waited for.
const REST_PATIENCE: Duration = Duration::from_millis(500);

/// This program, whatever became of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What is started, and how.
#[derive(Debug, Clone)]
pub struct Line {
    /// The words that make our own program [`enter`](super::enter) the cgroup and become the command; the entrance, the
    /// signals to take again and the command are put behind.
    pub verb: Vec<OsString>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// What it writes to stdout goes to stderr.
    pub stdout_to_stderr: bool,
    /// Whether to wait for what it started and left running.
    pub wait_for_all: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The command.
    pub status: ExitStatus,
    /// What still runs, by process id and name, when nobody waits for it any longer.
    pub left: Vec<(u32, String)>,
}

impl Ended {
    /// The exit code that tells how it ended, as a shell has it: the command's own, or 128 and the signal's number.
    #[must_use]
    pub fn code(&self) -> u8 {
        let code = self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
    }
}

/// The signals that would end this process: held back from here on, to be told to the command.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    /// Those that the command must not have blocked.
    taken: Vec<Signal>,
}

impl Signals {
    /// Takes them. Must be called before anything that has to be tidied up is made.
    ///
    /// # Errors
    /// The kernel gives no descriptor for them.
    pub fn take() -> Result<Self, RecordingError> {
        let failed = |errno: Errno| RecordingError::System { doing: "taking signals", source: errno.into() };
        let set: SigSet = FORWARDED.into_iter().chain([Signal::SIGCHLD]).collect();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let taken = set.iter().filter(|signal| !before.contains(*signal)).collect();
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
        Ok(Self { fd, taken })
    }

    /// Waits for one that ends, or until the other descriptor has something to read, at most so long. Returns whether it
    /// is the end.
    ///
    /// # Errors
    /// The kernel does not let us wait.
    pub(super) fn wait_beside(&self, other: &impl AsFd, patience: Duration) -> Result<bool, RecordingError> {
        wait_for(&mut [readable(&self.fd), readable(other)], patience)?;
        while let Some(told) = self.pending()? {
            if told.ends() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits for one, at most so long.
    fn next(&self, patience: Duration) -> Result<Option<Told>, RecordingError> {
        wait_for(&mut [readable(&self.fd)], patience)?;
        self.pending()
    }

    /// One that has come.
    fn pending(&self) -> Result<Option<Told>, RecordingError> {
        let info = self.fd.read_signal().map_err(waiting_failed)?;
        Ok(info.and_then(|info| {
            let signal = Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?;
            // From the terminal the command has got it as well: it is in the same process group.
            Some(Told { signal, from_terminal: info.ssi_code == libc::SI_KERNEL })
        }))
    }
}

fn readable(fd: &impl AsFd) -> PollFd<'_> {
    PollFd::new(fd.as_fd(), PollFlags::POLLIN)
}

fn wait_for(fds: &mut [PollFd<'_>], patience: Duration) -> Result<(), RecordingError> {
    // Milliseconds: the rest of one is not waited for in circles.
    let patience = patience + Duration::from_micros(999);
    match poll(fds, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(waiting_failed(errno)),
    }
}

fn waiting_failed(errno: Errno) -> RecordingError {
    RecordingError::System { doing: "waiting for signals", source: errno.into() }
}

#[derive(Debug, Clone, Copy)]
struct Told {
    signal: Signal,
    from_terminal: bool,
}

impl Told {
    const fn ends(self) -> bool {
        matches!(self.signal, Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM)
    }
}

/// Runs a command in the cgroup until it, and what it started, has ended. `tell` is told what people should know
/// meanwhile.
///
/// # Errors
/// It cannot be started, or the counters cannot be read.
pub fn run(
    line: &Line,
    cgroup: &OwnCgroup,
    signals: &Signals,
    recording: &mut Recording,
    tell: impl Fn(&str),
) -> Result<Ended, RecordingError> {
    // Told to end before there was anything to end.
    while let Some(told) = signals.next(Duration::ZERO)? {
        if told.ends() {
            let status = ExitStatus::from_raw(told.signal as i32);
            return Ok(Ended { status, left: Vec::new() });
        }
    }
    let failed = |source| RecordingError::System { doing: "starting the command", source };
    let mut child = spawn(line, &cgroup.entrance(), &signals.taken).map_err(failed)?;
    let (status, told_to_end) = wait(&mut child, signals, recording)?;
    if line.wait_for_all && !told_to_end {
        wait_for_rest(cgroup, signals, recording, &tell)?;
    }
    recording.look()?;
    let left = if cgroup.is_populated() { named(&cgroup.processes()) } else { Vec::new() };
    Ok(Ended { status, left })
}

fn spawn(line: &Line, entrance: &Path, taken: &[Signal]) -> io::Result<Child> {
    let mut command = Command::new(OWN_PROGRAM);
    command.args(&line.verb).arg(entrance);
    let taken: Vec<String> = taken.iter().map(|signal| (*signal as i32).to_string()).collect();
    command.arg(taken.join(",")).arg("--").args(&line.command);
    if line.stdout_to_stderr {
        command.stdout(Stdio::from(io::stderr()));
    }
    command.spawn()
}

/// Waits for the command itself, and tells it what we are told. Returns also whether somebody told it alone to end.
fn wait(child: &mut Child, signals: &Signals, recording: &mut Recording) -> Result<(ExitStatus, bool), RecordingError> {
    let failed = |source| RecordingError::System { doing: "waiting for the command", source };
    let mut looked = Instant::now();
    let mut told_to_end = false;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok((status, told_to_end));
        }
        let told = signals.next(TICK.saturating_sub(looked.elapsed()))?;
        if let Some(told) = told.filter(|told| told.signal != Signal::SIGCHLD && !told.from_terminal) {
            told_to_end |= told.ends();
            // Not reaped yet: the number is still its own. One that has ended needs no telling.
            let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), told.signal);
        }
        if looked.elapsed() >= TICK {
            recording.look()?;
            looked = Instant::now();
        }
    }
}

/// Waits for what the command started and left running, until somebody has enough of it.
fn wait_for_rest(
    cgroup: &OwnCgroup,
    signals: &Signals,
    recording: &mut Recording,
    tell: &impl Fn(&str),
) -> Result<(), RecordingError> {
    let started = Instant::now();
    let mut looked = started;
    let mut told = false;
    while cgroup.is_populated() {
        if signals.next(REST_TICK)?.is_some_and(Told::ends) {
            return Ok(());
        }
        if !told && started.elapsed() >= REST_PATIENCE {
            told = true;
            let rest = list(&named(&cgroup.processes()));
            tell(&format!("the command has ended; {rest} still runs and is counted until it ends, or until Ctrl-C"));
        }
        if looked.elapsed() >= TICK {
            recording.look()?;
            looked = Instant::now();
        }
    }
    Ok(())
}

/// Processes for people: `redis-server[17], sleep[18] and 3 more`.
#[must_use]
pub fn list(processes: &[(u32, String)]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = processes.iter().take(SHOWN).map(|(pid, name)| format!("{name}[{pid}]")).collect();
    let more = processes.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn named(processes: &[u32]) -> Vec<(u32, String)> {
    let name =
        |pid: &u32| Some((*pid, std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned()));
    processes.iter().filter_map(name).collect()
}
