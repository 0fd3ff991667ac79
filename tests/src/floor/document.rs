//! docs/floor.md: what the runtimes call once their filter is in force, as people read it.

use std::fmt::Write as _;
use std::path::PathBuf;

use auditor::profile::Runtime;
use auditor::suggest::{Measurement, RuntimeFloor};

use super::{CONFIGURATIONS, Configuration, Then};

const INTRODUCTION: &str = "\
# What the runtimes need

`cargo xtask floor` measures this and writes this page, from the table that it puts into the library; a test holds the two
together, and `cargo xtask floor --check` measures the main configurations again and tells whether the runtimes here are others.

A runtime puts the filter on itself, does a few more things, and executes the program; for `docker exec` and health checks
once more. In a container whose program makes two calls in its life (by `execve` and `exit_group`, or `pause`), all else that
is counted under the filter is the runtime's, or that of `--init`. That is what is *made*. Each of these calls is then left out of
Docker's default profile, one at a time, and refused with EPERM: where no container starts, works, or ends as it should without
it, twice in a row, it is *needed*. Where it is not, the runtime goes on without, with something left open or undone. At last, a
profile of nothing but these calls starts every configuration.

A suggestion has all of it that its runtime makes in any configuration: a container must start also when its settings change.
With `--args` the calls below that are made with something keep these values, and those that the program was seen to use.
";

/// Where the document is.
#[must_use]
pub fn path() -> PathBuf {
    crate::root().join("docs/floor.md")
}

/// The document, of the table that this was built with.
#[must_use]
pub fn text() -> String {
    let mut text = INTRODUCTION.to_owned();
    for runtime in [Runtime::Runc, Runtime::Crun] {
        let measurement = RuntimeFloor::measurement(runtime);
        let Measurement { runtime: version, engine, init, kernel, date, .. } = measurement;
        let _ = writeln!(
            text,
            "\n## {runtime}\n\nMeasured with {version}, {engine}, {init} and Linux {kernel} on {date}.\n\n\
             | configuration | `docker run` | then | needed | made, and not needed |\n|---|---|---|---|---|"
        );
        for configuration in &CONFIGURATIONS {
            text += &row(configuration, measurement);
        }
        values(&mut text, runtime, measurement);
        any_moment(&mut text, runtime);
    }
    text
}

fn row(configuration: &Configuration, measurement: &Measurement) -> String {
    let Configuration { name, options, then } = configuration;
    let then = match then {
        Then::Ends => String::new(),
        Then::Exec(options) => format!("`{}`", [&["docker", "exec"], *options].concat().join(" ")),
        Then::Healthy => "health check".to_owned(),
        Then::Stops => "`docker stop`".to_owned(),
    };
    let options = if options.is_empty() { String::new() } else { format!("`{}`", options.join(" ")) };
    let calls = |is_needed: bool| -> String {
        let made = measurement.calls.iter().filter(|call| call.made.contains(name));
        let names: Vec<&str> =
            made.filter(|call| call.needed.contains(name) == is_needed).map(|call| call.name).collect();
        names.join(", ")
    };
    format!("| {name} | {options} | {then} | {} | {} |\n", calls(true), calls(false))
}

fn values(text: &mut String, runtime: Runtime, measurement: &Measurement) {
    *text += "\n| call | made with |\n|---|---|\n";
    for call in measurement.calls.iter().filter(|call| !call.values.is_empty()) {
        let values: Vec<String> = call.values.iter().map(|[first, _]| format!("{first:#x}")).collect();
        let _ = writeln!(text, "| {} | {} |", call.name, values.join(", "));
    }
    let _ = writeln!(text, "\nBeside that, {runtime} may ask for\n\n| call | with | for |\n|---|---|---|");
    for (name, value, reason) in RuntimeFloor::values_at_any_moment(runtime) {
        let _ = writeln!(text, "| {name} | {value:#x} | {reason} |");
    }
}

fn any_moment(text: &mut String, runtime: Runtime) {
    let calls = RuntimeFloor::at_any_moment(runtime);
    if calls.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n{runtime} runs in Go's own runtime, which may make these calls at any moment, and so may be missed by every \
         measurement:\n\n| call | for |\n|---|---|"
    );
    for (name, reason) in calls {
        let _ = writeln!(text, "| {name} | {reason} |");
    }
}
