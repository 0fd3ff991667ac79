//! Makes calls under filters and says what became of each; see `tests::fate` for what it is asked.
//!
//! Calls are made by a second thread of a forked child: when the thread ends alone, or with the process, the child's
//! end tells which, and another child goes on with the next call. A thread that is done ends its process by an illegal
//! instruction, for which no filter has to be asked.

use std::arch::asm;
use std::io::{Error, stdin, stdout};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst};

use anyhow::{Context as _, Result, bail, ensure};
use tests::fate::{
    Call, Door, FATE_WORDS, Job, PENDING, PROCESS_DIED, RETURNED, Sigsys, THREAD_DIED, TRAPPED, receive, send,
};

/// What a child leaves behind of one call.
type Record = [AtomicU64; FATE_WORDS];

/// The child's exit code where its second thread has ended and it has not.
const ALONE: i32 = 42;
/// The child's exit code where it could not begin.
const UNABLE: i32 = 43;

/// A user and a group that are nobody's: what a wrong guess lets through can do no harm.
const NOBODY: u32 = 54_321;

/// Where the signal handler writes, and whether the thread may go on after it.
static RECORD: AtomicPtr<Record> = AtomicPtr::new(ptr::null_mut());
static RESUMES: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<()> {
    prepare().context("preparing the calling process")?;
    let (mut questions, mut answers) = (stdin().lock(), stdout().lock());
    while let Some(words) = receive(&mut questions)? {
        let fates = perform(&Job::from_words(&words)?)?;
        send(&mut answers, &fates)?;
    }
    Ok(())
}

fn succeeded(result: i32) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last_os_error().into()) }
}

fn prepare() -> Result<()> {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: calls with numbers and valid structures; the handler is async-signal-safe.
    unsafe {
        succeeded(libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core))?;
        if libc::geteuid() == 0 {
            succeeded(libc::setgroups(0, ptr::null()))?;
            succeeded(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
            succeeded(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
        }
        succeeded(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *const libc::siginfo_t, *const libc::c_void) = trapped;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        succeeded(libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()))
    }
}

/// `siginfo_t` of a SIGSYS (include/uapi/asm-generic/siginfo.h).
#[repr(C)]
struct Info {
    signo: i32,
    errno: i32,
    code: i32,
    _padding: i32,
    _call_address: u64,
    nr: i32,
    arch: u32,
}

extern "C" fn trapped(_: i32, info: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO its information; the record is set before a filter is.
    let (info, record) = unsafe { (&*info.cast::<Info>(), &*RECORD.load(SeqCst)) };
    let [first, second] = Sigsys { errno: info.errno, code: info.code, nr: info.nr, arch: info.arch }.to_words();
    record[1].store(first, SeqCst);
    record[2].store(second, SeqCst);
    record[0].store(TRAPPED, SeqCst);
    if RESUMES.load(SeqCst) == 0 {
        end();
    }
}

/// Ends the process without a call.
fn end() -> ! {
    // SAFETY: an illegal instruction.
    unsafe { asm!("ud2", options(noreturn)) }
}

/// Memory that children share with us.
struct Records<'a>(&'a [Record]);

impl Records<'_> {
    fn new(count: usize) -> Result<Self> {
        let (size, shared) = (count.max(1) * size_of::<Record>(), libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: new memory of our own, zero, aligned to a page; the slice goes before it does.
        unsafe {
            let at = libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, shared, -1, 0);
            ensure!(at != libc::MAP_FAILED, "sharing memory: {}", Error::last_os_error());
            Ok(Self(slice::from_raw_parts(at.cast(), count)))
        }
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, and nobody has any more.
        unsafe { libc::munmap(self.0.as_ptr().cast_mut().cast(), size_of_val(self.0).max(1)) };
    }
}

fn perform(job: &Job) -> Result<Vec<u64>> {
    let records = Records::new(job.calls.len())?;
    let mut from = 0;
    while from < job.calls.len() {
        // SAFETY: this process has one thread, so the child may do anything.
        let child = unsafe { libc::fork() };
        if child == 0 {
            be_child(&Task { job, records: records.0, from });
        }
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
            return Err(Error::last_os_error()).context("forking a caller");
        }
        let done = records.0[from..].iter().take_while(|record| record[0].load(SeqCst) != PENDING).count();
        let next = from + done;
        let fate = if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS {
            Some(PROCESS_DIED)
        } else if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == ALONE {
            Some(THREAD_DIED)
        } else if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGILL && next > from {
            None
        } else {
            bail!("a caller ended with status {status:#x} before call {next} of {}", job.calls.len());
        };
        from = next;
        if let Some(fate) = fate {
            records.0.get(next).context("a caller died after its last call")?[0].store(fate, SeqCst);
            from += 1;
        }
    }
    Ok(records.0.iter().flatten().map(|word| word.load(SeqCst)).collect())
}

struct Task<'a> {
    job: &'a Job,
    records: &'a [Record],
    from: usize,
}

fn be_child(task: &Task<'_>) -> ! {
    let mut thread = 0;
    // SAFETY: the task outlives the thread, which is waited for; then the process ends.
    unsafe {
        libc::alarm(60);
        let made = libc::pthread_create(&raw mut thread, ptr::null(), calls, ptr::from_ref(task).cast_mut().cast());
        if made == 0 {
            libc::pthread_join(thread, ptr::null_mut());
        }
        libc::_exit(if made == 0 { ALONE } else { UNABLE })
    }
}

extern "C" fn calls(task: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the creator waits for this thread's end, and keeps the task until then.
    let Task { job, records, from } = unsafe { &*task.cast::<Task<'_>>() };
    RESUMES.store(u64::from(job.resumes), SeqCst);
    for (call, record) in job.calls.iter().zip(*records).skip(*from).filter(|(call, _)| call.harmless) {
        record[2].store(make(call).cast_unsigned(), SeqCst);
    }
    for filter in &job.filters {
        if install(filter).is_err() {
            // SAFETY: ends the child; what the parent knows is that no call was made.
            unsafe { libc::_exit(UNABLE) };
        }
    }
    for (call, record) in job.calls.iter().zip(*records).skip(*from) {
        RECORD.store(ptr::from_ref(record).cast_mut(), SeqCst);
        let result = make(call);
        if record[0].load(SeqCst) == PENDING {
            record[1].store(result.cast_unsigned(), SeqCst);
            record[0].store(RETURNED, SeqCst);
        }
    }
    end()
}

fn install(filter: &[u8]) -> Result<()> {
    let (instructions, _) = filter.as_chunks::<8>();
    let mut program: Vec<libc::sock_filter> = instructions
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_le_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_le_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let program = libc::sock_fprog { len: u16::try_from(program.len())?, filter: program.as_mut_ptr() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program lives until the call returns, and the kernel copies it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, ptr::from_ref(&program)) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error().into()) }
}

/// Makes a call. What comes back through the 32-bit way is 32 bits wide.
fn make(call: &Call) -> i64 {
    let number = i64::from(call.nr);
    let args = &call.args;
    let result: i64;
    match call.door {
        Door::Syscall => {
            // SAFETY: the client names calls that touch no memory.
            unsafe {
                asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1],
                    in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _,
                    lateout("r11") _);
            }
            result
        }
        Door::Interrupt => {
            // SAFETY: as above; rbx and rbp are the compiler's, so they are put back. The kernel clears r8 to r11.
            unsafe {
                asm!("push rbx", "push rbp", "mov rbx, [r12]", "mov rcx, [r12 + 8]", "mov rdx, [r12 + 16]",
                    "mov rsi, [r12 + 24]", "mov rdi, [r12 + 32]", "mov rbp, [r12 + 40]", "int 0x80", "pop rbp",
                    "pop rbx", inlateout("rax") number => result, in("r12") args.as_ptr(), lateout("rcx") _,
                    lateout("rdx") _, lateout("rsi") _, lateout("rdi") _, lateout("r8") _, lateout("r9") _,
                    lateout("r10") _, lateout("r11") _);
            }
            #[expect(clippy::cast_possible_truncation, reason = "the upper half is not part of a 32-bit result")]
            let result = result as i32;
            i64::from(result)
        }
    }
}
