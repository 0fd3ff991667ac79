//! Docker's format, which the engine resolves for a container's capabilities, the machine and the kernel.
//!
//! The resolution is `setupSeccomp` of moby's profiles/seccomp. [`Target`] holds all that it looks at.

use super::json::{Node, parse_document};
use super::oci::{CONFIG_KEY, parse_architectures, parse_head, parse_object, parse_rule};
use super::refuse::refuse_in_source;
use super::{Arch, Profile, ProfileError, Rule};
use crate::syscall::Abi;

/// A profile as `--security-opt seccomp=FILE` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerProfile {
    /// All but the rules; its architectures are those that hold on every machine.
    head: Profile,
    /// By architecture of the host: what its filter contains.
    arch_map: Vec<(Arch, Vec<Arch>)>,
    pub(super) rules: Vec<DockerRule>,
}

/// A rule, and when it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DockerRule {
    pub(super) rule: Rule,
    pub(super) includes: Filter,
    pub(super) excludes: Filter,
    /// What its author says of it; the engine does not read it.
    pub(super) comment: Option<String>,
}

/// When a rule counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) caps: Vec<String>,
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<KernelVersion>,
}

/// `major.minor`, in the engine's words "kernel" and "major".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u64, pub u64);

impl KernelVersion {
    /// Reads the start of a release such as `6.1.0-49-amd64`.
    #[must_use]
    pub fn parse_release(release: &str) -> Option<Self> {
        let (kernel, rest) = release.split_once('.')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
        Some(Self(kernel.parse().ok()?, digits.parse().ok()?))
    }
}

/// What the engine resolves a profile for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host's own ABI.
    pub native: Abi,
    /// The kernel.
    pub kernel: KernelVersion,
    /// The container's bounding set, as `CAP_SYS_ADMIN`.
    pub capabilities: Vec<String>,
    /// Engines before 22.06 drop `defaultErrnoRet`, `flags` and the listener.
    pub drops_oci_fields: bool,
}

/// Reads a profile in Docker's format; the OCI format is a part of it.
///
/// # Errors
/// What is no profile, and what the engine would refuse.
pub fn parse_docker(bytes: &[u8]) -> Result<DockerProfile, ProfileError> {
    let document = parse_document(bytes)?;
    parse_docker_object(&Node::root(&document))
}

/// Reads a profile in Docker's format, as an OCI object, or in a whole OCI configuration.
///
/// # Errors
/// What is none of them, and what the engine would refuse.
pub fn parse_file(bytes: &[u8]) -> Result<DockerProfile, ProfileError> {
    let document = parse_document(bytes)?;
    let root = Node::root(&document);
    if root.field(CONFIG_KEY)?.is_absent() {
        return parse_docker_object(&root);
    }
    // The runtime reads this one, and passes over what is the engine's alone.
    let linux = root.field("linux")?;
    let (head, rules) = parse_object(&linux.field("seccomp")?)?;
    let always = |rule| DockerRule { rule, includes: Filter::default(), excludes: Filter::default(), comment: None };
    Ok(DockerProfile { head, arch_map: Vec::new(), rules: rules.into_iter().map(always).collect() })
}

fn parse_docker_object(root: &Node<'_>) -> Result<DockerProfile, ProfileError> {
    let rules = root.field("syscalls")?;
    let rules = rules.items()?.map(|node| parse_docker_rule(&node)).collect::<Result<Vec<_>, _>>()?;
    let head = parse_head(root, rules.is_empty())?;
    let arch_map = root.field("archMap")?;
    let arch_map = arch_map.items()?.map(|node| parse_arch_map(&node)).collect::<Result<Vec<_>, _>>()?;
    if !head.architectures.is_empty() && !arch_map.is_empty() {
        return Err(root.field("archMap")?.refused("use either architectures or archMap"));
    }
    Ok(DockerProfile { head, arch_map, rules })
}

fn parse_docker_rule(node: &Node<'_>) -> Result<DockerRule, ProfileError> {
    let mut rule = parse_rule(node)?;
    let name = node.field("name")?;
    if let Some(text) = name.optional_text()? {
        if !rule.names.is_empty() {
            return Err(name.refused("use either name or names"));
        }
        rule.names.push(text);
    }
    Ok(DockerRule {
        rule,
        includes: parse_filter(&node.field("includes")?)?,
        excludes: parse_filter(&node.field("excludes")?)?,
        comment: node.field("comment")?.optional_text()?,
    })
}

fn parse_filter(node: &Node<'_>) -> Result<Filter, ProfileError> {
    let min_kernel = node.field("minKernel")?;
    Ok(Filter {
        caps: node.field("caps")?.texts()?,
        arches: node.field("arches")?.texts()?,
        min_kernel: parse_min_kernel(min_kernel.text()?).map_err(|()| min_kernel.shape("a version such as \"4.8\""))?,
    })
}

/// Two numbers of 8 bits, not both 0; an empty string is as good as none (`KernelVersion.UnmarshalJSON` of moby).
pub(super) fn parse_min_kernel(text: &str) -> Result<Option<KernelVersion>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = |part: &str| if part.starts_with('+') { Err(()) } else { part.parse::<u8>().map_err(|_| ()) };
    let (kernel, major) = text.split_once('.').ok_or(())?;
    match (number(kernel)?, number(major)?) {
        (0, 0) => Err(()),
        (kernel, major) => Ok(Some(KernelVersion(kernel.into(), major.into()))),
    }
}

fn parse_arch_map(node: &Node<'_>) -> Result<(Arch, Vec<Arch>), ProfileError> {
    let arch = node.field("architecture")?.word("architecture", Arch::parse)?;
    Ok((arch, parse_architectures(&node.field("subArchitectures")?)?))
}

impl DockerProfile {
    /// What the engine gives to the runtime for a container.
    ///
    /// # Errors
    /// What runc would refuse of the result.
    pub fn resolve(&self, target: &Target) -> Result<Profile, ProfileError> {
        let mut profile = self.head.clone();
        if target.drops_oci_fields {
            profile.default_errno = None;
            profile.flags = None;
            profile.listener_path = None;
            profile.listener_metadata = None;
        }
        let native = Arch::of(target.native);
        if let Some((arch, subs)) = self.arch_map.iter().find(|(arch, _)| *arch == native) {
            profile.architectures.push(*arch);
            profile.architectures.extend(subs);
        }
        profile.rules = self.rules.iter().filter(|rule| rule.counts(target)).map(|rule| rule.rule.clone()).collect();
        refuse_in_source(&profile, target.native, &self.places(target))?;
        Ok(profile)
    }

    /// The place of each rule that the runtime gets to see.
    pub(super) fn places(&self, target: &Target) -> Vec<usize> {
        let counting = self.rules.iter().enumerate().filter(|(_, rule)| rule.counts(target));
        counting.map(|(at, _)| at).collect()
    }
}

impl DockerRule {
    /// Whether the runtime gets to see it.
    pub(super) fn counts(&self, target: &Target) -> bool {
        self.includes.includes(target) && !self.excludes.excludes(target)
    }

    /// What keeps it from the runtime, in words.
    pub(super) fn hindrances(&self, target: &Target) -> Vec<String> {
        let mut found = Vec::new();
        let Filter { caps, arches, min_kernel } = &self.includes;
        found.extend(caps.iter().filter(|cap| !target.capabilities.contains(cap)).map(|cap| format!("needs {cap}")));
        if !arches.is_empty() && !arches.iter().any(|arch| arch == go_arch(target.native)) {
            found.push(format!("is for {}", arches.join(", ")));
        }
        if let Some(KernelVersion(kernel, major)) = min_kernel.filter(|min| target.kernel < *min) {
            found.push(format!("needs a kernel of {kernel}.{major} or later"));
        }
        let Filter { caps, arches, min_kernel } = &self.excludes;
        found.extend(caps.iter().filter(|cap| target.capabilities.contains(cap)).map(|cap| format!("not with {cap}")));
        if arches.iter().any(|arch| arch == go_arch(target.native)) {
            found.push(format!("not on {}", go_arch(target.native)));
        }
        if let Some(KernelVersion(kernel, major)) = min_kernel.filter(|min| target.kernel >= *min) {
            found.push(format!("not from kernel {kernel}.{major} on"));
        }
        found
    }
}

impl Filter {
    /// Every capability is there, and architecture and kernel fit.
    pub(super) fn includes(&self, target: &Target) -> bool {
        (self.arches.is_empty() || self.arches.iter().any(|arch| arch == go_arch(target.native)))
            && self.caps.iter().all(|cap| target.capabilities.contains(cap))
            && self.min_kernel.is_none_or(|min| target.kernel >= min)
    }

    /// Any one of them is enough.
    pub(super) fn excludes(&self, target: &Target) -> bool {
        self.arches.iter().any(|arch| arch == go_arch(target.native))
            || self.caps.iter().any(|cap| target.capabilities.contains(cap))
            || self.min_kernel.is_some_and(|min| target.kernel >= min)
    }
}

/// The machine's name in `includes.arches` (`goToNative` of moby).
const fn go_arch(native: Abi) -> &'static str {
    match native {
        Abi::X86_64 => "amd64",
        Abi::I386 => "x86",
        Abi::X32 => "x32",
        Abi::Aarch64 => "arm64",
        Abi::Arm => "arm",
    }
}
