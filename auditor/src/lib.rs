//! What does a container's seccomp profile stop, what does it allow for nothing, and what should it be?

pub mod control;
pub mod counters;
pub mod http;
pub mod kernel;
pub mod metrics;
pub mod report;
pub mod syscall;
