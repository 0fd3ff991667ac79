//! What the suggestion starts from, and how it is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::Error;
use crate::cli::output::note;
use crate::cli::profile::source::{self, Source};
use crate::cli::profile::target::{Target, meant};
use crate::cli::profile::{parse, unusable};
use crate::profile::{self, Profile};
use crate::suggest;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Form {
    /// Also refuse what the calls that decide most were never asked for: flags of clone and unshare, kinds of sockets,
    /// operations of prctl, ptrace, ioctl and others, executable memory
    #[arg(long)]
    args: bool,
    /// What happens to what was not seen
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Mode::Enforce)]
    mode: Mode,
    /// For whom it is written [default: docker; of a unit: systemd]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    /// What the object is called in --format spo [default: as the container or image]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Start from this profile (in Docker's or the OCI format; - is stdin) and not from the active one
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Let through also what this profile does; may be given more than once
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// For files in Docker's format: the container has this capability beside Docker's default ones; may be given more
    /// than once. ALL adds every one, NONE takes the default ones away
    #[arg(long = "cap", value_name = "CAP")]
    caps: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// It is refused
    Enforce,
    /// It is let through and logged, as long as the active profile lets it through
    Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// JSON for docker run --security-opt seccomp=FILE
    Docker,
    /// JSON for linux.seccomp of an OCI runtime's config.json
    Oci,
    /// YAML: a SeccompProfile of the Security Profiles Operator
    Spo,
    /// Settings of a systemd unit: SystemCallFilter= and what goes with it
    Systemd,
}

impl Form {
    /// Fills in the options of a suggestion that these stand for. Reads the files.
    pub(in crate::cli) fn fill(&self, options: &mut suggest::Options) -> Result<(), Error> {
        source::refuse_stdin_twice(self.base.iter().chain(&self.merge))?;
        let target = Target::of_container(&self.caps).resolve()?;
        let read = |path: &PathBuf| -> Result<Profile, Error> {
            let source: Source = source::read(path)?;
            parse(&source)?.resolve(&target).map_err(|error| unusable(&source, error))
        };
        options.base = self.base.as_ref().map(read).transpose()?;
        options.merge = self.merge.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if self.base.is_some() || !self.merge.is_empty() {
            note(&format!("--base and --merge: {}", meant(&target)));
        }
        options.without_runtime = self.format == Some(Format::Systemd);
        options.arguments = self.args;
        options.mode = match self.mode {
            Mode::Enforce => suggest::Mode::Enforce,
            Mode::Log => suggest::Mode::Log,
        };
        Ok(())
    }

    /// The same, but that what has no format is written in this one.
    pub(in crate::cli) fn or_format(&self, format: Format) -> Self {
        Self { format: self.format.or(Some(format)), ..self.clone() }
    }

    /// The profile as a text; what the format cannot say goes to stderr. `name` is what the suggestion is for.
    pub(in crate::cli) fn render(
        &self,
        profile: &Profile,
        host: profile::HostArch,
        name: &str,
    ) -> Result<String, Error> {
        let format = match self.format.unwrap_or(Format::Docker) {
            Format::Docker => profile::Format::Docker,
            Format::Oci => profile::Format::Oci,
            Format::Spo => profile::Format::Operator,
            Format::Systemd => profile::Format::Systemd,
        };
        let name = self.name.clone().unwrap_or_else(|| profile::object_name(name));
        let rendered = profile.render(format, &name, host)?;
        rendered.notes.iter().for_each(|text| note(text));
        Ok(rendered.text)
    }
}
