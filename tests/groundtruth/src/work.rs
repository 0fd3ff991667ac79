//! The ordinary ways of making calls: in a loop, in threads, in short-lived processes of every kind, in programs that
//! are executed, and in signal handlers.

use std::ffi::CString;
use std::str::FromStr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Error, Result, bail};

use crate::elf32::EXECVE as EXECVE_32;
use crate::filter::{Action, Reach, Rule, install, split_abi};
use crate::raw::{self, Abi};
use crate::table::{Fate, Table};

const CLONE: u32 = 56;
const FORK: u32 = 57;
const VFORK: u32 = 58;
const EXECVE: u32 = 59;
const RT_SIGRETURN: u32 = 15;
const TGKILL: u32 = 234;
const CLONE3: u32 = 435;

/// One call, and how often to make it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub abi: Abi,
    pub nr: u32,
    pub arg: i64,
    pub count: u64,
}

impl FromStr for Call {
    type Err = Error;

    /// `[ABI:]NR[@ARG][*COUNT]`.
    fn from_str(text: &str) -> Result<Self> {
        let (abi, rest) = split_abi(text)?;
        let (rest, count) = rest.split_once('*').unwrap_or((rest, "1"));
        let (nr, arg) = rest.split_once('@').unwrap_or((rest, "0"));
        Ok(Self {
            abi,
            nr: nr.parse().with_context(|| format!("number in {text}"))?,
            arg: arg.parse().with_context(|| format!("argument in {text}"))?,
            count: count.parse().with_context(|| format!("count in {text}"))?,
        })
    }
}

/// What every thread of a run does.
#[derive(Debug, Default)]
pub struct Work {
    pub calls: Vec<Call>,
    pub rules: Vec<Rule>,
    /// Rules of a filter that is there already: the container's.
    pub given: Vec<Rule>,
    pub threads: usize,
    /// Installs the rules on all threads halfway, each having made its calls once without them.
    pub tsync: bool,
    /// Short-lived processes of each thread, by how they are made; each makes the calls once.
    pub forks: u64,
    pub vforks: u64,
    pub clones: u64,
    pub clone3s: u64,
    pub execs: u64,
    /// Executions of a 32-bit program that makes the 32-bit calls and executes a 64-bit one.
    pub execs32: u64,
    /// Signals that each thread sends itself and handles.
    pub signals: u64,
}

/// How often a handler ran: by SIGUSR1, and by SIGSYS.
static HANDLED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

extern "C" fn count_signal(number: i32) {
    HANDLED[usize::from(number == libc::SIGSYS)].fetch_add(1, Ordering::Relaxed);
}

/// Counts deliveries of a signal from now on.
pub fn handle(number: i32, handler: extern "C" fn(i32)) -> Result<()> {
    // SAFETY: zeroed is a valid `sigaction`, and the handler only touches atomics.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(number, &raw const action, std::ptr::null_mut())
    };
    if result != 0 {
        bail!("handling signal {number}: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

impl Work {
    /// Does it all; the table has what was done.
    pub fn run(&self, table: Table) -> Result<()> {
        handle(libc::SIGUSR1, count_signal)?;
        handle(libc::SIGSYS, count_signal)?;
        let early = !self.rules.is_empty() && !self.tsync;
        if early {
            install(&self.rules, Reach::Thread)?;
        }
        let programs = Programs::new(self, table, early)?;
        let threads = self.threads.max(1);
        let barrier = Barrier::new(threads + 1);
        std::thread::scope(|scope| {
            let mut handles = Vec::new();
            for index in 0..threads {
                let (programs, barrier) = (&programs, &barrier);
                handles.push(scope.spawn(move || {
                    pin(index);
                    let worker = Worker { work: self, table, own_filter: early };
                    if self.tsync {
                        worker.make_calls();
                        barrier.wait();
                        barrier.wait();
                    }
                    Worker { own_filter: early || self.tsync, ..worker }.run(programs)
                }));
            }
            if self.tsync {
                barrier.wait();
                install(&self.rules, Reach::Process)?;
                barrier.wait();
            }
            handles.into_iter().try_for_each(|handle| handle.join().expect("a worker's panic"))
        })?;
        self.verify_handled()
    }

    /// The signals that were caused are those that were handled.
    fn verify_handled(&self) -> Result<()> {
        let threads = self.threads.max(1) as u64;
        let trapped = |call: &&Call| self.fate(call, true) == Fate::Signalled;
        let traps: u64 = self.calls.iter().filter(trapped).map(|call| call.count).sum();
        for (handled, per_thread) in HANDLED.iter().zip([self.signals, traps]) {
            let handled = handled.load(Ordering::Relaxed);
            if handled != per_thread * threads {
                bail!("{handled} of {} signals were handled", per_thread * threads);
            }
        }
        Ok(())
    }

    /// What the rules do to a call.
    pub fn fate(&self, call: &Call, own_filter: bool) -> Fate {
        let applies = |rule: &&Rule| {
            let same_arg = rule.arg.is_none_or(|arg| i64::from(arg) == call.arg & 0xffff_ffff);
            rule.abi == call.abi && rule.nr == call.nr && same_arg
        };
        let given = self.given.iter().find(applies);
        match given.or_else(|| self.rules.iter().find(applies).filter(|_| own_filter)).map(|rule| rule.action) {
            None | Some(Action::Allow | Action::Log) => Fate::Reached,
            // Without a tracer a RET_TRACE is an ENOSYS.
            Some(Action::Errno(_) | Action::Trace) => Fate::Errno,
            Some(Action::Trap | Action::KillProcess | Action::KillThread) => Fate::Signalled,
            Some(Action::Notify) => Fate::Answered,
        }
    }
}

/// One thread's part. Nothing here allocates or locks between a fork and the child's end.
#[derive(Clone, Copy)]
struct Worker<'a> {
    work: &'a Work,
    table: Table,
    own_filter: bool,
}

impl Worker<'_> {
    fn run(&self, programs: &Programs) -> Result<()> {
        self.make_calls();
        for _ in 0..self.work.signals {
            self.count(TGKILL, 1);
            self.count(RT_SIGRETURN, 1);
            // SAFETY: asks for our own ids.
            let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
            raw::call3(Abi::X86_64, TGKILL, [i64::from(pid), i64::from(tid), i64::from(libc::SIGUSR1)]);
        }
        for _ in 0..self.work.forks {
            self.count(FORK, 1);
            self.child(raw::call(Abi::X86_64, FORK, 0), || self.make_calls())?;
        }
        for _ in 0..self.work.clones {
            self.child(raw::call(Abi::X86_64, CLONE, libc::SIGCHLD.into()), || self.make_calls())?;
        }
        for _ in 0..self.work.clone3s {
            // struct clone_args: only exit_signal, the fifth of eight words.
            let args: [u64; 8] = [0, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
            let size = size_of_val(&args);
            let at = i64::try_from(args.as_ptr() as usize).context("an address")?;
            let made = raw::call3(Abi::X86_64, CLONE3, [at, i64::try_from(size)?, 0]);
            if made == -i64::from(libc::ENOSYS) {
                bail!("clone3 is not there, or refused");
            }
            self.child(made, || self.make_calls())?;
        }
        for call in &self.work.calls {
            for _ in 0..self.work.vforks {
                if call.abi != Abi::X86_64 || self.work.fate(call, self.own_filter) == Fate::Signalled {
                    continue;
                }
                // The child has no way to count its results: they are those of one call made here.
                self.count(VFORK, 1);
                let fate = self.work.fate(call, self.own_filter);
                self.table.issued(call.abi, call.nr, self.own_filter, fate, call.count);
                if raw::is_error(raw::call(call.abi, call.nr, call.arg)) {
                    self.table.failed(call.abi, call.nr, self.own_filter, fate, call.count + 1);
                }
                self.table.issued(call.abi, call.nr, self.own_filter, fate, 1);
                let made = raw::vfork_calling(call.nr, call.arg, call.count);
                self.child(made, || ())?;
            }
        }
        for _ in 0..self.work.execs {
            self.count(FORK, 1);
            self.child(raw::call(Abi::X86_64, FORK, 0), || self.execute(&programs.own, &programs.args))?;
        }
        for _ in 0..self.work.execs32 {
            self.count(FORK, 1);
            for call in self.work.calls.iter().filter(|call| call.abi == Abi::I386) {
                let fate = self.work.fate(call, self.own_filter);
                self.table.issued(call.abi, call.nr, self.own_filter, fate, call.count);
            }
            self.table.issued(Abi::I386, EXECVE_32, self.own_filter, Fate::Reached, 1);
            self.child(raw::call(Abi::X86_64, FORK, 0), || self.execute(&programs.compat, &programs.args))?;
        }
        Ok(())
    }

    fn count(&self, nr: u32, count: u64) {
        self.table.issued(Abi::X86_64, nr, self.own_filter, Fate::Reached, count);
    }

    fn make_calls(&self) {
        for call in &self.work.calls {
            let fate = self.work.fate(call, self.own_filter);
            self.table.issued(call.abi, call.nr, self.own_filter, fate, call.count);
            if fate == Fate::Signalled {
                self.count(RT_SIGRETURN, call.count);
            }
            let mut failed = 0;
            for _ in 0..call.count {
                failed += u64::from(raw::is_error(raw::call(call.abi, call.nr, call.arg)));
            }
            self.table.failed(call.abi, call.nr, self.own_filter, fate, failed);
        }
    }

    fn execute(&self, program: &CString, args: &[CString]) {
        let mut pointers = [std::ptr::null(); 64];
        for (pointer, arg) in pointers[..63].iter_mut().zip(args) {
            *pointer = arg.as_ptr();
        }
        self.count(EXECVE, 1);
        let none: [*const libc::c_char; 1] = [std::ptr::null()];
        // SAFETY: C strings and null-terminated lists of them, alive until the call returns, which it does on error.
        unsafe { libc::execve(program.as_ptr(), pointers.as_ptr(), none.as_ptr()) };
        // SAFETY: ends the forked child at once.
        unsafe { libc::_exit(127) };
    }

    /// In the child does the work and ends; in the parent waits for that.
    fn child(&self, made: i64, work: impl FnOnce()) -> Result<()> {
        if made == 0 {
            work();
            // SAFETY: ends the forked child at once.
            unsafe { libc::_exit(0) };
        }
        if made < 0 {
            bail!("making a process: {}", std::io::Error::from_raw_os_error(i32::try_from(-made)?));
        }
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        let waited = unsafe { libc::waitpid(i32::try_from(made)?, &raw mut status, libc::__WALL) };
        if waited < 0 || status != 0 {
            bail!("a child ended with status {status:#x}");
        }
        Ok(())
    }
}

/// The programs to execute, made ready before any fork.
struct Programs {
    own: CString,
    compat: CString,
    args: Vec<CString>,
}

impl Programs {
    fn new(work: &Work, table: Table, own_filter: bool) -> Result<Self> {
        let mut args = vec!["groundtruth".to_owned(), "child".to_owned(), table.fd().to_string()];
        args.push((own_filter || work.tsync).to_string());
        for rule in work.rules.iter().chain(&work.given) {
            let fate =
                work.fate(&Call { abi: rule.abi, nr: rule.nr, arg: rule.arg.unwrap_or(0).into(), count: 1 }, true);
            if fate == Fate::Signalled && work.execs > 0 {
                bail!("an executed program does not handle SIGSYS: no trap together with execs");
            }
        }
        args.extend(work.rules.iter().map(|rule| format!("--filter={}", rule.text)));
        args.extend(work.given.iter().map(|rule| format!("--given={}", rule.text)));
        args.extend(
            work.calls.iter().map(|call| format!("{}:{}@{}*{}", call.abi.as_str(), call.nr, call.arg, call.count)),
        );
        if args.len() > 60 {
            bail!("too many calls and rules to pass on");
        }
        let compat = if work.execs32 > 0 {
            let calls: Vec<_> = work.calls.iter().filter(|call| call.abi == Abi::I386).copied().collect();
            crate::elf32::file(&calls)?
        } else {
            String::new()
        };
        let args = args.into_iter().map(CString::new).collect::<Result<_, _>>().context("an argument")?;
        Ok(Self { own: CString::new("/proc/self/exe")?, compat: CString::new(compat)?, args })
    }
}

/// The whole work of an executed program.
pub fn child(work: &Work, table: Table, own_filter: bool) {
    Worker { work, table, own_filter }.make_calls();
}

/// Keeps this thread on one processor, so that a run uses all of them at once.
pub fn pin(index: usize) {
    // SAFETY: asks for a number.
    let online = usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1).max(1);
    // SAFETY: zeroed is an empty set, and the set is ours. Where it is refused the kernel spreads threads by itself.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(index % online, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}
