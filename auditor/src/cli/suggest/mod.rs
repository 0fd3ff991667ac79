//! `auditor suggest CONTAINER|IMAGE`

mod form;

use clap::Args;

use self::form::Form;
use super::output::{Output, note};
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::profile::HostArch;
use crate::suggest::Options;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix, compose service, or an image
    #[arg(value_name = "CONTAINER|IMAGE")]
    container: String,
    /// Suggest even though calls may have been missed
    #[arg(long)]
    allow_incomplete: bool,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    // A file that cannot be read is told before anybody is asked.
    let mut options = Options { allow_incomplete: arguments.allow_incomplete, ..Options::default() };
    arguments.form.fill(&mut options)?;
    let request = Request::Suggest { container: arguments.container.clone() };
    let Response::Material(material) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    let suggestion = material.suggest(&options)?;
    suggestion.notes.iter().for_each(|text| note(text));
    let host = HostArch::of(material.host).with(material.runtime);
    // The profile alone: what is on stdout is given to `--security-opt seccomp=` as it is.
    out.write_text(&arguments.form.render(&suggestion.profile, host, &arguments.container)?)?;
    Ok(if suggestion.left_out.is_empty() { Outcome::Clean } else { Outcome::Findings })
}
