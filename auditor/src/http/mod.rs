//! The web server: metrics for Prometheus, health for systemd and load balancers, a page for the curious.
//!
//! It faces scrapers that storm, stall or send nonsense: HTTP/1 only, GET and HEAD only, and a limit on everything
//! (connections, handshake and head time, body, passwords checked, answers made and held at once). All that it says
//! comes from the daemon's main loop, whose thread it does not share.

mod connections;
mod gate;
pub mod hostile;
mod pages;
mod password;
mod patience;
mod rendering;
mod server;
mod settings;
mod tls;

pub use gate::Gate;
pub(crate) use server::answer;
pub use server::{BindError, Options, bind, serve, serve_apart};
pub use settings::SettingsError;
