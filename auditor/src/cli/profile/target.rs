//! For what a profile is resolved: the options that the verbs share.

use clap::Args;
use thiserror::Error;

use crate::profile::capability;
use crate::profile::docker::{self, KernelVersion};
use crate::syscall::Abi;

/// Why it is not known for what.
#[derive(Debug, Error)]
pub enum TargetError {
    /// No name of a capability.
    #[error("--cap {0}: no such capability; see capabilities(7)")]
    Capability(String),
    /// No version.
    #[error("--kernel {0}: no version of a kernel; say for example 6.1")]
    Kernel(String),
    /// The machine's own release is of an unknown form.
    #[error("the running kernel calls itself {0:?}; say with --kernel which version is meant")]
    OwnKernel(String),
    /// No version.
    #[error("--docker {0}: no version of Docker; say for example 28.2")]
    Docker(String),
    /// No architecture that the auditor knows.
    #[error("--arch {0}: unknown architecture; say amd64 or arm64")]
    Arch(String),
}

/// What Docker's own format makes rules depend on.
#[derive(Debug, Args)]
pub(in crate::cli) struct Target {
    /// The container has this capability beside Docker's default ones; may be given more than once. ALL adds every
    /// one, NONE takes the default ones away
    #[arg(long = "cap", value_name = "CAP")]
    caps: Vec<String>,
    /// The version of the kernel [default: the running one's]
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// The host's architecture: amd64 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// The engine's version; those before 23.0 drop defaultErrnoRet, flags and the listener [default: the newest]
    #[arg(long, value_name = "VERSION")]
    docker: Option<String>,
}

/// The first engine that gives the OCI object's own fields to the runtime; it was called 22.06 before its release.
const FIRST_WITH_OCI_FIELDS: KernelVersion = KernelVersion(22, 6);

impl Target {
    /// A container on this machine, with the newest engine.
    pub(in crate::cli) fn of_container(caps: &[String]) -> Self {
        Self { caps: caps.to_vec(), kernel: None, arch: None, docker: None }
    }

    /// The target that the options stand for.
    pub(in crate::cli) fn resolve(&self) -> Result<docker::Target, TargetError> {
        Ok(docker::Target {
            native: self.arch.as_deref().map_or(Ok(Abi::NATIVE), native)?,
            kernel: self.kernel.as_deref().map_or_else(running_kernel, |version| {
                kernel(version).ok_or_else(|| TargetError::Kernel(version.to_owned()))
            })?,
            capabilities: capabilities(&self.caps)?,
            drops_oci_fields: self.docker.as_deref().map_or(Ok(false), |version| {
                let version = kernel(version).ok_or_else(|| TargetError::Docker(version.to_owned()))?;
                Ok(version < FIRST_WITH_OCI_FIELDS)
            })?,
        })
    }
}

/// A container, as far as Docker's format looks at it.
pub(super) struct Container<'a> {
    pub(super) added: &'a [String],
    pub(super) dropped: &'a [String],
    /// The engine's version, where it said.
    pub(super) engine: Option<String>,
}

/// The target of a container on this machine.
pub(super) fn of_container(container: &Container<'_>) -> Result<docker::Target, TargetError> {
    let kept = tweaked(container.added, container.dropped)?;
    let engine = container.engine.as_deref().and_then(kernel);
    Ok(docker::Target {
        native: Abi::NATIVE,
        kernel: running_kernel()?,
        capabilities: kept,
        drops_oci_fields: engine.is_some_and(|version| version < FIRST_WITH_OCI_FIELDS),
    })
}

/// Docker's default capabilities, with some added and some dropped, as the engine does it (`TweakCapabilities` in moby's
/// `oci/caps`): with ALL added those that are dropped are missing; else with ALL dropped those that are added are there;
/// else what is both dropped and added is there.
fn tweaked(added: &[String], dropped: &[String]) -> Result<Vec<String>, TargetError> {
    let is_all = |cap: &String| cap.eq_ignore_ascii_case("ALL");
    let named = |caps: &[String]| {
        let only_these = ["NONE".to_owned()].into_iter().chain(caps.iter().filter(|cap| !is_all(cap)).cloned());
        capabilities(&only_these.collect::<Vec<_>>())
    };
    let (more, less) = (named(added)?, named(dropped)?);
    let without = |mut caps: Vec<String>| {
        caps.retain(|cap| !less.contains(cap));
        caps
    };
    if added.iter().any(is_all) {
        return Ok(without(capabilities(&["ALL".to_owned()])?));
    }
    let mut kept = if dropped.iter().any(is_all) { Vec::new() } else { without(capabilities(&[])?) };
    kept.extend(more);
    kept.sort_unstable();
    kept.dedup();
    Ok(kept)
}

fn native(arch: &str) -> Result<Abi, TargetError> {
    match arch {
        "amd64" | "x86_64" => Ok(Abi::X86_64),
        "arm64" | "aarch64" => Ok(Abi::Aarch64),
        _ => Err(TargetError::Arch(arch.to_owned())),
    }
}

fn running_kernel() -> Result<KernelVersion, TargetError> {
    let release = nix::sys::utsname::uname()
        .map_or_else(|_| String::new(), |names| names.release().to_string_lossy().into_owned());
    kernel(&release).ok_or(TargetError::OwnKernel(release))
}

/// `6.1`, a whole release, or `6`.
fn kernel(version: &str) -> Option<KernelVersion> {
    KernelVersion::parse_release(version).or_else(|| Some(KernelVersion(version.parse().ok()?, 0)))
}

fn capabilities(asked: &[String]) -> Result<Vec<String>, TargetError> {
    let asked: Vec<String> = asked.iter().map(|cap| cap.to_ascii_uppercase()).collect();
    let mut found: Vec<&str> = Vec::new();
    if !asked.iter().any(|cap| cap == "NONE") {
        found.extend(capability::DOCKER_DEFAULT);
    }
    for cap in asked.iter().filter(|cap| *cap != "NONE") {
        let name = cap.strip_prefix("CAP_").unwrap_or(cap);
        let one = capability::ALL.into_iter().filter(|known| known.strip_prefix("CAP_") == Some(name));
        let before = found.len();
        found.extend(one);
        if name == "ALL" {
            found.extend(capability::ALL);
        } else if found.len() == before {
            return Err(TargetError::Capability(cap.clone()));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// The target in words: without them, people would take the answer for what happens everywhere.
pub(in crate::cli) fn meant(target: &docker::Target) -> String {
    let KernelVersion(kernel, major) = target.kernel;
    let docker = if target.drops_oci_fields { ", Docker before 23.0" } else { "" };
    format!(
        "for {} with Linux {kernel}.{major}, runc{docker}, and {}",
        target.native,
        capabilities_in_words(&target.capabilities)
    )
}

/// Docker's default ones by that name, and what is other.
fn capabilities_in_words(capabilities: &[String]) -> String {
    let is_default = |cap: &str| capability::DOCKER_DEFAULT.contains(&cap);
    let more: Vec<&str> = capabilities.iter().map(String::as_str).filter(|cap| !is_default(cap)).collect();
    let lacks = capability::DOCKER_DEFAULT.iter().any(|cap| !capabilities.iter().any(|has| has == cap));
    let list = |caps: &[&str]| caps.join(", ");
    match (lacks, more.as_slice()) {
        _ if capabilities.len() == capability::ALL.len() => "all capabilities".to_owned(),
        (false, []) => "Docker's default capabilities".to_owned(),
        (false, more) => format!("Docker's default capabilities and {}", list(more)),
        (true, _) if capabilities.is_empty() => "no capabilities".to_owned(),
        (true, _) => list(&capabilities.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(caps: &[&str]) -> Result<Vec<String>, TargetError> {
        capabilities(&caps.iter().map(|cap| (*cap).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn capabilities_come_beside_the_default_ones() {
        assert_eq!(target(&[]).unwrap().len(), capability::DOCKER_DEFAULT.len());
        let more = target(&["sys_admin", "CAP_CHOWN"]).unwrap();
        assert_eq!(more.len(), capability::DOCKER_DEFAULT.len() + 1);
        assert!(more.contains(&"CAP_SYS_ADMIN".to_owned()));
        assert_eq!(target(&["ALL"]).unwrap().len(), capability::ALL.len());
        assert_eq!(target(&["none", "KILL"]).unwrap(), ["CAP_KILL"]);
        assert!(target(&["SYS_ADMINISTRATOR"]).is_err());
    }

    /// Rows as moby's own test of `TweakCapabilities` has them.
    #[test]
    fn capabilities_are_added_and_dropped_as_the_engine_does() {
        let words = |caps: &[&str]| caps.iter().map(|cap| (*cap).to_owned()).collect::<Vec<_>>();
        let has = |added: &[&str], dropped: &[&str]| tweaked(&words(added), &words(dropped)).unwrap();
        let (default, all) = (target(&[]).unwrap(), target(&["ALL"]).unwrap());
        assert_eq!(has(&[], &[]), default);
        assert_eq!(has(&["all"], &[]), all);
        assert_eq!(has(&["ALL"], &["all"]), all);
        assert_eq!(has(&[], &["ALL"]), Vec::<String>::new());
        assert_eq!(has(&["chown", "CAP_SYS_ADMIN"], &["ALL"]), ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
        let but_one = has(&["ALL"], &["sys_admin"]);
        assert_eq!(but_one.len(), all.len() - 1);
        assert!(!but_one.contains(&"CAP_SYS_ADMIN".to_owned()));
        assert!(!has(&["ALL", "CHOWN"], &["CHOWN"]).contains(&"CAP_CHOWN".to_owned()));
        assert_eq!(has(&[], &["CAP_CHOWN"]).len(), default.len() - 1);
        assert_eq!(has(&["CHOWN"], &["CHOWN"]), default);
        assert!(tweaked(&words(&["NO_SUCH"]), &[]).is_err() && tweaked(&[], &words(&["NO_SUCH"])).is_err());
    }

    #[test]
    fn a_kernel_is_named_by_its_version_or_its_whole_release() {
        for (text, expected) in [
            ("6.1", Some(KernelVersion(6, 1))),
            ("6.1.0-49-amd64", Some(KernelVersion(6, 1))),
            ("6", Some(KernelVersion(6, 0))),
            ("six", None),
            ("", None),
        ] {
            assert_eq!(kernel(text), expected, "{text}");
        }
    }
}
