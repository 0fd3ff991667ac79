//! `auditor record -- COMMAND...`
//!
//! Data goes to stdout and nothing else does: as long as the profile (or, with `-c -o json`, the rows) goes there, what
//! the command itself writes to stdout goes to stderr. With the profile in a file, or with `-c` alone, the command keeps
//! its stdout.

pub(super) mod enter;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{Output, note};
use super::suggest::{Wish, file_name};
use super::{Error, Global, Outcome};
use crate::audit;
use crate::cgroupfs::{OwnCgroup, Root};
use crate::counters::Counters;
use crate::evidence::{Archive, Command, Evidence, Start, Workload, short_line};
use crate::procfs::{self, SeccompMode};
use crate::profile::Runtime;
use crate::recording::command::{self, Ended, Line, Signals, list};
use crate::recording::{About, Recording, RecordingError, User};
use crate::report::summary;
use crate::report::table::Style;
use crate::report::view::SyscallView;
use crate::suggest::{Material, Options};
use crate::syscall::{Abi, known_name};

#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is COMMAND's own, or 128 and the number of the signal that ended it; 127 when there is no such command, 126 \
when it cannot be executed. When COMMAND ended with 0 and there is no profile, it is 1 (the record has gaps) or 2; 3 \
when this host cannot be audited.")]
pub(super) struct Arguments {
    /// Count the calls, as strace -c -f does; no profile unless --write says where to
    #[arg(short = 'c', long)]
    count: bool,
    /// Write the profile to a file, and nothing else whatever --output says; COMMAND keeps its stdout
    #[arg(short = 'w', long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Write what was seen to a file, for suggest --evidence and history import
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Run COMMAND as this user: USER[:GROUP], names or numbers
    #[arg(short = 'u', long, value_name = "USER")]
    user: Option<User>,
    /// End with COMMAND, and do not wait for what it left running
    #[arg(long)]
    no_wait: bool,
    /// Where cgroup2 is mounted [default: as /proc/self/mountinfo says]
    #[arg(long, value_name = "DIR")]
    cgroup_root: Option<PathBuf>,
    #[command(flatten)]
    wish: Wish,
    /// What to run, and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

impl Arguments {
    fn wants_profile(&self) -> bool {
        !self.count || self.write.is_some()
    }

    fn line(&self, out: &Output) -> Line {
        let mut verb: Vec<OsString> = vec![enter::VERB.into()];
        if let Some(user) = &self.user {
            verb.extend(["--user".into(), user.to_string().into()]);
        }
        let profile_on_stdout = self.wants_profile() && self.write.is_none();
        Line {
            verb,
            command: self.command.clone(),
            stdout_to_stderr: profile_on_stdout || (self.count && out.is_json()),
            wait_for_all: !self.no_wait,
        }
    }
}

pub(super) fn run(_global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    // What cannot be read or written is told before anything is run.
    let options = arguments.wish.options()?;
    let files = Files {
        profile: arguments.write.as_deref().map(open).transpose()?,
        evidence: arguments.evidence.as_deref().map(open).transpose()?,
    };
    let (ended, start) = record(out, arguments)?;
    let code = ended.code();
    let Some(start) = start else { return Ok(Outcome::Command(code)) };
    if !ended.left.is_empty() {
        note(&format!("{} still runs, and what it calls from now on is not counted", list(&ended.left)));
    }
    match answer(out, arguments, &options, files, start) {
        Err(error) if code != 0 => {
            // That the command failed is the more telling of the two.
            note(&format!("auditor: {error}"));
            Ok(Outcome::Command(code))
        }
        Ok(Outcome::Clean) => Ok(Outcome::Command(code)),
        Ok(_) if code != 0 => Ok(Outcome::Command(code)),
        other => other,
    }
}

/// Runs the command. Returns what was counted of it, if it was started at all.
fn record(out: &Output, arguments: &Arguments) -> Result<(Ended, Option<Start>), Error> {
    let root = Root::find(arguments.cgroup_root.as_deref()).map_err(RecordingError::from)?;
    let signals = Signals::take()?;
    let cgroup = OwnCgroup::make(&root).map_err(RecordingError::from)?;
    let mut recording = Recording::of_cgroup(cgroup.path())?;
    let ended = command::run(&arguments.line(out), &cgroup, &signals, &mut recording, note)?;
    let Some(counted) = recording.counted().filter(|counted| was_executed(&counted.counters())) else {
        return Ok((ended, None));
    };
    // A filter that we are under is the command's as well.
    let own = procfs::seccomp_status(std::process::id()).ok();
    let confined = own.map(|status| status.mode != SeccompMode::Disabled);
    let start = counted.start(About { confined, ..About::default() })?;
    Ok((ended, Some(start)))
}

/// Whether the command was executed: until then there is nothing but the attempt.
fn was_executed(counters: &Counters) -> bool {
    counters.tallies.iter().any(|(&(abi, nr), tally)| {
        let (calls, errors) = (tally.calls + tally.unfiltered_calls, tally.errors + tally.unfiltered_errors);
        calls > errors && matches!(known_name(abi, nr), Some("execve" | "execveat"))
    })
}

fn answer(
    out: &Output,
    arguments: &Arguments,
    options: &Options,
    files: Files,
    start: Start,
) -> Result<Outcome, Error> {
    if arguments.count {
        count(out, &start)?;
    }
    let evidence = Evidence { workload: workload(&arguments.command), image_names: Vec::new(), starts: vec![start] };
    if let Some(file) = files.evidence {
        let archive = Archive { workloads: vec![evidence.clone()], ..Archive::default() };
        file.write(&archive.render()?)?;
    }
    if !arguments.wants_profile() {
        return Ok(Outcome::Clean);
    }
    let material =
        Material { evidence, profile: None, runtime: Runtime::default(), host: Abi::NATIVE, others: Vec::new() };
    let name = file_name(&material.evidence.workload);
    arguments.wish.answer(out, options, &name, &material, files.profile)
}

/// The rows as JSON on stdout, or the table on stderr, where `strace -c` has it too.
fn count(out: &Output, start: &Start) -> Result<(), Error> {
    let mut rows = rows(start);
    summary::sort(&mut rows);
    if out.is_json() {
        return out.write(&rows, |_| String::new());
    }
    let plain = Style { colour: false, ..out.style };
    let written = io::stderr().write_all(summary::table(&rows, &plain).as_bytes());
    written.map_err(|source| Error::Write { what: "the counts".to_owned(), source })
}

fn rows(start: &Start) -> Vec<SyscallView> {
    let tallies = start.calls.iter().map(|(key, seen)| (*key, seen.tally)).collect();
    let mut rows = audit::syscall_views(&Counters { tallies }, None, start.confined);
    for row in &mut rows {
        let seen = start.calls.get(&(row.abi, row.nr));
        row.first_seen = seen.map(|seen| seen.first);
        row.last_seen = seen.map(|seen| seen.last);
    }
    rows
}

/// What was recorded without an image is known by the program's path.
fn workload(line: &[OsString]) -> Workload {
    let program = line.first().map(OsString::as_os_str).unwrap_or_default();
    let path = crate::recording::enter::find(program).unwrap_or_else(|_| program.into());
    let path = std::path::absolute(&path).unwrap_or(path);
    let words = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Workload { image: path.to_string_lossy().into_owned(), command: Command::Line(short_line(words)) }
}

/// Where the answer goes besides stdout.
struct Files {
    profile: Option<Target>,
    evidence: Option<Target>,
}

/// A file, opened before the command runs, so that nobody's work is done for nothing; what is in it stays until there is
/// something to put there.
pub(super) struct Target {
    path: PathBuf,
    file: File,
}

fn open(path: &Path) -> Result<Target, Error> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|source| Error::Write { what: path.display().to_string(), source })?;
    Ok(Target { path: path.to_owned(), file })
}

impl Target {
    pub(super) fn write(mut self, text: &str) -> Result<(), Error> {
        let emptied = self.file.metadata().and_then(|file| if file.is_file() { self.file.set_len(0) } else { Ok(()) });
        let written = emptied.and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|source| Error::Write { what: self.path.display().to_string(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_any_length_makes_evidence_that_can_be_read() {
        let line: Vec<OsString> = ["sh", "-c", &"x".repeat(9_000)].map(OsString::from).into();
        let evidence = Evidence { workload: workload(&line), image_names: Vec::new(), starts: Vec::new() };
        let text = Archive { workloads: vec![evidence.clone()], ..Archive::default() }.render().unwrap();
        assert_eq!(Archive::parse(text.as_bytes()).unwrap().workloads, [evidence]);
    }
}
