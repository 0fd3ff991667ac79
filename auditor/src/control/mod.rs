//! The control socket: how the `auditor` command asks the daemon.
//!
//! One line of JSON asks, one line of JSON answers, over a unix stream socket that only its owner and group may open.
//! Requests are closed enums; nothing a client sends reaches the kernel, the engine or a file. Answers are made by
//! the daemon's main loop (see [`Source`]), so every number comes from one place.

mod client;
mod follow;
mod history;
mod protocol;
mod server;
mod source;

pub use client::{ClientError, Following, call, follow};
pub use protocol::{DenialsAnswer, Failure, FailureKind, FollowItem, Request, Response};
pub(crate) use server::talk;
pub use server::{BindError, Listener, MAX_REQUEST, bind, serve};
pub use source::{FollowQuery, Live, Query, Source, SourceError};
