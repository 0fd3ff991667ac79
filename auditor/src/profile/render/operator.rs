//! The Security Profiles Operator's `SeccompProfile`, as YAML.
//!
//! Fields and their limits are those of the operator's custom resource definition, `v1beta1`, in versions 0.8.4 to 1.0
//! (`deploy/base-crds/crds/seccompprofile.yaml` there): numbers are signed, the errno of the default action has no
//! field, and names and architectures may not be named twice. Since 0.9 it belongs to no namespace.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::{Action, Arch, ArgCondition, Operator, Profile, Rule, evaluate::errno_data};
use super::format::{RenderError, Rendered};
use crate::syscall;

/// Architectures that the definition does not list.
const UNKNOWN: [Arch; 1] = [Arch::Loongarch64];

/// Flags that it lists.
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// EPERM, which is answered where nothing else is said.
const EPERM: u16 = 1;

pub(super) fn render(profile: &Profile, name: &str) -> Result<Rendered, RenderError> {
    if !is_object_name(name) {
        return Err(RenderError::Name { name: name.to_owned() });
    }
    let mut notes = Vec::new();
    let mut text = String::new();
    let mut line = |text_of: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = text.write_fmt(text_of);
        text.push('\n');
    };
    line(format_args!("apiVersion: security-profiles-operator.x-k8s.io/v1beta1"));
    line(format_args!("kind: SeccompProfile"));
    line(format_args!("metadata:"));
    line(format_args!("  name: {}", quoted(name)));
    line(format_args!("spec:"));
    line(format_args!("  defaultAction: {}", profile.default_action));
    let default_errno = errno_data(profile.default_errno);
    if matches!(profile.default_action, Action::Errno | Action::Trace) && default_errno != EPERM {
        notes.push(format!(
            "spo: the format has no errno for the default action: what is refused by default gets EPERM and not {}",
            syscall::errno::describe(default_errno)
        ));
    }
    let (known, unknown): (Vec<Arch>, Vec<Arch>) =
        profile.architectures.iter().partition(|arch| !UNKNOWN.contains(arch));
    if let Some(arch) = unknown.first() {
        return Err(inexpressible(format!("the architecture {}", arch.as_str())));
    }
    let mut once = BTreeSet::new();
    for (first, arch) in known.iter().filter(|arch| once.insert(**arch)).enumerate().map(|(at, arch)| (at == 0, arch)) {
        if first {
            line(format_args!("  architectures:"));
        }
        line(format_args!("    - {}", arch.as_str()));
    }
    let flags: BTreeSet<&str> = profile.flags.iter().flatten().map(String::as_str).collect();
    for (at, flag) in flags.iter().enumerate() {
        if !FLAGS.contains(flag) {
            return Err(inexpressible(format!("the flag {flag}")));
        }
        if at == 0 {
            line(format_args!("  flags:"));
        }
        line(format_args!("    - {flag}"));
    }
    for (key, value) in [("listenerPath", &profile.listener_path), ("listenerMetadata", &profile.listener_metadata)] {
        if let Some(value) = value {
            line(format_args!("  {key}: {}", quoted(value)));
        }
    }
    if !profile.rules.is_empty() {
        line(format_args!("  syscalls:"));
    }
    for rule in &profile.rules {
        line(format_args!("    - action: {}", rule.action));
        if let Some(errno) = errno(rule, &mut notes) {
            line(format_args!("      errnoRet: {errno}"));
        }
        line(format_args!("      names:"));
        let mut once = BTreeSet::new();
        for name in rule.names.iter().filter(|name| once.insert(*name)) {
            line(format_args!("        - {}", call_name(name)));
        }
        for (at, arg) in rule.args.iter().enumerate() {
            if at == 0 {
                line(format_args!("      args:"));
            }
            let arg = &in_numbers(arg);
            line(format_args!("        - index: {}", arg.index));
            line(format_args!("          op: {}", arg.operator.as_str()));
            for (key, value) in values(rule, arg)? {
                line(format_args!("          {key}: {value}"));
            }
        }
    }
    Ok(Rendered { text, notes })
}

/// The errno of a rule. 0 means to the operator that there is none.
fn errno(rule: &Rule, notes: &mut Vec<String>) -> Option<u16> {
    let errno = rule
        .errno
        .filter(|_| matches!(rule.action, Action::Errno | Action::Trace))
        .map(|errno| errno_data(Some(errno)));
    if errno == Some(0) {
        notes.push(format!("spo: the format has no errno 0: {} gets EPERM", rule.names.join(", ")));
        return None;
    }
    errno
}

/// What always holds, in the one way for which the format has a number.
const fn in_numbers(arg: &ArgCondition) -> ArgCondition {
    match (arg.operator, arg.value) {
        (Operator::LessOrEqual, u64::MAX) => ArgCondition { operator: Operator::GreaterOrEqual, value: 0, ..*arg },
        _ => *arg,
    }
}

fn values(rule: &Rule, arg: &ArgCondition) -> Result<Vec<(&'static str, i64)>, RenderError> {
    let signed = |value: u64| {
        i64::try_from(value)
            .map_err(|_| inexpressible(format!("the number {value:#x} in a condition on {}", rule.names.join(", "))))
    };
    let mut values = vec![("value", signed(arg.value)?)];
    if arg.operator == Operator::MaskedEqual {
        values.push(("valueTwo", signed(arg.value_two)?));
    }
    Ok(values)
}

fn inexpressible(what: String) -> RenderError {
    RenderError::Inexpressible { format: "spo", what }
}

/// RFC 1123's subdomain, as Kubernetes asks of names.
fn is_object_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        label.bytes().all(|byte| inner(byte) || byte == b'-')
            && label.bytes().next().is_some_and(inner)
            && label.bytes().last().is_some_and(inner)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A name for the object made from one that was given for something else: what is not allowed there becomes `-`.
#[must_use]
pub fn object_name(name: &str) -> String {
    let mapped: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = mapped.split('-').filter(|word| !word.is_empty()).collect();
    let mut joined = words.join("-");
    joined.truncate(200);
    let joined = joined.trim_end_matches('-');
    if joined.is_empty() { "suggested".to_owned() } else { joined.to_owned() }
}

/// The names of the tables are plain words to every reader of YAML; others may look like a number or `no`.
fn call_name(name: &str) -> String {
    if syscall::is_known(name) { name.to_owned() } else { quoted(name) }
}

/// A string between double quotes, in characters that every reader of YAML takes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
