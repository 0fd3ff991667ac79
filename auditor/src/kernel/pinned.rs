//! A pinned program or link, held by nothing but its descriptor: enough to pin it again, and to see how it fares.
//!
//! aya opens a pinned program by way of the BTF that it is attached to, and to be given that by its number takes
//! CAP_SYS_ADMIN (`bpf_btf_get_fd_by_id` in kernel/bpf/syscall.c), which the daemon's user does not have.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Commands of bpf(2) (`enum bpf_cmd` in include/uapi/linux/bpf.h).
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;

/// The part of `union bpf_attr` that these two commands read.
#[repr(C)]
struct ObjectAttributes {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The program, or the link.
#[derive(Debug)]
pub struct PinnedObject(OwnedFd);

impl PinnedObject {
    /// Opens a pin.
    ///
    /// # Errors
    /// When there is none, or it is somebody else's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = object_command(BPF_OBJ_GET, path, 0)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Pins it here as well.
    ///
    /// # Errors
    /// When something is there, or the directory is not on a bpffs.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        object_command(BPF_OBJ_PIN, path, self.0.as_raw_fd()).map(drop)
    }
}

impl AsFd for PinnedObject {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn object_command(command: libc::c_long, path: &Path, fd: RawFd) -> io::Result<RawFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectAttributes {
        pathname: path.as_ptr() as u64,
        bpf_fd: u32::try_from(fd).map_err(io::Error::other)?,
        file_flags: 0,
    };
    // SAFETY: the kernel reads the attributes and the path, which outlive the call, and writes to neither.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<ObjectAttributes>()) };
    RawFd::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}
