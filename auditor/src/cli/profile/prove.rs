//! `auditor profile prove FILE --image IMAGE -- COMMAND`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::source;
use super::target::{self, Container};
use crate::cli::denials::parse_duration;
use crate::cli::output::{Output, note};
use crate::cli::{Error, Global, Outcome};
use crate::docker::{DEFAULT_HOST, Host, Wanted};
use crate::profile::docker::parse_docker;
use crate::profile::{HostArch, Profile};
use crate::prove::{Prover, Trial, judge, shrink};
use crate::report::proof::{self, ProofView};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A profile in Docker's or the OCI format; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The image to start a container of; it must be there
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// What to run in it [default: what the image runs]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    options: Options,
    /// How long the command may run, and the container may take to start
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = limit)]
    time_limit: Duration,
    /// Then take out of the profile what this run does without: the smaller profile goes to stdout, all else to stderr.
    /// Calls must be counted for it
    #[arg(long)]
    minimize: bool,
    /// For how long to try that. The run that is under way then goes to its end, and the smaller profile is proved by
    /// one more, or a few
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = limit, requires = "minimize")]
    budget: Duration,
}

/// As `docker run` has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the container, as docker run has them")]
struct Options {
    /// The engine's socket
    #[arg(long, value_name = "URL", env = "DOCKER_HOST", default_value = DEFAULT_HOST)]
    docker_host: String,
    /// User, or user and group
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// An environment variable; may be given more than once
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// Working directory
    #[arg(long, value_name = "DIRECTORY")]
    workdir: Option<String>,
    /// A capability more; may be given more than once
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,
    /// A capability less; may be given more than once
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,
    /// The processes may not gain privileges
    #[arg(long)]
    no_new_privileges: bool,
    /// The runtime, by the engine's name for it
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// The network
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// A volume or directory to mount; may be given more than once
    #[arg(long = "volume", value_name = "SOURCE:PLACE")]
    volumes: Vec<String>,
    /// With a terminal
    #[arg(long)]
    tty: bool,
    /// With the engine's init as first process
    #[arg(long)]
    init: bool,
    /// With a root file system that cannot be written
    #[arg(long)]
    read_only: bool,
}

fn limit(text: &str) -> Result<Duration, String> {
    parse_duration(text).map(jiff::SignedDuration::unsigned_abs)
}

pub(super) fn run(_global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let source = source::read(&arguments.file)?;
    let profile = super::parse(&source)?;
    let options = &arguments.options;
    let host = options.docker_host.parse::<Host>()?;
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let outcome = event_loop.block_on(async {
        let mut prover = Prover::connect(&host, wanted(arguments), arguments.time_limit).await?;
        let container =
            Container { added: &options.cap_add, dropped: &options.cap_drop, engine: prover.engine_version().await? };
        let target = target::of_container(&container)?;
        let resolved = profile.resolve(&target).map_err(|error| super::unusable(&source, error))?;
        // The file as it is, for the engine to read; one in a whole OCI configuration the engine does not take.
        let text = match parse_docker(&source.bytes) {
            Ok(_) => String::from_utf8_lossy(&source.bytes).into_owned(),
            Err(_) => resolved.render_docker(),
        };
        let first = prover.run(&text).await?;
        if let Some(why) = prover.no_counting() {
            note(&format!("calls are not counted, so what was denied is not known: {why}"));
        }
        let arch = HostArch::of(target.native).with(first.runtime());
        let proof = view(&source.name, arguments, &resolved, arch, &first);
        if !arguments.minimize {
            out.write(std::slice::from_ref(&proof), |style| proof::text(&proof, style))?;
            return Ok::<_, Error>(if proof.is_clean() { Outcome::Clean } else { Outcome::Findings });
        }
        if first.counters.is_none() {
            return Err(prover.uncounted().into());
        }
        if !first.started || proof.reason.is_some() || first.is_lossy() {
            proof::text(&proof, &out.style).lines().for_each(note);
            note(
                "a run that does not do what it is to do, or of which calls were lost, says nothing of what it needs: \
                 nothing to minimize",
            );
            return Ok(Outcome::Findings);
        }
        minimize(&mut prover, out, arguments, &resolved, arch, &first).await
    });
    event_loop.shutdown_background();
    outcome
}

async fn minimize(
    prover: &mut Prover,
    out: &Output,
    arguments: &Arguments,
    profile: &Profile,
    host: HostArch,
    first: &Trial,
) -> Result<Outcome, Error> {
    let shrunk = shrink(prover, profile, host, first, arguments.budget).await?;
    let (before, after) = (profile.evaluate(host).native_summary(), shrunk.profile.evaluate(host).native_summary());
    note(&format!(
        "{} calls always allowed instead of {}, {} for some arguments instead of {}; proved by the last of {} runs",
        after.allowed,
        before.allowed,
        after.conditional,
        before.conditional,
        shrunk.runs + 1
    ));
    if shrunk.untried > 0 {
        note(&format!("{} names were not tried within the budget, and stay; give more with --budget", shrunk.untried));
    }
    note(
        "it holds for this command and these options; other options, docker exec and --init may need more, which auditor suggest leaves in",
    );
    out.write_text(&shrunk.profile.render_docker())?;
    let denied = judge(&shrunk.proof, &shrunk.profile.evaluate(host)).denied;
    let clean = denied.is_some_and(|denied| denied.iter().all(|call| call.pretended)) && !shrunk.proof.is_lossy();
    Ok(if clean { Outcome::Clean } else { Outcome::Findings })
}

fn wanted(arguments: &Arguments) -> Wanted {
    let options = &arguments.options;
    Wanted {
        image: arguments.image.clone(),
        command: arguments.command.clone(),
        environment: options.environment.clone(),
        user: options.user.clone(),
        directory: options.workdir.clone(),
        capabilities: options.cap_add.clone(),
        dropped_capabilities: options.cap_drop.clone(),
        no_new_privileges: options.no_new_privileges,
        runtime: options.runtime.clone(),
        network: options.network.clone(),
        volumes: options.volumes.clone(),
        tty: options.tty,
        init: options.init,
        read_only: options.read_only,
    }
}

fn view(file: &str, arguments: &Arguments, profile: &Profile, host: HostArch, trial: &Trial) -> ProofView {
    let judged = judge(trial, &profile.evaluate(host));
    ProofView {
        profile: file.to_owned(),
        image: arguments.image.clone(),
        command: arguments.command.clone(),
        runtime: trial.runtime.clone(),
        started: trial.started,
        ended: trial.ended,
        exit_code: trial.exit_code,
        reason: judged.reason,
        denied: judged.denied,
        lost: trial.lost,
        output: trial.output.clone(),
    }
}
