//! Calls that nobody comes back from: filters that end a thread or a process.

use std::ptr;

use anyhow::{Context as _, Result, bail};

use crate::filter::{Action, Reach, Rule, install};
use crate::raw;
use crate::table::{Fate, Table};
use crate::work::Call;

/// Who dies, and in what company.
#[derive(Debug, Clone, Copy)]
pub struct Deaths {
    pub action: Action,
    pub victims: u64,
    /// With other threads in the process: they die too (`KILL_PROCESS`), or live on (`KILL_THREAD`).
    pub company: bool,
    /// By a filter that is there already: the container's.
    pub given: bool,
}

impl Deaths {
    fn install(&self, rule: &Rule) -> Result<()> {
        if self.given { Ok(()) } else { install(std::slice::from_ref(rule), Reach::Thread) }
    }
}

/// Threads of a process that die at one moment, the first one among them.
const TOGETHER: usize = 4;

/// Lets each of a number of processes die with all its threads at once, each by a refusal of its own.
pub fn run_together(processes: u64, call: Call, table: Table) -> Result<()> {
    let rule = Rule { abi: call.abi, nr: call.nr, arg: None, action: Action::KillThread, text: String::new() };
    for _ in 0..processes {
        // SAFETY: this process has one thread here, so the child may do anything.
        let child = unsafe { libc::fork() };
        if child == 0 {
            no_core_file();
            let ready = std::sync::atomic::AtomicUsize::new(0);
            let die = || {
                if install(std::slice::from_ref(&rule), Reach::Thread).is_ok() {
                    table.issued(call.abi, call.nr, true, Fate::ThreadKilled, 1);
                    ready.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    while ready.load(std::sync::atomic::Ordering::SeqCst) < TOGETHER {
                        std::hint::spin_loop();
                    }
                    raw::call(call.abi, call.nr, call.arg);
                }
            };
            std::thread::scope(|scope| {
                (1..TOGETHER).for_each(|_| _ = scope.spawn(die));
                die();
            });
            // SAFETY: ends the child, which should not have come here.
            unsafe { libc::_exit(99) };
        }
        expect_sigsys(child)?;
    }
    Ok(())
}

/// Lets each victim make each call once.
pub fn run(deaths: Deaths, calls: &[Call], table: Table) -> Result<()> {
    for &call in calls {
        let rule = Rule { abi: call.abi, nr: call.nr, arg: None, action: deaths.action, text: String::new() };
        if deaths.company && deaths.action == Action::KillThread {
            for _ in 0..deaths.victims {
                thread_dies(&rule, deaths, call, table)?;
            }
        } else {
            for _ in 0..deaths.victims {
                process_dies(&rule, call, deaths, table)?;
            }
        }
    }
    Ok(())
}

fn process_dies(rule: &Rule, call: Call, deaths: Deaths, table: Table) -> Result<()> {
    // SAFETY: this process has one thread here, so the child may do anything.
    let child = unsafe { libc::fork() };
    if child == 0 {
        no_core_file();
        if deaths.company {
            std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(60)));
        }
        if deaths.install(rule).is_ok() {
            table.issued(call.abi, call.nr, true, Fate::Signalled, 1);
            raw::call(call.abi, call.nr, call.arg);
        }
        // SAFETY: ends the child, which should not have come here.
        unsafe { libc::_exit(99) };
    }
    expect_sigsys(child)
}

/// The core file of a death that was asked for is of no use.
fn no_core_file() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Waits for a forked victim to die.
fn expect_sigsys(child: i32) -> Result<()> {
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(std::io::Error::last_os_error()).context("forking a victim");
    }
    if !libc::WIFSIGNALED(status) || libc::WTERMSIG(status) != libc::SIGSYS {
        bail!("a victim ended with status {status:#x}, not by SIGSYS");
    }
    Ok(())
}

struct Victim<'a> {
    rule: &'a Rule,
    deaths: Deaths,
    call: Call,
    table: Table,
}

extern "C" fn victim(context: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the creator waits for this thread's end, and keeps the context until then.
    let victim = unsafe { &*context.cast::<Victim<'_>>() };
    if victim.deaths.install(victim.rule).is_ok() {
        victim.table.issued(victim.call.abi, victim.call.nr, true, Fate::ThreadKilled, 1);
        raw::call(victim.call.abi, victim.call.nr, victim.call.arg);
    }
    // Not null: it came back.
    context
}

fn thread_dies(rule: &Rule, deaths: Deaths, call: Call, table: Table) -> Result<()> {
    // The standard library's threads cannot be joined after such a death; the C library's can.
    let mut context = Victim { rule, deaths, call, table };
    let mut thread = 0;
    let mut result = ptr::null_mut();
    // SAFETY: the context outlives the thread, which is waited for.
    let outcome = unsafe {
        let made = libc::pthread_create(&raw mut thread, ptr::null(), victim, (&raw mut context).cast());
        if made == 0 { libc::pthread_join(thread, &raw mut result) } else { made }
    };
    if outcome != 0 {
        return Err(std::io::Error::from_raw_os_error(outcome)).context("starting a victim");
    }
    if !result.is_null() {
        bail!("a thread lived on after its KILL_THREAD");
    }
    Ok(())
}
