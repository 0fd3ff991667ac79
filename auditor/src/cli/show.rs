//! `auditor show CONTAINER`

use clap::Args;

use super::output::{Output, note};
use super::{Error, Global, Outcome, ask};
use crate::control::{ClientError, FailureKind, Request, Response};
use crate::evidence::Arguments as Noted;
use crate::report;
use crate::report::arguments::ArgumentsView;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix or compose service
    container: String,
    /// Also list every unused allowance and what only tasks without the filter called
    #[arg(short, long)]
    all: bool,
    /// Also list with which arguments the calls were made whose danger depends on them
    #[arg(long)]
    args: bool,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let request = Request::Show { container: arguments.container.clone() };
    let Response::Container { mut container } = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    if arguments.args {
        container.arguments = noted(global, &container.id)?;
    }
    out.write(&[&container], |style| {
        let mut text = report::show::table(&container, style, arguments.all);
        if let Some(arguments) = &container.arguments {
            text.push('\n');
            text += &report::arguments::table(arguments, style);
        }
        text
    })?;
    Ok(Outcome::Clean)
}

/// What is noted of the starts of a container under the profile that it has now; `None`, with a note, where nobody knows that
/// profile.
fn noted(global: &Global, id: &str) -> Result<Option<Vec<ArgumentsView>>, Error> {
    let request = Request::Suggest { container: id.to_owned(), profile: None };
    let material = match ask(global, &request) {
        Ok(Response::Material(material)) => material,
        Err(Error::Daemon(ClientError::Failed(failure))) if failure.kind == FailureKind::NoProfile => {
            note("--args: the container's active profile is not known, so its calls' arguments are not either");
            return Ok(None);
        }
        Ok(_) => return Err(Error::WrongAnswer),
        Err(error) => return Err(error),
    };
    // Its workload's evidence is that of its replicas too.
    let mut all = Noted::default();
    let starts = || material.evidence.starts.iter().filter(|start| start.container == id);
    starts().for_each(|start| all.merge(&start.arguments));
    if starts().any(|start| start.summary) {
        note("--args: of older starts only summaries are kept, so the arguments are all there and counted too low");
    }
    Ok(Some(report::arguments::views(&all)))
}
