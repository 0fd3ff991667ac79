//! The table of all metrics: names, types, labels and help are written here and nowhere else.

use std::fmt::Write as _;

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its help text.
    pub help: &'static str,
}

/// The types in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; named `_total`.
    Counter,
    /// Goes both ways.
    Gauge,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

const CONTAINER: &[&str] = &["name", "image"];
const SYSCALL: &[&str] = &["name", "image", "abi", "syscall"];
const PROGRAM: &[&str] = &["program"];
const MAP: &[&str] = &["map"];

macro_rules! definitions {
    ($($constant:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $constant: &Definition =
            &Definition { name: $name, kind: Kind::$kind, labels: $labels, help: $help };)*
        /// Every metric, in the order of the output.
        pub const ALL: &[&Definition] = &[$($constant),*];
    };
}

definitions! {
    BUILD_INFO = Gauge "auditor_build_info" &["version", "ebpf_source"],
        "Always 1; says which auditor this is and, by a hash, which source its kernel programs were built from.";
    DOCKER_UP = Gauge "auditor_docker_up" &[],
        "Whether the container engine answers (1) or not (0). Counting goes on without it.";
    EVIDENCE_STORED = Gauge "auditor_evidence_stored" &[],
        "Whether what was seen can be written to the evidence store (1) or not, as on a full disk (0). It is kept and tried again. 1 also where no store is wanted.";
    CONTAINER_INFO = Gauge "auditor_container_info" &["name", "image", "id", "profile_kind", "profile_sha256"],
        "Always 1; one series for each known container with the kind of its seccomp profile: default, custom, unconfined, privileged or unknown.";
    SYSCALLS = Counter "auditor_syscalls_total" SYSCALL,
        "System calls that passed the container's seccomp filter and reached the kernel.";
    SYSCALL_ERRORS = Counter "auditor_syscall_errors_total" SYSCALL,
        "System calls that passed the filter and returned an error.";
    UNFILTERED_SYSCALLS = Counter "auditor_unfiltered_syscalls_total" CONTAINER,
        "System calls by tasks without a seccomp filter: the runtime's set-up, an unconfined container, a process that came in from the host.";
    DENIALS = Counter "auditor_seccomp_denials_total" &["name", "image", "abi", "syscall", "action"],
        "System calls that a seccomp filter refused, with the action that refused them.";
    ALLOWED = Gauge "auditor_seccomp_allowed_syscalls" CONTAINER,
        "System calls of the native ABI that the container's profile allows whatever their arguments.";
    USED = Gauge "auditor_seccomp_used_syscalls" CONTAINER,
        "Distinct system calls of the native ABI that the container has made.";
    UNUSED = Gauge "auditor_seccomp_unused_syscalls" CONTAINER,
        "System calls of the native ABI that the profile allows and the container has not made.";
    MISMATCH = Gauge "auditor_seccomp_profile_mismatch" CONTAINER,
        "Whether the filter in the kernel differs from the declared profile (1) or is as declared (0).";
    MISMATCH_REASON = Gauge "auditor_seccomp_profile_mismatch_reason" &["name", "image", "reason"],
        "Always 1; one series for each reason why the filter in the kernel differs from the declared profile (auditor filter explains them).";
    OBSERVATION_START = Gauge "auditor_observation_start_timestamp_seconds" CONTAINER,
        "When counting of the container began, in seconds since the epoch.";
    OBSERVATION_COMPLETE = Gauge "auditor_observation_complete" CONTAINER,
        "Whether the container was counted from its first call and nothing was lost (1) or not (0).";
    SLOTS = Gauge "auditor_slots" &[],
        "Containers that the kernel maps have room for.";
    SLOTS_USED = Gauge "auditor_slots_used" &[],
        "Containers that the kernel maps hold.";
    UNTRACKED_CGROUPS = Counter "auditor_untracked_cgroups_total" &[],
        "Container cgroups that found no free slot and are not counted.";
    LOST_EVENTS = Counter "auditor_lost_events_total" &["reason"],
        "Events and calls that are known to be lost.";
    PROGRAM_ATTACHED = Gauge "auditor_program_attached" PROGRAM,
        "Whether the kernel program is attached (1) or not (0).";
    PROGRAM_RUNS = Counter "auditor_program_runs_total" PROGRAM,
        "Runs of the kernel program; only while kernel.bpf_stats_enabled is set.";
    PROGRAM_RUN_SECONDS = Counter "auditor_program_run_seconds_total" PROGRAM,
        "Time spent in the kernel program; only while kernel.bpf_stats_enabled is set.";
    MAP_ENTRIES = Gauge "auditor_map_entries" MAP,
        "Entries of a kernel map: cgroups that are counted, and rare calls, refused calls and arguments that were noted. Some seconds old.";
    MAP_CAPACITY = Gauge "auditor_map_capacity" MAP,
        "Entries that the kernel map has room for.";
    SERIES_DROPPED = Gauge "auditor_series_dropped" &[],
        "Per-syscall series that this scrape folded into syscall=\"other\", for the series budget or because they are switched off.";
    SCRAPE_DURATION = Gauge "auditor_scrape_duration_seconds" &[],
        "Time that the daemon took to gather this scrape's numbers.";
}

/// The reference of all metrics, in Markdown.
#[must_use]
pub fn render_reference() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Made at each scrape from the daemon's state: what it no longer knows has no series, and what it could not read\n\
         has no sample (never a zero). Two containers that held one name, one after the other, share their series while\n\
         both are known: counters are summed, gauges are those of the present one.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for definition in ALL {
        let labels: Vec<String> = definition.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            definition.name,
            definition.kind.as_str(),
            labels.join(", "),
            definition.help
        );
    }
    text.push_str(
        "\n`name` and `image` are the engine's, as cAdvisor has them; a container that the engine never told about has\n\
         the first 12 digits of its id as `name` and no `image`. `abi` is `x86_64`, `i386`, `x32`, `aarch64` or `arm`.\n\
         Over the series budget (`metrics.max_series` in the configuration) the calls of a container that have no\n\
         series of their own are summed in `syscall=\"other\"`, and `auditor_series_dropped` says how many there were.\n\n\
         `reason` of `auditor_lost_events_total`: what counts and records lack (`task_storage`, `foreign_table_full`,\n\
         `denial_table_full`, `ambiguous_exit`, `program_recursion`, `nested_cgroup`); what costs no count (`event_ring_full`,\n\
         `denial_not_seen`, `denial_follower_slow`, `denial_of_unknown_container`, `docker_event`); and what the evidence lacks:\n\
         `start_of_unknown_workload`, starts of containers of which the engine never said what they run, and\n\
         `start_not_stored`, starts that were given up because too many waited for a disk that cannot be written.\n",
    );
    text
}
