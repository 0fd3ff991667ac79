//! Refused calls one by one: what the programs sent of them, within their bounds.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use auditor_ebpf::{FLOW_PER_WINDOW, LOGGED, REFUSAL_RING_BYTES, REFUSED_ERRNO, REFUSED_SIGNAL, REFUSED_THREAD};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Kernel, KernelError, SlotNr, decode, record};
use crate::container::CgroupId;
use crate::syscall::{Abi, SyscallNr};

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It was answered with this errno, which may be 0 (`SECCOMP_RET_ERRNO`, or `SECCOMP_RET_TRACE` without a tracer).
    Errno(u16),
    /// It was rolled back and a SIGSYS sent (`SECCOMP_RET_TRAP`, `SECCOMP_RET_KILL_PROCESS`, and
    /// `SECCOMP_RET_KILL_THREAD` in a process of one thread).
    Signal,
    /// Its thread, one of many, was ended (`SECCOMP_RET_KILL_THREAD`).
    Thread,
    /// It never ran, in a task one of whose filters has a supervisor (`SECCOMP_RET_USER_NOTIF`); the result is the
    /// supervisor's, or a filter's errno.
    Supervised(i64),
    /// It was made, and is one of the calls that [`Kernel::watch_calls`] asked for.
    Logged,
}

/// One refused call, or one that was watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When: `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// The slot. By the time the event is read it may be somebody else's: the cgroup says whose it was.
    pub slot: SlotNr,
    /// The container's outermost cgroup.
    pub cgroup: CgroupId,
    /// Process, in the host's numbers.
    pub pid: u32,
    /// Thread, in the host's numbers.
    pub tid: u32,
    /// Process, in the numbers of the innermost pid namespace that it is in.
    pub inner_pid: u32,
    /// Thread, in the same numbers.
    pub inner_tid: u32,
    /// The thread's name; bytes that are not UTF-8 are replaced, nothing else is.
    pub comm: String,
    /// The ABI by which it was called.
    pub abi: Abi,
    /// Number within the ABI: without the x32 bit. Any number at all, also one that no kernel has.
    pub nr: SyscallNr,
    /// The arguments as seccomp has them; of a 32-bit call the lower halves.
    pub args: [u64; 6],
    /// Where the program was.
    pub instruction_pointer: u64,
    /// What became of it.
    pub kind: RefusalKind,
    /// Events of this container that were counted and not sent since the one before this: held back, or without room.
    pub unsent: u64,
}

/// How the events of a slot fared. The three add up to the refused and watched calls that were counted in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Sent.
    pub sent: u64,
    /// Held back, because the slot had sent so many already: 32 in a quarter of a second.
    pub suppressed: u64,
    /// Not sent because the ring was full, or too full for a slot that had sent some already.
    pub lost: u64,
}

/// Bytes of the ring: room for what all slots may send in one window, within reason. A power of two.
pub(super) fn ring_bytes(slot_count: u32) -> u32 {
    const LARGEST: u64 = 8 * 1024 * 1024;
    // The kernel puts 8 bytes before each entry (`BPF_RINGBUF_HDR_SZ`).
    let entry = size_of::<auditor_ebpf::Refusal>() as u64 + 8;
    let bytes = (u64::from(slot_count) * FLOW_PER_WINDOW * entry).next_power_of_two().min(LARGEST);
    u32::try_from(bytes).map_or(REFUSAL_RING_BYTES, |bytes| bytes.max(REFUSAL_RING_BYTES))
}

/// What was said of a slot's unsent events so far, and whose slot it was then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unsent {
    cgroup: u64,
    total: u64,
}

impl Kernel {
    /// Something to wait on that becomes readable when there are refusals. Needs a tokio runtime.
    ///
    /// The kernel wakes the reader for an event that finds the ring empty, and for no other: a reader that leaves a
    /// pause of some 20 milliseconds between two rounds of [`Kernel::next_refusal`] is woken at most fifty times a
    /// second, whatever containers do.
    ///
    /// # Errors
    /// When the process has no more file descriptors.
    pub fn watch_refusals(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let fd = self.refusals.as_fd().try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays open, and the same, for as long as it is registered.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
    }

    /// The next refusal that was sent, if any. Those of one CPU come in their order; times tell the order of all.
    pub fn next_refusal(&mut self) -> Option<Refusal> {
        loop {
            let item = self.refusals.next()?;
            let Some(event) = record::parse_refusal(&item) else { continue };
            drop(item);
            let before = usize::try_from(event.slot).ok().and_then(|slot| self.unsent.get_mut(slot));
            let unsent = before.map_or(0, |before| before.advance(event.cgroup_id, event.unsent));
            return Some(decode_refusal(&event, unsent));
        }
    }

    /// How the events of a slot fared since it was taken.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn event_counts(&self, slot: SlotNr) -> Result<EventCounts, KernelError> {
        let flow = self.flows.get(&slot.0, 0).map_err(|error| KernelError::map("FLOWS", &error))?.0;
        Ok(EventCounts { sent: flow.sent, suppressed: flow.suppressed, lost: flow.lost })
    }
}

impl Unsent {
    /// How many more there are than at the last event of the same owner. Events of several CPUs may overtake each
    /// other; then the later number was seen first.
    fn advance(&mut self, cgroup: u64, total: u64) -> u64 {
        if self.cgroup != cgroup {
            *self = Self { cgroup, total: 0 };
        }
        let more = total.saturating_sub(self.total);
        self.total = self.total.max(total);
        more
    }
}

pub(super) fn decode_refusal(event: &auditor_ebpf::Refusal, unsent: u64) -> Refusal {
    let abi = decode::abi(u16::from(event.abi));
    let kind = match event.kind {
        REFUSED_ERRNO => RefusalKind::Errno(u16::try_from(event.result.unsigned_abs()).unwrap_or(u16::MAX)),
        REFUSED_SIGNAL => RefusalKind::Signal,
        REFUSED_THREAD => RefusalKind::Thread,
        LOGGED => RefusalKind::Logged,
        _ => RefusalKind::Supervised(event.result),
    };
    let nr = if abi == Abi::X32 { event.nr & !auditor_ebpf::X32_BIT } else { event.nr };
    Refusal {
        boot_ns: event.boot_ns,
        slot: SlotNr(event.slot),
        cgroup: CgroupId(event.cgroup_id),
        pid: event.pid,
        tid: event.tid,
        inner_pid: event.inner_pid,
        inner_tid: event.inner_tid,
        comm: decode::name(&event.comm),
        abi,
        nr: SyscallNr(nr.cast_signed()),
        args: event.args,
        instruction_pointer: event.instruction_pointer,
        kind,
        unsent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_is_told_once() {
        let mut unsent = Unsent::default();
        assert_eq!(unsent.advance(7, 5), 5);
        assert_eq!(unsent.advance(7, 9), 4);
        // Overtaken by the one before.
        assert_eq!(unsent.advance(7, 8), 0);
        assert_eq!(unsent.advance(7, 9), 0);
        // The slot is somebody else's.
        assert_eq!(unsent.advance(8, 3), 3);
    }
}
