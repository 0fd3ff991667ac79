//! Issues known numbers of known system calls, and prints how many of which as JSON.
//!
//! ```text
//! groundtruth work [OPTION...] CALL...      loops, threads, processes, programs, signals; perhaps under filters
//! groundtruth die ACTION VICTIMS [company] [given] CALL...     kill_process, kill_thread, trap
//! groundtruth die_together PROCESSES CALL       kill_thread for all threads of each process at one moment
//! groundtruth supervise errno:N|value:N|continue CALL...
//! groundtruth trace emulate|cancel|skip|pass|lapse|abandon CALL...
//! groundtruth newborns PROCESSES CALL      first calls of threads that a filter is put on meanwhile
//! groundtruth dispatch CALL...
//! groundtruth enter FILE PROGRAM ARG...    writes itself into a cgroup.procs and becomes the program, nothing between
//! groundtruth born DIRECTORY PROGRAM ARG...    makes a process in a cgroup that becomes the program, and waits for it
//! groundtruth reborn PID PROGRAM ARG...     makes a process of this number that becomes the program, and waits for it
//! groundtruth serve DIRECTORY [--executor FILE] [RULE...] -- PROGRAM ARG...    as systemd starts a service; waits for it
//! groundtruth wants RULE... CALL6...        makes each call in a thread of its own that says who it is
//! groundtruth args [--threads=N] [--forks=N] RULE... CALLS... [-- PROGRAM ARG...]    calls with all their arguments, then the program
//! groundtruth hold LENGTH,... [LENGTH,...]...  puts filters on itself and on threads, and sleeps
//! groundtruth churn MILLISECONDS            starts and ends processes with filters of their own
//! groundtruth dump TID                      prints a thread's filters as ptrace has them
//! groundtruth listen SOCKET ANSWER          answers for a container, whose runtime sends its listener to the socket
//! groundtruth none                          does nothing
//! groundtruth under RULE... -- PROGRAM ARG...    becomes the program, under a filter
//! groundtruth programs                      the ids of the eBPF programs that the kernel has
//! groundtruth stats                         the kernel measures eBPF programs until standard input ends
//! groundtruth inflight THREADS MILLISECONDS [RULE...]   calls that take their time
//! groundtruth clock CALL                   nanoseconds a call
//! ```
//! CALL is `[ABI:]NR[@ARG][*COUNT]`, CALL6 `[ABI:]NR(HEX,HEX,...)`, CALLS `[ABI:]NR(HEX,HEX+,&HEX,...)[*COUNT]`, a RULE `[ABI:]NR[@ARG]=ACTION`. The libraries below make calls of their own, which
//! are not counted: to be compared for equality, take numbers that they never use (`getsid`, `times`, ...).
//! The scenarios down to `dispatch` end with a line of JSON: what was issued, and what our own filters made of it.

mod args;
mod clock;
mod die;
mod dispatch;
mod elf32;
mod filter;
mod newborn;
mod raw;
mod serve;
mod stack;
mod supervise;
mod table;
mod traced;
mod wants;
mod work;

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{Error, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::ptr;

use anyhow::{Context as _, Result, bail};

use crate::die::Deaths;
use crate::filter::{Action, Reach, Rule, install};
use crate::raw::Abi;
use crate::table::Table;
use crate::traced::Tracing;
use crate::work::{Call, Work};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("groundtruth: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let (scenario, args) = args.split_first().context("no scenario named")?;
    if scenario == "child" {
        let [fd, own_filter, rest @ ..] = args else { bail!("a child without its table") };
        let work = parse_work(rest)?;
        work::child(&work, Table::open(fd.parse()?)?, own_filter.parse()?);
        return Ok(());
    }
    if scenario == "none" {
        return Ok(());
    }
    if scenario == "inflight" {
        return in_flight(args);
    }
    if scenario == "wants" {
        return wants::run(args);
    }
    if scenario == "args" {
        return args::run(args);
    }
    if scenario == "hold" {
        return stack::hold(args);
    }
    if scenario == "churn" {
        let [milliseconds] = args else { bail!("churn MILLISECONDS") };
        return stack::churn(milliseconds.parse()?);
    }
    if scenario == "dump" {
        let [tid] = args else { bail!("dump TID") };
        return stack::dump(tid.parse()?);
    }
    if scenario == "clock" {
        return clock::run(args);
    }
    if scenario == "stats" {
        return measure_programs();
    }
    if scenario == "enter" {
        return enter(args);
    }
    if scenario == "born" {
        return born(args);
    }
    if scenario == "reborn" {
        return reborn(args);
    }
    if scenario == "serve" {
        return serve::run(args);
    }
    if scenario == serve::SET_UP {
        return serve::set_up(args);
    }
    if scenario == "under" {
        return under(args);
    }
    if scenario == "listen" {
        let [socket, answer] = args else { bail!("listen SOCKET ANSWER") };
        return supervise::listen(socket.as_ref(), answer.parse()?);
    }
    if scenario == "programs" {
        return list_programs();
    }
    let table = Table::new()?;
    match scenario.as_str() {
        "work" => parse_work(args)?.run(table)?,
        "die_together" => {
            let [processes, call] = args else { bail!("die_together PROCESSES CALL") };
            die::run_together(processes.parse()?, call.parse()?, table)?;
        }
        "die" => {
            let [action, victims, rest @ ..] = args else { bail!("die ACTION VICTIMS [company] [given] CALL...") };
            let (company, rest) = without(rest, "company");
            let (given, calls) = without(rest, "given");
            let action = format!("0={action}").parse::<Rule>()?.action;
            die::run(Deaths { action, victims: victims.parse()?, company, given }, &parse_calls(calls)?, table)?;
        }
        "supervise" => {
            let (answer, calls) = args.split_first().context("no answer named")?;
            supervise::run(answer.parse()?, &parse_calls(calls)?, table)?;
        }
        "trace" => {
            let (how, calls) = args.split_first().context("no way of tracing named")?;
            let tracing = match how.as_str() {
                "emulate" => Tracing::Emulate,
                "cancel" => Tracing::Cancel,
                "skip" => Tracing::Skip,
                "pass" => Tracing::Pass,
                "lapse" => Tracing::Lapse,
                "abandon" => Tracing::Abandon,
                _ => bail!("unknown way of tracing {how}"),
            };
            traced::run(tracing, &parse_calls(calls)?, table)?;
        }
        "newborns" => {
            let [processes, call] = args else { bail!("newborns PROCESSES CALL") };
            newborn::run(processes.parse()?, call.parse()?, table)?;
        }
        "dispatch" => dispatch::run(&parse_calls(args)?, table)?,
        _ => bail!("unknown scenario {scenario}"),
    }
    println!("{}", table.render());
    Ok(())
}

/// A word that may come first, and the rest.
fn without<'a>(args: &'a [String], word: &str) -> (bool, &'a [String]) {
    match args.split_first() {
        Some((first, rest)) if first == word => (true, rest),
        _ => (false, args),
    }
}

fn parse_calls(args: &[String]) -> Result<Vec<Call>> {
    args.iter().map(|arg| arg.parse()).collect()
}

fn parse_work(args: &[String]) -> Result<Work> {
    let mut work = Work::default();
    for arg in args {
        let Some(option) = arg.strip_prefix("--") else {
            work.calls.push(arg.parse()?);
            continue;
        };
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || value.parse::<u64>().with_context(|| format!("a number in {arg}"));
        match name {
            "filter" => work.rules.push(value.parse()?),
            "given" => work.given.push(value.parse()?),
            "tsync" => work.tsync = true,
            "threads" => work.threads = usize::try_from(number()?)?,
            "forks" => work.forks = number()?,
            "vforks" => work.vforks = number()?,
            "clones" => work.clones = number()?,
            "clone3s" => work.clone3s = number()?,
            "execs" => work.execs = number()?,
            "execs32" => work.execs32 = number()?,
            "signals" => work.signals = number()?,
            _ => bail!("unknown option {arg}"),
        }
    }
    if work.rules.iter().any(|rule| matches!(rule.action, Action::KillProcess | Action::KillThread | Action::Notify)) {
        bail!("work has to survive its rules: use die or supervise");
    }
    Ok(work)
}

/// Calls to `poll` that last, so that a daemon can be started while they are in flight.
fn in_flight(args: &[String]) -> Result<()> {
    let [threads, milliseconds, rules @ ..] = args else { bail!("inflight THREADS MILLISECONDS [RULE...]") };
    let (threads, milliseconds): (usize, i64) = (threads.parse()?, milliseconds.parse()?);
    let rules = rules.iter().map(|rule| rule.parse()).collect::<Result<Vec<Rule>>>()?;
    if !rules.is_empty() {
        install(&rules, Reach::Thread)?;
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| raw::call3(Abi::X86_64, 7, [0, 0, milliseconds]));
        }
    });
    Ok(())
}

/// `BPF_ENABLE_STATS`: for as long as the file is open, with no setting of the machine changed.
fn measure_programs() -> Result<()> {
    const BPF_ENABLE_STATS: i32 = 32;
    // union bpf_attr, enable_stats.type: BPF_STATS_RUN_TIME.
    let attribute = [0_u32; 4];
    // SAFETY: an attribute of its type, longer than needed and zero, which the kernel only reads.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attribute.as_ptr(), size_of_val(&attribute)) };
    if fd < 0 {
        return Err(Error::last_os_error()).context("having eBPF programs measured");
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("waiting for the end of input")?;
    Ok(())
}

/// The first call in the cgroup is the program's execution: what is counted there is the program's alone.
fn enter(args: &[String]) -> Result<()> {
    let [file, line @ ..] = args else { bail!("enter FILE PROGRAM ARG...") };
    let (_line, pointers) = c_strings(line)?;
    let environment = [ptr::null()];
    let procs = OpenOptions::new().write(true).open(file).with_context(|| format!("opening {file}"))?;
    (&procs).write_all(b"0").with_context(|| format!("entering {file}"))?;
    // SAFETY: C strings and null-terminated lists of them, alive until the call returns, which it does on error.
    unsafe { libc::execve(pointers[0], pointers.as_ptr(), environment.as_ptr()) };
    Err(Error::last_os_error()).context("executing the program")
}

/// The same for a process that was never anywhere else (`CLONE_INTO_CGROUP`).
fn born(args: &[String]) -> Result<()> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let [directory, line @ ..] = args else { bail!("born DIRECTORY PROGRAM ARG...") };
    let cgroup = std::fs::File::open(directory).with_context(|| format!("opening {directory}"))?;
    // struct clone_args: flags first, exit_signal fifth, cgroup last of eleven.
    let mut clone = [0_u64; 11];
    clone[0] = CLONE_INTO_CGROUP;
    clone[4] = u64::try_from(libc::SIGCHLD)?;
    clone[10] = u64::try_from(cgroup.as_raw_fd())?;
    execute(&clone, line).context("making a process in a cgroup")
}

/// A process with a number that is free again, as after a machine has counted through all of them.
fn reborn(args: &[String]) -> Result<()> {
    let [pid, line @ ..] = args else { bail!("reborn PID PROGRAM ARG...") };
    let wanted = [pid.parse::<i32>().context("a process id")?];
    // set_tid and set_tid_size are ninth and tenth.
    let mut clone = [0_u64; 11];
    clone[4] = u64::try_from(libc::SIGCHLD)?;
    clone[8] = wanted.as_ptr() as u64;
    clone[9] = 1;
    execute(&clone, line).with_context(|| format!("making process {pid}"))
}

/// Makes a process by `clone3` that becomes a program, and waits for it.
fn execute(clone: &[u64; 11], line: &[String]) -> Result<()> {
    const CLONE3: u32 = 435;
    let (_line, pointers) = c_strings(line)?;
    let environment = [ptr::null()];
    let size = i64::try_from(size_of_val(clone))?;
    let made = raw::call3(Abi::X86_64, CLONE3, [clone.as_ptr() as i64, size, 0]);
    if made == 0 {
        // SAFETY: C strings and null-terminated lists of them; where that fails the process ends at once.
        unsafe {
            libc::execve(pointers[0], pointers.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
    }
    if made < 0 {
        return Err(Error::from_raw_os_error(i32::try_from(-made)?).into());
    }
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    let waited = unsafe { libc::waitpid(i32::try_from(made)?, &raw mut status, 0) };
    anyhow::ensure!(waited > 0 && status == 0, "the process ended with status {status:#x}");
    Ok(())
}

/// Becomes a program that has a filter from its first call on.
fn under(args: &[String]) -> Result<()> {
    let at = args.iter().position(|arg| arg == "--").context("under RULE... -- PROGRAM ARG...")?;
    let rules = args[..at].iter().map(|rule| rule.parse()).collect::<Result<Vec<Rule>>>()?;
    let (_line, pointers) = c_strings(&args[at + 1..])?;
    install(&rules, Reach::Thread)?;
    // SAFETY: a null-terminated list of C strings, alive until the call returns, which it does on error.
    unsafe { libc::execv(pointers[0], pointers.as_ptr()) };
    Err(Error::last_os_error()).context("executing the program")
}

/// C strings, and the list of their addresses that `execve` wants.
fn c_strings(line: &[String]) -> Result<(Vec<CString>, Vec<*const libc::c_char>)> {
    let line: Vec<CString> = line.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<_, _>>()?;
    let mut pointers: Vec<_> = line.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(ptr::null());
    Ok((line, pointers))
}

/// `BPF_PROG_GET_NEXT_ID`, from the first to the last.
fn list_programs() -> Result<()> {
    const BPF_PROG_GET_NEXT_ID: i32 = 11;
    // union bpf_attr: start_id, next_id, open_flags.
    let mut attribute = [0_u32; 4];
    loop {
        // SAFETY: an attribute of its type, longer than needed, in which the kernel writes the second number.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_GET_NEXT_ID, attribute.as_mut_ptr(), size_of_val(&attribute))
        };
        if result < 0 {
            let error = Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ENOENT) {
                Ok(())
            } else {
                Err(error).context("listing programs")
            };
        }
        println!("{}", attribute[1]);
        attribute[0] = attribute[1];
    }
}
