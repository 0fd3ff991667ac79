//! A program that makes the calls that it is told to, and not one more: no library, no start-up. What is counted of it is
//! known to the last call.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;
/// `exit`, which is the last call.
pub const EXIT: u32 = 60;

/// Writes a program for x86-64 that makes each call so many times, with one argument, and ends.
pub fn write(path: &Path, calls: &[(u32, u32, u32)]) -> Result<()> {
    let mut code = Vec::new();
    for (nr, arg, count) in calls {
        code.extend([0x41, 0xbc]); // mov r12d, count
        code.extend(count.to_le_bytes());
        let top = code.len();
        code.push(0xb8); // mov eax, nr
        code.extend(nr.to_le_bytes());
        code.push(0xbf); // mov edi, arg
        code.extend(arg.to_le_bytes());
        code.extend([0x31, 0xf6, 0x31, 0xd2]); // xor esi, esi; xor edx, edx
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
