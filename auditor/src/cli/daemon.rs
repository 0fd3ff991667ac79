//! `auditor daemon`

use std::path::PathBuf;

use clap::Args;

use super::{Error, Global, Outcome};
use crate::config::{self, Config, Settings, WebSettings};
use crate::daemon;

/// Bundles that are read at once: a flood of starting containers waits its turn.
const BLOCKING_THREADS: usize = 8;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Settings in TOML; flags go before them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The Docker engine's socket
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    docker_host: Option<String>,
    /// Serve metrics here; may be given more than once [default: 127.0.0.1:9779]
    #[arg(long = "web.listen-address", value_name = "ADDR")]
    listen_addresses: Vec<String>,
    /// TLS and passwords for that, in the format of Prometheus exporters [default: neither]
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Where cgroup2 is mounted [default: as /proc/self/mountinfo says]
    #[arg(long, value_name = "DIR")]
    cgroup_root: Option<PathBuf>,
    /// Where evidence is kept over restarts; none: nowhere [default: /var/lib/auditor, where that can be had]
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Where programs and counters are pinned, so that they count on without a daemon; none: nowhere [default:
    /// /sys/fs/bpf/auditor, where that can be had]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    /// Unpin them when the daemon is told to stop: nothing is counted until it is started again
    #[arg(long)]
    detach_on_exit: bool,
    /// How many containers can be counted at once; each takes 16 KiB of kernel memory per CPU [default: 1024]
    #[arg(long, value_name = "N")]
    max_containers: Option<u32>,
}

pub(super) fn run(global: &Global, arguments: Arguments) -> Result<Outcome, Error> {
    let flags = Settings {
        docker_host: arguments.docker_host,
        cgroup_root: arguments.cgroup_root,
        state_dir: arguments.state_dir,
        bpffs: arguments.bpffs,
        detach_on_exit: arguments.detach_on_exit.then_some(true),
        max_containers: arguments.max_containers,
        socket: global.given_socket(),
        web: WebSettings {
            listen_address: Some(arguments.listen_addresses).filter(|addresses| !addresses.is_empty()),
            config_file: arguments.web_config_file,
        },
        ..Settings::default()
    };
    let file = arguments.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
    let config = Config::check(flags.or(file))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(daemon::run(config));
    // A thread that reads a bundle from a stalled disk does not keep the daemon from stopping.
    runtime.shutdown_background();
    result?;
    Ok(Outcome::Clean)
}
