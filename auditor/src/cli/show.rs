//! `auditor show CONTAINER`

use clap::Args;

use super::output::Output;
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
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
        container.arguments = Some(noted(global, &container.id)?);
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

/// What is noted of all starts of a container.
fn noted(global: &Global, id: &str) -> Result<Vec<ArgumentsView>, Error> {
    let request = Request::Suggest { container: id.to_owned(), profile: None };
    let Response::Material(material) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    // Its workload's evidence is that of its replicas too.
    let mut all = Noted::default();
    for start in material.evidence.starts.iter().filter(|start| start.container == id) {
        all.merge(&start.arguments);
    }
    Ok(report::arguments::views(&all))
}
