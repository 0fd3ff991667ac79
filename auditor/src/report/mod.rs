//! Findings as text and JSON.
//!
//! Every output is a function of its arguments: the same snapshot gives the same bytes, so each has a golden test.

pub mod arguments;
pub mod denial;
pub mod diff;
pub mod escape;
pub mod explain;
pub mod filter;
pub mod findings;
pub mod history;
pub mod json;
pub mod near;
pub mod proof;
pub mod ps;
pub mod reason;
pub mod resolve;
pub mod show;
pub mod snapshot;
pub mod suggestion;
pub mod summary;
pub mod table;
pub mod view;
