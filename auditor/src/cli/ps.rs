//! `auditor ps`

use super::output::Output;
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::report;

pub(super) fn run(global: &Global, out: &Output) -> Result<Outcome, Error> {
    let Response::Containers { containers } = ask(global, &Request::Ps)? else { return Err(Error::WrongAnswer) };
    out.write(&containers, |style| report::ps::table(&containers, style))?;
    Ok(Outcome::Clean)
}
