//! How two profiles differ, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::{LABEL_WIDTH, capped};
use super::table::{Paint, Style, wrapped};
use crate::denial::errno;
use crate::profile::compare::{Difference, Kind, Says, Side};

/// The differences: calls that differ in the same way together, those that differ for some arguments one by one.
#[must_use]
pub fn text(differences: &[Difference], style: &Style) -> String {
    let mut text = String::new();
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    let mut single = Vec::new();
    for difference in differences {
        match (difference.abi, &difference.a.says, &difference.b.says) {
            (Some(abi), Says::Always, Says::Always) => {
                let key = (abi, difference.kind, words(&difference.a), words(&difference.b));
                groups.entry(key).or_default().push(&difference.name);
            }
            (None, ..) => text.push_str(&field(difference)),
            (Some(_), ..) => single.push(difference),
        }
    }
    // Writing to a String cannot fail.
    for ((abi, kind, a, b), names) in groups {
        let heading = format!("{abi}: {}{a} by A, {b} by B: {}", prefix(kind), names.len());
        let _ = writeln!(text, "{}", style.paint(paint(kind), &heading));
        text.push_str(&wrapped(names, style.width));
    }
    for difference in single {
        text.push_str(&call(difference, style));
    }
    text
}

fn field(difference: &Difference) -> String {
    let value = |side: &Side| match &side.says {
        Says::Value(value) if value.is_empty() => "none".to_owned(),
        Says::Value(value) => capped(value, LABEL_WIDTH),
        _ => String::new(),
    };
    format!(
        "{}: {}{} in A, {} in B\n",
        difference.name,
        prefix(difference.kind),
        value(&difference.a),
        value(&difference.b)
    )
}

fn call(difference: &Difference, style: &Style) -> String {
    let Difference { kind, abi, name, args, a, b, .. } = difference;
    let abi = abi.map_or("", |abi| abi.as_str());
    let mut text = String::new();
    let heading = format!("{abi} {name}: {}{} by A, {} by B", prefix(*kind), words(a), words(b));
    let _ = write!(text, "{}", style.paint(paint(*kind), &heading));
    let _ = match args {
        Some(args) => writeln!(text, ", for example for ({})", arguments(args)),
        None => writeln!(text),
    };
    for (side, called) in [(a, "A"), (b, "B")] {
        match &side.says {
            Says::Cases(cases) => {
                for (conditions, action, errno) in cases {
                    let conditions =
                        if conditions.is_empty() { "otherwise".to_owned() } else { conditions.join(" && ") };
                    let _ = writeln!(text, "  {called}: {conditions}: {}", outcome(action, *errno));
                }
            }
            Says::Unknown(why) => {
                let _ = writeln!(text, "  {called}: {why}");
            }
            Says::Complex => {
                let _ = writeln!(text, "  {called}: conditions that are too intertwined to be shown");
            }
            Says::Always | Says::Value(_) => {}
        }
    }
    text
}

/// The arguments up to the last that is not zero.
fn arguments(args: &[u64; 6]) -> String {
    let last = args.iter().rposition(|arg| *arg != 0).map_or(1, |at| at + 1);
    let number = |arg: &u64| if *arg < 4096 { arg.to_string() } else { format!("{arg:#x}") };
    args.iter().take(last).map(number).collect::<Vec<_>>().join(", ")
}

fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Wider => "wider: ",
        Kind::Narrower => "narrower: ",
        Kind::Errno => "errno only: ",
        Kind::Action | Kind::Profile | Kind::Unknown => "",
    }
}

fn paint(kind: Kind) -> Paint {
    match kind {
        Kind::Wider | Kind::Unknown => Paint::Red,
        Kind::Narrower => Paint::Green,
        Kind::Action | Kind::Profile => Paint::Yellow,
        Kind::Errno => Paint::Dim,
    }
}

fn words(side: &Side) -> String {
    side.action.map_or_else(|| "unknown".to_owned(), |action| outcome(action, side.errno))
}

fn outcome(action: &str, errno: Option<u16>) -> String {
    let with = errno.map_or_else(String::new, |errno| format!(" with {}", errno::describe(errno)));
    match action {
        "SCMP_ACT_ALLOW" => "allowed".to_owned(),
        "SCMP_ACT_LOG" => "allowed and logged".to_owned(),
        "SCMP_ACT_NOTIFY" => "left to a supervisor".to_owned(),
        "SCMP_ACT_ERRNO" => format!("denied{with}"),
        action => format!("denied{with} ({action})"),
    }
}
