//! `SECCOMP_RET_USER_NOTIF`: a supervisor decides, in the kernel's place or with it.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::str::FromStr;
use std::sync::mpsc;

use anyhow::{Context as _, Error, Result, bail};

use crate::filter::{Action, Rule, install_supervised};
use crate::raw;
use crate::table::{Fate, Table};
use crate::work::Call;

/// What the supervisor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This is an error.
    Errno(i32),
    /// This is the result.
    Value(i64),
    /// Let the kernel do it.
    Continue,
}

impl FromStr for Answer {
    type Err = Error;

    /// `errno:N`, `value:N` or `continue`.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(':') {
            Some(("errno", errno)) => Self::Errno(errno.parse()?),
            Some(("value", value)) => Self::Value(value.parse()?),
            None if text == "continue" => Self::Continue,
            _ => bail!("unknown answer {text}"),
        })
    }
}

/// Gets the listener of a container's filter from its runtime, and answers until nobody is left to ask.
pub fn listen(socket: &Path, answer: Answer) -> Result<()> {
    let listener = UnixListener::bind(socket).with_context(|| format!("listening at {}", socket.display()))?;
    let (runtime, _) = listener.accept().context("waiting for the runtime")?;
    let listener = receive_file(runtime.as_raw_fd())?;
    drop(runtime);
    loop {
        let mut events = libc::pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
        // SAFETY: one element of ours.
        if unsafe { libc::poll(&raw mut events, 1, -1) } < 0 {
            bail!("waiting for a notification: {}", std::io::Error::last_os_error());
        }
        if events.revents & libc::POLLIN != 0 {
            respond(listener, answer)?;
        } else if events.revents & libc::POLLHUP != 0 {
            return Ok(());
        }
    }
}

/// One message with one file (`SCM_RIGHTS`). What it says beside, the container's state, is not needed.
fn receive_file(socket: i32) -> Result<i32> {
    let mut state = [0_u8; 64 * 1024];
    // Aligned as the kernel's headers are.
    let mut control = [0_u64; 8];
    let mut part = libc::iovec { iov_base: state.as_mut_ptr().cast(), iov_len: state.len() };
    // SAFETY: zeroed is an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: buffers of ours, with their lengths.
    if unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) } < 0 {
        bail!("hearing the runtime: {}", std::io::Error::last_os_error());
    }
    // SAFETY: the message was filled in by the kernel.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        bail!("the runtime sent no file");
    }
    // SAFETY: the first header of such a message is whole, and its data is a file's number.
    Ok(unsafe { libc::CMSG_DATA(header).cast::<i32>().read_unaligned() })
}

/// Makes the calls under a supervisor, which answers each of them the same.
pub fn run(answer: Answer, calls: &[Call], table: Table) -> Result<()> {
    let rules: Vec<_> = calls
        .iter()
        .map(|call| Rule { abi: call.abi, nr: call.nr, arg: None, action: Action::Notify, text: String::new() })
        .collect();
    let total = calls.iter().map(|call| call.count).sum();
    let (sender, listener) = mpsc::channel();
    std::thread::scope(|scope| {
        let supervised = scope.spawn(move || -> Result<()> {
            sender.send(install_supervised(&rules)?).context("handing over the listener")?;
            for call in calls {
                let fate = if answer == Answer::Continue { Fate::Reached } else { Fate::Answered };
                table.issued(call.abi, call.nr, true, fate, call.count);
                for _ in 0..call.count {
                    let result = raw::call(call.abi, call.nr, call.arg);
                    let expected = match answer {
                        Answer::Errno(errno) => Some(-i64::from(errno)),
                        Answer::Value(value) => Some(value),
                        Answer::Continue => None,
                    };
                    if expected.is_some_and(|expected| expected != result) {
                        bail!("the supervisor's answer {answer:?} came as {result}");
                    }
                    table.failed(call.abi, call.nr, true, fate, u64::from(raw::is_error(result)));
                }
            }
            Ok(())
        });
        if let Ok(listener) = listener.recv() {
            for _ in 0..total {
                respond(listener, answer)?;
            }
        }
        supervised.join().expect("the supervised thread's panic")
    })
}

fn respond(listener: i32, answer: Answer) -> Result<()> {
    // SAFETY: zeroed is what the kernel asks for.
    let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut response: libc::seccomp_notif_resp = unsafe { std::mem::zeroed() };
    // SAFETY: a listener of ours, and a buffer of the right type.
    if unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut request) } != 0 {
        bail!("receiving a notification: {}", std::io::Error::last_os_error());
    }
    response.id = request.id;
    match answer {
        Answer::Errno(errno) => response.error = -errno,
        Answer::Value(value) => response.val = value,
        Answer::Continue => response.flags = 1, // SECCOMP_USER_NOTIF_FLAG_CONTINUE
    }
    // SAFETY: as above.
    if unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) } != 0 {
        bail!("answering a notification: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
