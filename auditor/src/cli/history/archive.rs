//! `auditor history export` and `import`: evidence in files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::super::output::{Output, note};
use super::super::{Error, Global, SourceError, ask};
use super::{evidence, named, workloads};
use crate::control::{MAX_REQUEST, Request, Response};
use crate::evidence::{Archive, Evidence};
use crate::profile::Profile;
use crate::profile::oci::parse_seccomp;

/// Bytes of a file that are read at most: what a store holds, and some more.
const FILE_LIMIT: u64 = 256 << 20;
/// Bytes of evidence that are sent in one request: what is around it has room too.
const PART: usize = 512 << 10;

pub(super) fn export(global: &Global, out: &Output, word: Option<&str>) -> Result<(), Error> {
    let views = match word {
        Some(word) => named(global, word)?,
        None => workloads(global)?,
    };
    let mut archive = Archive::default();
    for view in views {
        let (evidence, profiles) = evidence(global, &view.id)?;
        archive.workloads.push(evidence);
        let parsed = profiles.iter().filter_map(|profile| parse_seccomp(profile.to_string().as_bytes()).ok());
        archive.profiles.extend(parsed.map(|profile| (profile.sha256(), profile)));
    }
    // In the same order whoever was seen last.
    archive.workloads.sort_by(|a, b| a.workload.cmp(&b.workload));
    out.write_text(&archive.render()?)
}

/// A file's name as it is shown, and the evidence in it.
pub(in crate::cli) fn read_archive(path: &Path) -> Result<(String, Archive), Error> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let bytes = read(path, &name)?;
    let archive = Archive::parse(&bytes).map_err(|source| Error::Archive { name: name.clone(), source })?;
    Ok((name, archive))
}

pub(super) fn import(global: &Global, path: &Path) -> Result<(), Error> {
    let (name, archive) = read_archive(path)?;
    // All of it is looked at before any of it is sent.
    let mut parts = Vec::new();
    for workload in archive.workloads {
        parts.extend(workload.into_parts(PART)?);
    }
    for part in &parts {
        let size = serde_json::to_vec(part)?.len() as u64;
        if let (true, Some(start)) = (size > MAX_REQUEST - (MAX_REQUEST >> 4), part.starts.first()) {
            return Err(Error::StartTooLarge { name, start: start.id.clone() });
        }
    }
    let (mut new, mut more) = (0, 0);
    let mut send = |evidence: Vec<Evidence>, profiles: Vec<serde_json::Value>| {
        match ask(global, &Request::Import { evidence, profiles })? {
            Response::Imported { new: n, more: m } => (new, more) = (new + n, more + m),
            _ => return Err(Error::WrongAnswer),
        }
        Ok(())
    };
    for profile in archive.profiles.values() {
        send(Vec::new(), vec![value(profile)?])?;
    }
    for part in parts {
        send(vec![part], Vec::new())?;
    }
    note(&format!("{name}: {new} starts are new, of {more} more is known now"));
    Ok(())
}

fn value(profile: &Profile) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(&profile.render_oci())
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Source(SourceError::Unreadable { name: name.to_owned(), source });
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(unreadable)?)
    };
    let mut bytes = Vec::new();
    reader.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Error::TooLarge { name: name.to_owned(), limit: FILE_LIMIT >> 20 });
    }
    Ok(bytes)
}
