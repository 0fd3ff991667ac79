//! What a profile does, in words: call by call, or all of it at a glance.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::{LABEL_WIDTH, capped, printable};
use super::table::{Paint, Style, wrapped};
use crate::denial::errno;
use crate::profile::explain::{ExplainedCase, ExplainedRule, Explanation};
use crate::syscall::Abi;

/// Every call with its cases and rules.
#[must_use]
pub fn calls(explanations: &[Explanation], style: &Style) -> String {
    explanations.iter().map(|explanation| call(explanation, style)).collect()
}

fn call(explanation: &Explanation, style: &Style) -> String {
    let Explanation { abi, nr, name, verdict, cases, unknown, rules } = explanation;
    let words = match (cases.as_slice(), *verdict) {
        ([only], _) => outcome(only),
        (_, "conditional") => "allowed for some arguments".to_owned(),
        (_, "denied") => "denied, with an answer that depends on the arguments".to_owned(),
        (_, "allowed") => "allowed, and logged for some arguments".to_owned(),
        _ => "unknown".to_owned(),
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{name} ({abi}, {}): {}", nr.0, style.paint(paint(verdict), &words));
    let line = |at: usize| rules.iter().find(|rule| rule.rule == at).and_then(|rule| rule.line);
    match cases.as_slice() {
        [only] => {
            let _ = writeln!(text, ", by {}", who(only, line));
        }
        cases => {
            text.push('\n');
            let conditions: Vec<String> = cases.iter().map(|case| conjunction(&case.conditions, "otherwise")).collect();
            let width = conditions.iter().map(String::len).max().unwrap_or(0);
            for (case, conditions) in cases.iter().zip(conditions) {
                let outcome = style.paint(paint(case.verdict), &outcome(case));
                let _ = writeln!(text, "  {conditions:width$}  {outcome}, by {}", who(case, line));
            }
        }
    }
    if let Some(why) = unknown {
        let _ = writeln!(text, "  {why}");
    }
    for rule in rules {
        let decides = cases.iter().any(|case| case.rule == Some(rule.rule));
        if !decides || rule.comment.is_some() {
            text.push_str(&about(rule, name, decides));
        }
    }
    text
}

/// A line about a rule that does not decide, or has a comment.
fn about(rule: &ExplainedRule, name: &str, decides: bool) -> String {
    let mut text = format!("  {}", place(rule.rule, rule.line));
    if !decides {
        let by = if rule.name == name { String::new() } else { format!(" for {}", rule.name) };
        let action = action(rule.action, rule.errno);
        let conditions = conjunction(&rule.conditions, "always");
        let _ = match (rule.applies, rule.because.join(", ")) {
            (true, _) => write!(text, "{by} says {action}, {conditions}, and decides nothing"),
            (false, because) => write!(text, "{by} would say {action}, {conditions}: {because}"),
        };
    }
    if let Some(comment) = &rule.comment {
        let _ = write!(text, " # {}", capped(comment, LABEL_WIDTH));
    }
    text + "\n"
}

fn conjunction(conditions: &[String], none: &str) -> String {
    if conditions.is_empty() { none.to_owned() } else { conditions.join(" && ") }
}

fn who(case: &ExplainedCase, line: impl Fn(usize) -> Option<usize>) -> String {
    match (case.decided_by, case.rule) {
        (_, Some(rule)) => place(rule, line(rule)),
        ("runtime_stub", _) => "runc's ENOSYS stub: the profile names no call as new as this one".to_owned(),
        ("foreign_abi", _) => "the profile has no calls of this ABI".to_owned(),
        _ => "the default".to_owned(),
    }
}

fn place(rule: usize, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("rule {rule} (line {line})"),
        None => format!("rule {rule}"),
    }
}

fn outcome(case: &ExplainedCase) -> String {
    let with = match case.errno {
        Some(errno) => format!(" with {}", errno::describe(errno)),
        None => String::new(),
    };
    match (case.verdict, case.action) {
        ("allowed", "SCMP_ACT_LOG") => "allowed and logged".to_owned(),
        ("allowed", _) => "allowed".to_owned(),
        ("conditional", _) => "a supervisor decides".to_owned(),
        (_, "SCMP_ACT_ERRNO") => format!("denied{with}"),
        (_, action) => format!("denied{with} ({action})"),
    }
}

fn action(action: &str, errno: Option<u16>) -> String {
    match errno {
        Some(errno) => format!("{action} with {}", errno::describe(errno)),
        None => action.to_owned(),
    }
}

fn paint(verdict: &str) -> Paint {
    match verdict {
        "allowed" => Paint::Green,
        "denied" => Paint::Red,
        _ => Paint::Yellow,
    }
}

/// All calls of each ABI, those to which the same happens in one list.
#[must_use]
pub fn summary(explanations: &[Explanation], style: &Style) -> String {
    let mut text = String::new();
    for abi in Abi::ALL {
        let mut groups: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
        let mut some = String::new();
        for explanation in explanations.iter().filter(|explanation| explanation.abi == abi) {
            match explanation.cases.as_slice() {
                [only] => groups.entry((only.verdict, summarized(only))).or_default().push(&explanation.name),
                [] => {
                    let why = explanation.unknown.as_deref().unwrap_or_default();
                    let _ = writeln!(some, "  {}: unknown: {}", explanation.name, printable(why));
                }
                cases => {
                    for case in cases {
                        let conditions = conjunction(&case.conditions, "otherwise");
                        let _ = writeln!(some, "  {}: {conditions}: {}", explanation.name, summarized(case));
                    }
                }
            }
        }
        if groups.is_empty() && some.is_empty() {
            continue;
        }
        for ((verdict, words), names) in &groups {
            let heading = format!("{abi}: {} {words}", names.len());
            let _ = writeln!(text, "{}", style.paint(paint(verdict), &heading));
            text.push_str(&wrapped(names.iter().copied(), style.width));
        }
        if !some.is_empty() {
            let _ = writeln!(text, "{}", style.paint(Paint::Yellow, &format!("{abi}: by arguments")));
            text.push_str(&some);
        }
    }
    text
}

fn summarized(case: &ExplainedCase) -> String {
    let by = match case.decided_by {
        "default" => ", by default",
        "runtime_stub" => ", by runc's stub",
        "foreign_abi" => ", as every call of this ABI",
        _ => "",
    };
    outcome(case) + by
}
