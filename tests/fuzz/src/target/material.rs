//! What is kept and handed on: archives, the rows and the file of the store.

use std::fs;

use auditor::evidence::{Archive, Evidence, Start};
use auditor::hostile;
use auditor::profile::Runtime;
use auditor::report::history::{WorkloadView, estimate, starts, starts_table, workloads_table};
use auditor::report::table::Style;
use auditor::store::Store;
use auditor::suggest::{Material, Options};
use auditor::syscall::Abi;

pub(super) fn archive(bytes: &[u8]) {
    let Ok(archive) = Archive::parse(bytes) else { return };
    let text = archive.render().unwrap();
    match Archive::parse(text.as_bytes()) {
        Ok(again) => assert_eq!(again, archive, "{text}"),
        Err(error) => panic!("{error}: {text}"),
    }
    for evidence in &archive.workloads {
        shown(evidence);
        let profile = archive.profiles.values().next().cloned();
        let material = Material {
            evidence: evidence.clone(),
            profile,
            runtime: Runtime::Runc,
            host: Abi::NATIVE,
            others: Vec::new(),
        };
        let _ = material.suggest(&Options { allow_incomplete: true, ..Options::default() });
    }
}

/// What is shown of evidence, and the law of joining it.
fn shown(evidence: &Evidence) {
    let style = Style::default();
    let tables = workloads_table(&[WorkloadView::of(evidence, 0)], &style) + &starts_table(&starts(evidence), &style);
    assert!(tables.chars().all(|c| c == '\n' || !c.is_control()), "{tables:?}");
    let _ = (estimate(evidence), evidence.window(), evidence.counters(), evidence.arguments());
    for start in &evidence.starts {
        assert_eq!(Start::join(start.clone(), start.clone()), *start);
    }
}

pub(super) fn row(bytes: &[u8]) {
    let _ = hostile::read_row(bytes);
}

/// A file that is there when the daemon starts.
pub(super) fn store(bytes: &[u8]) {
    let directory = tempfile::Builder::new().prefix("auditor-fuzz-").tempdir_in(memory()).unwrap();
    fs::write(directory.path().join("evidence.redb"), bytes).unwrap();
    let store = Store::open(directory.path()).unwrap();
    let library = store.library();
    for workload in library.workloads().unwrap_or_default() {
        let _ = library.evidence(&workload.id);
    }
    let _ = store.take_interrupted();
    assert!(store.close(std::time::Duration::from_secs(10)));
}

/// Where files cost no disk, if there is such a place.
fn memory() -> std::path::PathBuf {
    let shared = std::path::Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}
