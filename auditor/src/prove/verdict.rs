//! What a run says of the profile, shrunk to one line.

use super::Trial;
use crate::audit;
use crate::profile::{Policy, Verdict};
use crate::report::proof::DeniedView;
use crate::suggest::RuntimeFloor;
use crate::syscall;
use std::borrow::Cow;

const ENOSYS: u16 = 38;

/// What was refused, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Refused calls; `None` where nobody could count.
    pub denied: Option<Vec<DeniedView>>,
    /// What kept the container from starting, or its command from succeeding; `None` where nothing did.
    pub reason: Option<String>,
}

/// Judges a run under a profile of this policy.
#[must_use]
pub fn judge(trial: &Trial, policy: &Policy) -> Judged {
    let denied = trial.counters.as_ref().map(|counters| {
        let rows = audit::syscall_views(counters, Some(policy), Some(true)).into_iter();
        rows.filter(|row| row.denied > 0)
            .map(|row| DeniedView {
                abi: row.abi,
                nr: row.nr,
                name: row.name.into_owned(),
                pretended: row.errno == Some(ENOSYS),
                action: row.action.map(Cow::into_owned),
                errno: row.errno,
                count: row.denied,
            })
            .collect::<Vec<_>>()
    });
    let reason = if trial.started {
        failure(trial, denied.as_deref())
    } else {
        Some(no_start(trial, denied.as_deref(), policy))
    };
    Judged { denied, reason }
}

/// Why the container did not start.
fn no_start(trial: &Trial, denied: Option<&[DeniedView]>, policy: &Policy) -> String {
    let runtime = trial.runtime();
    let needed: Vec<&str> = RuntimeFloor::measurement(runtime)
        .calls
        .iter()
        .filter(|call| !call.needed.is_empty())
        .map(|call| call.name)
        .collect();
    let refused: Vec<DeniedView> = match denied {
        Some(denied) => denied.to_vec(),
        // Nobody counted: what the profile denies of what is needed.
        None => needed.iter().filter_map(|name| denied_by(policy, name)).collect(),
    };
    let guilty: Vec<&DeniedView> = refused.iter().filter(|denied| needed.contains(&denied.name.as_str())).collect();
    let engine = || shortened(trial.refusal.as_deref().unwrap_or("its program was not executed")).to_owned();
    if !guilty.is_empty() {
        return format!(
            "{runtime} could not start it: the profile denies {}, which {runtime} needs between the filter and execve",
            list(&guilty)
        );
    }
    let others: Vec<&DeniedView> = refused.iter().filter(|denied| !denied.pretended).collect();
    if others.is_empty() {
        return format!("{runtime} could not start it: {}", engine());
    }
    format!("{runtime} could not start it: {}; the profile denied {}", engine(), list(&others))
}

fn denied_by(policy: &Policy, name: &str) -> Option<DeniedView> {
    let nr = syscall::number(policy.native(), name)?;
    let Verdict::Denied(decision) = policy.verdict(policy.native(), nr) else { return None };
    Some(DeniedView {
        abi: policy.native(),
        nr,
        name: name.to_owned(),
        action: Some(decision.action.as_str().to_owned()),
        errno: decision.errno,
        count: 0,
        pretended: decision.errno == Some(ENOSYS),
    })
}

/// Why a command that was started did not succeed.
fn failure(trial: &Trial, denied: Option<&[DeniedView]>) -> Option<String> {
    let code = trial.exit_code.filter(|code| *code != 0)?;
    let refused: Vec<&DeniedView> = denied.into_iter().flatten().filter(|denied| !denied.pretended).collect();
    Some(match denied {
        None => format!("the command ended with exit code {code}; what it was refused is not known"),
        Some(_) if refused.is_empty() => {
            format!("the command ended with exit code {code}; the profile refused it nothing")
        }
        Some(_) => format!("the command ended with exit code {code}; the profile denied {}", list(&refused)),
    })
}

/// How many names a line has before it says how many more there are.
const NAMED: usize = 4;

fn list(denied: &[&DeniedView]) -> String {
    let mut words: Vec<String> = denied.iter().take(NAMED).map(|denied| denied.in_words()).collect();
    if denied.len() > NAMED {
        words.push(format!("{} more", denied.len() - NAMED));
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

/// The part of an engine's message that is the runtime's own, without what every such message begins and ends with.
fn shortened(message: &str) -> &str {
    let mut rest = message.lines().next().unwrap_or_default().trim();
    for word in ["OCI runtime create failed: ", "starting container process caused: ", "runc create failed: "] {
        if let Some((_, after)) = rest.split_once(word) {
            rest = after;
        }
    }
    rest.trim_end_matches(": unknown").trim_end_matches(": unknown.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counters, Tally};
    use crate::profile::oci::parse_seccomp;
    use crate::profile::{HostArch, Profile};
    use crate::syscall::Abi;

    const HOST: HostArch = HostArch::of(Abi::X86_64);

    fn profile(allowed: &[&str]) -> Profile {
        let names = allowed.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": [{names}], "action": "SCMP_ACT_ALLOW"}},
            {{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}}]}}"#
        );
        parse_seccomp(text.as_bytes()).unwrap()
    }

    fn counted(denied: &[(&str, u16, u64)]) -> Option<Counters> {
        let mut counters = Counters::default();
        for (name, errno, count) in denied {
            let mut tally = Tally::default();
            tally.denials.errno = *count;
            tally.denials.last_errno = Some(*errno);
            counters.tallies.insert((Abi::X86_64, syscall::number(Abi::X86_64, name).unwrap()), tally);
        }
        Some(counters)
    }

    fn reason(trial: &Trial, allowed: &[&str]) -> Option<String> {
        judge(trial, &profile(allowed).evaluate(HOST)).reason
    }

    #[test]
    fn a_failed_start_is_the_fault_of_what_the_runtime_needs() {
        let words = "OCI runtime create failed: container_linux.go:380: starting container process caused: apply caps: \
                     operation not permitted: unknown";
        let failed = Trial { refusal: Some(words.to_owned()), ..Trial::default() };
        let counted_one = Trial { counters: counted(&[("capset", 1, 1), ("clone3", 38, 1)]), ..failed.clone() };
        assert_eq!(
            reason(&counted_one, &["execve"]).unwrap(),
            "runc could not start it: the profile denies capset (ERRNO 1), which runc needs between the filter and execve"
        );
        let by_crun =
            Trial { runtime: Some("crun".to_owned()), counters: counted(&[("setresuid", 13, 1)]), ..failed.clone() };
        assert_eq!(
            reason(&by_crun, &[]).unwrap(),
            "crun could not start it: the profile denies setresuid (ERRNO 13), which crun needs between the filter and execve"
        );
        let innocent = Trial { counters: counted(&[]), ..failed.clone() };
        assert_eq!(reason(&innocent, &[]).unwrap(), "runc could not start it: apply caps: operation not permitted");
        // Nobody counted: the profile tells.
        let all_but_one: Vec<_> = RuntimeFloor::RUNC.calls.iter().copied().filter(|name| *name != "chdir").collect();
        assert!(reason(&failed, &all_but_one).unwrap().contains("the profile denies chdir (ERRNO 1), which"));
    }

    #[test]
    fn a_command_that_fails_was_denied_something_or_not() {
        let ended = Trial { started: true, ended: true, exit_code: Some(1), ..Trial::default() };
        let denied = Trial { counters: counted(&[("mkdir", 1, 3), ("clone3", 38, 1)]), ..ended.clone() };
        assert_eq!(
            reason(&denied, &[]).unwrap(),
            "the command ended with exit code 1; the profile denied mkdir (ERRNO 1)"
        );
        let free = Trial { counters: counted(&[("clone3", 38, 1)]), ..ended.clone() };
        assert_eq!(reason(&free, &[]).unwrap(), "the command ended with exit code 1; the profile refused it nothing");
        assert!(reason(&ended, &[]).unwrap().ends_with("is not known"));
        let well = Trial { exit_code: Some(0), ..denied };
        assert_eq!(reason(&well, &[]), None);
        assert_eq!(judge(&well, &profile(&[]).evaluate(HOST)).denied.unwrap().len(), 2);
    }
}
