//! Syscall User Dispatch: calls that the kernel turns into SIGSYS before any filter sees them.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use anyhow::{Result, bail};

use crate::raw::{self, Abi};
use crate::table::{Fate, Table};
use crate::work::{Call, handle};

const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
const RT_SIGRETURN: u32 = 15;
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

static SELECTOR: AtomicU8 = AtomicU8::new(ALLOW);
static DISPATCHED: AtomicU64 = AtomicU64::new(0);

extern "C" fn dispatched(_number: i32) {
    // The return from this handler is a call as well.
    SELECTOR.store(ALLOW, Ordering::Relaxed);
    DISPATCHED.fetch_add(1, Ordering::Relaxed);
}

/// Makes the calls, each of them dispatched.
pub fn run(calls: &[Call], table: Table) -> Result<()> {
    handle(libc::SIGSYS, dispatched)?;
    // SAFETY: the selector lives to the end of the process; no range of code is exempt.
    let set = unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, 1_u64, 0_u64, 0_u64, SELECTOR.as_ptr()) };
    if set != 0 {
        bail!("setting up Syscall User Dispatch: {}", std::io::Error::last_os_error());
    }
    let mut total = 0;
    for call in calls {
        total += call.count;
        table.issued(call.abi, call.nr, false, Fate::Dispatched, call.count);
        table.issued(Abi::X86_64, RT_SIGRETURN, false, Fate::Reached, call.count);
        for _ in 0..call.count {
            SELECTOR.store(BLOCK, Ordering::SeqCst);
            raw::call(call.abi, call.nr, call.arg);
        }
    }
    let handled = DISPATCHED.load(Ordering::Relaxed);
    if handled != total {
        bail!("{handled} of {total} calls were dispatched");
    }
    Ok(())
}
