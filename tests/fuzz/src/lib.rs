//! Everything that reads bytes of strangers, and what must hold of it: each [`Target`] takes bytes and panics where
//! something does not.
//!
//! The fuzzer (`cargo xtask fuzz`) makes the bytes up. What it found interesting is kept in `corpus/`, what once broke
//! something in `regressions/`, and an ordinary test runs all of that.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a target fails by panicking")]

pub mod daemon;
mod target;

pub use target::{ALL, Target};
