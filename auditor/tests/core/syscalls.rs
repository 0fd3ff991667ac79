//! Tables of names and numbers.

use auditor::syscall::{Abi, SyscallNr, all, display_name, known_name, number};

use crate::nr;

#[test]
fn every_name_leads_back_to_its_number() {
    for abi in Abi::ALL {
        for (nr, name) in all(abi) {
            assert_eq!(number(abi, name), Some(nr), "{abi} {name}");
            assert_eq!(known_name(abi, nr), Some(name), "{abi} {name}");
        }
    }
}

#[test]
fn numbers_are_the_kernels() {
    for (abi, name, expected) in [
        (Abi::X86_64, "read", 0),
        (Abi::X86_64, "mkdir", 83),
        (Abi::X86_64, "clone3", 435),
        (Abi::X86_64, "file_setattr", 469),
        (Abi::X86_64, "rseq_slice_yield", 471),
        (Abi::I386, "exit", 1),
        (Abi::I386, "break", 17),
        (Abi::I386, "socketcall", 102),
        (Abi::I386, "mkdir", 39),
        (Abi::X32, "read", 0),
        (Abi::X32, "rt_sigaction", 512),
        (Abi::X32, "ioctl", 514),
        (Abi::X32, "execve", 520),
        (Abi::X32, "execveat", 545),
        (Abi::X32, "pwritev2", 547),
        (Abi::Aarch64, "newfstatat", 79),
        (Abi::Aarch64, "mkdirat", 34),
        (Abi::Arm, "set_tls", 983_045),
    ] {
        assert_eq!(nr(abi, name), SyscallNr(expected), "{abi} {name}");
    }
}

#[test]
fn x32_lacks_what_the_kernel_gives_to_64_bit_programs_alone() {
    for name in ["uselib", "vserver", "set_thread_area", "nfsservctl", "_sysctl"] {
        assert_eq!(number(Abi::X32, name), None, "{name}");
        assert!(number(Abi::X86_64, name).is_some(), "{name}");
    }
    // The numbers of the 64-bit twins are free in x32.
    assert_eq!(known_name(Abi::X32, SyscallNr(59)), None);
    assert_eq!(known_name(Abi::X86_64, SyscallNr(520)), None);
}

#[test]
fn arm64_has_no_calls_of_32_bit_time() {
    assert_eq!(number(Abi::Aarch64, "clock_gettime64"), None);
    assert_eq!(number(Abi::Aarch64, "mkdir"), None);
}

#[test]
fn a_number_without_a_name_stays_visible() {
    assert_eq!(display_name(Abi::X86_64, SyscallNr(400)), "unknown_400");
    assert_eq!(display_name(Abi::X86_64, SyscallNr::OUTSIDE), "unknown");
    assert_eq!(display_name(Abi::X86_64, SyscallNr(83)), "mkdir");
}

/// The header of the kernel that this machine compiles programs for: every number in it is the table's.
fn check_header(abi: Abi, file: &str, base: &str) {
    let path = format!("/usr/include/x86_64-linux-gnu/asm/{file}");
    let header = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}: install libc6-dev"));
    let mut rows = 0;
    for line in header.lines().filter_map(|line| line.strip_prefix("#define __NR_")) {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let value = value.trim_start_matches(base).trim_end_matches(')');
        assert_eq!(number(abi, name), Some(SyscallNr(value.parse().unwrap())), "{file}: {name}");
        rows += 1;
    }
    assert!(rows > 300, "{file}: {rows} rows");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn tables_agree_with_the_c_librarys_headers() {
    check_header(Abi::X86_64, "unistd_64.h", "");
    check_header(Abi::I386, "unistd_32.h", "");
    check_header(Abi::X32, "unistd_x32.h", "(__X32_SYSCALL_BIT + ");
}
