//! `auditor doctor`

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{Output, note};
use super::{Error, Global, Outcome};
use crate::config::{Config, Settings};
use crate::doctor::{self, Facts, Places, Status};
use crate::kernel::Pins;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The container engine
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    docker_host: Option<String>,
    /// Where cgroup2 is mounted, if it is not to be found
    #[arg(long, value_name = "DIR")]
    cgroup_root: Option<PathBuf>,
    /// Where the daemon pins its programs [default: /sys/fs/bpf/auditor]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    /// Remove the programs, links and maps that a daemon which is gone has left pinned, and all that they counted
    #[arg(long)]
    clean: bool,
}

pub(super) fn run(global: &Global, out: &Output, arguments: Arguments) -> Result<Outcome, Error> {
    let Arguments { docker_host, cgroup_root, bpffs, clean } = arguments;
    let bpffs = bpffs.unwrap_or_else(|| Config::DEFAULT_BPFFS.into());
    if clean {
        return remove_pins(&bpffs);
    }
    let config = Config::check(Settings { docker_host, cgroup_root, ..Settings::default() })?;
    let places = Places { docker: config.docker_host, cgroup_root: config.cgroup_root, socket: global.socket.clone() };
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
        None => format!("nothing is pinned: there is no {at}"),
    });
    Ok(Outcome::Clean)
}
