//! `auditor show CONTAINER`

use clap::Args;

use super::output::Output;
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::report;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix or compose service
    container: String,
    /// Also list every unused allowance and what only tasks without the filter called
    #[arg(short, long)]
    all: bool,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let request = Request::Show { container: arguments.container.clone() };
    let Response::Container { container } = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    out.write(&[&container], |style| report::show::table(&container, style, arguments.all))?;
    Ok(Outcome::Clean)
}
