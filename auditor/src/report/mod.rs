//! Findings as text and JSON.

pub mod view;
