//! `auditor denials [CONTAINER]`

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::output::{Output, note};
use super::{Error, Global, Outcome, PATIENCE, ask};
use crate::control::{self, ClientError, DenialsAnswer, FailureKind, FollowItem, Following, Request, Response};
use crate::report;
use crate::report::denial::DenialView;

/// How long a container that was followed may be unknown to a daemon that has just started.
const MEETING: Duration = Duration::from_secs(30);
/// Between two tries to reach a daemon that went away.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix or compose service [default: all containers]
    container: Option<String>,
    /// Go on with what is refused from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Leave out what happened longer ago than this, for example 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<SignedDuration>,
}

pub(super) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration.is_positive() => Ok(duration),
        _ => Err("write it as 30s, 10m, 2h or 1h 30m".to_owned()),
    }
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let since = arguments.since.and_then(|since| Timestamp::now().checked_sub(since).ok());
    if arguments.follow {
        return follow(global, out, arguments, since);
    }
    let request = Request::Denials { container: arguments.container.clone(), follow: false, after: None };
    let Response::Denials(answer) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
    let denials = later_than(answer.denials, since);
    out.write_lines(&denials, |style| report::denial::list(&denials, style))?;
    Ok(Outcome::Clean)
}

fn later_than(mut denials: Vec<DenialView>, since: Option<Timestamp>) -> Vec<DenialView> {
    denials.retain(|denial| since.is_none_or(|since| denial.time >= since));
    denials
}

/// Ends by a signal, by a reader that goes away, or when the daemon cannot be asked any more.
fn follow(global: &Global, out: &Output, arguments: &Arguments, since: Option<Timestamp>) -> Result<Outcome, Error> {
    let request = Request::Denials { container: arguments.container.clone(), follow: true, after: None };
    let (mut answer, mut following) = control::follow(&global.socket, &request, PATIENCE)?;
    loop {
        write(out, &later_than(std::mem::take(&mut answer.denials), since))?;
        let error = tell(out, &mut following)?;
        note(&format!("{error}; waiting for the daemon"));
        let before = std::mem::take(&mut answer.daemon);
        let container = answer.id.take().or_else(|| arguments.container.clone());
        let request = Request::Denials { container, follow: true, after: Some(before.clone()) };
        (answer, following) = again(global, &request)?;
        note(if answer.daemon == before {
            "the daemon answers again; refusals in between are not shown"
        } else {
            "another daemon answers, which counts from its own start; refusals while no daemon ran are not shown"
        });
    }
}

/// Writes what the daemon tells until it goes away.
fn tell(out: &Output, following: &mut Following) -> Result<ClientError, Error> {
    loop {
        match following.next_item() {
            Ok(FollowItem::Denial(denial)) => write(out, std::slice::from_ref(&*denial))?,
            Ok(FollowItem::Lost { count }) => {
                note(&format!("{count} refusals are not shown: this command read too slowly"));
            }
            Ok(FollowItem::Alive) => {}
            Err(error) => return Ok(error),
        }
    }
}

fn write(out: &Output, denials: &[DenialView]) -> Result<(), Error> {
    if denials.is_empty() {
        return Ok(());
    }
    out.write_lines(denials, |style| report::denial::list(denials, style))
}

/// Tries until a daemon answers. One that has just started may not know the container's name yet.
fn again(global: &Global, request: &Request) -> Result<(DenialsAnswer, Following), Error> {
    let mut answered: Option<Instant> = None;
    loop {
        match control::follow(&global.socket, request, PATIENCE) {
            Ok(following) => return Ok(following),
            Err(ClientError::Failed(failure)) if failure.kind == FailureKind::Busy => {}
            Err(ClientError::Failed(failure))
                if failure.kind == FailureKind::NoSuchContainer
                    && answered.get_or_insert_with(Instant::now).elapsed() < MEETING => {}
            Err(error @ ClientError::Failed(_)) => return Err(error.into()),
            Err(_) => {}
        }
        sleep(RETRY);
    }
}
