//! `auditor history`

pub(in crate::cli) mod archive;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::output::{Output, note};
use super::{Error, Global, Outcome, ask, time};
use crate::control::{Request, Response};
use crate::evidence::Evidence;
use crate::report::history::{WorkloadView, starts, starts_table, workloads_table};
use crate::report::resolve;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    /// Show the starts of this image or workload
    #[arg(value_name = "IMAGE|WORKLOAD")]
    workload: Option<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write what was seen to stdout, as JSON
    Export {
        /// Of this image or workload alone
        #[arg(value_name = "IMAGE|WORKLOAD")]
        workload: Option<String>,
    },
    /// Take in what another host has exported; what is known already is not counted again
    Import {
        /// A file of `auditor history export`, or - for stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Leave a start out of suggestions
    Exclude {
        /// Its id, or how that begins
        #[arg(value_name = "START")]
        start: String,
        /// Take it in again
        #[arg(long)]
        undo: bool,
    },
    /// Forget what was seen of an image or workload
    Forget {
        /// Which; all, with --before
        #[arg(value_name = "IMAGE|WORKLOAD")]
        workload: Option<String>,
        /// Only starts that ended before: a time (RFC 3339), or an age as 12h or 7d
        #[arg(long, value_name = "TIME|AGE", value_parser = time::parse)]
        before: Option<Timestamp>,
    },
}

pub(super) fn run(global: &Global, out: &Output, arguments: Arguments) -> Result<Outcome, Error> {
    match arguments.verb {
        None => match arguments.workload {
            None => list(global, out)?,
            Some(workload) => show(global, out, &workload)?,
        },
        Some(Verb::Export { workload }) => archive::export(global, out, workload.as_deref())?,
        Some(Verb::Import { file }) => archive::import(global, &file)?,
        Some(Verb::Exclude { start, undo }) => exclude(global, start, !undo)?,
        Some(Verb::Forget { workload, before }) => forget(global, workload.as_deref(), before)?,
    }
    Ok(Outcome::Clean)
}

fn workloads(global: &Global) -> Result<Vec<WorkloadView>, Error> {
    let Response::History { workloads } = ask(global, &Request::History)? else { return Err(Error::WrongAnswer) };
    Ok(workloads)
}

/// The workloads that a word names: one by its id, or all of an image.
fn named(global: &Global, word: &str) -> Result<Vec<WorkloadView>, Error> {
    let mut all = workloads(global)?;
    all.retain(|view| {
        resolve::is_service(view.service.as_deref(), word)
            || resolve::is_workload(&view.id, &view.image_id, &view.images, word)
    });
    if all.is_empty() { Err(Error::NoSuchWorkload(word.to_owned())) } else { Ok(all) }
}

fn evidence(global: &Global, id: &str) -> Result<(Evidence, Vec<serde_json::Value>), Error> {
    match ask(global, &Request::Evidence { workload: id.to_owned() })? {
        Response::Evidence { evidence, profiles } => Ok((*evidence, profiles)),
        _ => Err(Error::WrongAnswer),
    }
}

fn list(global: &Global, out: &Output) -> Result<(), Error> {
    let workloads = workloads(global)?;
    out.write(&workloads, |style| workloads_table(&workloads, style))
}

fn show(global: &Global, out: &Output, word: &str) -> Result<(), Error> {
    let mut rows = Vec::new();
    let mut estimates = Vec::new();
    for view in named(global, word)? {
        rows.extend(starts(&evidence(global, &view.id)?.0));
        estimates.push(format!("{}: {}", view.id.get(..12).unwrap_or(&view.id), view.estimate.in_words()));
    }
    out.write(&rows, |style| starts_table(&rows, style))?;
    estimates.iter().for_each(|text| note(text));
    Ok(())
}

fn exclude(global: &Global, start: String, excluded: bool) -> Result<(), Error> {
    let Response::Excluded { start } = ask(global, &Request::Exclude { start, excluded })? else {
        return Err(Error::WrongAnswer);
    };
    note(&format!("{start} {}", if excluded { "is left out of suggestions" } else { "counts again" }));
    Ok(())
}

fn forget(global: &Global, word: Option<&str>, before: Option<Timestamp>) -> Result<(), Error> {
    let named = word.map(|word| named(global, word)).transpose()?;
    if named.is_none() && before.is_none() {
        return Err(Error::NothingToForget);
    }
    let running = named.iter().flatten().filter(|view| view.running > 0).count();
    let workloads = named.map(|named| named.into_iter().map(|view| view.id).collect());
    let Response::Forgotten { workloads, starts } = ask(global, &Request::Forget { workloads, before })? else {
        return Err(Error::WrongAnswer);
    };
    note(&format!("forgot {starts} starts, and {workloads} workloads of which nothing is left"));
    if running > 0 {
        note("containers of it run: what is counted of them since the daemon knows them is kept again");
    }
    Ok(())
}
