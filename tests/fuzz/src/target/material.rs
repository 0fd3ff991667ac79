//! What is kept and handed on: archives, the rows and the file of the store.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use auditor::evidence::{Archive, Evidence, Start};
use auditor::hostile;
use auditor::profile::Runtime;
use auditor::report::history::{WorkloadView, estimate, starts, starts_table, workloads_table};
use auditor::report::table::Style;
use auditor::store::{Store, StoreError};
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
    if let Some(account) = std::str::from_utf8(bytes).ok().and_then(hostile::read_account) {
        assert_eq!(hostile::read_account(&account).as_ref(), Some(&account));
    }
}

/// The file of a store that holds some evidence.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let archive = Archive::parse(include_bytes!("../../../../auditor/tests/golden/evidence.json")).unwrap();
    let directory = tempfile::Builder::new().prefix("auditor-fuzz-").tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let profiles = archive.profiles.iter().map(|(hash, profile)| (hash.clone(), profile.render_oci())).collect();
    store.library().merge(archive.workloads, profiles).unwrap();
    assert!(store.close(Duration::from_secs(60)));
    let image = fs::read(directory.path().join("evidence.redb")).unwrap();
    assert_eq!(read(&image).unwrap(), 1, "the evidence can be read");
    image
});

fn read(image: &[u8]) -> Result<usize, StoreError> {
    // Where files cost no disk, if there is such a place.
    let memory = Path::new("/dev/shm");
    let mut file = if memory.is_dir() { tempfile::tempfile_in(memory) } else { tempfile::tempfile() }.unwrap();
    file.write_all(image).unwrap();
    hostile::read_file(file)
}

/// A file that is there when the daemon starts: a good one with some bytes changed, cut, or no such file at all.
pub(super) fn store(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut image = IMAGE.clone();
    let place = |bytes: [u8; 3]| usize::try_from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])).unwrap();
    let found = match kind % 4 {
        0 => read(bytes),
        1 => {
            let Some((length, bytes)) = bytes.split_first_chunk() else { return };
            let length = place(*length) % image.len();
            image.truncate(length);
            image.extend(bytes);
            read(&image)
        }
        _ => {
            for change in bytes.chunks_exact(4) {
                let at = place([change[0], change[1], change[2]]) % image.len();
                image[at] = change[3];
            }
            read(&image)
        }
    };
    match found {
        // As it is, as it was before the last change, or an empty one.
        Ok(workloads) => assert!(workloads <= 1),
        Err(error) => {
            let begins_anew = matches!(error, StoreError::Damaged { .. } | StoreError::Newer { .. });
            assert!(begins_anew, "{error}: no daemon starts with that");
        }
    }
}
