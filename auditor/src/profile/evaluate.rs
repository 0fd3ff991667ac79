//! From a profile to what it does, as runc or crun and libseccomp make a filter of it.
//!
//! Facts, by where they are in the sources: `libcontainer/seccomp/seccomp_linux.go` (defaults, skipped rules, several
//! conditions on one argument), `libcontainer/seccomp/patchbpf/enosys_linux.go` (the ENOSYS stub), libseccomp's
//! `db.c` (`db_rule_add`: the first rule without conditions wins), `syscalls.c` (`abi_rule_add`: multiplexed calls of
//! 32-bit machines), `gen_bpf.c` (x32, foreign architectures).

use std::collections::{BTreeMap, BTreeSet};

use super::multiplex::door;
use super::policy::{Chain, Entry, Policy, Table};
use super::{Action, Arch, ArgCondition, Operator, Profile, Rule, Runtime};
use crate::filter::Outcome;
use crate::syscall::{self, Abi, SyscallNr};

/// What of the host bears on the meaning of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostArch {
    /// The ABI of its 64-bit programs: always part of the filter.
    pub native: Abi,
    /// The highest number that the runtime's libseccomp has a name for; rules for newer calls are passed over. `None`:
    /// it knows all that the auditor knows.
    pub newest_known: Option<SyscallNr>,
    /// The runtime puts its ENOSYS stub before the native ABI also where the profile names no architectures (runc
    /// 1.1.15 and later).
    pub stub_always_native: bool,
    /// The runtime: not every one has such a stub.
    pub runtime: Runtime,
}

impl HostArch {
    /// The machine that this was built for, with a runtime and a libseccomp of today.
    pub const NATIVE: Self = Self::of(Abi::NATIVE);

    /// A machine of the given ABI, with runc.
    #[must_use]
    pub const fn of(native: Abi) -> Self {
        Self { native, newest_known: None, stub_always_native: true, runtime: Runtime::Runc }
    }

    /// The same with a runtime.
    #[must_use]
    pub const fn with(self, runtime: Runtime) -> Self {
        Self { runtime, ..self }
    }

    /// The number of a name, as the runtime's libseccomp resolves it.
    fn number(self, abi: Abi, name: &str) -> Option<SyscallNr> {
        let nr = syscall::number(abi, name)?;
        // Calls above the common ones belong to x32 (512..=547) and Arm: old, and known to every libseccomp.
        let newer = nr.0 < 512 && self.newest_known.is_some_and(|newest| nr > newest);
        (!newer).then_some(nr)
    }

    /// libseccomp has the name, for whatever machine.
    fn knows(self, name: &str) -> bool {
        Abi::ALL.into_iter().any(|abi| self.number(abi, name).is_some()) || OF_OTHER_MACHINES.contains(&name)
    }
}

impl Profile {
    /// What a container runtime makes of the profile on a host.
    #[must_use]
    pub fn evaluate(&self, host: HostArch) -> Policy {
        let default = outcome(self.default_action, self.default_errno);
        let mut tables: BTreeMap<Abi, Table> = BTreeMap::new();
        for abi in Abi::ALL {
            let named = self.architectures.contains(&Arch::of(abi));
            if named || abi == host.native {
                let stub = named || host.stub_always_native;
                let (entries, ghosts) = self.entries(host, abi);
                let stub_above = if stub { self.stub_above(host, abi) } else { None };
                tables.insert(abi, Table { entries, ghosts, stub_above, misread: false });
            }
        }
        self.find_misread(host, &mut tables);
        // libseccomp's SCMP_FLTATR_ACT_BADARCH, which no runtime changes.
        let bad_arch = Outcome { action: Action::KillThread, data: 0 };
        Policy { native: host.native, default, bad_arch, tables }
    }

    /// The highest number that any rule names, also one that is passed over for having the default action.
    fn stub_above(&self, host: HostArch, abi: Abi) -> Option<SyscallNr> {
        let by_default = matches!(self.default_action, Action::Allow | Action::Log | Action::Trace);
        if by_default || host.runtime == Runtime::Crun {
            return None;
        }
        let highest = self
            .rules
            .iter()
            .flat_map(|rule| &rule.names)
            .filter(|name| door(abi, name).is_none())
            .filter_map(|name| host.number(abi, name))
            .max()?;
        // A profile that names number 0 alone has no highest number to runc.
        (highest.0 > 0).then_some(highest)
    }

    /// What the filter holds for each call, and for names that the ABI does not have.
    fn entries(&self, host: HostArch, abi: Abi) -> (BTreeMap<SyscallNr, Entry>, BTreeMap<String, Entry>) {
        let (mut entries, mut ghosts) = (BTreeMap::new(), BTreeMap::new());
        for rule in &self.rules {
            if same_action((rule.action, rule.errno), (self.default_action, self.default_errno)) {
                continue;
            }
            for name in &rule.names {
                for chain in chains(rule, abi) {
                    let door = door(abi, name);
                    if let Some((door, number)) = door {
                        // Through the door, the call's first argument tells which call is meant.
                        let mut inside = chain.clone();
                        inside.conditions.retain(|condition| condition.index != 0);
                        inside.conditions.insert(0, equal(0, number));
                        add(&mut entries, door, inside);
                    }
                    if let Some(nr) = host.number(abi, name) {
                        add(&mut entries, nr, chain);
                    } else if has_ghosts(abi, door.is_some()) && host.knows(name) {
                        add(&mut ghosts, name.clone(), chain);
                    }
                }
            }
        }
        (entries, ghosts)
    }

    /// Finds the ABIs whose calls libseccomp's filter does not recognise: `_gen_bpf_syscalls` in gen_bpf.c has the
    /// number loaded before the call that comes first, and where that is a ghost, which leaves no code, never. The one
    /// with the fewest comparisons comes first.
    fn find_misread(&self, host: HostArch, tables: &mut BTreeMap<Abi, Table>) {
        let named = self.architectures.iter().filter_map(|arch| arch.abi());
        let mut order: Vec<Abi> = Vec::new();
        for abi in std::iter::once(host.native).chain(named).filter(|abi| tables.contains_key(abi)) {
            if !order.contains(&abi) {
                order.push(abi);
            }
        }
        // These two have one number space, and where both are there, one list.
        let (pair, single): (Vec<Abi>, Vec<Abi>) =
            order.into_iter().partition(|abi| matches!(abi, Abi::X86_64 | Abi::X32));
        let mut lists: Vec<Vec<Abi>> = single.into_iter().map(|abi| vec![abi]).collect();
        // One of them alone has its number loaded to tell it from the other.
        lists.extend((pair.len() == 2).then_some(pair));
        for list in lists {
            let mut first: Option<(i64, bool)> = None;
            for (abi, table) in list.iter().filter_map(|abi| Some((abi, tables.get(abi)?))) {
                let real = table.entries.values().map(|entry| (entry, false));
                for (entry, ghost) in real.chain(table.ghosts.values().map(|entry| (entry, true))) {
                    let size = entry.size(*abi);
                    if first.is_none_or(|(least, _)| size < least) {
                        first = Some((size, ghost));
                    }
                    if size == 0 {
                        break;
                    }
                }
            }
            if first.is_some_and(|(_, ghost)| ghost) {
                for abi in list {
                    if let Some(table) = tables.get_mut(&abi) {
                        table.misread = true;
                    }
                }
            }
        }
    }
}

/// libseccomp keeps names that an ABI does not have under numbers below zero; for i386 only those of calls that come
/// through a door.
pub(super) const fn has_ghosts(abi: Abi, has_door: bool) -> bool {
    !matches!(abi, Abi::I386) || has_door
}

/// Names of calls that libseccomp knows from other machines (its syscalls.csv).
pub(super) const OF_OTHER_MACHINES: [&str; 23] = [
    "atomic_barrier",
    "atomic_cmpxchg_32",
    "cachectl",
    "getpagesize",
    "multiplexer",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "spu_create",
    "spu_run",
    "subpage_prot",
    "swapcontext",
    "switch_endian",
    "sync_file_range2",
    "sys_debug_setcontext",
    "syscall",
    "sysmips",
    "timerfd",
];

/// One rule is one chain, unless it has two conditions on one argument: then each condition is a chain of its own.
pub(super) fn chains(rule: &Rule, abi: Abi) -> Vec<Chain> {
    let outcome = outcome(rule.action, rule.errno);
    let indices: BTreeSet<u32> = rule.args.iter().map(|arg| arg.index).collect();
    let chain = |args: &[ArgCondition]| {
        let mut conditions: Vec<_> = args.iter().filter_map(|arg| compared(*arg, abi)).collect();
        conditions.sort_unstable();
        Chain { conditions, outcome }
    };
    if indices.len() == rule.args.len() { vec![chain(&rule.args)] } else { rule.args.chunks(1).map(chain).collect() }
}

/// The condition as the filter has it; `None` for one that always holds. 32-bit ABIs compare the lower half alone.
fn compared(mut arg: ArgCondition, abi: Abi) -> Option<ArgCondition> {
    if !abi.is_wide() {
        arg.value &= u64::from(u32::MAX);
        arg.value_two &= u64::from(u32::MAX);
    }
    if arg.operator != Operator::MaskedEqual {
        arg.value_two = 0;
    } else if arg.value == 0 {
        return None;
    } else {
        // Bits outside of the mask are dropped (`_db_node_mask_fixup`).
        arg.value_two &= arg.value;
    }
    Some(arg)
}

pub(super) const fn equal(index: u32, value: u64) -> ArgCondition {
    ArgCondition { index, value, value_two: 0, operator: Operator::Equal }
}

fn add<K: Ord>(entries: &mut BTreeMap<K, Entry>, call: K, chain: Chain) {
    match entries.get_mut(&call) {
        // The first rule without conditions wins over all that follow.
        Some(Entry::Always(_)) => {}
        Some(Entry::Chains(chains)) if !chain.conditions.is_empty() => chains.push(chain),
        // It also wins over all with conditions that came before.
        Some(entry) => *entry = Entry::Always(chain.outcome),
        None if chain.conditions.is_empty() => {
            entries.insert(call, Entry::Always(chain.outcome));
        }
        None => {
            entries.insert(call, Entry::Chains(vec![chain]));
        }
    }
}

const EPERM: u32 = 1;

/// What the filter answers.
pub(super) fn outcome(action: Action, errno: Option<u32>) -> Outcome {
    let data = if matches!(action, Action::Errno | Action::Trace) { errno_data(errno) } else { 0 };
    Outcome { action, data }
}

/// The 16 bits that fit beside the action; EPERM where the profile says nothing.
#[expect(clippy::cast_possible_truncation, reason = "the runtime too keeps the lower 16 bits")]
pub(super) fn errno_data(errno: Option<u32>) -> u16 {
    errno.unwrap_or(EPERM) as u16
}

/// The runtime passes over a rule with the default's action and errno.
pub(super) fn same_action(rule: (Action, Option<u32>), default: (Action, Option<u32>)) -> bool {
    rule.0 == default.0
        && (!matches!(rule.0, Action::Errno | Action::Trace) || errno_data(rule.1) == errno_data(default.1))
}
