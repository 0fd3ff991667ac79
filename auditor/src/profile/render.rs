//! Profiles as JSON, always in the same spelling: fields in a fixed order, two spaces, a newline at the end. And in the
//! formats of those who do not read that.

mod format;
mod operator;
mod systemd;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use self::format::{Format, RenderError, Rendered};
pub use self::operator::object_name;

use super::{ArgCondition, Profile, Rule};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileJson<'a> {
    default_action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_metadata: Option<&'a str>,
    syscalls: Vec<RuleJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleJson<'a> {
    names: &'a [String],
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<ConditionJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionJson {
    index: u32,
    value: u64,
    value_two: u64,
    op: &'static str,
}

impl<'a> From<&'a Profile> for ProfileJson<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self {
            default_action: profile.default_action.as_str(),
            default_errno_ret: profile.default_errno,
            architectures: profile.architectures.iter().map(|arch| arch.as_str()).collect(),
            flags: profile.flags.as_deref(),
            listener_path: profile.listener_path.as_deref(),
            listener_metadata: profile.listener_metadata.as_deref(),
            syscalls: profile.rules.iter().map(RuleJson::from).collect(),
        }
    }
}

impl<'a> From<&'a Rule> for RuleJson<'a> {
    fn from(rule: &'a Rule) -> Self {
        Self {
            names: &rule.names,
            action: rule.action.as_str(),
            errno_ret: rule.errno,
            args: rule.args.iter().map(ConditionJson::from).collect(),
        }
    }
}

impl From<&ArgCondition> for ConditionJson {
    fn from(arg: &ArgCondition) -> Self {
        Self { index: arg.index, value: arg.value, value_two: arg.value_two, op: arg.operator.as_str() }
    }
}

impl Profile {
    /// The profile for `docker run --security-opt seccomp=FILE`.
    ///
    /// It is the OCI object, which every engine takes: a resolved profile needs nothing of Docker's own format, and
    /// means the same whatever the container's capabilities.
    #[must_use]
    pub fn render_docker(&self) -> String {
        self.render_oci()
    }

    /// What it is known by: SHA-256 of its OCI JSON, in hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        Sha256::digest(self.render_oci().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The `linux.seccomp` object of the OCI runtime specification.
    #[must_use]
    pub fn render_oci(&self) -> String {
        // Strings, numbers and lists of them always serialize.
        let mut text = serde_json::to_string_pretty(&ProfileJson::from(self)).unwrap_or_default();
        text.push('\n');
        text
    }
}
