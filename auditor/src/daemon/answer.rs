//! Answers to what the control socket and the web server ask.

use std::collections::BTreeMap;

use super::differing::Differing;
use super::ledger::Ledger;
use super::record::Record;
use super::refusals::Refusals;
use super::replaced::default_replaced;
use crate::cgroupfs::Hierarchy;
use crate::container::ContainerId;
use crate::control::{Failure, FailureKind};
use crate::kernel::{Kernel, Losses};
use crate::report::filter::{FilterAnswer, HeldFilter, HeldStack, HeldTask};
use crate::report::reason;
use crate::report::snapshot::{Build, CgroupMode, Health, MapHealth, ProgramHealth, Snapshot};
use crate::report::view::ProfileKind;
use crate::suggest::Material;
use crate::syscall::Abi;

/// All that is known now.
pub fn snapshot(
    ledger: &Ledger,
    kernel: &Kernel,
    refusals: &Refusals,
    hierarchy: Hierarchy,
    differing: &Differing,
) -> Snapshot {
    let engine = ledger.engine.as_ref();
    let replaced = default_replaced(ledger.shown(), engine);
    let view = |record: &Record| record.view(engine, replaced.contains(&record.id()), differing);
    Snapshot { containers: ledger.shown().map(view).collect(), health: health(ledger, kernel, refusals, hierarchy) }
}

fn health(ledger: &Ledger, kernel: &Kernel, refusals: &Refusals, hierarchy: Hierarchy) -> Health {
    let losses = ledger.losses();
    let programs: Vec<ProgramHealth> = kernel
        .programs()
        .into_iter()
        .map(|program| ProgramHealth {
            name: program.name.to_owned(),
            attached: program.attached,
            runs: program.runs,
            run_seconds: program.run_seconds,
        })
        .collect();
    let slots_used = u32::try_from(ledger.slots_used()).unwrap_or(u32::MAX);
    let mut not_ready: Vec<String> = programs
        .iter()
        .filter(|program| !program.attached)
        .map(|program| format!("the kernel program {} is not attached; restart the daemon", program.name))
        .collect();
    if slots_used >= kernel.slot_count() {
        not_ready.push(format!(
            "all {slots_used} slots are in use, further containers are not counted; raise --max-containers"
        ));
    }
    Health {
        build: Build { ebpf_source: Kernel::source_hash(), ..Build::default() },
        docker_up: ledger.docker_error.is_none(),
        docker_error: ledger.docker_error.clone(),
        cgroup_mode: match hierarchy {
            Hierarchy::Unified => CgroupMode::Unified,
            Hierarchy::Hybrid => CgroupMode::Hybrid,
        },
        slots: kernel.slot_count(),
        slots_used,
        untracked_cgroups: losses.untracked_cgroup,
        lost_events: lost_events(losses, ledger, refusals),
        programs,
        maps: ledger
            .map_use()
            .iter()
            .map(|map| MapHealth { name: map.name.to_owned(), entries: map.entries, capacity: map.capacity })
            .collect(),
        not_ready,
        store_error: None,
    }
}

fn lost_events(losses: &Losses, ledger: &Ledger, refusals: &Refusals) -> BTreeMap<String, u64> {
    let kernel = [
        ("task_storage", losses.task_storage),
        ("foreign_table_full", losses.foreign),
        ("denial_table_full", losses.denial),
        ("ambiguous_exit", losses.ambiguous_exit),
        ("program_recursion", losses.recursion),
        ("event_ring_full", losses.event),
        ("nested_cgroup", losses.nested_cgroup),
        ("docker_event", ledger.lost_docker_events),
        ("start_of_unknown_workload", ledger.lost_starts()),
    ];
    kernel.into_iter().chain(refusals.dropped()).map(|(reason, count)| (reason.to_owned(), count)).collect()
}

/// The filters of a container's tasks.
pub fn filter(ledger: &Ledger, container: &str, differing: &Differing) -> Result<FilterAnswer, Failure> {
    let record = ContainerId::parse(container).ok().and_then(|id| ledger.record(id)).ok_or_else(gone)?;
    let engine = ledger.engine.as_ref();
    let replaced = default_replaced(ledger.shown(), engine).contains(&record.id());
    let comparison = record.comparison(&record.profile(engine), replaced, differing);
    if let Some(Err(why)) = &record.enforced.effective {
        return Err(Failure::new(FailureKind::Internal, format!("the kernel's filters cannot be read: {why}")));
    }
    let effective = record.enforced.seen().filter(|effective| effective.tasks() > 0).ok_or_else(|| {
        Failure::new(FailureKind::NotRunning, "no task of the container runs now, so the kernel holds no filter of it")
    })?;
    let filters = effective.filters.iter().enumerate().map(|(index, held)| HeldFilter {
        instructions: held.program().map(|program| hex(&program.to_bytes())),
        is_declared: comparison.own == Some(index),
    });
    let stacks = effective.stacks.iter().map(|stack| HeldStack {
        filters: stack.filters.clone(),
        cut: stack.cut,
        tasks: stack
            .tasks
            .iter()
            .map(|task| HeldTask { pid: task.pid, tid: task.tid, comm: task.comm.clone() })
            .collect(),
    });
    Ok(FilterAnswer {
        id: record.id().to_string(),
        name: record.container.as_ref().and_then(|container| container.name.clone()),
        matches_declared: record.enforced.view(&comparison, &record.declared).matches_declared,
        reasons: reason::views(&comparison),
        filters: filters.collect(),
        stacks: stacks.collect(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gone() -> Failure {
    Failure::new(FailureKind::NoSuchContainer, "the container is gone; its numbers went with it")
}

/// What a smaller profile for containers is made from that run the same under the same profile and runtime.
pub fn material(ledger: &Ledger, containers: &[String]) -> Result<Material, Failure> {
    let ids: Vec<ContainerId> = containers.iter().filter_map(|id| ContainerId::parse(id).ok()).collect();
    let records: Vec<_> = ids.iter().filter_map(|id| ledger.record(*id)).collect();
    let first = records.first().ok_or_else(gone)?;
    let engine = ledger.engine.as_ref();
    let kind = first.profile(engine).kind;
    let active = first.declared.active();
    if active.is_none() && !matches!(kind, ProfileKind::Unconfined | ProfileKind::Privileged) {
        return Err(Failure::new(
            FailureKind::NoProfile,
            "the container's active profile is not known, so nothing can be suggested against it; is the daemon allowed \
             to read the container's bundle? (auditor doctor)",
        ));
    }
    let sha256 = active.map(|active| active.sha256.as_str());
    let same = |record: &Record| {
        record.runtime == first.runtime && record.declared.active().map(|active| active.sha256.as_str()) == sha256
    };
    if !records.iter().all(|record| same(record)) {
        return Err(Failure::new(
            FailureKind::Ambiguous,
            "the containers of this image run under different profiles or runtimes; name one of the containers",
        ));
    }
    let mut evidence = first.evidence(engine);
    evidence.starts.extend(records.iter().skip(1).flat_map(|record| record.evidence(engine).starts));
    // A container whose engine's default profile was replaced has started under two.
    evidence.starts.retain(|start| start.profile.as_deref() == sha256 && start.runtime == first.runtime);
    Ok(Material {
        evidence,
        profile: active.map(|active| active.profile.clone()),
        runtime: first.runtime,
        host: Abi::NATIVE,
        others: Vec::new(),
    })
}
