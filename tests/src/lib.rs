//! The rig that the end-to-end tests stand on: a private container engine, images, and the daemon under test.
//!
//! Everything the rig starts runs under a [`warden`](process), which outlives a killed test and leaves nothing behind.

pub mod engine;
pub mod process;
