use super::*;
use crate::golden::assert_recorded;
use crate::report::view::{SyscallView, sample};
use crate::syscall::{SyscallNr, display_name};

fn row(abi: Abi, nr: i32, calls: u64, verdict: VerdictKind) -> SyscallView {
    SyscallView {
        abi,
        nr: SyscallNr(nr),
        name: display_name(abi, SyscallNr(nr)),
        calls,
        unfiltered_calls: 0,
        errors: 0,
        unfiltered_errors: 0,
        denied: 0,
        verdict,
        action: None,
        errno: None,
        first_seen: None,
        last_seen: None,
    }
}

/// A container that was refused `mkdir` six times and `clone` with some flags once.
fn confined() -> ContainerView {
    let x86 = Abi::X86_64;
    let refused =
        |row: SyscallView, denied| SyscallView { denied, action: Some("SCMP_ACT_ERRNO".into()), errno: Some(1), ..row };
    let mut view = sample(&"ab".repeat(32), "busybox:1.35");
    view.name = Some("shell".to_owned());
    view.denials = 7;
    view.syscalls = Some(vec![
        SyscallView { errors: 2, ..row(x86, 0, 1234, VerdictKind::Allowed) },
        SyscallView { unfiltered_calls: 3, ..row(x86, 257, 99, VerdictKind::Allowed) },
        refused(row(x86, 83, 0, VerdictKind::Denied), 6),
        refused(row(x86, 56, 12, VerdictKind::Conditional), 1),
        SyscallView { unfiltered_calls: 4, unfiltered_errors: 1, ..row(x86, 165, 0, VerdictKind::Denied) },
        row(x86, 41, 0, VerdictKind::Allowed),
        row(x86, 42, 0, VerdictKind::Allowed),
        SyscallView { action: Some("SCMP_ACT_LOG".into()), ..row(x86, 84, 3, VerdictKind::Allowed) },
        row(Abi::I386, 3, 0, VerdictKind::Allowed),
        row(Abi::I386, 4, 5, VerdictKind::Allowed),
        row(x86, -1, 1, VerdictKind::Unknown),
    ]);
    view
}

fn unconfined() -> ContainerView {
    let mut view = sample(&"cd".repeat(32), "debian");
    view.name = None;
    view.profile.kind = ProfileKind::Unconfined;
    view.profile.source = ProfileSource::Inspect;
    (view.profile.sha256, view.profile.default_action, view.profile.default_errno) = (None, None, None);
    (view.effective.mode, view.effective.filters, view.effective.matches_declared) = (EffectiveMode::None, None, None);
    (view.allowed, view.conditional, view.denied, view.unused) = (None, None, None, None);
    (view.window.complete, view.window.lost) = (false, 2);
    view.syscalls = Some(vec![SyscallView {
        unfiltered_calls: 8,
        unfiltered_errors: 1,
        ..row(Abi::X86_64, 0, 0, VerdictKind::Unknown)
    }]);
    view
}

#[test]
fn show_of_a_confined_container_is_as_recorded() {
    assert_recorded("show.txt", &table(&confined(), &Style::default(), false));
}

#[test]
fn show_all_is_as_recorded() {
    assert_recorded("show-all.txt", &table(&confined(), &Style::default(), true));
}

#[test]
fn show_of_an_unconfined_container_is_as_recorded() {
    assert_recorded("show-unconfined.txt", &table(&unconfined(), &Style::default(), false));
}

#[test]
fn coloured_show_is_as_recorded() {
    assert_recorded("show-colour.txt", &table(&confined(), &Style { colour: true, ..Style::default() }, false));
}

#[test]
fn json_of_show_is_as_recorded() {
    assert_recorded("show.json", &crate::report::json::array(&[confined()]).unwrap());
}
