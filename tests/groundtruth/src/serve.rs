//! A service as systemd starts one: a child that has executed nothing enters the cgroup and sets itself up, puts a filter
//! on itself if there is one, and becomes the program; or, as since systemd 255, it becomes a program of the manager's
//! first that does all this.

use std::fs::OpenOptions;
use std::io::{Error, Write as _};
use std::ptr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::filter::{Reach, Rule, install};
use crate::raw::{self, Abi};

/// What the manager's own program is told to do.
pub const SET_UP: &str = "set-up";

/// `serve DIRECTORY [--executor FILE] [RULE...] -- PROGRAM ARG...`
pub fn run(args: &[String]) -> Result<()> {
    let [directory, line @ ..] = args else { bail!("serve DIRECTORY [--executor FILE] [RULE...] -- PROGRAM ARG...") };
    let file = format!("{directory}/cgroup.procs");
    let procs = OpenOptions::new().write(true).open(&file).with_context(|| format!("opening {file}"))?;
    // SAFETY: this program has one thread.
    let child = unsafe { libc::fork() };
    ensure!(child >= 0, "making a process: {}", Error::last_os_error());
    if child == 0 {
        let became = (&procs).write_all(b"0").context("entering the cgroup").and_then(|()| match line {
            [flag, executor, rest @ ..] if flag == "--executor" => {
                call_as_systemd_does(3);
                let line = [&[executor.clone(), SET_UP.to_owned()], rest].concat();
                crate::c_strings(&line)
                    .and_then(|(_line, pointers)| Err(execute(&pointers)).context("executing the manager's program"))
            }
            _ => set_up(line),
        });
        if let Err(error) = became {
            eprintln!("groundtruth: {error:#}");
        }
        // SAFETY: ends this process, which shares its parent's memory no more.
        unsafe { libc::_exit(127) };
    }
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    ensure!(waited > 0 && status == 0, "the service ended with status {status:#x}");
    Ok(())
}

/// `[RULE...] -- PROGRAM ARG...`: what is done in the cgroup before the program. Returns only where that fails.
pub fn set_up(args: &[String]) -> Result<()> {
    let at = args.iter().position(|arg| arg == "--").context("[RULE...] -- PROGRAM ARG...")?;
    let rules = args[..at].iter().map(|rule| rule.parse()).collect::<Result<Vec<Rule>>>()?;
    ensure!(args.len() > at + 1, "no program named");
    let (_line, pointers) = crate::c_strings(&args[at + 1..])?;
    call_as_systemd_does(3);
    if !rules.is_empty() {
        install(&rules, Reach::Thread)?;
        // Between the filter and the program: getpriority, twice.
        for _ in 0..2 {
            raw::call3(Abi::X86_64, 140, [0, 0, 0]);
        }
    }
    // The first try finds nothing.
    let nothing = [c"/no/such/program".as_ptr(), ptr::null()];
    let _ = execute(&nothing);
    Err(execute(&pointers)).context("executing the program")
}

/// Becomes a program, with nothing in between: a null-terminated list of C strings. Returns why not.
fn execute(line: &[*const libc::c_char]) -> Error {
    let environment = [ptr::null()];
    // SAFETY: C strings and null-terminated lists of them, alive until the call returns, which it does on error.
    unsafe { libc::execve(line[0], line.as_ptr(), environment.as_ptr()) };
    Error::last_os_error()
}

/// unshare of the mounts, a mount, setgroups to the groups that there are, and getsid.
fn call_as_systemd_does(times: u32) {
    const CLONE_NEWNS: i64 = 0x2_0000;
    const MS_REC_PRIVATE: i64 = 0x4000 | 0x4_0000;
    raw::call3(Abi::X86_64, 272, [CLONE_NEWNS, 0, 0]);
    // SAFETY: C strings that are constant.
    unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), ptr::null(), MS_REC_PRIVATE as u64, ptr::null()) };
    raw::call3(Abi::X86_64, 116, [0, 0, 0]);
    for _ in 0..times {
        raw::call3(Abi::X86_64, 124, [0, 0, 0]);
    }
}
