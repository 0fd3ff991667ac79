//! Calls with all their arguments, each by a thread of its own that says who it is.

use std::ffi::CString;
use std::ptr;
use std::str::FromStr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use anyhow::{Context as _, Error, Result, bail};

use crate::filter::{Reach, Rule, install, split_abi};
use crate::raw::{self, Abi};

/// A call with six arguments.
#[derive(Debug, Clone)]
struct Wish {
    abi: Abi,
    nr: u32,
    args: [u64; 6],
}

impl FromStr for Wish {
    type Err = Error;

    /// `[ABI:]NR(HEX,HEX,...)`.
    fn from_str(text: &str) -> Result<Self> {
        let (abi, rest) = split_abi(text)?;
        let (nr, list) = rest.split_once('(').with_context(|| format!("no arguments in {text}"))?;
        let mut args = [0; 6];
        for (arg, hex) in args.iter_mut().zip(list.trim_end_matches(')').split(',')) {
            *arg = u64::from_str_radix(hex, 16).with_context(|| format!("argument in {text}"))?;
        }
        Ok(Self { abi, nr: nr.parse().with_context(|| format!("number in {text}"))?, args })
    }
}

struct Wanting<'a> {
    rules: &'a [Rule],
    wish: Wish,
    number: usize,
    tid: AtomicI32,
    place: AtomicU64,
}

extern "C" fn ignore(_signal: i32) {}

extern "C" fn want(context: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the creator waits for this thread's end, and keeps the context until then.
    let wanting = unsafe { &*context.cast::<Wanting<'_>>() };
    let name = CString::new(format!("wants {}", wanting.number)).expect("a name without zeros");
    // SAFETY: asks for our own id, and names this thread.
    unsafe {
        wanting.tid.store(libc::gettid(), Ordering::Relaxed);
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
    }
    if install(wanting.rules, Reach::Thread).is_ok() {
        raw::call6(wanting.wish.abi, wanting.wish.nr, wanting.wish.args, &wanting.place);
    }
    ptr::null_mut()
}

/// Makes each call under the rules, and prints who wanted it and where from.
pub fn run(args: &[String]) -> Result<()> {
    let (wishes, rules): (Vec<_>, Vec<_>) = args.iter().partition(|arg| arg.contains('('));
    let rules = rules.iter().map(|rule| rule.parse()).collect::<Result<Vec<Rule>>>()?;
    crate::work::handle(libc::SIGSYS, ignore)?;
    for (number, wish) in wishes.iter().enumerate() {
        let wish: Wish = wish.parse()?;
        let wanting = Wanting { rules: &rules, wish, number, tid: AtomicI32::new(0), place: AtomicU64::new(0) };
        // The standard library's threads cannot be joined after a death by filter; the C library's can.
        let mut thread = 0;
        // SAFETY: the context outlives the thread, which is waited for.
        let outcome = unsafe {
            let context = ptr::from_ref(&wanting).cast_mut().cast();
            let made = libc::pthread_create(&raw mut thread, ptr::null(), want, context);
            if made == 0 { libc::pthread_join(thread, ptr::null_mut()) } else { made }
        };
        if outcome != 0 {
            bail!("a thread: {}", std::io::Error::from_raw_os_error(outcome));
        }
        println!(
            r#"{{"pid":{},"tid":{},"comm":"wants {number}","place":{}}}"#,
            std::process::id(),
            wanting.tid.into_inner(),
            wanting.place.into_inner()
        );
    }
    Ok(())
}
