//! The programs: which there are, and how they fare.

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use aya::programs::{BtfTracePoint, Iter, Program, ProgramError};
use aya::{Btf, Ebpf};

use super::KernelError;
use super::error::chain;
use super::set::Link;

/// Attached before the tasks that exist are looked at: nothing new can be missed from then on.
pub const BEFORE_SEED: [&str; 5] =
    ["cgroup_mkdir", "cgroup_rmdir", "sched_process_fork", "sys_enter", "sched_process_exit"];
/// Attached when it is known who is in the middle of a call.
pub const AFTER_SEED: [&str; 1] = ["sys_exit"];
/// The task iterator, run on demand.
pub const SEED: &str = "seed";

/// How a program fares.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramStatus {
    /// Its name, which is also its tracepoint's.
    pub name: &'static str,
    /// Whether it is loaded; it is attached for as long, since nobody but its owner can take a link of this kind away
    /// (`bpf_raw_tp_link_lops` in `kernel/bpf/syscall.c` has no detach).
    pub attached: bool,
    /// How often it ran; `None` while the kernel keeps no statistics (`kernel.bpf_stats_enabled`).
    pub runs: Option<u64>,
    /// For how long, in seconds.
    pub run_seconds: Option<f64>,
    /// Runs left out because a program was running on that CPU already.
    pub recursion_misses: Option<u64>,
}

/// All that are attached.
pub fn attached() -> impl Iterator<Item = &'static str> {
    BEFORE_SEED.into_iter().chain(AFTER_SEED)
}

/// Has the verifier check the programs that are attached.
pub fn load_tracepoints(ebpf: &mut Ebpf) -> Result<(), KernelError> {
    let btf = Btf::from_sys_fs().map_err(|error| KernelError::NoBtf(error.to_string()))?;
    for name in attached() {
        tracepoint(ebpf, name)?.load(name, &btf).map_err(|error| KernelError::from_load(&error))?;
    }
    Ok(())
}

/// Has the verifier check a task iterator.
pub fn load_iterator(ebpf: &mut Ebpf, btf: &Btf, name: &'static str) -> Result<(), KernelError> {
    let iterator: &mut Iter = typed(ebpf, name)?;
    iterator.load("task", btf).map_err(|error| KernelError::from_load(&error))
}

/// Attaches the named programs, in order. They are detached when their links are dropped.
pub fn attach(ebpf: &mut Ebpf, names: &[&'static str]) -> Result<Vec<Link>, KernelError> {
    let mut links = Vec::new();
    for &name in names {
        let failed = |error: ProgramError| KernelError::Attach { program: name, reason: chain(&error) };
        let program = tracepoint(ebpf, name)?;
        let id = program.attach().map_err(failed)?;
        links.push((name, program.take_link(id).map_err(failed)?.into()));
    }
    Ok(links)
}

/// Runs the task iterator once over all tasks.
pub fn run_seed(ebpf: &mut Ebpf) -> Result<(), KernelError> {
    let failed = |reason: String| KernelError::Attach { program: SEED, reason };
    let seed: &mut Iter = typed(ebpf, SEED)?;
    let id = seed.attach().map_err(|error| failed(chain(&error)))?;
    let link = seed.take_link(id).map_err(|error| failed(chain(&error)))?;
    let mut file = link.into_file().map_err(|error| failed(chain(&error)))?;
    // The program writes nothing; reading to the end is what makes it run.
    std::io::copy(&mut file, &mut std::io::sink()).map_err(|error| failed(error.to_string()))?;
    Ok(())
}

/// How each attached program fares, from the kernel's own words in `/proc/self/fdinfo` (`bpf_prog_show_fdinfo` in
/// `kernel/bpf/syscall.c`).
pub fn statuses<'a>(fd: impl Fn(&'static str) -> Option<BorrowedFd<'a>>) -> Vec<ProgramStatus> {
    let one = |name: &'static str| {
        let fdinfo = fd(name).and_then(|fd| fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok());
        let runs = fdinfo.as_deref().and_then(|text| number(text, "run_cnt:")).filter(|runs| *runs != 0);
        let nanoseconds = fdinfo.as_deref().and_then(|text| number(text, "run_time_ns:"));
        ProgramStatus {
            name,
            attached: fdinfo.is_some(),
            runs,
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds for people; 2^53 ns are 104 days of pure run time"
            )]
            run_seconds: runs.and(nanoseconds).map(|nanoseconds| nanoseconds as f64 / 1e9),
            recursion_misses: fdinfo.as_deref().and_then(|text| number(text, "recursion_misses:")),
        }
    };
    attached().map(one).collect()
}

fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

pub fn tracepoint<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut BtfTracePoint, KernelError> {
    typed(ebpf, name)
}

pub fn typed<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, KernelError>
where
    &'a mut T: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| {
        KernelError::Load(format!("no program {name} in the eBPF object; rebuild it with cargo xtask build-ebpf"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_lines_are_found_by_their_key() {
        let text = "pos:\t0\nrun_time_ns:\t120\nrun_cnt:\t3\nrecursion_misses:\t0\n";
        assert_eq!(number(text, "run_cnt:"), Some(3));
        assert_eq!(number(text, "recursion_misses:"), Some(0));
        assert_eq!(number(text, "verified_insns:"), None);
    }
}
