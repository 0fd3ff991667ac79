//! `SECCOMP_RET_USER_NOTIF`: a supervisor decides, in the kernel's place or with it.

use std::sync::mpsc;

use anyhow::{Context as _, Result, bail};

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
