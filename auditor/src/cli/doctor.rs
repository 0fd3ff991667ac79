//! `auditor doctor`

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{Output, note};
use super::{Error, Global, Outcome};
use crate::config::{self, Config, Place, Settings};
use crate::doctor::{self, Facts, Places, Status};
use crate::kernel::Pins;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The daemon's configuration, for where things are; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The container engine
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    docker_host: Option<String>,
    /// Where cgroup2 is mounted, if it is not to be found
    #[arg(long, value_name = "DIR")]
    cgroup_root: Option<PathBuf>,
    /// Where the daemon keeps evidence [default: /var/lib/auditor]
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Where the daemon pins its programs [default: /sys/fs/bpf/auditor]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    /// Remove the programs, links and maps that a daemon which is gone has left pinned, and all that they counted
    #[arg(long)]
    clean: bool,
}

pub(super) fn run(global: &Global, out: &Output, arguments: Arguments) -> Result<Outcome, Error> {
    let flags = Settings {
        docker_host: arguments.docker_host,
        cgroup_root: arguments.cgroup_root,
        state_dir: arguments.state_dir,
        bpffs: arguments.bpffs,
        socket: global.given_socket(),
        ..Settings::default()
    };
    // The package's, unless another is named.
    let of_package = || Some(PathBuf::from(Config::DEFAULT_FILE)).filter(|file| file.is_file());
    let file = arguments.config.or_else(of_package).as_deref().map(config::load).transpose()?.unwrap_or_default();
    let config = Config::check(flags.or(file))?;
    let at = |place: Place, default: &str| match place {
        Place::Given(directory) => Some(directory),
        Place::Default => Some(default.into()),
        Place::None => None,
    };
    let bpffs = at(config.bpffs, Config::DEFAULT_BPFFS);
    if arguments.clean {
        let Some(directory) = bpffs else {
            note("nothing is pinned, as configured");
            return Ok(Outcome::Clean);
        };
        return remove_pins(&directory);
    }
    let state_dir = at(config.state_dir, Config::DEFAULT_STATE_DIR);
    let places =
        Places { docker: config.docker_host, cgroup_root: config.cgroup_root, socket: config.socket, state_dir, bpffs };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let findings = doctor::findings(&runtime.block_on(Facts::gather(&places)));
    out.write(&findings, |style| doctor::table(&findings, style))?;
    Ok(match doctor::worst(&findings) {
        Status::Ok => Outcome::Clean,
        Status::Warn => Outcome::Findings,
        Status::Fail => Outcome::CannotAudit,
    })
}

fn remove_pins(directory: &Path) -> Result<Outcome, Error> {
    let at = directory.display();
    note(&match Pins::clean(directory)? {
        Some(1) => format!("removed {at} and the set of programs that was pinned there"),
        Some(sets) => format!("removed {at} and the {sets} sets of programs that were pinned there"),
        None => format!("nothing is pinned in {at}"),
    });
    Ok(Outcome::Clean)
}
