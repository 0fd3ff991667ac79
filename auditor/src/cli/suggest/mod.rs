//! `auditor suggest CONTAINER|IMAGE`, and `auditor suggest --unit NAME`

mod demand;
mod files;
mod form;
mod starts;
mod unit;

use clap::Args;

use self::demand::Trust;
use self::form::{Form, Format};
use self::starts::Starts;
use super::output::{Output, note};
use super::record::Target;
use super::{Error, Global, Outcome, ask};
use crate::control::{Request, Response};
use crate::evidence::Workload;
use crate::profile::HostArch;
use crate::report::json;
use crate::report::suggestion::SuggestionView;
use crate::suggest::{Material, Options};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name, unique id prefix, compose service, an image, or a workload of auditor history
    #[arg(value_name = "CONTAINER|IMAGE", required_unless_present_any = ["unit", "evidence"], conflicts_with_all = ["unit", "evidence"])]
    container: Option<String>,
    /// Where an image, or what is in the files, ran under several profiles: of what ran under the one whose SHA-256 begins
    /// so
    #[arg(long, value_name = "SHA256", conflicts_with = "unit")]
    profile: Option<String>,
    /// Suggest even though calls may have been missed
    #[arg(long)]
    allow_incomplete: bool,
    #[command(flatten)]
    starts: Starts,
    #[command(flatten)]
    wish: Wish,
    #[command(flatten)]
    files: files::Files,
    #[command(flatten)]
    unit: unit::Flags,
}

pub(super) fn run(global: &Global, out: &Output, arguments: &Arguments) -> Result<Outcome, Error> {
    let wish = if arguments.unit.is_given() { arguments.wish.of_unit() } else { arguments.wish.clone() };
    // A file that cannot be read is told before anybody is asked.
    let mut options = Options { allow_incomplete: arguments.allow_incomplete, ..wish.options()? };
    let (name, mut material) = match (&arguments.container, arguments.unit.record()?) {
        (None, None) => {
            let material = arguments.files.read(arguments.profile.as_deref())?.ok_or(Error::WrongAnswer)?;
            (file_name(&material.evidence.workload), material)
        }
        (_, Some(recorded)) => {
            if options.base.is_none()
                && let Some(call) = recorded.of_systemd()
            {
                note(&format!("systemd may call {} under the filter, before it executes the program", call.name));
                options.allow.push(call);
            }
            (recorded.name, recorded.material)
        }
        (Some(container), None) => {
            let request = Request::Suggest { container: container.clone(), profile: arguments.profile.clone() };
            let Response::Material(material) = ask(global, &request)? else { return Err(Error::WrongAnswer) };
            (container.clone(), *material)
        }
    };
    arguments.starts.pick(&mut material.evidence)?;
    starts::of_several(&material).iter().for_each(|text| note(text));
    wish.answer(out, &options, &name, &material, None)
}

/// What a workload that nobody named is called: the last word of its image, or of its program's path.
pub(super) fn file_name(workload: &Workload) -> String {
    workload.image.rsplit('/').next().unwrap_or_default().to_owned()
}

/// What the user wants of a suggestion, whatever it is made from.
#[derive(Debug, Clone, Args)]
pub(super) struct Wish {
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    form: Form,
}

impl Wish {
    /// The same for a unit, whose settings are systemd's if nothing else is said.
    fn of_unit(&self) -> Self {
        Self { form: self.form.or_format(Format::Systemd), ..self.clone() }
    }

    /// What to make it with. Reads the files.
    pub(super) fn options(&self) -> Result<Options, Error> {
        let mut options = Options::default();
        self.trust.fill(&mut options)?;
        self.form.fill(&mut options)?;
        Ok(options)
    }

    /// Makes it, and writes it: notes to stderr; to `file` the profile and nothing else, whatever the output is to be; and
    /// where there is none, the data to stdout.
    pub(super) fn answer(
        &self,
        out: &Output,
        options: &Options,
        name: &str,
        material: &Material,
        file: Option<Target>,
    ) -> Result<Outcome, Error> {
        let suggestion = material.suggest(options)?;
        suggestion.notes.iter().for_each(|text| note(text));
        let host = HostArch::of(material.host).with(material.runtime);
        let demand = self.trust.demand();
        let shortfalls = suggestion.certainty.shortfalls(&demand);
        let text = self.form.render(&suggestion.profile, host, name)?;
        match file {
            // Whoever is given the file takes it as it is.
            Some(file) => file.write(&text)?,
            None if out.is_json() => {
                out.write_text(&json::array(&[SuggestionView::new(&suggestion, &text, &demand)])?)?;
            }
            // The profile alone: what is on stdout is given to `--security-opt seccomp=` as it is. That is so also where
            // it is less sure than was demanded: a file that `>` has emptied already serves nobody, and the exit code
            // tells.
            None => out.write_text(&text)?,
        }
        shortfalls.iter().for_each(|text| note(&format!("below what is demanded: {text}")));
        let is_clean = suggestion.left_out.is_empty() && shortfalls.is_empty();
        Ok(if is_clean { Outcome::Clean } else { Outcome::Findings })
    }
}
