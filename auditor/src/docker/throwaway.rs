//! A container of the auditor's own, which it makes, starts and removes. The one place where the engine is asked to change
//! something; the daemon does not use it (`auditor/tests/tidy.rs` keeps it so).

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use futures_util::StreamExt as _;

use super::container::capped;
use super::{ANSWER_DEADLINE, Docker, DockerError, explain, in_time};
use crate::container::ContainerId;

/// The label of every container that the auditor makes. Its value is the maker's token, which no other container has.
pub const LABEL: &str = "auditor.throwaway";

/// An engine removes a container whose start hangs only after it has killed what hangs.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(60);

/// Lines kept of what a container wrote.
const LINES: usize = 20;

/// What to run, and with which options of `docker run`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The image.
    pub image: String,
    /// The command; the image's own where it is empty.
    pub command: Vec<String>,
    /// `--env`.
    pub environment: Vec<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--workdir`.
    pub directory: Option<String>,
    /// `--cap-add`.
    pub capabilities: Vec<String>,
    /// `--cap-drop`.
    pub dropped_capabilities: Vec<String>,
    /// `--security-opt no-new-privileges`.
    pub no_new_privileges: bool,
    /// `--runtime`.
    pub runtime: Option<String>,
    /// `--network`.
    pub network: Option<String>,
    /// `--volume`.
    pub volumes: Vec<String>,
    /// `--tty`.
    pub tty: bool,
    /// `--init`.
    pub init: bool,
    /// `--read-only`.
    pub read_only: bool,
}

/// A container that was made and is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throwaway {
    /// The engine's id.
    pub id: ContainerId,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its first process runs.
    pub running: bool,
    /// It ran once, and has ended.
    pub ended: bool,
    /// With this.
    pub exit_code: Option<i64>,
    /// What the engine says went wrong.
    pub error: Option<String>,
    /// The runtime that the engine gave it.
    pub runtime: Option<String>,
}

impl Docker {
    /// Makes a container under a profile (its text), without starting it. It has a name made of the token, and the token as
    /// its label.
    ///
    /// # Errors
    /// The engine says no: it has no such image, or does not take the profile or an option.
    pub async fn make_throwaway(&self, token: &str, wanted: &Wanted, profile: &str) -> Result<Throwaway, DockerError> {
        const REQUEST: &str = "create a container";
        let options = CreateContainerOptionsBuilder::new().name(&throwaway_name(token)).build();
        let asked = self.client.create_container(Some(options), body(wanted, token, profile));
        let made = in_time(&self.host, REQUEST, ANSWER_DEADLINE, asked).await?;
        self.throwaway(REQUEST, &made.id)
    }

    fn throwaway(&self, request: &'static str, id: &str) -> Result<Throwaway, DockerError> {
        let id = ContainerId::parse(id).map_err(|error| DockerError::Other {
            host: self.host.clone(),
            request,
            cause: error.to_string(),
        })?;
        Ok(Throwaway { id })
    }

    /// Finds what was made with a token although no answer came. Somebody else's container has another label, whatever it
    /// is called.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn find_throwaway(&self, token: &str) -> Result<Option<Throwaway>, DockerError> {
        use bollard::errors::Error;
        const REQUEST: &str = "inspect container";
        let name = throwaway_name(token);
        let asked = async {
            match self.client.inspect_container(&name, None::<InspectContainerOptions>).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        let Some(found) = in_time(&self.host, REQUEST, ANSWER_DEADLINE, asked).await? else { return Ok(None) };
        let label = found.config.and_then(|config| config.labels).and_then(|mut labels| labels.remove(LABEL));
        match found.id.filter(|_| label.as_deref() == Some(token)) {
            Some(id) => self.throwaway(REQUEST, &id).map(Some),
            None => Ok(None),
        }
    }

    /// Starts it; where the runtime could not, gives its words as the engine passes them on. Has no time limit of its own:
    /// a start may hang for as long as the runtime does.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn start_throwaway(&self, container: &Throwaway) -> Result<Result<(), String>, DockerError> {
        use bollard::errors::Error;
        match self.client.start_container(&container.id.to_string(), None::<StartContainerOptions>).await {
            Ok(()) => Ok(Ok(())),
            Err(Error::DockerResponseServerError { message, .. }) => Ok(Err(message)),
            Err(error) => Err(explain(&self.host, "start the container", &error)),
        }
    }

    /// What became of it.
    ///
    /// # Errors
    /// As for [`Docker::inspect`].
    pub async fn condition_of(&self, container: &Throwaway) -> Result<Condition, DockerError> {
        let id = container.id.to_string();
        let asked = self.client.inspect_container(&id, None::<InspectContainerOptions>);
        let answer = in_time(&self.host, "inspect container", ANSWER_DEADLINE, asked).await?;
        let state = answer.state.unwrap_or_default();
        let status = state.status.map(|status| status.to_string()).unwrap_or_default();
        Ok(Condition {
            running: state.running.unwrap_or_default(),
            ended: matches!(status.as_str(), "exited" | "dead"),
            exit_code: state.exit_code,
            error: state.error.filter(|error| !error.is_empty()).map(|error| capped(&error)),
            runtime: answer.host_config.and_then(|host| host.runtime).filter(|runtime| !runtime.is_empty()),
        })
    }

    /// The last lines that it wrote, to both streams.
    ///
    /// # Errors
    /// As for [`Docker::connect`].
    pub async fn last_words_of(&self, container: &Throwaway) -> Result<Vec<String>, DockerError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&LINES.to_string()).build();
        let mut parts = self.client.logs(&container.id.to_string(), Some(options));
        let read = async {
            let mut text = Vec::new();
            while let Some(part) = parts.next().await {
                text.extend_from_slice(&part?.into_bytes());
            }
            Ok(text)
        };
        let text = in_time(&self.host, "read the container's log", ANSWER_DEADLINE, read).await?;
        Ok(String::from_utf8_lossy(&text).lines().map(capped).collect())
    }

    /// Removes it, whatever it does. One that is not there any more is fine.
    ///
    /// # Errors
    /// The engine does not.
    pub async fn remove_throwaway(&self, container: &Throwaway) -> Result<(), DockerError> {
        use bollard::errors::Error;
        const REQUEST: &str = "remove the container";
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let asked = async {
            match self.client.remove_container(&container.id.to_string(), Some(options)).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
                other => other,
            }
        };
        in_time(&self.host, REQUEST, REMOVAL_DEADLINE, asked).await
    }
}

/// What a throwaway container is called.
fn throwaway_name(token: &str) -> String {
    format!("auditor-prove-{token}")
}

fn body(wanted: &Wanted, token: &str, profile: &str) -> ContainerCreateBody {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let mut security = vec![format!("seccomp={profile}")];
    if wanted.no_new_privileges {
        security.push("no-new-privileges".to_owned());
    }
    ContainerCreateBody {
        image: Some(wanted.image.clone()),
        cmd: some(&wanted.command),
        env: some(&wanted.environment),
        user: wanted.user.clone(),
        working_dir: wanted.directory.clone(),
        tty: Some(wanted.tty),
        labels: Some(HashMap::from([(LABEL.to_owned(), token.to_owned())])),
        // It would be counted as the command's own.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(HostConfig {
            security_opt: Some(security),
            cap_add: some(&wanted.capabilities),
            cap_drop: some(&wanted.dropped_capabilities),
            runtime: wanted.runtime.clone(),
            network_mode: wanted.network.clone(),
            binds: some(&wanted.volumes),
            init: wanted.init.then_some(true),
            readonly_rootfs: Some(wanted.read_only),
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
            // Whatever the engine's own is: what was written is to be read again, and takes no more room than this.
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([("max-size".to_owned(), "1m".to_owned())])),
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
