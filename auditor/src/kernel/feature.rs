//! Which of the kernel's features the programs need are there, asked one by one: what a failed load does not tell.

use aya::maps::MapType;
use aya::sys::is_map_supported;

use super::error::chain;
use super::offset::VMLINUX_BTF;

/// What the kernel's types have a name for if it can do it: tracepoints with typed arguments
/// (`include/trace/bpf_probe.h`), and the iterator over tasks (`DEFINE_BPF_ITER_FUNC` in `kernel/bpf/task_iter.c`).
const IN_TYPES: [(&[u8], &str); 2] =
    [(b"\0btf_trace_sys_enter\0", "tracing programs"), (b"\0bpf_iter_task\0", "task iterators")];

/// The features that are missing; empty: none.
///
/// # Errors
/// When this process may not ask, or the kernel has no types to look into.
pub fn missing_features() -> Result<Vec<&'static str>, String> {
    let mut missing = Vec::new();
    for (map, name) in [(MapType::RingBuf, "ring buffers"), (MapType::TaskStorage, "task storage")] {
        if !is_map_supported(map).map_err(|error| chain(&error))? {
            missing.push(name);
        }
    }
    let types = std::fs::read(VMLINUX_BTF).map_err(|error| format!("the kernel's types: {}", error.kind()))?;
    for (word, name) in IN_TYPES {
        if !types.windows(word.len()).any(|window| window == word) {
            missing.push(name);
        }
    }
    Ok(missing)
}
