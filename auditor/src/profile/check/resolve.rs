//! What of a profile reaches the runtime for one host and container, and what engine and runtime refuse of it.

use super::super::docker::{self, Target};
use super::super::refuse::{Place, refusals};
use super::super::{Action, Arch, ArgCondition, Profile, Rule as PlainRule};
use super::finding::{Findings, MAX_SHOWN, Severity};
use super::model::{ArchMap, Filter, Format, Model, Placed, Rule, Word};
use super::read::capped;
use super::{Host, RuncVersion};

/// The part of a profile that counts.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) profile: Profile,
    /// For each rule of `profile`, which one of the model it is.
    pub(super) origins: Vec<usize>,
}

/// Resolves a profile. `None` where there is nothing to evaluate: no filter, or words that nobody knows.
pub(super) fn resolve(model: &Model, host: &Host, found: &mut Findings) -> Option<Resolved> {
    let target = &host.target;
    if model.default_action.is.text.is_empty() && model.rules.is_empty() {
        found.warning("no-filter", model.at, || {
            "neither defaultAction nor syscalls: the container starts without any filter; write a defaultAction"
                .to_owned()
        });
        return None;
    }
    let dropped = dropped_fields(model, target, found);
    if !dropped {
        flags(model, host.runc, found);
    }
    let default_action = known(&model.default_action, "defaultAction", "action", Severity::Error, found);
    let architectures = architectures(model, host, found);
    let mut origins = Vec::new();
    let mut rules = Vec::new();
    for (at, rule) in model.rules.iter().enumerate() {
        let counts = model.format == Format::OciConfig || counts(rule, target);
        // The engine looks at both names first, but for the older ones, which look at rules that count alone.
        if let (Some(name), [_, ..]) = (&rule.name, rule.names.as_slice()) {
            let severity = if counts || !target.drops_oci_fields { Severity::Error } else { Severity::Warning };
            found.add(severity, "name-and-names", name.at, || {
                format!(
                    "syscalls[{at}]: write all of them into names; docker refuses both in one rule: specified in the \
                     seccomp profile, use either 'name' or 'names'"
                )
            });
        }
        let plain = plain_rule(at, rule, counts, found);
        if counts {
            origins.push(at);
            rules.extend(plain);
        }
    }
    if found.has_errors() || rules.len() != origins.len() {
        return None;
    }
    let errno = |errno: &Option<Placed<u64>>| errno.as_ref().map(|errno| lower_bits(errno.is));
    let profile = Profile {
        default_action: default_action?,
        default_errno: if dropped { None } else { errno(&model.default_errno) },
        architectures: architectures?,
        flags: None,
        listener_path: if dropped { None } else { model.listener_path.as_ref().map(|path| path.is.clone()) },
        listener_metadata: None,
        rules,
    };
    let resolved = Resolved { profile, origins };
    refused(model, &resolved, host, found);
    Some(resolved)
}

/// What the runtime keeps of an errno: more bits do not fit beside the action.
pub(super) fn lower_bits(errno: u64) -> u32 {
    u32::try_from(errno & 0xffff).unwrap_or(u32::MAX)
}

fn counts(rule: &Rule, target: &Target) -> bool {
    let plain = |filter: &Filter| docker::Filter {
        caps: filter.caps.iter().map(|cap| cap.is.clone()).collect(),
        arches: filter.arches.iter().map(|arch| arch.is.clone()).collect(),
        min_kernel: filter.min_kernel.as_ref().map(|version| version.is),
    };
    plain(&rule.includes).includes(target) && !plain(&rule.excludes).excludes(target)
}

/// Whether the engine drops what only newer ones know. Says so, also where the engine at hand is new.
fn dropped_fields(model: &Model, target: &Target, found: &mut Findings) -> bool {
    if model.format != Format::Docker {
        return false;
    }
    let drops = target.drops_oci_fields;
    let (severity, id) = if drops { (Severity::Warning, "dropped-field") } else { (Severity::Note, "newer-field") };
    let places = [
        ("defaultErrnoRet", model.default_errno.as_ref().map(|errno| errno.at)),
        ("flags", model.flags.as_ref().map(|flags| flags.at)),
        ("listenerPath", model.listener_path.as_ref().map(|path| path.at)),
        ("listenerMetadata", model.listener_metadata.as_ref().map(|metadata| metadata.at)),
    ];
    for (field, at) in places {
        if let Some(at) = at {
            let instead = if field == "defaultErrnoRet" { ", and the errno is EPERM" } else { "" };
            found.add(severity, id, at, || format!("{field}: docker before 23.0 drops it{instead}"));
        }
    }
    drops
}

/// `setFlag` of runc's libcontainer/seccomp.
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

fn flags(model: &Model, runc: RuncVersion, found: &mut Findings) {
    let Some(flags) = &model.flags else { return };
    if let (true, Some(flag)) = (runc < RuncVersion::WITH_FLAGS, flags.is.first()) {
        found.error("flags", flag.at, || {
            "flags: remove them, or use runc 1.2; runc refuses them: seccomp flags are not yet supported by runc"
                .to_owned()
        });
        return;
    }
    for flag in flags.is.iter().filter(|flag| !FLAGS.contains(&flag.is.as_str())) {
        let name = capped(&flag.is);
        found.error("unknown-flag", flag.at, || {
            format!("flags: unknown flag; runc refuses it: seccomp flag {name} is not known to runc")
        });
    }
    if let (Some(flag), true) = (flags.is.first(), runc == RuncVersion::NEWEST) {
        found.note("flags", flag.at, || "flags: runc before 1.2 refuses a profile that has any".to_owned());
    }
}

/// The architectures that the runtime gets. `None` where it refuses one.
fn architectures(model: &Model, host: &Host, found: &mut Findings) -> Option<Vec<Arch>> {
    let mut words: Vec<&Placed<String>> = model.architectures.iter().collect();
    if !words.is_empty() && !model.arch_map.is_empty() {
        found.error("architectures-and-archmap", model.arch_map_at, || {
            "archMap: keep one of the two; docker refuses it: specified in the seccomp profile, use either \
             'architectures' or 'archMap'"
                .to_owned()
        });
    }
    words.extend(mapped(model, Arch::of(host.target.native), found));
    let mut found_all = Some(Vec::new());
    for word in words {
        let arch = Arch::parse(&word.is).filter(|arch| host.runc >= RuncVersion::first_with(*arch));
        if arch.is_none() {
            unknown_word("architectures", "architecture", "arch", &word.is, word.at, Severity::Error, found);
        }
        found_all = found_all.zip(arch).map(|(mut all, arch)| {
            all.push(arch);
            all
        });
    }
    found_all
}

/// What the map says for this host: the first entry of its architecture.
fn mapped<'a>(model: &'a Model, native: Arch, found: &mut Findings) -> Vec<&'a Placed<String>> {
    let mut chosen: Option<&ArchMap> = None;
    let mut seen = std::collections::HashSet::new();
    for entry in &model.arch_map {
        let Placed { at, is } = &entry.architecture;
        if !seen.insert(is.as_str()) {
            found.warning("archmap-twice", *at, || {
                format!("archMap: {} has an earlier entry, and that one counts; remove one", capped(is))
            });
        } else if is == native.as_str() {
            chosen = Some(entry);
        } else {
            let words = [&entry.architecture].into_iter().chain(&entry.sub_architectures);
            for word in words.filter(|word| Arch::parse(&word.is).is_none()) {
                unknown_word("archMap", "architecture", "arch", &word.is, word.at, Severity::Warning, found);
            }
        }
    }
    match chosen {
        Some(entry) => [&entry.architecture].into_iter().chain(&entry.sub_architectures).collect(),
        None => {
            if !model.arch_map.is_empty() {
                found.warning("archmap-without-host", model.arch_map_at, || {
                    format!(
                        "archMap: no entry for {native}, so nothing of it counts on this host",
                        native = native.as_str()
                    )
                });
            }
            Vec::new()
        }
    }
}

fn plain_rule(at: usize, rule: &Rule, counts: bool, found: &mut Findings) -> Option<PlainRule> {
    let severity = if counts { Severity::Error } else { Severity::Warning };
    let action = known(&rule.action, &format!("syscalls[{at}].action"), "action", severity, found);
    let mut args = Vec::new();
    let has_names = rule.calls().next().is_some();
    for (arg_at, arg) in rule.args.iter().enumerate() {
        // The runtime reads conditions once for each name.
        let severity = if has_names { severity } else { Severity::Warning };
        let path = format!("syscalls[{at}].args[{arg_at}].op");
        let operator = known(&arg.operator, &path, "operator", severity, found);
        args.extend(operator.map(|operator| ArgCondition {
            index: u32::try_from(arg.index.is).unwrap_or(u32::MAX),
            value: arg.value.is,
            value_two: arg.value_two.is,
            operator,
        }));
    }
    if args.len() != rule.args.len() && has_names {
        return None;
    }
    Some(PlainRule {
        names: rule.calls().map(|name| name.is.clone()).collect(),
        action: action?,
        errno: rule.errno.as_ref().map(|errno| lower_bits(errno.is)),
        args,
    })
}

/// What a word means; a finding where it means nothing.
fn known<T: Copy>(
    word: &Placed<Word<T>>,
    path: &str,
    what: &'static str,
    severity: Severity,
    found: &mut Findings,
) -> Option<T> {
    if word.is.means.is_none() {
        unknown_word(path, what, what, &word.is.text, word.at, severity, found);
    }
    word.is.means
}

fn unknown_word(
    path: &str,
    what: &'static str,
    runc_calls_it: &str,
    text: &str,
    at: usize,
    severity: Severity,
    found: &mut Findings,
) {
    let id = match what {
        "action" => "unknown-action",
        "operator" => "unknown-operator",
        _ => "unknown-architecture",
    };
    let text = capped(text);
    found.add(severity, id, at, || {
        let says = format!("string {text} is not a valid {runc_calls_it} for seccomp");
        let who = if severity == Severity::Error { "runc refuses it" } else { "where it counts, runc refuses it" };
        format!("{path}: unknown {what} {text:?}; {who}: {says}")
    });
}

fn refused(model: &Model, resolved: &Resolved, host: &Host, found: &mut Findings) {
    let profile = &resolved.profile;
    for refusal in refusals(profile, host.target.native, MAX_SHOWN + 1) {
        let model_rule = |rule: usize| &model.rules[resolved.origins[rule]];
        let (at, path) = match refusal.place {
            Place::DefaultAction => (model.default_action.at, "defaultAction".to_owned()),
            Place::DefaultErrno => {
                (model.default_errno.as_ref().map_or(model.at, |errno| errno.at), refusal.place.to_string())
            }
            Place::Architecture(at) => (architecture_at(model, host, at), "architectures".to_owned()),
            Place::Names { rule, name } => {
                let at = model_rule(rule).calls().nth(name).map_or(model.at, |name| name.at);
                (at, format!("syscalls[{}].names", resolved.origins[rule]))
            }
            Place::Errno { rule } => {
                let at = model_rule(rule).errno.as_ref().map_or(model_rule(rule).at, |errno| errno.at);
                (at, format!("syscalls[{}].errnoRet", resolved.origins[rule]))
            }
            Place::Args { rule } => {
                let at = model_rule(rule).args.first().map_or(model_rule(rule).at, |arg| arg.at);
                (at, format!("syscalls[{}].args", resolved.origins[rule]))
            }
            Place::Arg { rule, arg } => {
                let at = model_rule(rule).args.get(arg).map_or(model_rule(rule).at, |arg| arg.index.at);
                (at, format!("syscalls[{}].args[{arg}].index", resolved.origins[rule]))
            }
            Place::Rules => (model.at, "syscalls".to_owned()),
        };
        let on = refusal.abi.map_or_else(String::new, |abi| format!(" for {abi}"));
        found.error(refusal.id, at, || format!("{path}: {}{on}; runc refuses it: {}", refusal.reason, refusal.says));
    }
    // The runtime hands the listener over before it looks whether any call is meant by the rule.
    let notify = profile.rules.iter().position(|rule| rule.action == Action::Notify && !rule.names.is_empty());
    if let Some(rule) = notify {
        let at = model.rules[resolved.origins[rule]].action.at;
        match &profile.listener_path {
            None => found.error("no-listener", at, || {
                format!(
                    "syscalls[{}].action: SCMP_ACT_NOTIFY needs a supervisor and listenerPath its socket; runc refuses it: \
                     listenerPath is not set",
                    resolved.origins[rule]
                )
            }),
            Some(_) => found.note("listener", model.listener_path.as_ref().map_or(at, |path| path.at), || {
                "listenerPath: a supervisor must listen there, else runc fails with: failed to connect with seccomp agent"
                    .to_owned()
            }),
        }
    } else if let (Some(path), Some(_)) = (&model.listener_path, &profile.listener_path) {
        found.warning("unused-listener", path.at, || {
            "listenerPath: no rule has SCMP_ACT_NOTIFY, so nobody asks the supervisor; remove it".to_owned()
        });
    }
}

/// Where the architecture stands that came to the runtime at this place.
fn architecture_at(model: &Model, host: &Host, at: usize) -> usize {
    let native = Arch::of(host.target.native);
    let entry = model.arch_map.iter().find(|entry| entry.architecture.is == native.as_str());
    let mapped = entry.into_iter().flat_map(|entry| [&entry.architecture].into_iter().chain(&entry.sub_architectures));
    model.architectures.iter().chain(mapped).nth(at).map_or(model.at, |word| word.at)
}
