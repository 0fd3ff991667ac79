//! The OCI runtime's format: the object `linux.seccomp` of a bundle's `config.json`.
//!
//! Words that runc does not know are refused here, as `SetupSeccomp` in its libcontainer/specconv does; flags are read
//! as they are, since each version knows others.

use super::json::{Node, parse_document};
use super::refuse::refuse_what_runc_refuses;
use super::{Action, Arch, ArgCondition, Operator, Profile, ProfileError, Rule};

/// By this field a whole OCI configuration is told from a profile alone.
pub(super) const CONFIG_KEY: &str = "ociVersion";

/// Reads an OCI profile.
///
/// # Errors
/// What is no profile, and what runc would refuse; [`ProfileError::NoFilter`] for an empty object.
pub fn parse_seccomp(bytes: &[u8]) -> Result<Profile, ProfileError> {
    let document = parse_document(bytes)?;
    let (head, rules) = parse_object(&Node::root(&document))?;
    let profile = Profile { rules, ..head };
    refuse_what_runc_refuses(&profile)?;
    Ok(profile)
}

/// The object `linux.seccomp`: all but the rules, and the rules.
pub(super) fn parse_object(root: &Node<'_>) -> Result<(Profile, Vec<Rule>), ProfileError> {
    let rules = root.field("syscalls")?;
    let rules = rules.items()?.map(|node| parse_rule(&node)).collect::<Result<Vec<_>, _>>()?;
    Ok((parse_head(root, rules.is_empty())?, rules))
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
