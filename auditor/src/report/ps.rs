//! `auditor ps`: containers at a glance.

use crate::report::escape::printable;
use crate::report::table::{Align, Paint, Style, Table};
use crate::report::view::{ContainerView, EffectiveMode, ProfileKind};

/// The table, by name, the nameless last; what a person should look at is coloured.
#[must_use]
pub fn table(containers: &[ContainerView], style: &Style) -> String {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("NAME", Align::Left),
        ("IMAGE", Align::Left),
        ("STATE", Align::Left),
        ("PROFILE", Align::Left),
        ("ALLOWED", Align::Right),
        ("USED", Align::Right),
        ("UNUSED", Align::Right),
        ("DENIALS", Align::Right),
        ("SINCE", Align::Left),
        ("COMPLETE", Align::Left),
    ]);
    let mut sorted: Vec<&ContainerView> = containers.iter().collect();
    sorted.sort_by_key(|view| (view.name.is_none(), &view.name, &view.id));
    for view in sorted {
        table.row(
            paint(view),
            vec![
                style.id(&view.id),
                text(view.name.as_deref().map(|name| style.name(name))),
                text(view.image.as_deref().map(|image| style.name(image))),
                text(view.state.as_deref().map(|state| style.name(state))),
                profile(view),
                text(view.allowed),
                view.used.to_string(),
                text(view.unused),
                view.denials.to_string(),
                text(view.window.since.map(time)),
                if view.window.complete { "yes" } else { "no" }.to_owned(),
            ],
        );
    }
    table.render(style)
}

/// Unknown is a dash, never a zero.
pub(super) fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// To the second, in UTC.
pub(super) fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn paint(view: &ContainerView) -> Paint {
    if view.denials > 0 {
        Paint::Red
    } else if !is_enforced(view) || view.effective.matches_declared == Some(false) {
        Paint::Yellow
    } else {
        Paint::Plain
    }
}

/// Whether a filter may be taken to be in force; unknown is not "no".
fn is_enforced(view: &ContainerView) -> bool {
    !matches!(view.profile.kind, ProfileKind::Unconfined | ProfileKind::Privileged)
        && view.effective.mode != EffectiveMode::None
}

/// The kind, and where the kernel enforces something else, why.
fn profile(view: &ContainerView) -> String {
    let kind = view.profile.kind.as_str();
    if view.effective.matches_declared != Some(false) {
        return kind.to_owned();
    }
    let mut reasons = view.effective.reasons.iter().filter(|reason| reason.alarming);
    match (reasons.next(), reasons.count()) {
        (None, _) => format!("{kind}!"),
        (Some(first), 0) => format!("{kind}! {}", printable(&first.reason)),
        (Some(first), more) => format!("{kind}! {} +{more}", printable(&first.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::assert_recorded;
    use crate::report::view::{ReasonView, sample};

    fn containers() -> Vec<ContainerView> {
        let mut web = sample(&"ab".repeat(32), "nginx:1.22");
        web.name = Some("web".to_owned());
        web.denials = 6;
        let mut evil = sample(&"cd".repeat(32), "registry.example.org/a/very/long/path/to/an/image/that/never/ends:1");
        evil.name = Some("\x1b[2Jevil\n".to_owned());
        evil.effective.matches_declared = Some(false);
        let reason = |reason: &str, alarming| ReasonView {
            reason: reason.to_owned(),
            alarming,
            text: format!("in words: {reason}"),
        };
        evil.effective.reasons =
            vec![reason("stacked-filter", true), reason("default-changed", true), reason("runtime-stub", false)];
        let mut bare = sample(&"ef".repeat(32), "busybox");
        (bare.name, bare.image, bare.state) = (None, None, None);
        bare.profile.kind = ProfileKind::Unknown;
        (bare.allowed, bare.unused, bare.window.since) = (None, None, None);
        bare.window.complete = false;
        vec![web, evil, bare]
    }

    #[test]
    fn ps_is_as_recorded() {
        assert_recorded("ps.txt", &table(&containers(), &Style::default()));
    }

    #[test]
    fn untruncated_ps_is_as_recorded() {
        assert_recorded("ps-no-trunc.txt", &table(&containers(), &Style { truncate: false, ..Style::default() }));
    }

    #[test]
    fn json_of_ps_is_as_recorded() {
        assert_recorded("ps.json", &crate::report::json::array(&containers()).unwrap());
    }

    #[test]
    fn only_colour_is_added_by_colour() {
        let coloured = table(&containers(), &Style { colour: true, ..Style::default() });
        assert_eq!(coloured.matches("\x1b[31m").count(), 1);
        assert_eq!(coloured.matches("\x1b[33m").count(), 1);
        let mut plain = coloured;
        for code in ["0", "1", "31", "33"] {
            plain = plain.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(plain, table(&containers(), &Style::default()));
    }
}
