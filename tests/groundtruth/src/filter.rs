//! Seccomp filters of our own: classic BPF, built by hand so that nobody else's idea of a rule comes in.

use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};

use crate::raw::Abi;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub const LOAD_IMMEDIATE: u16 = 0x00; // BPF_LD | BPF_IMM
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARG0: u32 = 16;

/// What a filter does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Allow,
    Log,
    Errno(u16),
    Trap,
    KillProcess,
    KillThread,
    Trace,
    Notify,
}

impl Action {
    fn wire(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::Trace => libc::SECCOMP_RET_TRACE,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
        }
    }
}

/// One call and what to do to it, perhaps only with this first argument.
#[derive(Debug, Clone)]
pub struct Rule {
    pub abi: Abi,
    pub nr: u32,
    pub arg: Option<u32>,
    pub action: Action,
    /// As it was written, to be passed on.
    pub text: String,
}

impl FromStr for Rule {
    type Err = Error;

    /// `[ABI:]NR[@ARG]=ACTION`, ACTION as `errno:1`.
    fn from_str(text: &str) -> Result<Self> {
        let (call, action) = text.split_once('=').with_context(|| format!("no action in rule {text}"))?;
        let (abi, rest) = split_abi(call)?;
        let (nr, arg) = match rest.split_once('@') {
            Some((nr, arg)) => (nr, Some(arg.parse().with_context(|| format!("argument in rule {text}"))?)),
            None => (rest, None),
        };
        let action = match action.split_once(':') {
            Some(("errno", errno)) => Action::Errno(errno.parse().with_context(|| format!("errno in rule {text}"))?),
            None => match action {
                "allow" => Action::Allow,
                "log" => Action::Log,
                "trap" => Action::Trap,
                "kill_process" => Action::KillProcess,
                "kill_thread" => Action::KillThread,
                "trace" => Action::Trace,
                "notify" => Action::Notify,
                _ => bail!("unknown action in rule {text}"),
            },
            Some(_) => bail!("unknown action in rule {text}"),
        };
        Ok(Self {
            abi,
            nr: nr.parse().with_context(|| format!("number in rule {text}"))?,
            arg,
            action,
            text: text.to_owned(),
        })
    }
}

/// Takes `ABI:` off a call's text; without one it is x86-64.
pub fn split_abi(text: &str) -> Result<(Abi, &str)> {
    let Some((name, rest)) = text.split_once(':') else { return Ok((Abi::X86_64, text)) };
    let abi = Abi::ALL.into_iter().find(|abi| abi.as_str() == name).with_context(|| format!("unknown ABI {name}"))?;
    Ok((abi, rest))
}

/// Whether a filter reaches only the calling thread or all of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Thread,
    Process,
}

/// Installs a filter of these rules that allows everything else.
pub fn install(rules: &[Rule], reach: Reach) -> Result<()> {
    load(&mut assemble(rules)?, if reach == Reach::Process { libc::SECCOMP_FILTER_FLAG_TSYNC } else { 0 }).map(drop)
}

/// Installs a filter on this thread and gives the file by which its supervisor answers.
pub fn install_supervised(rules: &[Rule]) -> Result<i32> {
    load(&mut assemble(rules)?, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)
}

/// Installs a program on this thread. Gives the file that a listener's flag asks for.
pub fn load(program: &mut [libc::sock_filter], flags: u64) -> Result<i32> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).context("a filter of more than 65535 instructions")?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: plain numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        bail!("setting no_new_privs: {}", std::io::Error::last_os_error());
    }
    // SAFETY: the program lives until the call returns, and the kernel copies it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&filter)) };
    if result < 0 {
        bail!("installing a filter: {}", std::io::Error::last_os_error());
    }
    i32::try_from(result).context("a file number")
}

fn assemble(rules: &[Rule]) -> Result<Vec<libc::sock_filter>> {
    let mut program = Vec::new();
    for arch in [Abi::X86_64, Abi::I386].map(Abi::audit_arch) {
        let mut body = vec![statement(LOAD_WORD, NR)];
        for rule in rules.iter().filter(|rule| rule.abi.audit_arch() == arch) {
            let number = u32::try_from(rule.abi.wire_nr(rule.nr)).context("a call's number")?;
            match rule.arg {
                None => body.extend([jump_unless(number, 1), statement(RETURN, rule.action.wire())]),
                Some(arg) => body.extend([
                    jump_unless(number, 4),
                    statement(LOAD_WORD, ARG0),
                    jump_unless(arg, 1),
                    statement(RETURN, rule.action.wire()),
                    statement(LOAD_WORD, NR),
                ]),
            }
        }
        body.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
        program.push(statement(LOAD_WORD, ARCH));
        program.push(jump_unless(arch, u8::try_from(body.len()).context("a filter with too many rules")?));
        program.append(&mut body);
    }
    program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    Ok(program)
}

pub const fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

const fn jump_unless(equal: u32, over: u8) -> libc::sock_filter {
    libc::sock_filter { code: JUMP_EQUAL, jt: 0, jf: over, k: equal }
}
