//! What does a container's seccomp profile stop, what does it allow for nothing, and what should it be?

pub mod audit;
pub mod bundle;
pub mod cgroupfs;
pub mod cli;
pub mod config;
pub mod container;
pub mod control;
pub mod counters;
pub mod coverage;
pub mod daemon;
pub mod denial;
pub mod docker;
pub mod doctor;
pub mod effective;
pub mod evidence;
pub mod filter;
#[cfg(test)]
mod golden;
#[doc(hidden)]
pub mod hostile;
pub mod http;
pub mod kernel;
pub mod metrics;
pub mod privilege;
pub mod procfs;
pub mod profile;
pub mod prove;
pub mod recording;
pub mod report;
pub mod store;
pub mod suggest;
pub mod syscall;
