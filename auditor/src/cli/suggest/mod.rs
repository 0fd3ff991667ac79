//! `auditor suggest CONTAINER|IMAGE`

use clap::Args;

use super::output::{Output, note};
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::suggest::Options;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix, compose service, or an image
    #[arg(value_name = "CONTAINER|IMAGE")]
    container: String,
    /// Suggest even though calls may have been missed
    #[arg(long)]
    allow_incomplete: bool,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let request = Request::Suggest { container: arguments.container.clone() };
    let Response::Material(material) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    let suggestion = material.suggest(&Options { allow_incomplete: arguments.allow_incomplete })?;
    suggestion.notes.iter().for_each(|text| note(text));
    // The profile alone: what is on stdout is given to `--security-opt seccomp=` as it is.
    out.write_text(&(suggestion.profile.render_docker().trim_end().to_owned() + "\n"))?;
    Ok(Outcome::Clean)
}
