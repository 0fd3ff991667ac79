//! Where this kernel has the fields that the programs read.

/// The offset of a field that this kernel lacks and that the counting programs can do without.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets of the kernel's fields, filled in from BTF at load time. A field's own documentation says which it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Offsets {
    /// `task_struct.seccomp.mode`.
    pub task_seccomp_mode: u32,
    /// `task_struct.seccomp.filter_count`.
    pub task_filter_count: u32,
    /// `task_struct.seccomp.filter`.
    pub task_filter: u32,
    /// `task_struct.ptrace`.
    pub task_ptrace: u32,
    /// `task_struct.exit_code`.
    pub task_exit_code: u32,
    /// `task_struct.signal`.
    pub task_signal: u32,
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// `task_struct.bpf_storage`.
    pub task_bpf_storage: u32,
    /// `task_struct.pending.signal`.
    pub task_pending: u32,
    /// `task_struct.cgroups`.
    pub task_cgroups: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
    /// `mm_struct.exe_file`.
    pub mm_exe_file: u32,
    /// `file.f_inode`.
    pub file_inode: u32,
    /// `inode.i_ino`.
    pub inode_ino: u32,
    /// `inode.i_sb`.
    pub inode_sb: u32,
    /// `super_block.s_dev`.
    pub sb_dev: u32,
    /// `signal_struct.flags`.
    pub signal_flags: u32,
    /// x86: `task_struct.thread_info.status`; arm64: `task_struct.thread_info.flags`.
    pub task_compat_word: u32,
    /// The bit of it that says that the current call is a 32-bit one.
    pub compat_bit: u32,
    /// The word with the bit below: x86 `thread_info.syscall_work`, arm64 `thread_info.flags`.
    pub task_sysemu_word: u32,
    /// The bit of it that says that a tracer emulates the task's calls.
    pub sysemu_bit: u32,
    /// x86: `pt_regs.orig_ax`; arm64: `pt_regs.syscallno`.
    pub regs_nr: u32,
    /// x86: `pt_regs.ip`; arm64: `pt_regs.pc`.
    pub regs_ip: u32,
    /// The six arguments of a 64-bit call: x86 `pt_regs.{di, si, dx, r10, r8, r9}`; arm64 `pt_regs.orig_x0` and
    /// `pt_regs.regs[1..6]`.
    pub regs_args: [u32; 6],
    /// The six arguments of a 32-bit call: x86 `pt_regs.{bx, cx, dx, si, di, bp}`; arm64 as above.
    pub regs_compat_args: [u32; 6],
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.thread_pid`.
    pub task_thread_pid: u32,
    /// `task_struct.comm`.
    pub task_comm: u32,
    /// `signal_struct.pids[PIDTYPE_TGID]`.
    pub signal_tgid_pid: u32,
    /// `pid.level`.
    pub pid_level: u32,
    /// `pid.numbers[0].nr`.
    pub pid_numbers_nr: u32,
    /// Size of `upid`.
    pub upid_size: u32,
    /// `seccomp_filter.cache.allow_native`.
    pub filter_allow_native: u32,
    /// `seccomp_filter.cache.allow_compat`.
    pub filter_allow_compat: u32,
    /// `seccomp_filter.prev`.
    pub filter_prev: u32,
    /// `seccomp_filter.notif`.
    pub filter_notif: u32,
    /// `task_struct.start_boottime`.
    pub task_start_boottime: u32,
    /// `seccomp_filter.prog`, or [`ABSENT`].
    pub filter_prog: u32,
    /// `bpf_prog.orig_prog`, or [`ABSENT`].
    pub prog_orig_prog: u32,
    /// `sock_fprog_kern.len`, or [`ABSENT`].
    pub fprog_len: u32,
    /// `sock_fprog_kern.filter`, or [`ABSENT`].
    pub fprog_filter: u32,
    /// `css_set.dfl_cgrp`.
    pub css_set_dfl_cgrp: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `cgroup.root`.
    pub cgroup_root: u32,
    /// `cgroup.self.parent`.
    pub cgroup_parent_css: u32,
    /// `cgroup_subsys_state.cgroup`.
    pub css_cgroup: u32,
    /// `cgroup_root.hierarchy_id`.
    pub root_hierarchy_id: u32,
    /// `kernfs_node.id`.
    pub kn_id: u32,
    /// `kernfs_node.name`.
    pub kn_name: u32,
}

impl Offsets {
    /// What the object carries before it is loaded: offsets that no structure has, so that the verifier would refuse it.
    pub const UNKNOWN: Self = Self {
        task_seccomp_mode: u32::MAX,
        task_filter_count: u32::MAX,
        task_filter: u32::MAX,
        task_ptrace: u32::MAX,
        task_exit_code: u32::MAX,
        task_signal: u32::MAX,
        task_flags: u32::MAX,
        task_bpf_storage: u32::MAX,
        task_pending: u32::MAX,
        task_cgroups: u32::MAX,
        task_mm: u32::MAX,
        mm_exe_file: u32::MAX,
        file_inode: u32::MAX,
        inode_ino: u32::MAX,
        inode_sb: u32::MAX,
        sb_dev: u32::MAX,
        signal_flags: u32::MAX,
        task_compat_word: u32::MAX,
        compat_bit: u32::MAX,
        task_sysemu_word: u32::MAX,
        sysemu_bit: u32::MAX,
        regs_nr: u32::MAX,
        regs_ip: u32::MAX,
        regs_args: [u32::MAX; 6],
        regs_compat_args: [u32::MAX; 6],
        task_pid: u32::MAX,
        task_tgid: u32::MAX,
        task_thread_pid: u32::MAX,
        task_comm: u32::MAX,
        signal_tgid_pid: u32::MAX,
        pid_level: u32::MAX,
        pid_numbers_nr: u32::MAX,
        upid_size: u32::MAX,
        filter_allow_native: u32::MAX,
        filter_allow_compat: u32::MAX,
        filter_prev: u32::MAX,
        filter_notif: u32::MAX,
        task_start_boottime: u32::MAX,
        filter_prog: u32::MAX,
        prog_orig_prog: u32::MAX,
        fprog_len: u32::MAX,
        fprog_filter: u32::MAX,
        css_set_dfl_cgrp: u32::MAX,
        cgroup_kn: u32::MAX,
        cgroup_root: u32::MAX,
        cgroup_parent_css: u32::MAX,
        css_cgroup: u32::MAX,
        root_hierarchy_id: u32::MAX,
        kn_id: u32::MAX,
        kn_name: u32::MAX,
    };
}
