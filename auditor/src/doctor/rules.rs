//! What the facts mean: one finding each, with what to do about it.

mod service;

use super::{Facts, Finding, Status};
use crate::cgroupfs::Hierarchy;

/// `cgroup_mkdir` in BTF-typed raw tracepoints, the seccomp bitmap and task storage are all there from here on.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// All findings, in the order in which a host is best repaired.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    vec![
        kernel(facts),
        btf(facts),
        capabilities(facts),
        lockdown(facts),
        features(facts),
        programs(facts),
        cgroups(facts),
        service::clocks(facts),
        engine(facts),
        bundles(facts),
        service::state(facts),
        service::pinned(facts),
        service::unit(facts),
        service::daemon(facts),
    ]
}

fn finding(check: &'static str, status: Status, detail: impl Into<String>, advice: Option<&str>) -> Finding {
    Finding { check, status, detail: detail.into(), advice: advice.map(str::to_owned) }
}

fn kernel(facts: &Facts) -> Finding {
    let release = match &facts.kernel_release {
        Ok(release) => release,
        Err(error) => return finding("kernel", Status::Warn, error.as_str(), None),
    };
    let detail = format!("Linux {release}");
    match parse_release(release) {
        Some(version) if version < OLDEST_KERNEL => {
            finding("kernel", Status::Fail, detail, Some("Linux 5.15 or newer is needed"))
        }
        Some(_) => finding("kernel", Status::Ok, detail, None),
        None => {
            finding("kernel", Status::Warn, detail, Some("not a version this knows; Linux 5.15 or newer is needed"))
        }
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn btf(facts: &Facts) -> Finding {
    match &facts.btf {
        Ok(()) => finding("btf", Status::Ok, "/sys/kernel/btf/vmlinux is readable", None),
        Err(error) => {
            let advice = "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as the distributions' are";
            finding("btf", Status::Fail, format!("/sys/kernel/btf/vmlinux: {error}"), Some(advice))
        }
    }
}

fn capabilities(facts: &Facts) -> Finding {
    let caps = match &facts.capabilities {
        Ok(caps) => caps,
        Err(error) => return finding("capabilities", Status::Warn, error.as_str(), None),
    };
    let named = [("CAP_BPF", caps.bpf), ("CAP_PERFMON", caps.perfmon), ("CAP_SYS_ADMIN", caps.sys_admin)];
    let names =
        |wanted: bool| -> Vec<&str> { named.iter().filter(|(_, has)| *has == wanted).map(|(name, _)| *name).collect() };
    if caps.suffice() {
        return finding("capabilities", Status::Ok, format!("has {}", names(true).join(", ")), None);
    }
    // Administration stands for the two others, and is more than is needed.
    let missing: Vec<&str> = names(false).into_iter().filter(|name| *name != "CAP_SYS_ADMIN").collect();
    let missing = format!("lacks {}", missing.join(", "));
    finding("capabilities", Status::Fail, missing, Some("run as root, or with CAP_BPF and CAP_PERFMON"))
}

fn lockdown(facts: &Facts) -> Finding {
    match facts.lockdown.as_deref() {
        Some("confidentiality") => {
            let advice = "eBPF programs may not read kernel memory; boot with lockdown=integrity or none";
            finding("lockdown", Status::Fail, "confidentiality", Some(advice))
        }
        Some(mode) => finding("lockdown", Status::Ok, mode, None),
        None => finding("lockdown", Status::Ok, "not in use, or securityfs is not mounted", None),
    }
}

fn features(facts: &Facts) -> Finding {
    // Memory for maps is charged to RLIMIT_MEMLOCK on Linux before 5.11 alone, which is too old anyway.
    let unprivileged = match facts.unprivileged_bpf.as_deref() {
        Some("0") => "; unprivileged users may load programs too, which the auditor does not need",
        _ => "",
    };
    match &facts.missing_features {
        Ok(missing) if missing.is_empty() => {
            let there =
                format!("ring buffers, task storage, tracing programs and task iterators are there{unprivileged}");
            finding("features", Status::Ok, there, None)
        }
        Ok(missing) => {
            let advice = "boot a kernel with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_EVENTS=y, Linux 5.15 or newer";
            finding("features", Status::Fail, format!("the kernel has no {}", missing.join(", no ")), Some(advice))
        }
        Err(error) => {
            finding("features", Status::Warn, format!("not known: {error}"), Some("repair btf and capabilities first"))
        }
    }
}

fn programs(facts: &Facts) -> Finding {
    match &facts.programs {
        Ok(()) => finding("programs", Status::Ok, "the kernel takes the eBPF programs and maps", None),
        // The loader's error says what to do.
        Err(error) => finding("programs", Status::Fail, error.as_str(), None),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    let cgroups = match &facts.cgroups {
        Ok(cgroups) => cgroups,
        Err(error) => return finding("cgroups", Status::Fail, error.as_str(), None),
    };
    let kind = match cgroups.hierarchy {
        Hierarchy::Unified => "cgroup v2",
        Hierarchy::Hybrid => "cgroup v2 beside v1 (hybrid)",
    };
    let detail = format!("{kind} at {}", cgroups.path.display());
    match &cgroups.whole {
        Ok(true) => finding("cgroups", Status::Ok, detail, None),
        Ok(false) => {
            let advice =
                "only the part of a cgroup namespace is seen; run on the host (in a container: --cgroupns=host)";
            finding("cgroups", Status::Fail, detail, Some(advice))
        }
        Err(error) => finding("cgroups", Status::Warn, format!("{detail}: {error}"), None),
    }
}

fn engine(facts: &Facts) -> Finding {
    match &facts.engine {
        Ok(engine) => {
            let version = engine.version.as_deref().unwrap_or("of unknown version");
            finding("docker", Status::Ok, format!("Docker {version}, API {}", engine.api_version), None)
        }
        // Counting needs no engine; names and profiles do.
        Err(error) => finding("docker", Status::Warn, error.as_str(), None),
    }
}

fn bundles(facts: &Facts) -> Finding {
    let Some(bundles) = &facts.bundles else {
        return finding("bundles", Status::Warn, "not looked at, for the engine does not answer", None);
    };
    let detail = format!("read {} of {} running containers' bundles", bundles.readable, bundles.seen);
    match &bundles.error {
        None if bundles.seen == 0 => {
            finding("bundles", Status::Ok, "no container runs whose bundle could be read", None)
        }
        None => finding("bundles", Status::Ok, detail, None),
        Some(error) => finding("bundles", Status::Warn, detail, Some(error)),
    }
}

#[cfg(test)]
mod tests;
