//! Capabilities that the daemon does without once its programs are attached, and gives up: those of the kernel half, and
//! as root nearly all others. What is left is what reading other people's files takes.
//!
//! A capability is a thread's, not a process's. So it is done before there are other threads than the store's, which
//! gives up its own, and the others inherit what is left; [`held`] asks the kernel about all of them.

use std::fs;
use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, Pid, capabilities, set_capabilities, set_no_new_privs};

/// Kept by whoever has them. Bundles are root's, and so are the directories that they are in; the engine's socket and the
/// state directory may be other users'; and to see where a shim works, or behind `hidepid` anybody at all, takes the
/// right to trace. Nobody is traced.
const KEPT: CapabilitySet =
    CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::DAC_OVERRIDE).union(CapabilitySet::SYS_PTRACE);

/// What the kernel may ask for beside, the least first.
///
/// Linux 5.19 and newer want CAP_BPF of who makes maps and loads programs, and of nobody else; older ones want it for
/// each use of a map where `kernel.unprivileged_bpf_disabled` is set, as it is nearly everywhere (`__sys_bpf` in
/// kernel/bpf/syscall.c).
const NEEDED: [CapabilitySet; 4] = [
    CapabilitySet::empty(),
    CapabilitySet::BPF,
    CapabilitySet::BPF.union(CapabilitySet::PERFMON),
    // Stands for both, in who has neither.
    CapabilitySet::SYS_ADMIN,
];

/// Gives up what this thread, and those that it will make, do without. `still_works` tries what is needed: it is asked in
/// threads that have the less, until one can.
///
/// # Errors
/// When the kernel lets nothing be given up; then nothing is.
pub fn give_up(mut still_works: impl FnMut() -> bool + Send) -> io::Result<()> {
    let had = capabilities(None)?.permitted;
    let mut suffices = |set| {
        let tried = || limit(set).is_ok() && still_works();
        std::thread::scope(|scope| scope.spawn(tried).join().unwrap_or(false))
    };
    let sets = NEEDED.map(|needed| had & (KEPT | needed));
    limit(sets.into_iter().find(|set| suffices(*set)).unwrap_or(had))
}

/// Gives up in this thread all that the kernel half needs, for one that does not deal with it.
///
/// # Errors
/// When the kernel does not let it; then nothing is given up.
pub fn give_up_kernel() -> io::Result<()> {
    limit(capabilities(None)?.permitted & KEPT)
}

/// This thread has these from now on and no others, nor has what it executes.
fn limit(set: CapabilitySet) -> io::Result<()> {
    // Without them here there are none among the ambient ones either (`cap_capset` in security/commoncap.c).
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: set, permitted: set, inheritable })?;
    // Root would get all of them back by executing a program.
    Ok(set_no_new_privs(true)?)
}

/// Which capabilities any thread of this process may use: names such as `CAP_BPF`.
///
/// # Errors
/// When `/proc` is not there.
pub fn held() -> io::Result<Vec<String>> {
    let mut all = CapabilitySet::empty();
    for entry in fs::read_dir("/proc/self/task")? {
        let thread = entry?.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        // One that has ended meanwhile holds nothing.
        all |= capabilities(thread).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    }
    Ok(all.iter_names().map(|(name, _)| format!("CAP_{name}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_work_with_less_is_kept() {
        // In a thread of its own: the test's would stay without.
        std::thread::spawn(|| {
            let had = capabilities(None).unwrap().permitted;
            let mut tried = 0;
            give_up(|| {
                tried += 1;
                capabilities(None).unwrap().permitted.contains(had & CapabilitySet::BPF) && tried > 1
            })
            .unwrap();
            let now = capabilities(None).unwrap();
            assert_eq!((now.permitted, now.inheritable), (had & (KEPT | CapabilitySet::BPF), CapabilitySet::empty()));
            give_up(|| true).unwrap();
            assert_eq!(capabilities(None).unwrap().permitted, had & KEPT);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn where_nothing_less_works_nothing_is_given_up() {
        std::thread::spawn(|| {
            let had = capabilities(None).unwrap().permitted;
            give_up(|| false).unwrap();
            assert_eq!(capabilities(None).unwrap().permitted, had);
        })
        .join()
        .unwrap();
    }
}
