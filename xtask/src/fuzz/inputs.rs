//! Inputs in the tree: one file a target, one input a line, in hex. Thousands of small files would be a burden.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Target, program, work};
use crate::repo;

/// Bytes of all inputs of one target that are kept, the smallest first.
const KEPT: usize = 12 << 10;

/// The file of a target; `kind` is `corpus` or `regressions`.
pub fn file(kind: &str, target: &str) -> PathBuf {
    repo::root().join("tests/fuzz").join(kind).join(format!("{target}.hex"))
}

/// The inputs of a file; none where there is none.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("reading {}", path.display()))?,
    };
    let bytes = |line: &str| -> Result<Vec<u8>> {
        let pair = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
        line.as_bytes().chunks(2).map(pair).collect()
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| bytes(line).with_context(|| format!("{}: a line is not hex", path.display())))
        .collect()
}

/// Writes a target's inputs out as the fuzzer wants them. Gives the directory.
pub fn unpack(target: &str) -> Result<PathBuf> {
    let directory = work().join("seeds").join(target);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    for kind in ["corpus", "regressions"] {
        for (at, input) in read(&file(kind, target))?.iter().enumerate() {
            fs::write(directory.join(format!("{kind}-{at}")), input).context("writing an input")?;
        }
    }
    Ok(directory)
}

/// Puts into the tree the smallest inputs that together reach what all reach, as far as there is room.
pub fn keep(target: &Target, binary: &PathBuf) -> Result<()> {
    let least = work().join("least").join(&target.name);
    if least.exists() {
        fs::remove_dir_all(&least).with_context(|| format!("removing {}", least.display()))?;
    }
    fs::create_dir_all(&least).with_context(|| format!("making {}", least.display()))?;
    let (found, seeds) = (work().join("corpus").join(&target.name), work().join("seeds").join(&target.name));
    let mut merge = program(target, binary);
    merge.args(["-set_cover_merge=1", "-timeout=10", "-verbosity=0"]).arg(format!("-max_len={}", target.max_len));
    repo::read(merge.args([&least, &seeds, &found]))?;
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&least).with_context(|| format!("reading {}", least.display()))? {
        inputs.push(fs::read(entry?.path())?);
    }
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut room = KEPT;
    inputs.retain(|input| {
        let fits = input.len() <= room;
        room = room.saturating_sub(input.len());
        fits
    });
    let hex = |input: &Vec<u8>| input.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    let path = file("corpus", &target.name);
    fs::write(&path, inputs.iter().map(hex).collect::<String>()).with_context(|| format!("writing {}", path.display()))
}
