//! The targets.

mod filter;
mod host;
mod kernel;
mod material;
mod profile;
mod socket;
mod word;

/// One reader of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What it reads.
    pub reads: &'static str,
    /// What must hold beside that nothing panics.
    pub law: &'static str,
    /// Reads bytes.
    pub run: fn(&[u8]),
    /// Bytes that the fuzzer makes up at most.
    pub max_len: u32,
}

impl Target {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|target| target.name == name)
    }

    /// Whether panics below are expected there, and caught: redb's, over a damaged file.
    #[must_use]
    pub fn catches_panics(&self) -> bool {
        self.name == "store"
    }

    const fn new(name: &'static str, run: fn(&[u8]), max_len: u32, reads: &'static str, law: &'static str) -> Self {
        Self { name, reads, law, run, max_len }
    }
}

/// Every target.
pub const ALL: [Target; 19] = [
    Target::new(
        "filter",
        filter::run,
        512,
        "a cBPF filter: parse, check, run, analyze, list, cases",
        "what is read is written again; diagram and cases say what a run gives",
    ),
    Target::new(
        "profile-docker",
        profile::docker,
        1024,
        "a profile in Docker's format: parse, resolve, evaluate",
        "what is rendered is read as the same; diagram and decision agree",
    ),
    Target::new(
        "profile-oci",
        profile::oci,
        1024,
        "a profile in the OCI format: parse, evaluate, render in every format",
        "what is rendered is read as the same; diagram and decision agree",
    ),
    Target::new(
        "profile-check",
        profile::check,
        1024,
        "a profile as a text, by the reader of `profile check`",
        "lines and columns are in the text; what the parser refuses has an error, too",
    ),
    Target::new("bundle", host::bundle, 1024, "a bundle's config.json, and what a shim says of itself", ""),
    Target::new(
        "cgroup",
        host::cgroup,
        512,
        "cgroup paths, and /proc/PID/cgroup",
        "an id that is found is in the path",
    ),
    Target::new("proc", host::proc, 1024, "/proc/PID/status, /proc/PID/cmdline, mountinfo", ""),
    Target::new(
        "configuration",
        host::configuration,
        512,
        "the configuration file",
        "an error is one line with its place",
    ),
    Target::new(
        "web",
        host::web,
        1024,
        "a web configuration, certificates, and `Authorization`",
        "an error is one line with its place; a name has no colon",
    ),
    Target::new(
        "engine",
        host::engine,
        1024,
        "events, list and inspections of the Docker engine",
        "names are capped; no state is taken for another",
    ),
    Target::new(
        "request",
        socket::request,
        512,
        "the control socket, as the daemon reads it",
        "an answer a line, which the command understands",
    ),
    Target::new(
        "answer",
        socket::answer,
        1024,
        "the control socket, as the command reads it, and the tables it makes",
        "nothing unprintable reaches a terminal",
    ),
    Target::new(
        "http",
        socket::http,
        512,
        "HTTP, by the web server's real service",
        "only GET and HEAD get a page; what is said is HTTP",
    ),
    Target::new(
        "archive",
        material::archive,
        1024,
        "an archive of `history import`, and what is made of it",
        "what is rendered is read as the same; joined with itself it stays the same",
    ),
    Target::new(
        "row",
        material::row,
        1024,
        "the rows of the evidence store, and accounts of containers",
        "an account is written as it is read",
    ),
    Target::new(
        "store",
        material::store,
        128,
        "the evidence store's file: changed, cut, or another",
        "it is read, or found to be damaged",
    ),
    Target::new(
        "record",
        kernel::record,
        512,
        "the kernel programs' events, refusals, filters and counters",
        "each refusal of the ring has a container and a name",
    ),
    Target::new("btf", kernel::btf, 2048, "a kernel's BTF", ""),
    Target::new(
        "word",
        word::run,
        128,
        "what people type and strangers name: calls, versions, names, arguments in words",
        "nothing unprintable is left, nothing is longer than allowed",
    ),
];
