//! What the host and the engine tell: bundles, cgroups, `/proc`, the configuration, the engine's answers.

use auditor::cgroupfs::container_id_of;
use auditor::hostile;
use auditor::profile::oci::parse_seccomp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) fn bundle(bytes: &[u8]) {
    if let Ok(bundle) = hostile::bundle(bytes)
        && let Some(seccomp) = &bundle.seccomp
    {
        let _ = parse_seccomp(seccomp);
    }
    assert_ne!(hostile::runtime_of_shim(bytes).as_deref(), Some(""));
    let words: Vec<String> = String::from_utf8_lossy(bytes).split(' ').map(str::to_owned).collect();
    let container = "ab".repeat(32);
    for place in hostile::places_of_shim(&words, &container) {
        assert!(place.is_absolute() && place.ends_with(&container), "{}", place.display());
    }
}

pub(super) fn cgroup(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(id) = container_id_of(&text) {
        assert!(text.contains(&id.to_string()) && id.to_string().len() == 64, "{text}");
    }
    if let Some(path) = hostile::cgroup(&text) {
        assert!(!path.contains('\n'), "{path:?}");
        let _ = container_id_of(path);
    }
}

pub(super) fn proc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (hostile::status(&text), hostile::cgroup(&text));
    let (unified, _) = hostile::mounts(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(unified.len() <= lines, "{unified:?}");
    let words: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    let _ = hostile::places_of_shim(&words, "ab");
}

pub(super) fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = hostile::configuration(text) {
        let message = error.to_string();
        // A value is quoted, whatever it is; the rest is ours.
        assert!(!message.contains('\n') && message.len() <= 512 + 8 * bytes.len(), "{message:?}");
    }
}

pub(super) fn web(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Err(error) = hostile::http::configuration(text) {
                let (message, lines) = (error.to_string(), text.split(['\n', '\r']).count());
                assert!(message.chars().all(|c| !c.is_control()), "{message:?}");
                let line = message.split(':').nth(1).and_then(|line| line.parse::<usize>().ok());
                assert!(line.is_some_and(|line| (1..=lines + 1).contains(&line)), "{message:?}");
            }
        }
        // Both in one file.
        1 => {
            let _ = hostile::http::certificates(bytes, bytes);
        }
        2 => {
            let Some(([low, high], bytes)) = bytes.split_first_chunk() else { return };
            let (certificate, key) = bytes.split_at(bytes.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
            let text = pem("CERTIFICATE", certificate) + &pem("PRIVATE KEY", key);
            let _ = hostile::http::certificates(text.as_bytes(), text.as_bytes());
        }
        _ => {
            if let Some((name, _)) = hostile::http::credentials(bytes) {
                assert!(!name.contains(':'), "{name:?}");
            }
        }
    }
}

fn pem(what: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", STANDARD.encode(bytes))
}

/// Bytes of a name that are kept, and the longest of what a state can be.
const NAME: usize = 256;

pub(super) fn engine(bytes: &[u8]) {
    for container in hostile::read_answer(bytes) {
        let _ = container.seccomp_opt();
        let texts = [&container.name, &container.image, &container.image_id, &container.service, &container.state];
        for text in texts.into_iter().flatten() {
            assert!(!text.is_empty() && text.len() <= NAME, "{text:?}");
        }
        assert_ne!(container.pid, Some(0));
    }
}
