//! What the runtimes themselves ask of these calls after they have installed the filter.
//!
//! A start that went one way says nothing of the next: Go's runtime makes a thread when it likes, and which operations
//! of `prctl` are needed depends on the user, the capabilities and `docker exec`.

use crate::profile::Runtime;

/// `prctl`: what is asked between the filter and the program. Keeping and dropping capabilities (8, 24, 47) was seen of
/// runc 1.1.5 and crun 1.8.1 alike, with and without no_new_privs, a terminal, a user, capabilities, and `docker exec`; the
/// others are in their sources (`finalizeNamespace` in libcontainer, `libcrun_set_caps` in crun) or
/// in the libraries that they are made with.
const PRCTL: [u64; 8] = [
    1,  // PR_SET_PDEATHSIG
    2,  // PR_GET_PDEATHSIG
    8,  // PR_SET_KEEPCAPS
    15, // PR_SET_NAME
    23, // PR_CAPBSET_READ
    24, // PR_CAPBSET_DROP
    38, // PR_SET_NO_NEW_PRIVS
    47, // PR_CAP_AMBIENT
];

/// `clone`: a process as the C library makes it, which `--init` does; a thread as Go makes it, and as the C library does.
const PROCESS: [u64; 1] = [0x120_0011];
const PROCESS_OR_THREAD: [u64; 3] = [0x120_0011, 0x5_0f00, 0x3d_0f00];

/// `ioctl`: TIOCSPGRP, with which `--init` puts the program into the foreground of a terminal. It gives up where that is
/// refused, and not where there is no terminal.
const IOCTL: [u64; 1] = [0x5410];

/// `mprotect`: what the loader makes read-only, and the stack of a new thread.
const MPROTECT: [u64; 2] = [1, 3];

/// What a runtime may ask of a call.
pub(super) fn values(runtime: Runtime, name: &str) -> &'static [u64] {
    match (runtime, name) {
        (_, "prctl") => &PRCTL,
        (_, "ioctl") => &IOCTL,
        (_, "mprotect") => &MPROTECT,
        (Runtime::Runc, "clone") => &PROCESS_OR_THREAD,
        (Runtime::Crun, "clone") => &PROCESS,
        _ => &[],
    }
}
