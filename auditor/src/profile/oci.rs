//! The OCI runtime's format: the object `linux.seccomp` of a bundle's `config.json`.
//!
//! What is refused here is what runc refuses (`SetupSeccomp` in libcontainer/specconv, `InitSeccomp` in
//! libcontainer/seccomp). Flags and architectures of other machines are read, and left to the evaluator.

use super::evaluate::{errno_data, same_action};
use super::json::{Node, parse_document};
use super::{Action, Arch, ArgCondition, Operator, Profile, ProfileError, Rule};
use crate::syscall;

/// Arguments of a call that the kernel shows to a filter (`struct seccomp_data`).
const ARGUMENTS: u32 = 6;

/// Reads an OCI profile.
///
/// # Errors
/// What is no profile, and what runc would refuse; [`ProfileError::NoFilter`] for an empty object.
pub fn parse_seccomp(bytes: &[u8]) -> Result<Profile, ProfileError> {
    let document = parse_document(bytes)?;
    let root = Node::root(&document);
    let rules = root.field("syscalls")?;
    let rules = rules.items()?.map(|node| parse_rule(&node)).collect::<Result<Vec<_>, _>>()?;
    let mut profile = parse_head(&root, rules.is_empty())?;
    profile.rules = rules;
    refuse_what_runc_refuses(&profile)?;
    Ok(profile)
}

/// All but the rules.
pub(super) fn parse_head(root: &Node<'_>, no_rules: bool) -> Result<Profile, ProfileError> {
    let action = root.field("defaultAction")?;
    if action.text()?.is_empty() && no_rules {
        return Err(ProfileError::NoFilter);
    }
    let flags = root.field("flags")?;
    Ok(Profile {
        default_action: action.word("action", Action::parse)?,
        default_errno: parse_errno(&root.field("defaultErrnoRet")?)?,
        architectures: parse_architectures(&root.field("architectures")?)?,
        flags: if flags.is_absent() { None } else { Some(flags.texts()?) },
        listener_path: root.field("listenerPath")?.optional_text()?,
        listener_metadata: root.field("listenerMetadata")?.optional_text()?,
        rules: Vec::new(),
    })
}

pub(super) fn parse_architectures(node: &Node<'_>) -> Result<Vec<Arch>, ProfileError> {
    node.items()?.map(|item| item.word("architecture", Arch::parse)).collect()
}

pub(super) fn parse_rule(node: &Node<'_>) -> Result<Rule, ProfileError> {
    let args = node.field("args")?;
    let args = args.items()?.map(|arg| parse_condition(&arg)).collect::<Result<_, _>>()?;
    Ok(Rule {
        names: node.field("names")?.texts()?,
        action: node.field("action")?.word("action", Action::parse)?,
        errno: parse_errno(&node.field("errnoRet")?)?,
        args,
    })
}

fn parse_errno(node: &Node<'_>) -> Result<Option<u32>, ProfileError> {
    node.number()?.map(|errno| u32::try_from(errno).map_err(|_| node.shape("an errno"))).transpose()
}

fn parse_condition(node: &Node<'_>) -> Result<ArgCondition, ProfileError> {
    let index = node.field("index")?;
    let Ok(index_value) = u32::try_from(index.number()?.unwrap_or(0)) else {
        return Err(index.shape("an argument index"));
    };
    Ok(ArgCondition {
        index: index_value,
        value: node.field("value")?.number()?.unwrap_or(0),
        value_two: node.field("valueTwo")?.number()?.unwrap_or(0),
        operator: node.field("op")?.word("operator", Operator::parse)?,
    })
}

/// What is well-formed, and yet no container starts with it.
pub(super) fn refuse_what_runc_refuses(profile: &Profile) -> Result<(), ProfileError> {
    let refused = |path: String, reason| Err(ProfileError::Refused { path, reason });
    if profile.default_action == Action::Notify {
        return refused("defaultAction".to_owned(), "SCMP_ACT_NOTIFY cannot be the default");
    }
    if !is_errno(profile.default_action, profile.default_errno) {
        return refused("defaultErrnoRet".to_owned(), "an errno is below 4095");
    }
    for (at, rule) in profile.rules.iter().enumerate() {
        let path = |field: &str| format!("syscalls[{at}].{field}");
        if rule.names.iter().any(String::is_empty) {
            return refused(path("names"), "an empty name is no system call");
        }
        if rule.action == Action::Notify && rule.names.iter().any(|name| name == "write") {
            return refused(path("names"), "SCMP_ACT_NOTIFY cannot be used for write");
        }
        let skipped = same_action((rule.action, rule.errno), (profile.default_action, profile.default_errno));
        let known = !skipped && rule.names.iter().any(|name| is_known(name));
        if known && !is_errno(rule.action, rule.errno) {
            return refused(path("errnoRet"), "an errno is below 4095");
        }
        if known && rule.args.iter().any(|arg| arg.index >= ARGUMENTS) {
            return refused(path("args"), "a call has the arguments 0 to 5");
        }
    }
    Ok(())
}

/// libseccomp takes no more (`sys_chk_seccomp_action` in system.c).
fn is_errno(action: Action, errno: Option<u32>) -> bool {
    action != Action::Errno || errno_data(errno) < 4095
}

fn is_known(name: &str) -> bool {
    syscall::Abi::ALL.into_iter().any(|abi| syscall::number(abi, name).is_some())
}
