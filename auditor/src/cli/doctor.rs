//! `auditor doctor`

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use super::{Error, Global, Outcome};
use crate::config::{Config, Settings};
use crate::doctor::{self, Facts, Places, Status};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The container engine
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    docker_host: Option<String>,
    /// Where cgroup2 is mounted, if it is not to be found
    #[arg(long, value_name = "DIR")]
    cgroup_root: Option<PathBuf>,
}

pub(super) fn run(global: &Global, out: &Output, arguments: Arguments) -> Result<Outcome, Error> {
    let Arguments { docker_host, cgroup_root } = arguments;
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
