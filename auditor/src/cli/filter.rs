//! `auditor filter CONTAINER`

use std::io::{self, IsTerminal as _};

use clap::Args;

use super::output::Output;
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::report::filter::{EnforcedView, FilterError, Held};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix or compose service
    container: String,
    /// Only these calls, on every ABI
    #[arg(value_name = "SYSCALL")]
    names: Vec<String>,
    /// A row for each call, in place of lists of those that are treated alike
    #[arg(short, long)]
    all: bool,
    /// List the instructions of each filter
    #[arg(long, conflicts_with_all = ["raw", "names", "all"])]
    disassemble: bool,
    /// Write the bytes of a filter to stdout: an array of the kernel's struct sock_filter
    #[arg(long, conflicts_with_all = ["names", "all"])]
    raw: bool,
    /// One filter by itself, as the table numbers them
    #[arg(long, value_name = "N")]
    filter: Option<usize>,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let request = Request::Filter { container: arguments.container.clone() };
    let Response::Filter(answer) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    let held = Held::of(*answer)?;
    if (arguments.raw || arguments.disassemble) && out.is_json() {
        return Err(FilterError::NoJson.into());
    }
    if arguments.raw {
        if io::stdout().is_terminal() {
            return Err(FilterError::Terminal.into());
        }
        out.write_bytes(&held.bytes(arguments.filter)?)?;
    } else if arguments.disassemble {
        out.write_text(&held.listing(arguments.filter, &out.style)?)?;
    } else {
        let view = EnforcedView::of(&held, &arguments.names, arguments.filter)?;
        out.write(&[&view], |style| view.table(style, arguments.all || !arguments.names.is_empty()))?;
    }
    Ok(Outcome::Clean)
}
