//! The other side of the start: our own program, in the process that becomes the command.
//!
//! A task that writes itself into a cgroup is there when the call returns; the next call that it makes is the execution
//! of the command. So all that has to be done before is done before, and the command's execution is the first call that
//! is counted.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{AccessFlags, eaccess, execv};

use super::user::{User, UserError};

/// Where commands are when `PATH` is not set: as execvp(3) has it.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What it takes to become the command.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The cgroup's `cgroup.procs`.
    pub entrance: &'a Path,
    /// As whom it runs; `None`: as we do.
    pub user: Option<&'a User>,
    /// Signals that our parent has blocked and that the command must not have blocked.
    pub unblock: &'a [i32],
    /// The command and its arguments.
    pub command: &'a [OsString],
}

/// Why the command was not started.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// There is no such program.
    #[error("start {}: no such program{}", .0.display(), if .0.as_bytes().contains(&b'/') { "" } else { " in PATH" })]
    NotFound(OsString),
    /// It is there and cannot be executed.
    #[error("start {}: {}", .0.display(), reason(.1))]
    NotExecutable(PathBuf, Errno),
    /// The user cannot be taken on.
    #[error("{0}")]
    User(#[from] UserError),
    /// Something the system did not let us do.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it did not work.
        source: io::Error,
    },
}

impl EnterError {
    /// What shells say: 127 for a command that is not there, 126 for one that cannot be executed; 2 where it was not the
    /// command's fault.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable(..) => 126,
            Self::User(_) | Self::System { .. } => 2,
        }
    }
}

fn reason(errno: &Errno) -> String {
    match errno {
        Errno::ENOENT => "its interpreter (the line #!, or the dynamic loader) is not there".to_owned(),
        Errno::ENOEXEC => "not a program of this machine, and no line #! says what it is for".to_owned(),
        errno => errno.desc().to_lowercase(),
    }
}

/// Enters the cgroup and becomes the command.
///
/// # Errors
/// The command is not started. If there is no error, this does not return.
pub fn enter(entry: &Entry<'_>) -> Result<std::convert::Infallible, EnterError> {
    let system = |doing| move |source| EnterError::System { doing, source };
    // Opened with the privilege that we have now: the kernel asks for that of whoever opened it.
    let mut entrance =
        File::options().write(true).open(entry.entrance).map_err(system("opening the command's cgroup"))?;
    if let Some(user) = entry.user {
        user.become_it()?;
    }
    let nul = |error: std::ffi::NulError| system("reading the command")(error.into());
    let words: Result<Vec<CString>, _> = entry.command.iter().map(|word| CString::new(word.as_bytes())).collect();
    let words = words.map_err(nul)?;
    let program = find(entry.command.first().map_or(OsStr::new(""), OsString::as_os_str))?;
    let path = CString::new(program.clone().into_os_string().into_vec()).map_err(nul)?;
    let _pipe_signal = default_pipe_signal().map_err(system("taking signals"))?;
    let unblock: SigSet = entry.unblock.iter().filter_map(|number| Signal::try_from(*number).ok()).collect();
    unblock.thread_unblock().map_err(|errno| system("taking signals")(errno.into()))?;
    warm_allocator(words.len() + 1);
    entrance.write_all(b"0").map_err(system("entering the command's cgroup"))?;
    let Err(errno) = execv(&path, &words);
    Err(EnterError::NotExecutable(program, errno))
}

/// Rust's runtime has this program ignore SIGPIPE, and what a program ignores its successor ignores too. A signal that
/// is caught gets its default action back. Kept until then.
fn default_pipe_signal() -> io::Result<(tokio::runtime::Runtime, tokio::signal::unix::Signal)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signal = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::pipe())?
    };
    Ok((runtime, signal))
}

/// `execv` wants a list of pointers, and makes it when we are in the cgroup already. So that it finds the memory, and
/// asks the kernel for none, as much is taken and given back before: twice, for what is large is mapped the first time.
fn warm_allocator(pointers: usize) {
    for _ in 0..2 {
        drop(std::hint::black_box(Vec::<*const libc::c_char>::with_capacity(2 * pointers)));
    }
}

/// Finds a program as execvp(3) does.
///
/// # Errors
/// There is none, or none that may be executed.
pub fn find(name: &OsStr) -> Result<PathBuf, EnterError> {
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let is_program = |path: &Path| is_file(path) && eaccess(path, AccessFlags::X_OK).is_ok();
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match path.try_exists() {
            Ok(true) if is_program(&path) => Ok(path),
            Ok(true) => Err(EnterError::NotExecutable(path, Errno::EACCES)),
            Ok(false) => Err(EnterError::NotFound(name.to_owned())),
            Err(error) => Err(EnterError::NotExecutable(path, Errno::from_raw(error.raw_os_error().unwrap_or(0)))),
        };
    }
    if name.is_empty() {
        return Err(EnterError::NotFound(name.to_owned()));
    }
    let places = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    let candidates: Vec<PathBuf> = std::env::split_paths(&places).map(|place| place.join(name)).collect();
    // An empty place is the working directory.
    let candidates =
        candidates.into_iter().map(|path| if path == Path::new(name) { Path::new(".").join(name) } else { path });
    let mut refused = None;
    for path in candidates {
        if is_program(&path) {
            return Ok(path);
        }
        if refused.is_none() && is_file(&path) {
            refused = Some(path);
        }
    }
    Err(refused
        .map_or_else(|| EnterError::NotFound(name.to_owned()), |path| EnterError::NotExecutable(path, Errno::EACCES)))
}
