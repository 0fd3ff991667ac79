//! A program that makes a few calls, and not one more: no library, no start-up. What is counted of it is
//! known to the last call.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use auditor::syscall::Abi;

use crate::counting::Made;

const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;
/// `exit`, which is the last call.
const EXIT: u32 = 60;
/// What it does before: numbers that the C library never uses, and how often.
const CALLS: [(u32, u32); 2] = [(124, 5), (121, 3)];

/// All calls of so many runs, `execve` not among them.
#[must_use]
pub fn calls(runs: u64) -> Made {
    let all = CALLS.into_iter().chain([(EXIT, 1)]);
    all.map(|(nr, count)| ((Abi::X86_64, nr.cast_signed()), u64::from(count) * runs)).collect()
}

/// The program in a directory of its own.
#[derive(Debug)]
pub struct Tiny {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Tiny {
    /// A new one.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir().context("making a directory for a program")?;
        let path = directory.path().join("tiny");
        write(&path)?;
        Ok(Self { _directory: directory, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap_or_default()
    }
}

/// Writes the program, for x86-64.
pub fn write(path: &Path) -> Result<()> {
    let mut code = Vec::new();
    for (nr, count) in CALLS {
        code.extend([0x41, 0xbc]); // mov r12d, count
        code.extend(count.to_le_bytes());
        let top = code.len();
        code.push(0xb8); // mov eax, nr
        code.extend(nr.to_le_bytes());
        code.extend([0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2]); // xor edi, edi; xor esi, esi; xor edx, edx
        code.extend([0x0f, 0x05, 0x41, 0xff, 0xcc, 0x75]); // syscall; dec r12d; jnz top
        let back = i8::try_from(code.len() + 1 - top).context("a short jump")?;
        code.extend((-back).to_le_bytes());
    }
    code.push(0xb8); // mov eax, exit
    code.extend(EXIT.to_le_bytes());
    code.extend([0x31, 0xff, 0x0f, 0x05]); // xor edi, edi; syscall

    let size = HEADERS + code.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_X86_64; entry; program headers at 64; no sections.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0]);
    for half in [64_u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable and executable, from the file's start.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    fs::write(path, elf).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).with_context(|| format!("opening {}", path.display()))
}
