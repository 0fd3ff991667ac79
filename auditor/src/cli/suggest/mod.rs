//! `auditor suggest CONTAINER|IMAGE`

mod demand;
mod form;

use clap::Args;

use self::demand::Trust;
use self::form::Form;
use super::output::{Output, note};
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::profile::HostArch;
use crate::report::json;
use crate::report::suggestion::SuggestionView;
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
    trust: Trust,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    // A file that cannot be read is told before anybody is asked.
    let mut options = Options { allow_incomplete: arguments.allow_incomplete, ..Options::default() };
    arguments.trust.fill(&mut options)?;
    arguments.form.fill(&mut options)?;
    let request = Request::Suggest { container: arguments.container.clone() };
    let Response::Material(material) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    let suggestion = material.suggest(&options)?;
    suggestion.notes.iter().for_each(|text| note(text));
    let host = HostArch::of(material.host).with(material.runtime);
    let demand = arguments.trust.demand();
    let shortfalls = suggestion.certainty.shortfalls(&demand);
    let text = arguments.form.render(&suggestion.profile, host, &arguments.container)?;
    if out.is_json() {
        out.write_text(&json::array(&[SuggestionView::new(&suggestion, &text, &demand)])?)?;
    } else {
        // The profile alone: what is on stdout is given to `--security-opt seccomp=` as it is. That is so also where it
        // is less sure than was demanded: a file that `>` has emptied already serves nobody, and the exit code tells.
        out.write_text(&text)?;
    }
    shortfalls.iter().for_each(|text| note(&format!("below what is demanded: {text}")));
    let is_clean = suggestion.left_out.is_empty() && shortfalls.is_empty();
    Ok(if is_clean { Outcome::Clean } else { Outcome::Findings })
}
