//! What can keep a profile from being tried out.

use std::io;

use crate::docker::DockerError;
use crate::recording::RecordingError;

/// Why nothing was proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The engine did not answer, or did not take what it was asked for.
    #[error(transparent)]
    Engine(#[from] DockerError),
    /// The counters could not be read.
    #[error("count the calls of the container: {0}")]
    Count(#[from] RecordingError),
    /// No signals could be waited for.
    #[error("wait for signals: {0}")]
    Signals(#[source] io::Error),
    /// A signal came.
    #[error("ended by {0}; the container is removed")]
    Interrupted(&'static str),
    /// The container could not be removed.
    #[error("{source}; the container {id} is left: remove it with docker rm --force {id}")]
    Left {
        /// How its id begins.
        id: String,
        /// What the engine said.
        source: DockerError,
    },
    /// Without counts a run that goes well does not say that nothing was denied.
    #[error("no smaller profile can be proved where calls are not counted: {0}")]
    Uncounted(String),
    /// A run under the smaller profile went differently from the first, again and again.
    #[error(
        "the runs differ from each other although the profile is the same: no smaller profile can be proved with this command"
    )]
    Unsteady,
}
