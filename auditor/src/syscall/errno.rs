//! Names of errnos (include/uapi/asm-generic/errno-base.h and errno.h; x86 and Arm have the same).

/// 1 to 34, in order.
const BASE: [&str; 34] = [
    "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD", "EAGAIN", "ENOMEM",
    "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "ENOTDIR", "EISDIR", "EINVAL", "ENFILE",
    "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC", "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE",
];

/// Those of the others that profiles and supervisors give.
const MORE: [(u16, &str); 15] = [
    (35, "EDEADLK"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (61, "ENODATA"),
    (62, "ETIME"),
    (71, "EPROTO"),
    (75, "EOVERFLOW"),
    (93, "EPROTONOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (97, "EAFNOSUPPORT"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (125, "ECANCELED"),
];

/// The name, or the number where it has none here. 0 is a denial that looks like success.
#[must_use]
pub fn describe(errno: u16) -> String {
    let base = errno.checked_sub(1).and_then(|at| BASE.get(usize::from(at))).copied();
    match base.or_else(|| MORE.iter().find(|(number, _)| *number == errno).map(|(_, name)| *name)) {
        Some(name) => name.to_owned(),
        None if errno == 0 => "0, which looks like success".to_owned(),
        None => format!("errno {errno}"),
    }
}
