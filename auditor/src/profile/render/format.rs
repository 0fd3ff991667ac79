//! The formats that a profile can be written in, and what each cannot say.

use super::super::{HostArch, Profile};
use super::{operator, systemd};

/// For whom a profile is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `docker run --security-opt seccomp=FILE`.
    Docker,
    /// The object `linux.seccomp` of an OCI runtime's `config.json`.
    Oci,
    /// A `SeccompProfile` of the Security Profiles Operator.
    Operator,
    /// `SystemCallFilter=` and what goes with it, for a unit.
    Systemd,
}

/// A profile as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text, with a newline at the end.
    pub text: String,
    /// What it does otherwise than the profile, one line each. It never lets less through.
    pub notes: Vec<String>,
}

/// Why a profile cannot be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The format has no word or no room for it.
    #[error("writing the profile as {format}: there is no way to say {what}; use --format docker or oci")]
    Inexpressible {
        /// The format, as it is typed.
        format: &'static str,
        /// What cannot be said.
        what: String,
    },
    /// No object may be called that.
    #[error(
        "writing the profile as spo: {name:?} is no name of an object: up to 253 lower-case letters, digits, - and .; say \
         another with --name"
    )]
    Name {
        /// The name.
        name: String,
    },
}

impl Profile {
    /// The profile in a format. `name` is that of the object, where the format has one.
    ///
    /// # Errors
    /// Where the format cannot say what the profile says, or something that lets no less through.
    pub fn render(&self, format: Format, name: &str, host: HostArch) -> Result<Rendered, RenderError> {
        match format {
            Format::Docker => Ok(Rendered { text: self.render_docker(), notes: Vec::new() }),
            Format::Oci => Ok(Rendered { text: self.render_oci(), notes: Vec::new() }),
            Format::Operator => operator::render(self, name),
            Format::Systemd => Ok(systemd::render(self, host)),
        }
    }
}
