//! The kernel programs. They count in the kernel and report only rare things; the work per call is constant.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod argument;
#[cfg(target_arch = "bpf")]
mod cgroup_mkdir;
#[cfg(target_arch = "bpf")]
mod cgroup_rmdir;
#[cfg(target_arch = "bpf")]
mod cgroup_slot;
#[cfg(target_arch = "bpf")]
mod counter;
#[cfg(target_arch = "bpf")]
mod empty;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod phase;
#[cfg(target_arch = "bpf")]
mod read_filters;
#[cfg(target_arch = "bpf")]
mod refusal;
#[cfg(target_arch = "bpf")]
mod sched_process_exit;
#[cfg(target_arch = "bpf")]
mod sched_process_fork;
#[cfg(target_arch = "bpf")]
mod seed;
#[cfg(target_arch = "bpf")]
mod sys_enter;
#[cfg(target_arch = "bpf")]
mod sys_exit;
#[cfg(target_arch = "bpf")]
mod watch;

/// What the kernel checks before it lets a program call GPL-only helpers.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// SHA-256 of the sources this object was built from, in hex: `cargo xtask build-ebpf --check` compares it.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "source_hash")]
#[unsafe(no_mangle)]
static SOURCE_HASH: [u8; 64] = {
    let mut hash = [b'0'; 64];
    if let Some(text) = option_env!("AUDITOR_EBPF_SOURCE_HASH") {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() && at < hash.len() {
            hash[at] = bytes[at];
            at += 1;
        }
    }
    hash
};

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that this is never reached.
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
