//! The rig that the end-to-end tests stand on.
