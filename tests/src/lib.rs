//! The rig that the end-to-end tests stand on: a private container engine, images, and the daemon under test.
//!
//! Everything the rig starts runs under a [`warden`](process), which outlives a killed test and leaves nothing behind.

use std::path::Path;

pub mod auditord;
pub mod bpffs;
pub mod bundle;
pub mod cage;
pub mod certificate;
pub mod corpus;
pub mod counting;
pub mod ending;
pub mod engine;
pub mod fate;
pub mod floor;
pub mod groundtruth;
pub mod http;
pub mod image;
pub mod process;
pub mod profile;
pub mod prometheus;
pub mod proxy;
pub mod soak;
pub mod stage;
pub mod tiny;

/// The root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}
