//! What is well-formed, and yet no container starts with it: the checks of runc (`InitSeccomp` and `matchCall` in
//! libcontainer/seccomp) and of libseccomp below it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::evaluate::{chains, errno_data, same_action};
use super::policy::Chain;
use super::{Action, ArgCondition, Decision, Profile, ProfileError, Rule};
use crate::syscall::{self, Abi};

/// Arguments of a call that the kernel shows to a filter (`struct seccomp_data`).
const ARGUMENTS: u32 = 6;

pub(super) fn refuse_what_runc_refuses(profile: &Profile) -> Result<(), ProfileError> {
    if profile.default_action == Action::Notify {
        return refused("defaultAction".to_owned(), "SCMP_ACT_NOTIFY cannot be the default");
    }
    if !is_errno(profile.default_action, profile.default_errno) {
        return refused("defaultErrnoRet".to_owned(), "an errno is below 4095");
    }
    let known: BTreeSet<&str> = Abi::ALL.into_iter().flat_map(syscall::all).map(|(_, name)| name).collect();
    let mut calls: BTreeMap<&str, Call> = BTreeMap::new();
    for (at, rule) in profile.rules.iter().enumerate() {
        let path = |field: &str| format!("syscalls[{at}].{field}");
        if rule.names.iter().any(String::is_empty) {
            return refused(path("names"), "an empty name is no system call");
        }
        if rule.action == Action::Notify && rule.names.iter().any(|name| name == "write") {
            return refused(path("names"), "SCMP_ACT_NOTIFY cannot be used for write");
        }
        // What is the same as the default, or unknown, is passed over and can be as wrong as it likes.
        if same_action((rule.action, rule.errno), (profile.default_action, profile.default_errno)) {
            continue;
        }
        for name in rule.names.iter().filter(|name| known.contains(name.as_str())) {
            check_known(rule, calls.entry(name).or_default())
                .or_else(|(field, reason)| refused(path(field), reason))?;
        }
    }
    Ok(())
}

fn refused(path: String, reason: &'static str) -> Result<(), ProfileError> {
    Err(ProfileError::Refused { path, reason })
}

/// What a filter holds so far for one call.
#[derive(Default)]
struct Call {
    /// A rule without conditions came by: whatever follows is passed over.
    settled: bool,
    chains: BTreeMap<Vec<ArgCondition>, Decision>,
}

fn check_known(rule: &Rule, call: &mut Call) -> Result<(), (&'static str, &'static str)> {
    if !is_errno(rule.action, rule.errno) {
        return Err(("errnoRet", "an errno is below 4095"));
    }
    if rule.args.iter().any(|arg| arg.index >= ARGUMENTS) {
        return Err(("args", "a call has the arguments 0 to 5"));
    }
    for chain in chains(rule, Abi::NATIVE) {
        if !call.settled && !call.add(chain) {
            return Err(("args", "an earlier rule has the same conditions and another action"));
        }
    }
    Ok(())
}

impl Call {
    /// False where libseccomp says "file exists" (`_db_tree_add` in db.c): the conditions, or those plus others, are
    /// there already with another outcome.
    fn add(&mut self, Chain { conditions, decision }: Chain) -> bool {
        if conditions.is_empty() {
            self.settled = true;
            return true;
        }
        if let Some(earlier) = self.chains.get(&conditions) {
            return *earlier == decision;
        }
        let longer = self.chains.range((Bound::Excluded(conditions.clone()), Bound::Unbounded));
        let mut longer = longer.take_while(|(other, _)| other.starts_with(&conditions));
        let fits = longer.all(|(_, other)| *other == decision);
        self.chains.insert(conditions, decision);
        fits
    }
}

/// libseccomp takes no more (`sys_chk_seccomp_action` in system.c).
fn is_errno(action: Action, errno: Option<u32>) -> bool {
    action != Action::Errno || errno_data(errno) < 4095
}
