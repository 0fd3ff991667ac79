//! A 32-bit program, written byte by byte: a machine needs no 32-bit compiler to test the 32-bit convention.

use std::io::Write as _;
use std::os::fd::{FromRawFd as _, IntoRawFd as _};

use anyhow::{Context as _, Result, bail};

use crate::work::Call;

const BASE: u32 = 0x0804_8000;
const HEADERS: u32 = 52 + 32;

/// In the 32-bit convention.
pub const EXECVE: u32 = 11;

/// Writes the program that makes these calls and becomes this 64-bit program again, which does nothing, and gives a path to execute it by.
pub fn file(calls: &[Call]) -> Result<String> {
    // SAFETY: a C string; executed by a child, so not closed on exec.
    let fd = unsafe { libc::memfd_create(c"compat".as_ptr(), 0) };
    if fd < 0 {
        bail!("making memory for a 32-bit program: {}", std::io::Error::last_os_error());
    }
    // SAFETY: a file of ours, given back below to stay open.
    let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.write_all(&program(calls)?).context("writing a 32-bit program")?;
    let fd = file.into_raw_fd();
    // A file that is open for writing cannot be executed: this is the same one, opened for reading.
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}"))?;
    // SAFETY: a C string; the first number is closed at once.
    let reading = unsafe {
        let reading = libc::open(path.as_ptr(), libc::O_RDONLY);
        libc::close(fd);
        reading
    };
    if reading < 0 {
        bail!("opening a 32-bit program: {}", std::io::Error::last_os_error());
    }
    Ok(format!("/proc/self/fd/{reading}"))
}

fn program(calls: &[Call]) -> Result<Vec<u8>> {
    let mut code = Vec::new();
    for call in calls {
        code.push(0xbe); // mov esi, count
        code.extend(u32::try_from(call.count).context("a count of 32 bits")?.to_le_bytes());
        let top = code.len();
        code.push(0xb8); // mov eax, nr
        code.extend(call.nr.to_le_bytes());
        code.push(0xbb); // mov ebx, arg
        code.extend(i32::try_from(call.arg).context("an argument of 32 bits")?.to_le_bytes());
        code.extend([0xcd, 0x80, 0x4e, 0x75]); // int 0x80; dec esi; jnz top
        let back = i8::try_from(code.len() + 1 - top).context("a short jump")?;
        code.extend((-back).to_le_bytes());
    }
    // execve(next, [next, "none"], NULL), and where that fails exit(127).
    let next = std::env::current_exe().context("finding this program")?;
    let mut strings = next.as_os_str().as_encoded_bytes().to_vec();
    strings.push(0);
    let none = u32::try_from(strings.len()).context("a short path")?;
    strings.extend(b"none\0");
    const TAIL: u32 = 22 + 12;
    let at = BASE + HEADERS + u32::try_from(code.len()).context("a small program")? + TAIL;
    let list = at + u32::try_from(strings.len()).context("a short path")?;
    code.push(0xb8); // mov eax, execve
    code.extend(EXECVE.to_le_bytes());
    code.push(0xbb); // mov ebx, path
    code.extend(at.to_le_bytes());
    code.push(0xb9); // mov ecx, arguments
    code.extend(list.to_le_bytes());
    code.extend([0xba, 0, 0, 0, 0, 0xcd, 0x80]); // mov edx, 0; int 0x80
    code.extend([0xb8, 1, 0, 0, 0, 0xbb, 127, 0, 0, 0, 0xcd, 0x80]); // exit(127)
    code.extend(strings);
    for word in [at, at + none, 0] {
        code.extend(word.to_le_bytes());
    }

    let size = HEADERS + u32::try_from(code.len()).context("a small program")?;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_386; entry; program headers at 52; no sections.
    elf.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 52, 0, 0] {
        elf.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // PT_LOAD from the file's start, readable and executable.
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    Ok(elf)
}
