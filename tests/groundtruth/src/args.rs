//! Calls with all their arguments, some of them in memory, and perhaps a program that is executed after them.

use std::ffi::CString;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Error, Result, bail, ensure};

use crate::filter::{Reach, Rule, install, split_abi};
use crate::raw::{self, Abi};

/// Room for what a pointer points to.
const MEMORY: usize = 64;

/// What stands in a register.
#[derive(Debug, Clone, Copy)]
enum Argument {
    Value(u64),
    /// One more at each repetition.
    Rising(u64),
    /// Where the call's own memory is.
    Pointer,
}

#[derive(Debug, Clone)]
struct Call {
    abi: Abi,
    nr: u32,
    args: [Argument; 6],
    /// What is in memory, and how far behind the pointer.
    memory: (u64, usize),
    count: u64,
}

impl FromStr for Call {
    type Err = Error;

    /// `[ABI:]NR(ARG,ARG,...)[*COUNT]`, ARG in hex: `9`, `9+` for one that rises, `&9` or `&9@8` for one in memory.
    fn from_str(text: &str) -> Result<Self> {
        let (abi, rest) = split_abi(text)?;
        let (nr, rest) = rest.split_once('(').with_context(|| format!("no arguments in {text}"))?;
        let (list, count) = rest.split_once(')').with_context(|| format!("no end of the arguments in {text}"))?;
        let hex = |digits: &str| u64::from_str_radix(digits, 16).with_context(|| format!("argument in {text}"));
        let mut call = Self {
            abi,
            nr: nr.parse().with_context(|| format!("number in {text}"))?,
            args: [Argument::Value(0); 6],
            memory: (0, 0),
            count: count.strip_prefix('*').map_or(Ok(1), str::parse).with_context(|| format!("count in {text}"))?,
        };
        for (arg, word) in call.args.iter_mut().zip(list.split(',')) {
            *arg = if let Some(value) = word.strip_prefix('&') {
                let (value, offset) = value.split_once('@').unwrap_or((value, "0"));
                call.memory = (hex(value)?, offset.parse().with_context(|| format!("offset in {text}"))?);
                ensure!(call.memory.1 + 8 <= MEMORY, "too far behind the pointer in {text}");
                Argument::Pointer
            } else if let Some(first) = word.strip_suffix('+') {
                Argument::Rising(hex(first)?)
            } else {
                Argument::Value(hex(word)?)
            };
        }
        Ok(call)
    }
}

impl Call {
    fn make(&self, pointer: u64) {
        let place = AtomicU64::new(0);
        for repetition in 0..self.count {
            let args = self.args.map(|arg| match arg {
                Argument::Value(value) => value,
                Argument::Rising(first) => first + repetition,
                Argument::Pointer => pointer,
            });
            raw::call6(self.abi, self.nr, args, &place);
        }
    }
}

/// Makes the calls in each thread, each with a filter of its own, and then in processes; at last becomes the program.
pub fn run(args: &[String]) -> Result<()> {
    let (own, program) = match args.iter().position(|arg| arg == "--" || arg == "--at") {
        Some(at) => (&args[..at], Some((args[at] == "--at", &args[at + 1..]))),
        None => (args, None),
    };
    let (mut threads, mut forks) = (0, 0);
    let (mut rules, mut calls) = (Vec::new(), Vec::new());
    for arg in own {
        if let Some(number) = arg.strip_prefix("--threads=") {
            threads = number.parse().context("a number of threads")?;
        } else if let Some(number) = arg.strip_prefix("--forks=") {
            forks = number.parse().context("a number of processes")?;
        } else if arg.contains('(') {
            calls.push(arg.parse::<Call>()?);
        } else {
            rules.push(arg.parse::<Rule>()?);
        }
    }
    let memory = Memory::new(&calls)?;
    // Made before there is a filter: what they need is not what is to be seen.
    let program = program.map(|(at, line)| anyhow::Ok((at, crate::c_strings(line)?))).transpose()?;
    if threads > 0 {
        return in_threads(threads, &rules, &calls, &memory);
    }
    if !rules.is_empty() {
        install(&rules, Reach::Thread)?;
    }
    make_all(&calls, &memory);
    for _ in 0..forks {
        in_process(&calls, &memory)?;
    }
    match program {
        Some((at, (line, pointers))) => execute(at, &line, &pointers),
        None => Ok(()),
    }
}

fn make_all(calls: &[Call], memory: &Memory) {
    for (call, pointer) in calls.iter().zip(memory.pointers()) {
        call.make(pointer);
    }
}

fn in_threads(threads: usize, rules: &[Rule], calls: &[Call], memory: &Memory) -> Result<()> {
    let barrier = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        let made: Vec<_> = (0..threads)
            .map(|index| {
                let barrier = &barrier;
                scope.spawn(move || {
                    crate::work::pin(index);
                    barrier.wait();
                    if !rules.is_empty() {
                        install(rules, Reach::Thread)?;
                    }
                    make_all(calls, memory);
                    Ok(())
                })
            })
            .collect();
        made.into_iter().try_for_each(|thread| thread.join().expect("a thread's panic"))
    })
}

fn in_process(calls: &[Call], memory: &Memory) -> Result<()> {
    const FORK: u32 = 57;
    let made = raw::call(Abi::X86_64, FORK, 0);
    if made == 0 {
        make_all(calls, memory);
        // SAFETY: ends the forked child at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    let waited = unsafe { libc::waitpid(i32::try_from(made)?, &raw mut status, 0) };
    ensure!(waited > 0 && status == 0, "a child ended with status {status:#x}");
    Ok(())
}

fn execute(at: bool, line: &[CString], pointers: &[*const libc::c_char]) -> Result<()> {
    let none = [std::ptr::null()];
    let program = line.first().context("no program named")?;
    // SAFETY: C strings and null-terminated lists of them, alive until the call returns, which it does on error.
    unsafe {
        // Nobody executes what is not there, and who tries is what it was.
        libc::execve(c"/not/there".as_ptr(), pointers.as_ptr(), none.as_ptr());
        if at {
            libc::syscall(libc::SYS_execveat, libc::AT_FDCWD, program.as_ptr(), pointers.as_ptr(), none.as_ptr(), 0);
        } else {
            libc::execve(program.as_ptr(), pointers.as_ptr(), none.as_ptr());
        }
    }
    Err(std::io::Error::last_os_error()).context("executing the program")
}

/// Memory that 32-bit calls reach as well.
struct Memory {
    start: u64,
    calls: usize,
}

impl Memory {
    fn new(calls: &[Call]) -> Result<Self> {
        let size = calls.len().max(1) * MEMORY;
        // SAFETY: new memory, of which nobody else knows.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            bail!("getting memory: {}", std::io::Error::last_os_error());
        }
        for (at, call) in calls.iter().enumerate() {
            // SAFETY: within the memory, which has room for each call.
            unsafe { start.byte_add(at * MEMORY + call.memory.1).cast::<u64>().write_unaligned(call.memory.0) };
        }
        Ok(Self { start: start as u64, calls: calls.len() })
    }

    fn pointers(&self) -> impl Iterator<Item = u64> {
        (0..self.calls).map(|at| self.start + (at * MEMORY) as u64)
    }
}
