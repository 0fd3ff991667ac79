//! The contract between the kernel programs and the daemon.
#![no_std]
