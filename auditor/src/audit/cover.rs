//! Whether a profile allows what a container was seen to do.

use crate::profile::check::{Finding, Severity};
use crate::profile::{Decision, Policy, Verdict};
use crate::report::view::{ContainerView, EffectiveMode};

/// The calls that a container made and that a profile would not let through, or not whatever their arguments.
#[must_use]
pub fn uncovered(policy: &Policy, container: &ContainerView) -> Vec<Finding> {
    let name = container.name.as_deref().unwrap_or(&container.id);
    let finding = |severity, id, message| Finding { line: 1, column: 1, severity, id, message };
    let mut found = Vec::new();
    // Without a filter nothing tells the runtime's set-up from the program's calls, so all of them count.
    let unfiltered = container.effective.mode == EffectiveMode::None;
    for row in container.syscalls.iter().flatten() {
        let calls = row.calls + if unfiltered { row.unfiltered_calls } else { 0 };
        if calls == 0 {
            continue;
        }
        let (abi, call) = (row.abi, &row.name);
        match policy.verdict(abi, row.nr) {
            Verdict::Allowed(_) => {}
            Verdict::Denied(decision) => found.push(finding(
                Severity::Error,
                "not-covered",
                format!(
                    "{name} made {call} ({abi}) {calls} times, and this profile refuses it with {}; {}",
                    outcome(decision),
                    if policy.abis().any(|known| known == abi) { "allow it" } else { "add the architecture" }
                ),
            )),
            Verdict::Conditional(decision) => found.push(finding(
                Severity::Warning,
                "partly-covered",
                format!(
                    "{name} made {call} ({abi}) {calls} times, and this profile allows it for some arguments, else {}; try it",
                    outcome(decision)
                ),
            )),
        }
    }
    if !container.window.complete {
        found.push(finding(
            Severity::Note,
            "incomplete-record",
            format!("{name} was not counted from its first call, or calls were lost: it may have made others"),
        ));
    }
    found
}

fn outcome(decision: Decision) -> String {
    match decision.errno {
        Some(errno) => format!("{} (errno {errno})", decision.action),
        None => decision.action.to_string(),
    }
}
