//! Refused calls, one by one: what was called, what refused it, what the program wanted, and what to do about it.
//!
//! The counters say how often; this says what and why. The kernel sends some of the refusals as events and counts all,
//! so what is folded here is held against the counters: what was counted and not seen is shown as that.

pub mod advice;
pub mod argument;
pub mod decision;
mod fold;

pub use self::fold::{Counter, Denial, Findings, KEPT, Key, Kind, Log, Refusal, Rest, Task, counted};
pub use crate::syscall::errno;
