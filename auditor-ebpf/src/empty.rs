//! Two programs that do nothing, of the same kind as the real ones: what `cargo xtask bench hot-path` compares with.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

#[btf_tracepoint(function = "sys_enter")]
pub fn empty_enter(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn empty_exit(_ctx: BtfTracePointContext) -> i32 {
    0
}
