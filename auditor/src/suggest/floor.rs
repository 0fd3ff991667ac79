//! What a container runtime itself needs once its filter is in force: without these no container starts.
//!
//! Measured, not typed in: `cargo xtask floor` starts containers whose program makes next to no calls, with and without
//! no_new_privs, as root and as others, with more and fewer capabilities, a terminal, an init, another directory, and
//! enters them by `docker exec` and health checks. What is counted there under the filter is the runtime's.
//!
//! A suggestion gets all of it, whatever the container's own settings are: it must start also when they change. It gets
//! that of the runtime which the container really has, and nothing that only another one does.

mod table;

use crate::evidence::{Arguments, Values};
use crate::profile::Runtime;
use crate::syscall::{self, Abi};

/// The calls that a runtime makes in the container between installing the filter and the start of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeFloor {
    /// Whose.
    pub runtime: Runtime,
    /// Kernel names of the calls, in order: those that were measured, and those that may come at any moment.
    pub calls: &'static [&'static str],
    /// What they are made with, of those whose arguments are noted (see
    /// [`table::noted`](crate::evidence::argument::table::noted)): the values of the noted registers, in order.
    pub arguments: &'static [(&'static str, &'static [[u64; 2]])],
}

/// What a floor rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// The runtime, by name and version.
    pub runtime: &'static str,
    /// The engine that called it.
    pub engine: &'static str,
    /// What `--init` started.
    pub init: &'static str,
    /// The kernel's release, and the machine.
    pub kernel: &'static str,
    /// The day, in UTC.
    pub date: &'static str,
    /// What was made, in any configuration.
    pub calls: &'static [Call],
}

/// A call that a runtime, or its `--init`, makes under the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The kernel's name.
    pub name: &'static str,
    /// Configurations that do not start or do not work where it is refused with EPERM. Where it was made and is not
    /// needed, the runtime goes on without, with something left open or undone.
    pub needed: &'static [&'static str],
    /// Configurations in which it was made.
    pub made: &'static [&'static str],
    /// With what it was made in any of them, where its arguments are noted.
    pub values: &'static [[u64; 2]],
}

impl RuntimeFloor {
    /// Of what no runtime starts.
    pub const NONE: Self = Self { runtime: Runtime::Runc, calls: &[], arguments: &[] };
    /// runc.
    pub const RUNC: Self = table::RUNC;
    /// crun.
    pub const CRUN: Self = table::CRUN;

    /// The floor of a runtime.
    #[must_use]
    pub const fn of(runtime: Runtime) -> &'static Self {
        match runtime {
            Runtime::Runc => &Self::RUNC,
            Runtime::Crun => &Self::CRUN,
        }
    }

    /// What the runtime makes its calls with, where that is noted. Nobody counted how often.
    #[must_use]
    pub(super) fn given(&self, native: Abi) -> Arguments {
        let values =
            |values: &[[u64; 2]]| Values { seen: values.iter().map(|value| (*value, 0)).collect(), overflowed: 0 };
        let call = |&(name, of): &(&str, &[[u64; 2]])| Some(((native, syscall::number(native, name)?), values(of)));
        Arguments { calls: self.arguments.iter().filter_map(call).collect() }
    }

    /// Whose floor a suggestion has, and what it rests on, for people.
    #[must_use]
    pub fn note(&self) -> String {
        let Measurement { runtime, engine, kernel, date, .. } = Self::measurement(self.runtime);
        format!(
            "what {} itself needs is in it, with and without no_new_privs, as any user, with docker exec, a health check, \
             --init and a terminal; measured with {runtime}, {engine} and Linux {kernel} on {date}",
            self.runtime
        )
    }

    /// What was measured of a runtime, call by call.
    #[must_use]
    pub const fn measurement(runtime: Runtime) -> &'static Measurement {
        match runtime {
            Runtime::Runc => &table::RUNC_MEASURED,
            Runtime::Crun => &table::CRUN_MEASURED,
        }
    }

    /// What a runtime may call at any moment, and so may have been missed by every measurement; with the reason.
    #[must_use]
    pub const fn at_any_moment(runtime: Runtime) -> &'static [(&'static str, &'static str)] {
        match runtime {
            Runtime::Runc => &GO,
            Runtime::Crun => &[],
        }
    }

    /// What it may make its calls with, beside what was measured; with the reason.
    #[must_use]
    pub const fn values_at_any_moment(runtime: Runtime) -> &'static [(&'static str, u64, &'static str)] {
        match runtime {
            Runtime::Runc => &GO_VALUES,
            Runtime::Crun => &C_VALUES,
        }
    }
}

/// Go's own runtime, which runc runs in until it executes the program: by the files of Go's `src/runtime` that call
/// these, and where runc is linked with the C library (its libseccomp needs it), by that library's thread functions.
const GO: [(&str, &str); 30] = [
    ("clock_gettime", "the clock, where the vDSO cannot read it (time_linux_amd64.s)"),
    ("clone", "a new thread (newosproc in os_linux.go, pthread_create through cgo)"),
    ("close", "a file that the collector finds unused (os/file_unix.go)"),
    ("epoll_create1", "waiting for files (netpollinit in netpoll_epoll.go)"),
    ("epoll_ctl", "waiting for files (netpollopen in netpoll_epoll.go)"),
    ("epoll_pwait", "waiting for files (netpoll in netpoll_epoll.go)"),
    ("eventfd2", "waking who waits for files, Go 1.23 and later (netpollinit in netpoll_epoll.go)"),
    ("exit", "the end of a thread (exitThread in sys_linux_amd64.s)"),
    ("exit_group", "the end after a failure (exit in sys_linux_amd64.s)"),
    ("fcntl", "whether a file waits (kind in os/file_unix.go)"),
    ("futex", "locks, and threads with nothing to do (os_linux.go)"),
    ("getpid", "a signal to one of its threads (signalM in os_linux.go)"),
    ("gettid", "a new thread (minit in os_linux.go)"),
    ("madvise", "memory that is given back or made of huge pages (mem_linux.go)"),
    ("mmap", "a grown heap, the stack of a new thread (mem_linux.go)"),
    ("mprotect", "the guard of a new thread's stack (pthread_create)"),
    ("munmap", "a shrunk heap, the stack of an ended thread (mem_linux.go)"),
    ("nanosleep", "a thread that watches the others (usleep in sys_linux_amd64.s)"),
    ("pipe2", "waking who waits for files, before Go 1.23 (netpollinit in netpoll_epoll.go)"),
    ("read", "woken from waiting for files (netpoll in netpoll_epoll.go)"),
    ("rseq", "a new thread (pthread_create)"),
    ("rt_sigaction", "handlers (setsig in os_linux.go)"),
    ("rt_sigprocmask", "a new thread (newosproc in os_linux.go, pthread_create)"),
    ("rt_sigreturn", "the end of a handler (sigreturn in sys_linux_amd64.s)"),
    ("sched_yield", "a lock that is about to be free (osyield in sys_linux_amd64.s)"),
    ("set_robust_list", "a new thread (pthread_create)"),
    ("sigaltstack", "a new thread (minitSignalStack in signal_unix.go)"),
    ("tgkill", "a function that runs for too long is interrupted (preemptM in signal_unix.go)"),
    ("uname", "the kernel's version, for what it can do (internal/syscall/unix/kernel_version_linux.go)"),
    ("write", "waking who waits for files, the message of a failure (netpollBreak in netpoll_epoll.go)"),
];

/// What [`GO`]'s calls are made with, and what libcontainer and the libraries that it has ask of `prctl` in circumstances
/// that were not measured.
const GO_VALUES: [(&str, u64, &str); 10] = [
    ("clone", 0x5_0f00, "a thread as Go makes one (cloneFlags in os_linux.go)"),
    ("clone", 0x3d_0f00, "a thread as the C library makes one (pthread_create through cgo)"),
    ("mmap", 0, "room for the heap or a stack, PROT_NONE (sysReserveOS in mem_linux.go, pthread_create)"),
    ("mmap", 3, "memory, PROT_READ|PROT_WRITE (sysAllocOS and sysMapOS in mem_linux.go)"),
    ("mprotect", 3, "the stack of a new thread, PROT_READ|PROT_WRITE (pthread_create)"),
    ("prctl", 1, "PR_SET_PDEATHSIG, where the user changed it (Restore in libcontainer/system/linux.go)"),
    ("prctl", 2, "PR_GET_PDEATHSIG, to see whether it did (the same)"),
    ("prctl", 15, "PR_SET_NAME, the name of a thread"),
    ("prctl", 23, "PR_CAPBSET_READ, which capabilities the kernel has (the capability library)"),
    ("prctl", 38, "PR_SET_NO_NEW_PRIVS, wherever it comes after the filter"),
];

/// The same of crun, which is written in C and has one thread.
const C_VALUES: [(&str, u64, &str); 5] = [
    ("prctl", 1, "PR_SET_PDEATHSIG, the parent's end is the program's"),
    ("prctl", 2, "PR_GET_PDEATHSIG, the same"),
    ("prctl", 15, "PR_SET_NAME, the name of the process"),
    ("prctl", 23, "PR_CAPBSET_READ, which capabilities the kernel has (libcap)"),
    ("prctl", 38, "PR_SET_NO_NEW_PRIVS, wherever it comes after the filter"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::evidence::argument::table::noted;

    #[test]
    fn a_floor_is_what_was_measured_and_what_may_come_at_any_moment() {
        for runtime in [Runtime::Runc, Runtime::Crun] {
            let floor = RuntimeFloor::of(runtime);
            assert_eq!(floor.runtime, runtime);
            let measured = RuntimeFloor::measurement(runtime).calls.iter().map(|call| call.name);
            let any_moment = RuntimeFloor::at_any_moment(runtime).iter().map(|(name, _)| *name);
            let all: BTreeSet<_> = measured.chain(any_moment).collect();
            assert_eq!(floor.calls, all.into_iter().collect::<Vec<_>>(), "{runtime}: run `cargo xtask floor`");
        }
    }

    #[test]
    fn what_a_floor_s_calls_are_made_with_is_what_was_measured_and_what_may_come() {
        for runtime in [Runtime::Runc, Runtime::Crun] {
            let floor = RuntimeFloor::of(runtime);
            let measured = RuntimeFloor::measurement(runtime).calls.iter();
            let measured = measured.flat_map(|call| call.values.iter().map(|value| (call.name, *value)));
            let any_moment = RuntimeFloor::values_at_any_moment(runtime).iter();
            let all: BTreeSet<_> = measured.chain(any_moment.map(|(name, value, _)| (*name, [*value, 0]))).collect();
            let values = floor.arguments.iter().flat_map(|(name, values)| values.iter().map(|value| (*name, *value)));
            assert_eq!(
                values.collect::<Vec<_>>(),
                all.into_iter().collect::<Vec<_>>(),
                "{runtime}: run `cargo xtask floor`"
            );
            // A call without values would be refused whatever it is made with.
            for name in floor.calls {
                let is_noted = noted(Abi::X86_64, syscall::number(Abi::X86_64, name).unwrap()).is_some();
                assert_eq!(floor.arguments.iter().any(|(of, _)| of == name), is_noted, "{runtime}: {name}");
            }
        }
    }

    #[test]
    fn every_call_of_a_floor_has_a_number_and_was_made_where_it_is_needed() {
        for runtime in [Runtime::Runc, Runtime::Crun] {
            for name in RuntimeFloor::of(runtime).calls {
                assert!(syscall::number(Abi::X86_64, name).is_some(), "{runtime}: {name}");
            }
            let measurement = RuntimeFloor::measurement(runtime);
            assert!(measurement.runtime.starts_with(runtime.as_str()), "{}", measurement.runtime);
            assert!(measurement.calls.iter().any(|call| call.name == "execve" && call.needed.contains(&"plain")));
            for call in measurement.calls {
                assert!(!call.made.is_empty(), "{runtime}: {}", call.name);
                assert!(call.needed.iter().all(|name| call.made.contains(name)), "{runtime}: {}", call.name);
            }
        }
    }
}
