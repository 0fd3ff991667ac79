//! Where the running kernel keeps the fields that the programs read: from its BTF, at load time.

use auditor_ebpf::{ABSENT, Offsets};
use btf_rs::{Btf, BtfType, Type};

use super::KernelError;

/// The kernel's own description of its types.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// `TS_COMPAT` (`arch/x86/include/asm/thread_info.h`), a macro and so not in BTF: set while a 32-bit call runs.
const X86_TS_COMPAT: u32 = 0x2;
/// `TIF_32BIT` (`arch/arm64/include/asm/thread_info.h`).
const ARM64_TIF_32BIT: u32 = 1 << 22;
/// `TIF_SYSCALL_EMU` (`arch/arm64/include/asm/thread_info.h`).
const ARM64_TIF_SYSCALL_EMU: u32 = 1 << 12;

/// `PIDTYPE_TGID` (`include/linux/pid_types.h`).
const PIDTYPE_TGID: u32 = 1;
/// Bytes of a pointer, and of an arm64 register in `pt_regs.regs`.
const POINTER: u32 = 8;

/// Reads all offsets.
///
/// # Errors
/// When the kernel has no BTF, or a structure lacks a field that the programs need.
pub fn read_offsets() -> Result<Offsets, KernelError> {
    offsets_in(&Btf::from_file(VMLINUX_BTF).map_err(|error| KernelError::NoBtf(error.to_string()))?)
}

/// The offsets that a kernel's description gives.
pub(super) fn offsets_in(btf: &Btf) -> Result<Offsets, KernelError> {
    let at = |structure: &'static str, path: &'static str| {
        member_offset(btf, structure, path).ok_or(KernelError::NoField { structure, path })
    };
    let x86 = cfg!(target_arch = "x86_64");
    let args = registers(at, ["di", "si", "dx", "r10", "r8", "r9"])?;
    let compat_args = registers(at, ["bx", "cx", "dx", "si", "di", "bp"])?;
    Ok(Offsets {
        task_seccomp_mode: at("task_struct", "seccomp.mode")?,
        task_filter_count: at("task_struct", "seccomp.filter_count")?,
        task_filter: at("task_struct", "seccomp.filter")?,
        task_ptrace: at("task_struct", "ptrace")?,
        task_exit_code: at("task_struct", "exit_code")?,
        task_signal: at("task_struct", "signal")?,
        task_flags: at("task_struct", "flags")?,
        task_bpf_storage: at("task_struct", "bpf_storage")?,
        task_pending: at("task_struct", "pending.signal")?,
        task_cgroups: at("task_struct", "cgroups")?,
        task_mm: at("task_struct", "mm")?,
        mm_exe_file: at("mm_struct", "exe_file")?,
        file_inode: at("file", "f_inode")?,
        inode_ino: at("inode", "i_ino")?,
        inode_sb: at("inode", "i_sb")?,
        sb_dev: at("super_block", "s_dev")?,
        signal_flags: at("signal_struct", "flags")?,
        task_compat_word: at("task_struct", if x86 { "thread_info.status" } else { "thread_info.flags" })?,
        compat_bit: if x86 { X86_TS_COMPAT } else { ARM64_TIF_32BIT },
        task_sysemu_word: at("task_struct", if x86 { "thread_info.syscall_work" } else { "thread_info.flags" })?,
        sysemu_bit: if x86 {
            1 << enumerator(btf, "syscall_work_bit", "SYSCALL_WORK_BIT_SYSCALL_EMU")
                .ok_or(KernelError::NoField { structure: "syscall_work_bit", path: "SYSCALL_WORK_BIT_SYSCALL_EMU" })?
        } else {
            ARM64_TIF_SYSCALL_EMU
        },
        regs_nr: at("pt_regs", if x86 { "orig_ax" } else { "syscallno" })?,
        regs_ip: at("pt_regs", if x86 { "ip" } else { "pc" })?,
        regs_args: args,
        regs_compat_args: compat_args,
        task_pid: at("task_struct", "pid")?,
        task_tgid: at("task_struct", "tgid")?,
        task_thread_pid: at("task_struct", "thread_pid")?,
        task_comm: at("task_struct", "comm")?,
        signal_tgid_pid: at("signal_struct", "pids")? + PIDTYPE_TGID * POINTER,
        pid_level: at("pid", "level")?,
        pid_numbers_nr: at("pid", "numbers")? + at("upid", "nr")?,
        upid_size: size_of_structure(btf, "upid").ok_or(KernelError::NoField { structure: "upid", path: "nr" })?,
        filter_allow_native: at("seccomp_filter", "cache.allow_native")?,
        // 32-bit support can be compiled out; then no call is a 32-bit one and any readable place will do.
        filter_allow_compat: at("seccomp_filter", "cache.allow_compat").or_else(|_| at("seccomp_filter", "cache"))?,
        filter_prev: at("seccomp_filter", "prev")?,
        filter_notif: at("seccomp_filter", "notif")?,
        task_start_boottime: at("task_struct", "start_boottime")?,
        // Without these no filter can be read, and everything else works.
        filter_prog: at("seccomp_filter", "prog").unwrap_or(ABSENT),
        prog_orig_prog: at("bpf_prog", "orig_prog").unwrap_or(ABSENT),
        fprog_len: at("sock_fprog_kern", "len").unwrap_or(ABSENT),
        fprog_filter: at("sock_fprog_kern", "filter").unwrap_or(ABSENT),
        css_set_dfl_cgrp: at("css_set", "dfl_cgrp")?,
        cgroup_kn: at("cgroup", "kn")?,
        cgroup_root: at("cgroup", "root")?,
        cgroup_parent_css: at("cgroup", "self.parent")?,
        css_cgroup: at("cgroup_subsys_state", "cgroup")?,
        root_hierarchy_id: at("cgroup_root", "hierarchy_id")?,
        kn_id: at("kernfs_node", "id")?,
        kn_name: at("kernfs_node", "name")?,
    })
}

/// Where a call's six arguments are (`syscall_get_arguments` in `arch/*/include/asm/syscall.h`); the names are x86's.
fn registers(
    at: impl Fn(&'static str, &'static str) -> Result<u32, KernelError>,
    names: [&'static str; 6],
) -> Result<[u32; 6], KernelError> {
    let mut offsets = [0; 6];
    if cfg!(target_arch = "x86_64") {
        for (offset, name) in offsets.iter_mut().zip(names) {
            *offset = at("pt_regs", name)?;
        }
    } else {
        let first = at("pt_regs", "regs")?;
        offsets = [at("pt_regs", "orig_x0")?, first + POINTER, first + 2 * POINTER, first + 3 * POINTER, 0, 0];
        (offsets[4], offsets[5]) = (first + 4 * POINTER, first + 5 * POINTER);
    }
    Ok(offsets)
}

/// Looks for what [`offsets_in`] may look for, whether or not what it looks for first is there.
pub(super) fn look_for_all(btf: &Btf) {
    for path in ["seccomp.filter", "pids", "f", "a.b.c"] {
        for structure in ["task_struct", "signal_struct", "s"] {
            let _ = member_offset(btf, structure, path);
        }
    }
    let _ = (size_of_structure(btf, "s"), enumerator(btf, "e", "v"));
}

fn size_of_structure(btf: &Btf, name: &str) -> Option<u32> {
    btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|candidate| match candidate {
        Type::Struct(structure) => u32::try_from(structure.size()).ok(),
        _ => None,
    })
}

/// Structures that are looked into for one field, and names for names that are followed: a description may have a type
/// in itself, and in itself again.
const STEPS: usize = 512;

/// The byte offset of a member, given as `member.member`, within the first structure of that name that has it.
fn member_offset(btf: &Btf, structure: &str, path: &str) -> Option<u32> {
    let candidates = btf.resolve_types_by_name(structure).ok()?;
    let mut steps = STEPS;
    candidates.into_iter().find_map(|candidate| walk(btf, &candidate, path, &mut steps))
}

fn walk(btf: &Btf, within: &Type, path: &str, steps: &mut usize) -> Option<u32> {
    *steps = steps.checked_sub(1)?;
    let Type::Struct(structure) = peel(btf, within.clone())? else { return None };
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    for member in &structure.members {
        let name = btf.resolve_name(member).unwrap_or_default();
        let offset = member.bit_offset() / 8;
        if name == first {
            let Some(rest) = rest else { return Some(offset) };
            return offset.checked_add(walk(btf, &btf.resolve_chained_type(member).ok()?, rest, steps)?);
        }
        // An anonymous structure or union shows its members as if they were the outer one's.
        if name.is_empty()
            && let Ok(inner) = btf.resolve_chained_type(member)
            && let Some(inner_offset) = walk(btf, &inner, path, steps)
        {
            return offset.checked_add(inner_offset);
        }
    }
    None
}

/// Follows typedefs and qualifiers to a structure or union.
fn peel(btf: &Btf, mut at: Type) -> Option<Type> {
    for _ in 0..STEPS {
        match at {
            Type::Struct(_) => return Some(at),
            Type::Union(union) => return Some(Type::Struct(union)),
            _ => {
                let next: &dyn BtfType = at.as_btf_type()?;
                at = btf.resolve_chained_type(next).ok()?;
            }
        }
    }
    None
}

fn enumerator(btf: &Btf, name: &str, variant: &str) -> Option<u32> {
    btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|candidate| {
        let Type::Enum(candidate) = candidate else { return None };
        let member =
            candidate.members.iter().find(|member| btf.resolve_name(*member).is_ok_and(|name| name == variant))?;
        Some(member.val())
    })
}
