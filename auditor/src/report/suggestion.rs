//! `auditor suggest -o json`: the profile, and all that is said about it.

use serde::Serialize;
use serde_json::Value;

use crate::suggest::exposure::{CLASSIFICATION, ExposedCall};
use crate::suggest::{Certainty, Demand, Suggestion};
use crate::syscall::{Abi, SyscallNr};

/// A suggestion as scripts see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuggestionView<'a> {
    /// What stdout has without `-o json`; a string where the format is not JSON.
    profile: Value,
    /// How far it can be trusted.
    certainty: Certainty,
    /// What is missing to what was demanded, one line each.
    shortfalls: Vec<String>,
    /// Calls of the native ABI that the smaller profile always allows.
    allowed: u32,
    /// And that it allows for some arguments.
    conditional: u32,
    /// The same of the profile that it starts from.
    allowed_before: u32,
    conditional_before: u32,
    /// Calls that were refused meanwhile.
    denied: Vec<DeniedView<'a>>,
    /// What was seen and a given base refuses.
    left_out: &'a [String],
    /// What the smaller profile buys.
    exposure: ExposureView<'a>,
    /// What stderr has.
    notes: &'a [String],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DeniedView<'a> {
    abi: Abi,
    nr: SyscallNr,
    name: &'a str,
    count: u64,
    errno: Option<u16>,
    taken_in: bool,
    reviewed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ExposureView<'a> {
    classification: &'static str,
    taken_away: &'a [ExposedCall],
    kept: &'a [ExposedCall],
}

impl<'a> SuggestionView<'a> {
    /// `text` is the profile as it was written.
    #[must_use]
    pub fn new(suggestion: &'a Suggestion, text: &str, demand: &Demand) -> Self {
        let Suggestion { before, after, certainty, exposure, denied, left_out, notes, .. } = suggestion;
        let denied = denied.iter().map(|call| DeniedView {
            abi: call.abi,
            nr: call.nr,
            name: &call.name,
            count: call.count,
            errno: call.errno,
            taken_in: call.taken_in,
            reviewed: call.reviewed,
        });
        Self {
            profile: serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            certainty: *certainty,
            shortfalls: certainty.shortfalls(demand),
            allowed: after.allowed,
            conditional: after.conditional,
            allowed_before: before.allowed,
            conditional_before: before.conditional,
            denied: denied.collect(),
            left_out,
            exposure: ExposureView {
                classification: CLASSIFICATION,
                taken_away: &exposure.taken_away,
                kept: &exposure.kept,
            },
            notes,
        }
    }
}
