//! Readers of profiles.

use std::sync::LazyLock;

use auditor::filter::Diagrams;
use auditor::profile::check::{Host, RuncVersion, Severity, check as check_text, rule_lines};
use auditor::profile::docker::{KernelVersion, Target, parse_docker, parse_file};
use auditor::profile::oci::parse_seccomp;
use auditor::profile::{Format, HostArch, Policy, Profile, ProfileError, Runtime};
use auditor::syscall::{self, Abi, SyscallNr};

static TARGETS: LazyLock<[Target; 2]> = LazyLock::new(|| {
    let capabilities = ["CAP_CHOWN", "CAP_SYS_ADMIN"].map(str::to_owned).to_vec();
    [
        Target { native: Abi::X86_64, kernel: KernelVersion(6, 1), capabilities, drops_oci_fields: false },
        Target { native: Abi::Aarch64, kernel: KernelVersion(4, 8), capabilities: Vec::new(), drops_oci_fields: true },
    ]
});

static HOSTS: LazyLock<[Host; 2]> = LazyLock::new(|| {
    let host = |at: usize, runc| Host { target: TARGETS[at].clone(), runc };
    [host(0, RuncVersion::NEWEST), host(1, RuncVersion(1, 1, 5))]
});

/// Steps of work for one call.
const STEPS: u32 = 1 << 11;

/// A profile in Docker's format, alone or in a whole configuration.
pub(super) fn docker(bytes: &[u8]) {
    let file = parse_file(bytes);
    let parsed = parse_docker(bytes);
    for source in [file, parsed].into_iter().flatten() {
        for target in TARGETS.iter() {
            if let Ok(profile) = source.resolve(target) {
                holds(&profile, HostArch::of(target.native), bytes.len());
            }
        }
    }
}

/// A profile in the OCI format.
pub(super) fn oci(bytes: &[u8]) {
    let Ok(profile) = parse_seccomp(bytes) else { return };
    let host = HostArch::NATIVE.with(if bytes.len().is_multiple_of(2) { Runtime::Runc } else { Runtime::Crun });
    holds(&profile, host, bytes.len());
    for format in [Format::Operator, Format::Systemd] {
        if let Ok(rendered) = profile.render(format, "web", host) {
            assert!(rendered.text.ends_with('\n'), "{}", rendered.text);
        }
    }
}

/// What holds of every profile. What was rendered is read again as the same.
fn holds(profile: &Profile, host: HostArch, seed: usize) {
    let text = profile.render_oci();
    match parse_seccomp(text.as_bytes()) {
        Ok(again) => assert_eq!(again, *profile, "{text}"),
        Err(error) => panic!("{error}: {text}"),
    }
    decides(&profile.evaluate(host), profile, seed);
}

/// Decision, diagram and verdict of some of the calls that a profile names say the same.
fn decides(policy: &Policy, profile: &Profile, seed: usize) {
    let named = profile.rules.iter().flat_map(|rule| rule.names.iter().map(move |name| (rule, name)));
    for (rule, name) in named.take(4) {
        for abi in [policy.native(), Abi::I386] {
            let Some(nr) = syscall::number(abi, name) else { continue };
            let mut args = [seed as u64; 6];
            for condition in &rule.args {
                if let Some(argument) = args.get_mut(condition.index as usize) {
                    *argument = condition.value;
                }
            }
            agrees(policy, abi, nr, &args);
            args.iter_mut().for_each(|argument| *argument = argument.wrapping_add(1));
            agrees(policy, abi, nr, &args);
        }
    }
    agrees(policy, Abi::X32, SyscallNr::OUTSIDE, &[0; 6]);
}

fn agrees(policy: &Policy, abi: Abi, nr: SyscallNr, args: &[u64; 6]) {
    let _ = policy.verdict(abi, nr);
    let decided = policy.decide(abi, nr, args);
    let mut diagrams = Diagrams::with_limit(STEPS);
    if let (Ok(decided), Ok(diagram)) = (&decided, policy.diagram(&mut diagrams, abi, nr)) {
        assert_eq!(diagrams.evaluate(diagram, args), *decided, "{abi} {}: {args:x?}", nr.0);
    }
}

/// A profile as a text.
pub(super) fn check(bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    for host in HOSTS.iter() {
        let checked = check_text(bytes, host);
        for finding in &checked.findings {
            assert!(finding.line >= 1 && finding.line <= lines, "{finding:?}");
            assert!(!finding.message.contains('\n'), "{finding:?}");
        }
        // Whoever resolves it refuses it for a reason that is told. What makes no filter is none of these, and as JSON
        // the check takes more: all that Go's reader takes, such as half a surrogate pair.
        let resolved = parse_file(bytes).and_then(|source| source.resolve(&host.target));
        let refused = resolved.is_err_and(|error| !matches!(error, ProfileError::NoFilter | ProfileError::Json(_)));
        let has_error = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
        assert!(!refused || has_error, "{checked:?}");
    }
    assert!(rule_lines(bytes).iter().all(|line| *line >= 1 && *line <= lines));
}
