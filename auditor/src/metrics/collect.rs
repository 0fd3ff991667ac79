//! From a snapshot to metric families.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::Options;
use super::budget::fair_share;
use super::definitions::{self as def, ALL, Definition, Kind};
use crate::report::escape::{LABEL_WIDTH, capped};
use crate::report::snapshot::{Health, Snapshot};
use crate::report::view::{ContainerView, SyscallView};
use crate::syscall::known_name;

/// The name of what has no series of its own.
const OTHER: &str = "other";

/// `name` and `image`.
type Owner = [String; 2];
/// `abi`, `syscall` and, for denials, `action`.
type Call = Vec<String>;

/// All samples by metric and label values; one of each, as the format demands.
#[derive(Default)]
struct Sheet(BTreeMap<&'static str, BTreeMap<Vec<String>, f64>>);

impl Sheet {
    fn add(&mut self, definition: &Definition, labels: Vec<String>, value: f64) {
        debug_assert_eq!(labels.len(), definition.labels.len(), "{}", definition.name);
        *self.0.entry(definition.name).or_default().entry(labels).or_default() += value;
    }

    fn set(&mut self, definition: &Definition, labels: Vec<String>, value: f64) {
        debug_assert_eq!(labels.len(), definition.labels.len(), "{}", definition.name);
        self.0.entry(definition.name).or_default().insert(labels, value);
    }

    fn into_families(mut self) -> Vec<MetricFamily> {
        ALL.iter().filter_map(|definition| Some(family(definition, self.0.remove(definition.name)?))).collect()
    }
}

fn family(definition: &Definition, samples: BTreeMap<Vec<String>, f64>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(definition.name.to_owned());
    family.set_help(definition.help.to_owned());
    family.set_field_type(match definition.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    let metrics = samples.into_iter().map(|(labels, value)| {
        let mut metric = Metric::default();
        let labels = definition.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value);
            pair
        });
        metric.set_label(labels.collect());
        match definition.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        metric
    });
    family.set_metric(metrics.collect());
    family
}

/// Every family that has a sample.
pub(super) fn families(snapshot: &Snapshot, options: &Options, gathering: Duration) -> Vec<MetricFamily> {
    let mut sheet = Sheet::default();
    health(&mut sheet, &snapshot.health);
    maps(&mut sheet, &snapshot.health);
    for container in &snapshot.containers {
        info(&mut sheet, container);
    }
    for (owner, container) in present(&snapshot.containers) {
        gauges(&mut sheet, &owner, container);
    }
    syscalls(&mut sheet, &snapshot.containers, options);
    sheet.set(def::SCRAPE_DURATION, Vec::new(), gathering.as_secs_f64());
    sheet.into_families()
}

fn health(sheet: &mut Sheet, health: &Health) {
    let build = vec![health.build.version.clone(), health.build.ebpf_source.clone().unwrap_or_default()];
    sheet.set(def::BUILD_INFO, build, 1.0);
    sheet.set(def::DOCKER_UP, Vec::new(), flag(health.docker_up));
    sheet.set(def::EVIDENCE_STORED, Vec::new(), flag(health.store_error.is_none()));
    sheet.set(def::SLOTS, Vec::new(), health.slots.into());
    sheet.set(def::SLOTS_USED, Vec::new(), health.slots_used.into());
    sheet.set(def::UNTRACKED_CGROUPS, Vec::new(), count(health.untracked_cgroups));
    for (reason, lost) in &health.lost_events {
        sheet.set(def::LOST_EVENTS, vec![capped(reason, LABEL_WIDTH)], count(*lost));
    }
    for program in &health.programs {
        let labels = || vec![program.name.clone()];
        sheet.set(def::PROGRAM_ATTACHED, labels(), flag(program.attached));
        if let Some(runs) = program.runs {
            sheet.set(def::PROGRAM_RUNS, labels(), count(runs));
        }
        if let Some(seconds) = program.run_seconds {
            sheet.set(def::PROGRAM_RUN_SECONDS, labels(), seconds);
        }
    }
}

fn maps(sheet: &mut Sheet, health: &Health) {
    for map in &health.maps {
        sheet.set(def::MAP_ENTRIES, vec![map.name.clone()], count(map.entries));
        sheet.set(def::MAP_CAPACITY, vec![map.name.clone()], count(map.capacity));
    }
}

fn info(sheet: &mut Sheet, container: &ContainerView) {
    let [name, image] = owner(container);
    let kind = container.profile.kind.as_str().to_owned();
    let sha256 = container.profile.sha256.clone().unwrap_or_default();
    sheet.set(def::CONTAINER_INFO, vec![name, image, container.id.clone(), kind, sha256], 1.0);
}

/// Of the containers that share name and image over time, the one that is spoken of: it runs, or came last. When a
/// container is made anew under its name the counters begin anew with it, which Prometheus takes for the reset that it
/// is; a sum with the old one would have to shrink when the old one is forgotten.
fn present(containers: &[ContainerView]) -> BTreeMap<Owner, &ContainerView> {
    let rank = |view: &ContainerView| (view.state.as_deref() == Some("running"), view.window.since);
    let mut present: BTreeMap<Owner, &ContainerView> = BTreeMap::new();
    for container in containers {
        let holder = present.entry(owner(container)).or_insert(container);
        if rank(container) > rank(holder) {
            *holder = container;
        }
    }
    present
}

fn gauges(sheet: &mut Sheet, owner: &Owner, container: &ContainerView) {
    let mut set = |definition, value: Option<f64>| {
        if let Some(value) = value {
            sheet.set(definition, owner.to_vec(), value);
        }
    };
    set(def::ALLOWED, container.allowed.map(f64::from));
    set(def::USED, Some(container.used.into()));
    set(def::UNUSED, container.unused.map(f64::from));
    set(def::MISMATCH, container.effective.matches_declared.map(|same| flag(!same)));
    set(def::OBSERVATION_START, container.window.since.map(|since| since.as_duration().as_secs_f64()));
    set(def::OBSERVATION_COMPLETE, Some(flag(container.window.complete)));
    for reason in container.effective.reasons.iter().filter(|reason| reason.alarming) {
        let [name, image] = owner.clone();
        sheet.set(def::MISMATCH_REASON, vec![name, image, reason.reason.clone()], 1.0);
    }
}

/// The calls of one owner.
#[derive(Default)]
struct Calls {
    calls: BTreeMap<Call, u64>,
    errors: BTreeMap<Call, u64>,
    denials: BTreeMap<Call, u64>,
    unfiltered: u64,
}

impl Calls {
    fn add(&mut self, row: &SyscallView) {
        // A number without a name is a container's to choose: all of them are one series.
        let name = known_name(row.abi, row.nr).unwrap_or("unknown");
        let call = vec![row.abi.as_str().to_owned(), name.to_owned()];
        let add = |map: &mut BTreeMap<Call, u64>, call: Call, count: u64| {
            if count > 0 {
                *map.entry(call).or_default() += count;
            }
        };
        add(&mut self.calls, call.clone(), row.calls);
        add(&mut self.errors, call.clone(), row.errors);
        let mut denied = call;
        denied.push(row.action.as_deref().unwrap_or("unknown").to_owned());
        add(&mut self.denials, denied, row.denied);
        self.unfiltered += row.unfiltered_calls;
    }
}

fn syscalls(sheet: &mut Sheet, containers: &[ContainerView], options: &Options) {
    let mut owners: BTreeMap<Owner, Calls> = BTreeMap::new();
    for (owner, container) in present(containers) {
        let Some(rows) = &container.syscalls else { continue };
        let calls = owners.entry(owner).or_default();
        rows.iter().for_each(|row| calls.add(row));
    }
    // Denials first: they are few, and what people come for.
    let needs: Vec<usize> = owners.values().map(|owner| owner.denials.len()).collect();
    let denials_share = fair_share(&needs, options.max_syscall_series);
    let spent: usize = needs.iter().map(|need| (*need).min(denials_share)).sum();
    // Calls and errors of one syscall are kept or folded together: a share of errors needs its calls.
    let made = |owner: &Calls| owner.calls.keys().chain(owner.errors.keys()).cloned().collect::<BTreeSet<Call>>();
    let needs: Vec<usize> = owners.values().map(|owner| made(owner).len()).collect();
    let share = if options.per_syscall { fair_share(&needs, (options.max_syscall_series - spent) / 2) } else { 0 };

    let mut dropped = 0;
    for (owner, calls) in owners {
        sheet.set(def::UNFILTERED_SYSCALLS, owner.to_vec(), count(calls.unfiltered));
        let kept: BTreeSet<Call> = made(&calls).into_iter().take(share).collect();
        let denials_kept: BTreeSet<Call> = calls.denials.keys().take(denials_share).cloned().collect();
        dropped += fold(sheet, def::DENIALS, &owner, calls.denials, &denials_kept);
        dropped += fold(sheet, def::SYSCALLS, &owner, calls.calls, &kept);
        dropped += fold(sheet, def::SYSCALL_ERRORS, &owner, calls.errors, &kept);
    }
    sheet.set(def::SERIES_DROPPED, Vec::new(), count(dropped));
}

/// Adds the calls in `kept` under their own names and the rest as [`OTHER`]; says how many went there.
///
/// What is kept goes by order of name, not of count: which syscalls have a series must not change with every scrape.
fn fold(
    sheet: &mut Sheet,
    definition: &Definition,
    owner: &Owner,
    calls: BTreeMap<Call, u64>,
    kept: &BTreeSet<Call>,
) -> u64 {
    let mut dropped = 0;
    for (mut call, value) in calls {
        if !kept.contains(&call) {
            OTHER.clone_into(&mut call[1]);
            dropped += 1;
        }
        let labels = owner.iter().cloned().chain(call).collect();
        sheet.add(definition, labels, count(value));
    }
    dropped
}

fn owner(container: &ContainerView) -> Owner {
    let short_id = || container.id.chars().take(12).collect();
    let name = container.name.as_deref().map_or_else(short_id, |name| capped(name, LABEL_WIDTH));
    [name, container.image.as_deref().map_or_else(String::new, |image| capped(image, LABEL_WIDTH))]
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// The format's numbers are doubles: exact to 2^53, some 285 years of a million calls a second.
fn count(value: u64) -> f64 {
    value as f64
}
