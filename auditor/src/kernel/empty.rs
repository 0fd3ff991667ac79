//! Two programs that do nothing, on the tracepoints of the real ones: what a benchmark compares with.

use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};

use super::error::chain;
use super::record::OffsetsRecord;
use super::{KernelError, OBJECT, loader, offset, program};

/// The empty programs, attached until this is dropped.
pub struct EmptyPair {
    _ebpf: Ebpf,
}

impl EmptyPair {
    /// Loads and attaches them.
    ///
    /// # Errors
    /// As for [`super::Kernel::load`].
    pub fn attach() -> Result<Self, KernelError> {
        let offsets = OffsetsRecord(offset::read_offsets()?);
        let btf = Btf::from_sys_fs().map_err(|error| KernelError::NoBtf(error.to_string()))?;
        let mut ebpf = loader(&btf, &offsets).load(OBJECT).map_err(|error| KernelError::from_load(&error))?;
        for (name, tracepoint) in [("empty_enter", "sys_enter"), ("empty_exit", "sys_exit")] {
            let program: &mut BtfTracePoint = program::typed(&mut ebpf, name)?;
            program.load(tracepoint, &btf).map_err(|error| KernelError::from_load(&error))?;
            program.attach().map_err(|error| KernelError::Attach { program: name, reason: chain(&error) })?;
        }
        Ok(Self { _ebpf: ebpf })
    }
}
