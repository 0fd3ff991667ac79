//! The Docker engine: who the containers are. Only requests that read; only the engine's unix socket.
//!
//! What the engine says about a container (names, labels) was chosen by whoever started it: it is capped here and
//! escaped where it is shown. Nothing here is needed to count: counting goes by cgroup, with or without an engine.

mod container;
mod event;
mod feed;
mod hostile;
mod kind;
mod throwaway;

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder};
use futures_util::{Stream, StreamExt};

pub use self::container::{Container, SeccompOpt};
pub use self::event::{Action, Event, EventError, Hint};
pub use self::feed::{Change, Feed, Pace};
pub use self::hostile::read_answer;
pub use self::kind::{Bundled, profile_kind};
pub use self::throwaway::{Condition, LABEL, Throwaway, Wanted};
use crate::container::ContainerId;

/// Where the engine listens when nobody says otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long one answer may take. Listing thousands of containers on a busy engine takes seconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long the answer about one container may take: an engine may hang on one and be well otherwise.
const INSPECTION_DEADLINE: Duration = Duration::from_secs(10);

/// Why the engine did not answer.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// An address this cannot use.
    #[error("docker host {0:?}: only unix sockets are spoken to; give unix:///path/to/docker.sock")]
    Host(String),
    /// No socket there.
    #[error("docker engine at {0}: no such socket; is dockerd running, and is this its address (--docker-host)")]
    NoSocket(Host),
    /// The socket is not for this user.
    #[error("docker engine at {0}: permission denied; run as root or as a member of the socket's group")]
    Permission(Host),
    /// A socket nobody answers at.
    #[error("docker engine at {0}: connection refused; is dockerd running")]
    Refused(Host),
    /// No answer in time.
    #[error("docker engine at {host}: no answer to {request} within {} s; is dockerd stopped or overloaded", .deadline.as_secs())]
    Deadline {
        /// Who was asked.
        host: Host,
        /// What was asked.
        request: &'static str,
        /// How long was waited.
        deadline: Duration,
    },
    /// The container is not there (any more).
    #[error("docker engine at {host}: no container {id}")]
    NoContainer {
        /// Who was asked.
        host: Host,
        /// For whom.
        id: ContainerId,
    },
    /// Anything else the client library reports.
    #[error("docker engine at {host}: {request}: {cause}")]
    Other {
        /// Who was asked.
        host: Host,
        /// What was asked.
        request: &'static str,
        /// The chain of causes, in one line.
        cause: String,
    },
}

/// The address of an engine: a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(PathBuf);

impl Host {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Host {
    fn default() -> Self {
        Self(PathBuf::from("/var/run/docker.sock"))
    }
}

impl FromStr for Host {
    type Err = DockerError;

    fn from_str(text: &str) -> Result<Self, DockerError> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') { Ok(Self(PathBuf::from(path))) } else { Err(DockerError::Host(text.to_owned())) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

/// What the engine says about itself. `None`: it did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Engine {
    /// Its version, for example `20.10.24`.
    pub version: Option<String>,
    /// The runtime of containers that name none, for example `runc`.
    pub default_runtime: Option<String>,
    /// Its data root, for example `/var/lib/docker`.
    pub root: Option<String>,
    /// As it lists them, for example `name=seccomp,profile=default`.
    pub security_options: Vec<String>,
    /// Whether containers outlive the engine: then their profiles may come from an older configuration of it.
    pub live_restore: Option<bool>,
}

/// A connection to an engine (each request opens its own).
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    host: Host,
}

impl Docker {
    /// Connects and agrees on an API version.
    ///
    /// # Errors
    /// No socket, no permission, nobody there, no answer in time.
    pub async fn connect(host: &Host) -> Result<Self, DockerError> {
        let client = bollard::Docker::connect_with_unix(
            &host.to_string(),
            ANSWER_DEADLINE.as_secs(),
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|error| explain(host, "connect", &error))?;
        let client = in_time(host, "version", ANSWER_DEADLINE, client.negotiate_version()).await?;
        Ok(Self { client, host: host.clone() })
    }

    /// Where it is connected to.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The API version that both sides agreed on, for example `1.41`.
    #[must_use]
    pub fn api_version(&self) -> String {
        self.client.client_version().to_string()
    }

    /// Asks whether the engine is alive.
    ///
    /// # Errors
    /// As for [`Docker::connect`].
    pub async fn ping(&self, deadline: Duration) -> Result<(), DockerError> {
        in_time(&self.host, "ping", deadline, self.client.ping()).await.map(drop)
    }

    /// Asks the engine about itself.
    ///
    /// # Errors
    /// As for [`Docker::connect`].
    pub async fn engine(&self) -> Result<Engine, DockerError> {
        let info = in_time(&self.host, "info", ANSWER_DEADLINE, self.client.info()).await?;
        Ok(Engine {
            version: info.server_version,
            default_runtime: info.default_runtime,
            root: info.docker_root_dir,
            security_options: info.security_options.unwrap_or_default(),
            live_restore: info.live_restore_enabled,
        })
    }

    /// Lists all containers, running or not, with what the list says of each (no profile, no process id).
    ///
    /// # Errors
    /// As for [`Docker::connect`].
    pub async fn list(&self) -> Result<Vec<Container>, DockerError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let list =
            in_time(&self.host, "list containers", ANSWER_DEADLINE, self.client.list_containers(Some(options))).await?;
        Ok(list.into_iter().filter_map(Container::from_summary).collect())
    }

    /// Asks for all about one container.
    ///
    /// # Errors
    /// As for [`Docker::connect`]; [`DockerError::NoContainer`] for one that is gone.
    pub async fn inspect(&self, id: ContainerId) -> Result<Container, DockerError> {
        use bollard::errors::Error;
        const REQUEST: &str = "inspect container";
        let host = &self.host;
        let text = id.to_string();
        let asked = self.client.inspect_container(&text, None::<InspectContainerOptions>);
        match tokio::time::timeout(INSPECTION_DEADLINE, asked).await {
            Ok(Ok(answer)) => Ok(Container::from_inspect(id, answer)),
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => {
                Err(DockerError::NoContainer { host: host.clone(), id })
            }
            Ok(Err(error)) => Err(explain(host, REQUEST, &error)),
            Err(_) => {
                Err(DockerError::Deadline { host: host.clone(), request: REQUEST, deadline: INSPECTION_DEADLINE })
            }
        }
    }

    /// The engine's events about containers, first those it remembers since that time (seconds and nanoseconds of the
    /// engine's clock), then new ones. An error ends the stream; it has no time limit of its own.
    pub fn events(&self, since: &str) -> impl Stream<Item = Result<Event, EventError>> + Send + use<> {
        let filters = HashMap::from([("type", vec!["container"]), ("event", event::ACTIONS.to_vec())]);
        let options = EventsOptionsBuilder::new().since(since).filters(&filters).build();
        let host = self.host.clone();
        self.client.events(Some(options)).map(move |answer| match answer {
            Ok(message) => Event::from_message(message),
            Err(
                error @ (bollard::errors::Error::JsonDataError { .. } | bollard::errors::Error::JsonSerdeError { .. }),
            ) => Err(EventError::Undecodable(error.to_string())),
            Err(error) => Err(EventError::Stream(explain(&host, "events", &error))),
        })
    }
}

async fn in_time<T>(
    host: &Host,
    request: &'static str,
    deadline: Duration,
    answer: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, DockerError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| explain(host, request, &error)),
        Err(_) => Err(DockerError::Deadline { host: host.clone(), request, deadline }),
    }
}

/// The client's errors nest an I/O error several layers down: what people can act on is found there.
fn explain(host: &Host, request: &'static str, error: &bollard::errors::Error) -> DockerError {
    use bollard::errors::Error;
    let host = host.clone();
    match error {
        Error::SocketNotFoundError(_) => return DockerError::NoSocket(host),
        Error::RequestTimeoutError => return DockerError::Deadline { host, request, deadline: ANSWER_DEADLINE },
        _ => {}
    }
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        match inner.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => return DockerError::NoSocket(host),
            Some(io::ErrorKind::PermissionDenied) => return DockerError::Permission(host),
            Some(io::ErrorKind::ConnectionRefused) => return DockerError::Refused(host),
            _ => {}
        }
        let text = inner.to_string();
        if !cause.contains(&text) {
            cause = format!("{cause}: {text}");
        }
        source = inner.source();
    }
    DockerError::Other { host, request, cause: container::capped(&cause) }
}
