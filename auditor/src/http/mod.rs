//! The web server: metrics for Prometheus, health for systemd and load balancers, a page for the curious.
//!
//! It faces scrapers that storm, stall or send nonsense: HTTP/1 only, GET and HEAD only, and a limit on everything
//! (connections, header time, body, answers being made at once). All that it says comes from the daemon's main loop.

mod pages;
mod server;

pub use server::{BindError, Options, bind, serve};
